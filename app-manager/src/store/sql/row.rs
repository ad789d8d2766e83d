//! An app as a row, and back.

use serde_json::{Map, Value as Json};
use sqlx::{Row as _, any::AnyRow};

use super::trouble::Trouble;
use crate::{
    record::AppRecord,
    store::{Listed, LookupError},
};

/// The app in a row of id, key, document and version.
pub(super) fn read(row: &AnyRow) -> Result<AppRecord, LookupError> {
    record(&Columns::of(row)?)
}

/// The same for a list, which one bad row does not spoil.
pub(super) fn listed(row: &AnyRow) -> Result<Listed, LookupError> {
    let columns = Columns::of(row)?;
    let record = record(&columns).map_err(|error| error.to_string());
    Ok(Listed { id: columns.id, record })
}

/// The settings of an app as its row has them.
pub(super) fn document(record: &AppRecord) -> String {
    Json::from(record.settings().clone()).to_string()
}

/// The version of an app as its row has it.
pub(super) fn version(record: &AppRecord) -> i64 {
    i64::try_from(record.version()).expect("nobody changes an app so often")
}

#[derive(Debug)]
struct Columns {
    id: String,
    key: String,
    document: String,
    version: i64,
}

impl Columns {
    fn of(row: &AnyRow) -> Result<Self, LookupError> {
        let read = || -> sqlx::Result<Self> {
            let (id, key) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Self { id, key, document: row.try_get(2)?, version: row.try_get(3)? })
        };
        Ok(read().map_err(Trouble::from)?)
    }
}

fn record(columns: &Columns) -> Result<AppRecord, LookupError> {
    let Columns { id, key, document, version } = columns;
    let unreadable = |what: &str| LookupError::Unreadable(format!("app {}: {what}", id.escape_debug()));
    let version = u64::try_from(*version).ok().filter(|version| *version > 0);
    let version = version.ok_or_else(|| unreadable("version: must be a number from 1 on"))?;
    let settings: Map<String, Json> =
        serde_json::from_str(document).map_err(|_| unreadable("document: must be a JSON object"))?;
    let record = AppRecord::kept(id, &settings, version)?;
    // It would be found by a key that is not its own.
    if record.key() != key {
        return Err(unreadable("app_key: is not the one of its row"));
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns(document: &str) -> Columns {
        Columns { id: "7".to_owned(), key: "key".to_owned(), document: document.to_owned(), version: 3 }
    }

    #[test]
    fn a_row_is_the_app_that_was_written() {
        let settings =
            json!({"app_id": "7", "app_key": "key", "app_secret": "sécrèt 🔑", "app_enabled": false});
        let written = AppRecord::new(settings.as_object().unwrap()).unwrap();
        assert_eq!(version(&written), 1);
        let read = record(&columns(&document(&written))).unwrap();
        assert_eq!((read.settings(), read.version()), (written.settings(), 3));
    }

    #[test]
    fn a_row_that_is_no_app_is_named_and_nothing_of_it_is_told() {
        for (document, what) in [
            ("", "document: must be a JSON object"),
            (r#"["canary"]"#, "document: must be a JSON object"),
            (r#"{"app_id": "canary"#, "document: must be a JSON object"),
            (
                r#"{"app_id": "7", "app_key": "canary", "app_secret": "canary"}"#,
                "app_key: is not the one of its row",
            ),
            (r#"{"app_id": 7, "app_key": "key", "app_secret": "canary"}"#, "app_id: "),
            (r#"{"app_id": "8", "app_key": "key", "app_secret": "canary"}"#, "app_id: "),
            (r#"{"app_id": "7", "app_key": "key"}"#, "app_secret is missing"),
            (
                r#"{"app_id": "7", "app_key": "key", "app_secret": "canary", "app_enabled": "true"}"#,
                "app_enabled: ",
            ),
            (r#"{"app_id": "7", "app_key": "key", "app_secret": "canary", "more": 1}"#, "more: is unknown"),
        ] {
            let Err(LookupError::Unreadable(told)) = record(&columns(document)) else { panic!("{document}") };
            assert!(told.starts_with("app 7: ") && told.contains(what) && !told.contains("canary"), "{told}");
        }
        let sound = r#"{"app_id": "7", "app_key": "key", "app_secret": "canary"}"#;
        for version in [0, -1, i64::MIN] {
            let told = record(&Columns { version, ..columns(sound) }).unwrap_err().to_string();
            assert_eq!(told, "app 7: version: must be a number from 1 on");
        }
    }
}
