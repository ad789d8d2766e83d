//! Many apps at once: in and out, as a config file has them.

use std::{collections::HashMap, io::Write};

use anyhow::Context as _;
use app_manager::{record::AppRecord, store::WriteError};
use serde_json::{Map, Value as Json, json};

use super::{Desk, Source, edits::lines, views::PAGE};
use crate::config::parse_json;

/// What became of an app of an import.
enum Fate {
    Created,
    Changed,
    Unchanged,
    Refused(String),
}

impl Desk<'_> {
    /// Writes all apps, with their secrets.
    pub(super) async fn export(&self, output: &mut impl Write) -> anyhow::Result<bool> {
        let (mut apps, mut unreadable) = (Vec::new(), Vec::new());
        let mut after: Option<String> = None;
        loop {
            let page = self.records.list(after.as_deref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|listed| listed.id.clone());
            for listed in page {
                match listed.record {
                    Ok(record) => apps.push(Json::from(record.settings().clone())),
                    Err(what) => unreadable.push(what),
                }
            }
            if is_last {
                break;
            }
        }
        writeln!(output, "{:#}", json!({"applications": apps}))?;
        anyhow::ensure!(
            unreadable.is_empty(),
            "left out, because they cannot be read:\n{}",
            unreadable.join("\n")
        );
        Ok(true)
    }

    /// Takes apps in. All of them are looked over before the first is written; what is there as it should be is left as it
    /// is, so doing it again does no harm.
    pub(super) async fn import(
        &self,
        source: &Source,
        replaces: bool,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let records = read(&source.read()?)?;
        let (mut told, mut refused) = (Vec::new(), 0_usize);
        for record in &records {
            let fate = match self.take_in(record, replaces).await {
                Ok(fate) => fate,
                Err(error) => {
                    // What was written is written.
                    self.announce(&told, output).await?;
                    return Err(error).context("the import is broken off and can be repeated");
                }
            };
            let what = match fate {
                Fate::Created => "created".to_owned(),
                Fate::Changed => "changed".to_owned(),
                Fate::Unchanged => "unchanged".to_owned(),
                Fate::Refused(why) => {
                    refused += 1;
                    format!("refused: {why}")
                }
            };
            if matches!(what.as_str(), "created" | "changed") {
                told.push(record.id().to_owned());
            }
            if self.as_json {
                writeln!(output, "{}", json!({"app_id": record.id(), "outcome": what}))?;
            } else {
                writeln!(output, "app {}: {what}", record.id())?;
            }
        }
        self.announce(&told, output).await?;
        Ok(refused == 0)
    }

    async fn take_in(&self, record: &AppRecord, replaces: bool) -> anyhow::Result<Fate> {
        let there = self.records.get(record.id()).await;
        let (written, done) = match there {
            Ok(None) => (self.records.create(record).await, Fate::Created),
            Ok(Some(there)) if there.settings() == record.settings() => return Ok(Fate::Unchanged),
            Ok(Some(_)) if !replaces => {
                return Ok(Fate::Refused("it is there with other settings; --replace changes it".to_owned()));
            }
            Ok(Some(there)) => {
                let next =
                    there.changed(&replacement(&there, record)).map_err(|problems| lines(&problems))?;
                (self.records.replace(&next).await, Fate::Changed)
            }
            Err(error) => (Err(WriteError::from(error)), Fate::Unchanged),
        };
        match written {
            Ok(()) => Ok(done),
            Err(error @ WriteError::Unavailable(_)) => Err(error.into()),
            Err(error) => Ok(Fate::Refused(error.to_string())),
        }
    }
}

/// The changes that make one app the other.
fn replacement(there: &AppRecord, wanted: &AppRecord) -> Map<String, Json> {
    let gone = there.settings().keys().map(|key| (key.clone(), Json::Null));
    let wanted = wanted.settings().iter().map(|(key, value)| (key.clone(), value.clone()));
    gone.chain(wanted).collect()
}

/// The apps of a text, or everything that is wrong with them.
fn read(text: &str) -> anyhow::Result<Vec<AppRecord>> {
    let apps = match parse_json(text.trim_start_matches('\u{feff}'))? {
        Json::Array(apps) => apps,
        Json::Object(mut entries) => match entries.remove("applications") {
            Some(Json::Array(apps)) => apps,
            _ => anyhow::bail!("the object must have 'applications', an array of apps"),
        },
        _ => anyhow::bail!("must be an array of apps, or an object with 'applications'"),
    };
    let (mut records, mut problems) = (Vec::<AppRecord>::new(), Vec::new());
    let mut taken = HashMap::new();
    for (index, app) in apps.iter().enumerate() {
        let at = format!("applications[{index}]");
        let Json::Object(settings) = app else {
            problems.push(format!("{at}: must be an object"));
            continue;
        };
        match AppRecord::new(settings) {
            Ok(record) => {
                for (key, name) in [("app_id", record.id()), ("app_key", record.key())] {
                    if let Some(other) = taken.insert((key, name.to_owned()), index) {
                        problems.push(format!("{at}: {key}: '{name}' is that of applications[{other}]"));
                    }
                }
                records.push(record);
            }
            Err(wrong) => problems.extend(wrong.into_iter().map(|what| format!("{at}: {what}"))),
        }
    }
    if problems.is_empty() { Ok(records) } else { Err(lines(&problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_with_an_import_is_found_before_anything_is_written() {
        let app = |id: &str, key: &str| json!({"app_id": id, "app_key": key, "app_secret": "canary"});
        assert_eq!(read(&json!([app("1", "a"), app("2", "b")]).to_string()).unwrap().len(), 2);
        let file = json!({"server": {"port": 1}, "applications": [app("1", "a")]});
        assert_eq!(read(&file.to_string()).unwrap().len(), 1);
        let wrong =
            json!([app("1", "a"), 5, app("x", "b"), app("1", "a"), {"app_id": "4", "app_colour": "canary"}]);
        let error = read(&wrong.to_string()).unwrap_err().to_string();
        assert_eq!(
            error.lines().collect::<Vec<_>>(),
            [
                "applications[1]: must be an object",
                "applications[2]: app_id: must be 1 to 64 digits",
                "applications[3]: app_id: '1' is that of applications[0]",
                "applications[3]: app_key: 'a' is that of applications[0]",
                "applications[4]: app_colour: is unknown",
                "applications[4]: the app: app_key is missing",
                "applications[4]: the app: app_secret is missing",
            ]
        );
        for text in ["5", "{}", r#"{"applications": {}}"#, r#"[{"app_id": "1", "app_id": "2"}]"#, "["] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
