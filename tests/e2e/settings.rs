//! The settings, as an operator gives them: every one of them can be given in every place and does what it says, and
//! a mistake stops the start.

mod app_effects;
mod mistakes;
mod redis_effects;
mod secrets;
mod server_effects;
mod sources;
mod webhook_effects;

use serde_json::{Value, json};

use crate::support::node::{Launch, Node};

/// A node for each place where these settings of an app can be given: flags, environment, configuration file.
///
/// `settings` is an object with the keys of the configuration file.
fn app_set_everywhere(settings: &Value) -> [Node; 3] {
    app_launches(settings).map(Launch::start)
}

/// The same, for nodes that need more than these settings.
pub(crate) fn app_launches(settings: &Value) -> [Launch; 3] {
    let mut app = json!({
        "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_enable_client_messages": true,
    });
    for (key, value) in settings.as_object().expect("an object of settings") {
        app[key] = value.clone();
    }
    [
        Launch::new().flags(flags(settings)),
        with_environment(Launch::new(), settings),
        Launch::bare().config(&json!({"applications": [app]})),
    ]
}

/// The same for settings of the server.
fn server_set_everywhere(settings: &Value) -> [Node; 3] {
    server_launches(settings).map(Launch::start)
}

/// The same, for nodes that need more than these settings.
pub(crate) fn server_launches(settings: &Value) -> [Launch; 3] {
    [
        Launch::new().flags(flags(settings)),
        with_environment(Launch::new(), settings),
        Launch::new().config(settings),
    ]
}

/// `{"app_key": "x"}` as `--app-key=x`.
fn flags(settings: &Value) -> Vec<String> {
    let settings = settings.as_object().expect("an object of settings").iter();
    settings.map(|(key, value)| format!("--{}={}", key.replace('_', "-"), text(value))).collect()
}

/// `{"app_key": "x"}` as `APP_KEY=x`.
fn with_environment(launch: Launch, settings: &Value) -> Launch {
    let settings = settings.as_object().expect("an object of settings").iter();
    settings.fold(launch, |launch, (key, value)| launch.env(&key.to_ascii_uppercase(), &text(value)))
}

/// A value as it is written where there is no JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}
