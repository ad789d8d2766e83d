//! What is shown of apps.

use std::io::Write;

use anyhow::Context as _;
use app_manager::{
    app::settings::{APP_SETTINGS, Kind, Setting, without_credentials},
    record::AppRecord,
    store::Listed,
};
use serde_json::{Map, Value as Json, json};

use super::Desk;

/// Apps of one page.
pub(super) const PAGE: usize = 100;

impl Desk<'_> {
    pub(super) async fn list(
        &self,
        mut after: Option<String>,
        limit: Option<usize>,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let mut left = limit.unwrap_or(usize::MAX);
        let mut count = 0;
        while left > 0 {
            let wanted = left.min(PAGE);
            let page = self.records.list(after.as_deref(), wanted).await?;
            for listed in &page {
                writeln!(output, "{}", if self.as_json { object(listed).to_string() } else { line(listed) })?;
            }
            count += page.len();
            left -= page.len();
            if page.len() < wanted {
                break;
            }
            after = page.into_iter().next_back().map(|listed| listed.id);
        }
        if count == 0 && !self.as_json {
            writeln!(output, "no apps")?;
        }
        Ok(count > 0)
    }

    pub(super) async fn show(
        &self,
        id: &str,
        with_secret: bool,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let record = self.records.get(id).await?.with_context(|| format!("there is no app {id}"))?;
        let app = if with_secret { record.settings().clone() } else { without_secrets(&record) };
        let page = json!({"version": record.version(), "app": app});
        writeln!(output, "{page:#}")?;
        Ok(true)
    }
}

/// An app on one line.
fn line(listed: &Listed) -> String {
    match &listed.record {
        Ok(record) => {
            let state = if is_enabled(record) { "enabled" } else { "disabled" };
            format!("{}  {}  {state}  version {}", listed.id, record.key(), record.version())
        }
        Err(what) => format!("{}  cannot be read: {what}", listed.id),
    }
}

fn object(listed: &Listed) -> Json {
    match &listed.record {
        Ok(record) => json!({
            "app_id": listed.id, "app_key": record.key(), "app_enabled": is_enabled(record),
            "version": record.version(),
        }),
        Err(what) => json!({"app_id": listed.id, "error": what}),
    }
}

/// Whether the app may be used.
pub(super) fn is_enabled(record: &AppRecord) -> bool {
    record.settings().get("app_enabled") != Some(&Json::Bool(false))
}

/// The settings of an app without what may be secret: its secrets, what URLs have besides a place, and the values of
/// webhooks' headers.
fn without_secrets(record: &AppRecord) -> Map<String, Json> {
    let shown = record.settings().iter().filter_map(|(key, value)| {
        let setting = Setting::find_json(APP_SETTINGS, key)?;
        let value = match setting.kind {
            Kind::Secret(_) | Kind::Password(_) => return None,
            Kind::Url(_) => without_credentials(value.as_str()?).into(),
            Kind::Webhooks => value.as_array()?.iter().map(target_without_secrets).collect(),
            Kind::Bool
            | Kind::Number { .. }
            | Kind::Limit
            | Kind::Choice(_)
            | Kind::Text(_)
            | Kind::Digits
            | Kind::List(_) => value.clone(),
        };
        Some((key.clone(), value))
    });
    shown.collect()
}

fn target_without_secrets(target: &Json) -> Json {
    let mut target = target.clone();
    if let Some(url) = target.get_mut("url") {
        *url = without_credentials(url.as_str().unwrap_or_default()).into();
    }
    if let Some(headers) = target.get_mut("headers") {
        let names = headers.as_object().into_iter().flat_map(Map::keys).cloned();
        *headers = names.collect::<Vec<_>>().into();
    }
    target
}
