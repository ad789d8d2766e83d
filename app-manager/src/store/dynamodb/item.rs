//! An app as an item, and back.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value as Json};

use crate::{record::AppRecord, store::LookupError};

/// The key of the table.
pub(super) const PK: &str = "pk";

/// Counts the changes of an app.
pub(super) const VERSION: &str = "version";

const APP: &str = "app#";
const KEY: &str = "key#";

/// Attributes by name.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The key of the app with this id.
pub(super) fn of_app(id: &str) -> String {
    format!("{APP}{id}")
}

/// The key of the item that keeps an app's key unique.
pub(super) fn of_key(key: &str) -> String {
    format!("{KEY}{key}")
}

/// The id that the item's key names, if it is an app's.
pub(super) fn app_id(item: &Item) -> Option<&str> {
    item.get(PK)?.as_s().ok()?.strip_prefix(APP)
}

/// The item of an app.
pub(super) fn write(record: &AppRecord) -> Item {
    let settings = record.settings().iter().map(|(key, value)| (key.clone(), attribute(value)));
    let own = [
        (PK.to_owned(), AttributeValue::S(of_app(record.id()))),
        (VERSION.to_owned(), AttributeValue::N(record.version().to_string())),
    ];
    settings.chain(own).collect()
}

/// The app that an item holds as `id`.
pub(super) fn read(id: &str, item: &Item) -> Result<AppRecord, LookupError> {
    let mut problems = Vec::new();
    let version = match item.get(VERSION) {
        Some(AttributeValue::N(text)) => text.parse().ok().filter(|version| *version > 0),
        _ => None,
    };
    if version.is_none() {
        problems.push(format!("{VERSION}: must be kept as a number (N), from 1 on"));
    }
    let mut settings = Map::new();
    for (name, attribute) in item.iter().filter(|(name, _)| !matches!(name.as_str(), PK | VERSION)) {
        match json(attribute) {
            Some(value) => drop(settings.insert(name.clone(), value)),
            None => problems.push(format!(
                "{}: is kept in a type that no setting has (a set, binary, or no number)",
                name.escape_debug()
            )),
        }
    }
    let Some(version) = version.filter(|_| problems.is_empty()) else {
        problems.sort();
        return Err(LookupError::Unreadable(format!("app {id}: {}", problems.join("; "))));
    };
    AppRecord::kept(id, &settings, version)
}

fn attribute(value: &Json) -> AttributeValue {
    match value {
        Json::Null => AttributeValue::Null(true),
        Json::Bool(value) => AttributeValue::Bool(*value),
        Json::Number(number) => AttributeValue::N(number.to_string()),
        Json::String(text) => AttributeValue::S(text.clone()),
        Json::Array(entries) => AttributeValue::L(entries.iter().map(attribute).collect()),
        Json::Object(entries) => {
            AttributeValue::M(entries.iter().map(|(name, value)| (name.clone(), attribute(value))).collect())
        }
    }
}

/// `None` if JSON has no such type.
fn json(attribute: &AttributeValue) -> Option<Json> {
    Some(match attribute {
        AttributeValue::Null(_) => Json::Null,
        AttributeValue::Bool(value) => Json::Bool(*value),
        AttributeValue::N(text) => Json::Number(text.parse().ok()?),
        AttributeValue::S(text) => Json::String(text.clone()),
        AttributeValue::L(entries) => Json::Array(entries.iter().map(json).collect::<Option<_>>()?),
        AttributeValue::M(entries) => {
            let entries = entries.iter().map(|(name, value)| Some((name.clone(), json(value)?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::primitives::Blob;
    use serde_json::json;

    use super::*;

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn n(text: &str) -> AttributeValue {
        AttributeValue::N(text.to_owned())
    }

    /// The least item of app 7.
    fn least() -> Item {
        let attributes = [
            ("pk", s("app#7")),
            ("version", n("3")),
            ("app_id", s("7")),
            ("app_key", s("key")),
            ("app_secret", s("canary")),
        ];
        attributes.map(|(name, value)| (name.to_owned(), value)).into()
    }

    #[test]
    fn an_item_has_the_types_of_dynamodb_and_becomes_the_same_app_again() {
        let Json::Object(settings) = json!({
            "app_id": "7", "app_key": "key", "app_secret": "sécrèt 🔑", "app_enabled": false,
            "app_max_connections": 4_294_967_295_u32, "app_allowed_origins": ["*.a.example"],
            "app_webhooks_enabled": true, "app_webhook_url": "https://a.example/hook",
            "webhooks": [{"url": "http://a.example", "filter": {"channel_name_starts_with": "ü"}, "event_types": []}],
        }) else {
            unreachable!("it is an object")
        };
        let record = AppRecord::new(&settings).unwrap();
        let item = write(&record);
        let filter = HashMap::from([("channel_name_starts_with".to_owned(), s("ü"))]);
        let target = HashMap::from([
            ("url".to_owned(), s("http://a.example")),
            ("filter".to_owned(), AttributeValue::M(filter)),
            ("event_types".to_owned(), AttributeValue::L(Vec::new())),
        ]);
        for (name, value) in [
            ("pk", s("app#7")),
            ("version", n("1")),
            ("app_id", s("7")),
            ("app_secret", s("sécrèt 🔑")),
            ("app_enabled", AttributeValue::Bool(false)),
            ("app_max_connections", n("4294967295")),
            ("app_allowed_origins", AttributeValue::L(vec![s("*.a.example")])),
            ("webhooks", AttributeValue::L(vec![AttributeValue::M(target)])),
        ] {
            assert_eq!(item[name], value, "{name}");
        }
        assert_eq!(read("7", &item).unwrap(), record);
        assert_eq!(app_id(&item), Some("7"));
    }

    #[test]
    fn an_attribute_of_a_wrong_type_or_name_is_named_with_its_app_and_nothing_else_is_told() {
        assert_eq!(read("7", &least()).unwrap().version(), 3);
        for (name, value) in [
            ("version", s("canary")),
            ("version", n("0")),
            ("version", n("1.5")),
            ("app_id", n("7")),
            ("app_id", s("8")),
            ("app_key", AttributeValue::Bool(true)),
            ("app_secret", n("1")),
            ("app_secret", AttributeValue::B(Blob::new("canary"))),
            ("app_enabled", s("true")),
            ("app_enabled", n("1")),
            ("app_enabled", AttributeValue::Null(true)),
            ("app_max_connections", s("5")),
            ("app_max_connections", n("-2")),
            ("app_max_connections", n("1E+130")),
            ("app_max_connections", AttributeValue::Ns(vec!["5".to_owned()])),
            ("app_allowed_origins", s("canary.example")),
            ("app_allowed_origins", AttributeValue::Ss(vec!["canary.example".to_owned()])),
            ("app_allowed_origins", AttributeValue::L(vec![n("1")])),
            ("app_webhook_url", AttributeValue::L(Vec::new())),
            ("webhooks", s("[]")),
            ("webhooks", AttributeValue::M(HashMap::new())),
            ("webhooks", AttributeValue::L(vec![AttributeValue::Bs(Vec::new())])),
            ("app_colour", s("canary")),
            ("owner", s("canary")),
        ] {
            let mut item = least();
            item.insert(name.to_owned(), value.clone());
            let error = read("7", &item).unwrap_err();
            let LookupError::Unreadable(text) = error else { panic!("{name} {value:?}: {error}") };
            assert!(text.starts_with("app 7: ") && text.contains(name), "{value:?}: {text}");
            assert!(!text.contains("canary"), "{text}");
        }
        for missing in ["version", "app_id", "app_key", "app_secret"] {
            let mut item = least();
            item.remove(missing);
            let error = read("7", &item).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
        }
    }
}
