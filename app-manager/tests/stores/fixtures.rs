//! Apps for the suite.

use app_manager::record::AppRecord;
use serde_json::{Map, Value, json};

/// The settings of an object.
pub(crate) fn entries(json: Value) -> Map<String, Value> {
    let Value::Object(entries) = json else { panic!("{json} is no object") };
    entries
}

/// A new app with this id and key, and these settings besides.
pub(crate) fn app_with(id: &str, key: &str, more: Value) -> AppRecord {
    let mut settings =
        entries(json!({"app_id": id, "app_key": key, "app_secret": format!("secret of {id}")}));
    settings.extend(entries(more));
    AppRecord::new(&settings).expect("it is an app")
}

/// A new app with this id and key.
pub(crate) fn app(id: &str, key: &str) -> AppRecord {
    app_with(id, key, json!({}))
}

/// The next version of an app.
pub(crate) fn changed(record: &AppRecord, changes: Value) -> AppRecord {
    record.changed(&entries(changes)).expect("it is still an app")
}
