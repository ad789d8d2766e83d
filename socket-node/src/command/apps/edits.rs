//! What changes one app.

use std::{io::Write, time::Duration};

use anyhow::Context as _;
use app_manager::{record::AppRecord, store::WriteError};
use serde_json::{Map, Value as Json, json};
use webhook_worker::job::now_ms;

use super::{
    Desk,
    credentials::{random_id, random_key, random_secret},
    views::is_enabled,
};

/// How often an app is read anew that others change at the same time.
const TRIES: usize = 5;

/// What is to become of an app.
enum Edit {
    /// These settings are others.
    Change(Map<String, Json>),
    /// It is so already.
    Nothing,
}

impl Desk<'_> {
    pub(super) async fn create(
        &self,
        given: &Map<String, Json>,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let mut made = Map::new();
        let is_missing = |key: &str| !given.contains_key(key);
        if is_missing("app_key") {
            made.insert("app_key".to_owned(), random_key()?.into());
        }
        if is_missing("app_secret") {
            made.insert("app_secret".to_owned(), random_secret()?.into());
        }
        for attempt in 1.. {
            if is_missing("app_id") {
                made.insert("app_id".to_owned(), random_id()?.into());
            }
            let settings = given.iter().chain(&made).map(|(key, value)| (key.clone(), value.clone()));
            let record = AppRecord::new(&settings.collect()).map_err(|problems| lines(&problems))?;
            match self.records.create(&record).await {
                // Chance has hit upon one that is taken.
                Err(WriteError::IdTaken) if is_missing("app_id") && attempt < TRIES => continue,
                created => created.with_context(|| format!("app {} is not created", record.id()))?,
            }
            self.say_created(&record, &made, output)?;
            self.announce(&[record.id().to_owned()], output).await?;
            return Ok(true);
        }
        unreachable!("the loop has no end of its own")
    }

    /// Shows what was made here, once: nothing else ever shows it unasked.
    fn say_created(
        &self,
        record: &AppRecord,
        made: &Map<String, Json>,
        output: &mut impl Write,
    ) -> anyhow::Result<()> {
        if self.as_json {
            let mut answer = json!({"app_id": record.id(), "app_key": record.key()});
            if let Some(secret) = made.get("app_secret") {
                answer["app_secret"] = secret.clone();
            }
            writeln!(output, "{answer}")?;
            return Ok(());
        }
        writeln!(output, "app {} is created", record.id())?;
        writeln!(output, "app_key = {}", record.key())?;
        if let Some(secret) = made.get("app_secret").and_then(Json::as_str) {
            writeln!(output, "app_secret = {secret}")?;
        }
        Ok(())
    }

    pub(super) async fn update(
        &self,
        id: &str,
        changes: &Map<String, Json>,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let record = self.edit(id, |_| Ok(Edit::Change(changes.clone()))).await?;
        self.say_changed(id, record.as_ref(), "is changed", output).await
    }

    pub(super) async fn switch(&self, id: &str, on: bool, output: &mut impl Write) -> anyhow::Result<bool> {
        let edit = |record: &AppRecord| {
            let change = || Map::from_iter([("app_enabled".to_owned(), Json::from(on))]);
            Ok(if is_enabled(record) == on { Edit::Nothing } else { Edit::Change(change()) })
        };
        let record = self.edit(id, edit).await?;
        self.say_changed(id, record.as_ref(), if on { "is enabled" } else { "is disabled" }, output).await
    }

    pub(super) async fn rotate(
        &self,
        id: &str,
        overlap: Duration,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let secret = random_secret()?;
        let record = self.edit(id, |record| rotated(record, &secret, overlap)).await?;
        let until = record.as_ref().and_then(|record| record.settings().get("app_previous_secret_until"));
        if self.as_json {
            let answer =
                json!({"app_id": id, "app_secret": secret, "app_previous_secret_until": until.cloned()});
            writeln!(output, "{answer}")?;
        } else {
            writeln!(output, "app {id} has another secret")?;
            writeln!(output, "app_secret = {secret}")?;
            match until {
                Some(until) => writeln!(
                    output,
                    "the old one counts for another {} s, until {until} ms after 1970",
                    overlap.as_secs()
                )?,
                None => writeln!(output, "the old one does not count any more")?,
            }
        }
        self.announce(&[id.to_owned()], output).await?;
        Ok(true)
    }

    pub(super) async fn delete(&self, id: &str, output: &mut impl Write) -> anyhow::Result<bool> {
        for _ in 0..TRIES {
            let record = self.read(id).await?;
            match self.records.delete(id, record.version()).await {
                Err(WriteError::Changed) => {}
                deleted => {
                    deleted.with_context(|| format!("app {id} is not deleted"))?;
                    return self.say_changed(id, Some(&record), "is deleted", output).await;
                }
            }
        }
        anyhow::bail!("app {id} is not deleted: others change it all the time")
    }

    async fn read(&self, id: &str) -> anyhow::Result<AppRecord> {
        self.records.get(id).await?.with_context(|| format!("there is no app {id}"))
    }

    /// Changes an app as it is at the moment of the change. `None` if there was nothing to change.
    async fn edit(
        &self,
        id: &str,
        edit: impl Fn(&AppRecord) -> anyhow::Result<Edit>,
    ) -> anyhow::Result<Option<AppRecord>> {
        for _ in 0..TRIES {
            let record = self.read(id).await?;
            let Edit::Change(changes) = edit(&record)? else { return Ok(None) };
            let next = record.changed(&changes).map_err(|problems| lines(&problems))?;
            match self.records.replace(&next).await {
                Err(WriteError::Changed) => {}
                replaced => {
                    replaced.with_context(|| format!("app {id} is not changed"))?;
                    return Ok(Some(next));
                }
            }
        }
        anyhow::bail!("app {id} is not changed: others change it all the time")
    }

    async fn say_changed(
        &self,
        id: &str,
        changed: Option<&AppRecord>,
        what: &str,
        output: &mut impl Write,
    ) -> anyhow::Result<bool> {
        let already = if changed.is_some() { "" } else { " already" };
        if self.as_json {
            writeln!(output, "{}", json!({"app_id": id, "changed": changed.is_some()}))?;
        } else {
            writeln!(output, "app {id} {what}{already}")?;
        }
        let ids: Vec<_> = changed.iter().map(|_| id.to_owned()).collect();
        self.announce(&ids, output).await?;
        Ok(true)
    }
}

/// This secret, and the one before it for so long.
fn rotated(record: &AppRecord, secret: &str, overlap: Duration) -> anyhow::Result<Edit> {
    let (settings, now) = (record.settings(), now_ms());
    let until = settings.get("app_previous_secret_until").and_then(Json::as_u64);
    if let Some(left) = until.and_then(|until| until.checked_sub(now)).filter(|_| !overlap.is_zero()) {
        let (id, left) = (record.id(), left.div_ceil(1000));
        anyhow::bail!(
            "app {id} has two secrets for another {left} s, and a third would end the older of them early; wait, or \
             rotate with --overlap 0, after which the new one alone counts"
        );
    }
    let overlap = u64::try_from(overlap.as_millis()).unwrap_or(u64::MAX);
    let previous = match overlap {
        0 => [Json::Null, Json::Null],
        _ => [settings["app_secret"].clone(), now.saturating_add(overlap).into()],
    };
    let [previous, until] = previous;
    let changes = [
        ("app_secret", Json::from(secret)),
        ("app_previous_secret", previous),
        ("app_previous_secret_until", until),
    ];
    Ok(Edit::Change(changes.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()))
}

/// Everything that is wrong with an app, as one error.
pub(super) fn lines(problems: &[String]) -> anyhow::Error {
    anyhow::Error::msg(problems.join("\n"))
}
