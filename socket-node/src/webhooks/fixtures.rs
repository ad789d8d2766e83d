//! Apps and channels to test webhooks with.

use std::sync::Arc;

use app_manager::app::{
    App,
    settings::{APP_SETTINGS, Problems, Setting, Values, build},
};
use serde_json::{Value, json};

use crate::{hub::Topic, protocol::ChannelName};

/// App 1 with these settings besides.
pub(super) fn app(settings: Value) -> Arc<App> {
    app_with_id("1", settings)
}

/// An app with these settings besides.
pub(super) fn app_with_id(id: &str, settings: Value) -> Arc<App> {
    let mut all = json!({"app_id": id, "app_key": format!("key-{id}"), "app_secret": "secret"});
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    all.as_object_mut().expect("it is one").extend(settings);
    let mut values = Values::new(APP_SETTINGS);
    let mut problems = Problems::default();
    for (key, value) in all.as_object().expect("it is one") {
        let setting = Setting::find_json(APP_SETTINGS, key).unwrap_or_else(|| panic!("no setting {key}"));
        values.add(setting, value, key.clone(), &mut problems);
    }
    Arc::new(build(&values, "test", &mut problems).expect("the settings are in order"))
}

/// A channel of app 1.
pub(super) fn topic(channel: &str) -> Topic {
    Topic { app: "1".into(), channel: ChannelName::parse(channel, 200).expect("a legal name") }
}
