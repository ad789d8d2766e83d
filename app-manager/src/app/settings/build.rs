//! From values to an app.

use super::{CREDENTIALS, Problems, Value, Values, webhooks::subscriptions};
use crate::{
    app::{App, Features, Limits},
    secret::{Secret, Secrets},
};

/// Bytes of the KB in which sizes are set.
const KB: usize = 1024;

/// Makes an app of its values. `origin` names them as a whole in errors, such as `applications[1]`.
///
/// `None` if it has no usable id, key or secret. `problems` has what is wrong, so an app that comes back counts only
/// if there are none.
pub fn build(values: &Values, origin: &str, problems: &mut Problems) -> Option<App> {
    for key in CREDENTIALS.iter().filter(|key| values.given(key).is_none()) {
        problems.add(origin, format_args!("{key} is missing"));
    }
    let webhooks = subscriptions(values, problems);
    let [id, key] = [values.text("app_id")?, values.text("app_key")?];
    let secrets = secrets(values, problems)?;
    Some(App {
        id: id.as_str().into(),
        key: key.as_str().into(),
        secrets,
        enabled: values.is_on("app_enabled"),
        features: features(values),
        limits: limits(values),
        allowed_origins: allowed_origins(values, problems),
        webhooks,
    })
}

/// The secret, and during a rotation the one before it.
fn secrets(values: &Values, problems: &mut Problems) -> Option<Secrets> {
    let [secret, until] = ["app_previous_secret", "app_previous_secret_until"];
    for (given, missing) in [(secret, until), (until, secret)] {
        if values.given(given).is_some() && values.given(missing).is_none() {
            problems.add(values.source(given), format_args!("needs {missing} as well"));
        }
    }
    let previous = match (values.secret(secret), values.value(until)) {
        (Some(secret), Some(Value::Number(until_ms))) => Some((Secret::new(&secret), until_ms)),
        _ => None,
    };
    Some(Secrets::new(Secret::new(&values.secret("app_secret")?), previous))
}

fn features(values: &Values) -> Features {
    Features {
        client_messages: values.is_on("app_enable_client_messages"),
        require_authorization: values.is_on("app_require_channel_authorization"),
        user_authentication: values.is_on("app_enable_user_authentication"),
        watchlist_events: values.is_on("app_enable_watchlist_events"),
        subscription_count: values.is_on("app_enable_subscription_count"),
    }
}

fn limits(values: &Values) -> Limits {
    Limits {
        activity_timeout_seconds: values.number("app_activity_timeout"),
        authorization_timeout_seconds: values.number("app_authorization_timeout_seconds"),
        max_connections: values.limit("app_max_connections"),
        max_backend_events_per_second: values.limit("app_max_backend_events_per_second"),
        max_client_events_per_second: values.limit("app_max_client_events_per_second"),
        max_read_requests_per_second: values.limit("app_max_read_requests_per_second"),
        max_presence_members_per_channel: values.number("app_max_presence_members_per_channel"),
        max_presence_member_size: KB * values.number::<usize>("app_max_presence_member_size_in_kb"),
        max_channel_name_length: values.number("app_max_channel_name_length"),
        max_event_channels_at_once: values.number("app_max_event_channels_at_once"),
        max_event_name_length: values.number("app_max_event_name_length"),
        max_event_payload: KB * values.number::<usize>("app_max_event_payload_in_kb"),
        max_event_batch_size: values.number("app_max_event_batch_size"),
    }
}

/// `*` is how others say "any", which an app says by naming none.
fn allowed_origins(values: &Values, problems: &mut Problems) -> Vec<String> {
    let mut origins = values.list("app_allowed_origins");
    if origins.iter().any(|origin| origin == "*") {
        if origins.len() > 1 {
            problems.add(values.source("app_allowed_origins"), "'*' means any and must stand alone");
        }
        origins.clear();
    }
    origins
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::app::settings::{APP_SETTINGS, Setting};

    /// An app out of these entries, or what is wrong with them.
    fn app_of(entries: &Json) -> Result<App, Vec<String>> {
        let mut problems = Problems::default();
        let mut values = Values::new(APP_SETTINGS);
        for (name, value) in entries.as_object().unwrap() {
            let setting = Setting::find_json(APP_SETTINGS, name).unwrap();
            values.add(setting, value, name.clone(), &mut problems);
        }
        let app = build(&values, "the app", &mut problems);
        if problems.is_empty() { Ok(app.unwrap()) } else { Err(problems.into_lines()) }
    }

    #[test]
    fn an_app_needs_no_more_than_its_credentials() {
        let app = app_of(&json!({"app_id": 1, "app_key": "k", "app_secret": "s"})).unwrap();
        assert_eq!((app.id.as_str(), app.key.as_str(), app.enabled), ("1", "k", true));
        assert_eq!(app.sign_webhook(b""), crate::secret::Secret::new("s").sign(&[b""]));
    }

    #[test]
    fn a_previous_secret_needs_its_end_and_the_other_way_round() {
        let given = |name: &str, value: Json| {
            let mut entries = json!({"app_id": 1, "app_key": "k", "app_secret": "s"});
            entries[name] = value;
            app_of(&entries).unwrap_err()
        };
        assert_eq!(
            given("app_previous_secret", json!("canary")),
            ["app_previous_secret: needs app_previous_secret_until as well"]
        );
        assert_eq!(
            given("app_previous_secret_until", json!(1)),
            ["app_previous_secret_until: needs app_previous_secret as well"]
        );
    }

    #[test]
    fn sizes_are_given_in_kb_and_kept_in_bytes() {
        let app = app_of(&json!({"app_id": "1", "app_key": "k", "app_secret": "s",
            "app_max_event_payload_in_kb": 3, "app_max_presence_member_size_in_kb": "2"}));
        let limits = app.unwrap().limits;
        assert_eq!((limits.max_event_payload, limits.max_presence_member_size), (3072, 2048));
    }

    #[test]
    fn everything_that_is_wrong_with_an_app_is_found() {
        let wrong = app_of(&json!({"app_id": "x", "app_max_connections": [], "app_webhooks_enabled": true}));
        assert_eq!(
            wrong.unwrap_err(),
            [
                "app_id: must be 1 to 64 digits",
                "app_max_connections: must be a whole number from 0 to 4294967295, where 0 means unlimited, not an array",
                "the app: app_key is missing",
                "the app: app_secret is missing",
                "app_webhooks_enabled: is on, but there is nowhere to send to; set app_webhook_url, app_webhook_sns_topic_arn or webhooks",
            ]
        );
    }
}
