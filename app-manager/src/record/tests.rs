use serde_json::json;

use super::*;

fn entries(json: Json) -> Map<String, Json> {
    let Json::Object(entries) = json else { panic!("an object") };
    entries
}

/// The least app, with these entries besides.
fn app(more: Json) -> Map<String, Json> {
    let mut app = entries(json!({"app_id": "7", "app_key": "key", "app_secret": "canary"}));
    app.extend(entries(more));
    app
}

#[test]
fn a_record_has_canonical_keys_and_the_types_of_its_settings() {
    let given = app(json!({
        "app_id": 7,
        "app_enabled": "no",
        "app_max_connections": "-1",
        "app_max_presence_users": "5",
        "app_require_authorization": true,
        "app_allowed_origins": "https://A.example,*.b.example",
        "app_webhooks_enabled": "1",
        "webhooks": [{"url": "http://127.0.0.1/hook", "headers": {"a": "canary"}}],
    }));
    let record = AppRecord::new(&given).unwrap();
    let expected = app(json!({
        "app_enabled": false,
        "app_max_connections": 0,
        "app_max_presence_members_per_channel": 5,
        "app_require_channel_authorization": true,
        "app_allowed_origins": ["https://a.example", "*.b.example"],
        "app_webhooks_enabled": true,
        "webhooks": [{"url": "http://127.0.0.1/hook", "headers": {"a": "canary"}}],
    }));
    assert_eq!(record.settings(), &expected);
    assert_eq!((record.id(), record.key(), record.version()), ("7", "key", 1));
    // What comes out of a store is what went in.
    assert_eq!(AppRecord::kept("7", record.settings(), 1).unwrap(), record);
    let app = record.to_app();
    assert_eq!((app.id.as_str(), app.enabled, app.limits.max_presence_members_per_channel), ("7", false, 5));
}

#[test]
fn everything_that_is_wrong_is_found_and_no_secret_is_told() {
    let wrong = entries(json!({
        "app_id": "canary", "app_secret": " canary", "app_enabled": 3, "app_colour": "canary", "port": 1,
    }));
    assert_eq!(
        AppRecord::new(&wrong).unwrap_err(),
        [
            "app_colour: is unknown",
            "app_enabled: must be true or false, not '3'",
            "app_id: must be 1 to 64 digits",
            "app_secret: must not begin or end with white space or contain control characters",
            "port: is unknown",
            "the app: app_key is missing",
        ]
    );
    let given = app(json!({"webhooks": [{"url": "http://a.example/?canary"}]}));
    let debug = format!("{:?}", AppRecord::new(&given).unwrap());
    assert!(!debug.contains("canary") && debug.contains("app_secret"), "{debug}");
}

#[test]
fn what_a_store_keeps_must_have_the_types_of_its_settings() {
    for (name, value, what) in [
        ("app_id", json!(7), "must be kept as a string"),
        ("app_key", json!(["key"]), "must be kept as a string"),
        ("app_secret", json!(true), "must be kept as a string"),
        ("app_enabled", json!("true"), "must be kept as a boolean"),
        ("app_max_connections", json!("5"), "must be kept as a number"),
        ("app_max_connections", json!(1.5), "must be a whole number from 0 to 4294967295"),
        ("app_activity_timeout", json!(null), "must be kept as a number"),
        ("app_activity_timeout", json!(0), "must be a whole number from 1 to 86400"),
        ("app_allowed_origins", json!("a.example"), "must be kept as a list"),
        ("app_allowed_origins", json!([1]), "must be text"),
        ("app_webhook_url", json!(1), "must be kept as a string"),
        ("webhooks", json!({}), "must be kept as a list"),
        ("webhooks", json!([{}]), "webhooks[0]: names no endpoint"),
        ("app_colour", json!("red"), "is unknown"),
        ("app_id", json!("8"), "app_id: is that of app 8"),
    ] {
        let error = AppRecord::kept("7", &app(json!({name: value.clone()})), 1).unwrap_err();
        let LookupError::Unreadable(text) = error else { panic!("{error}") };
        assert!(text.starts_with("app 7: ") && text.contains(name) && text.contains(what), "{value}: {text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn a_change_makes_the_next_version() {
    let first = AppRecord::new(&app(json!({"app_max_presence_users": 5, "app_enabled": false}))).unwrap();
    let changes = json!({"app_max_presence_users": null, "app_enabled": "true", "app_key": "other"});
    let second = first.changed(&entries(changes)).unwrap();
    assert_eq!(second.settings(), &app(json!({"app_key": "other", "app_enabled": true})));
    assert_eq!(second.version(), 2);
}

#[test]
fn a_change_that_cannot_be_is_refused_with_everything_that_is_wrong() {
    let record = AppRecord::new(&app(json!({}))).unwrap();
    let wrong = |changes| record.changed(&entries(changes)).unwrap_err();
    assert_eq!(
        wrong(json!({"app_secret": null, "colour": 1})),
        ["colour: is unknown", "the app: app_secret is missing"]
    );
    assert_eq!(wrong(json!({"app_id": "8"})), ["app_id: cannot be changed; it is what the app is known by"]);
    assert_eq!(
        wrong(json!({"app_max_presence_users": 5, "app_max_presence_members_per_channel": 6})),
        ["app_max_presence_users: is the same setting as app_max_presence_members_per_channel"]
    );
}

#[test]
fn an_app_has_room_for_much_but_not_for_anything() {
    let targets = |count: usize| {
        let filter = json!({"channel_name_starts_with": "ü".repeat(500)});
        let target = json!({"url": "https://a.example/", "filter": filter});
        app(json!({"webhooks": vec![target; count]}))
    };
    assert!(AppRecord::new(&targets(200)).is_ok());
    let problems = AppRecord::new(&targets(300)).unwrap_err();
    assert!(problems[0].contains("may have 262144"), "{problems:?}");
}
