//! Where settings come from, and which place wins.

use serde_json::{Value, json};

use super::{flags, text, with_environment};
use crate::support::{
    client::QUERY,
    node::{Launch, Node},
};

/// Every setting that a server of this kind has always had, with a value that is not its default, and how that is
/// shown where it is not shown as it was given.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("port", "0", "0"),
    ("bind_address", "127.0.0.9", "127.0.0.9"),
    ("shutdown_grace_seconds", "7", "7"),
    ("cache_driver", "redis", "redis"),
    ("queue_driver", "local", "local"),
    ("adapter_driver", "redis", "redis"),
    ("app_manager", "array", "array"),
    ("app_env", "staging", "staging"),
    ("redis_prefix", "other", "other"),
    ("redis_url", "127.0.0.1:7000", "redis://127.0.0.1:7000"),
    ("redis_tls", "true", "true"),
    ("redis_cluster", "true", "true"),
    ("metrics_enabled", "true", "true"),
    ("metrics_port", "7000", "7000"),
    ("log_level", "warn", "warn"),
    ("ignore_logger_middleware", "true", "true"),
    ("app_activity_timeout", "7", "7"),
    ("app_max_presence_members_per_channel", "7", "7"),
    ("app_require_channel_authorization", "true", "true"),
    ("app_enable_client_messages", "true", "true"),
    ("app_authorization_timeout_seconds", "7", "7"),
    ("app_max_connections", "7", "7"),
    ("app_max_backend_events_per_second", "7", "7"),
    ("app_max_client_events_per_second", "7", "7"),
    ("app_max_read_requests_per_second", "7", "7"),
    ("app_max_presence_member_size_in_kb", "7", "7"),
    ("app_max_channel_name_length", "7", "7"),
    ("app_max_event_channels_at_once", "7", "7"),
    ("app_max_event_name_length", "7", "7"),
    ("app_max_event_payload_in_kb", "7", "7"),
    ("app_max_event_batch_size", "7", "7"),
    ("app_has_client_event_webhooks", "true", "true"),
    ("app_has_channel_occupied_webhooks", "true", "true"),
    ("app_has_channel_vacated_webhooks", "true", "true"),
    ("app_has_member_added_webhooks", "true", "true"),
    ("app_has_member_removed_webhooks", "true", "true"),
    ("app_has_cache_miss_webhooks", "true", "true"),
    ("app_has_webhook_batching_enabled", "true", "true"),
    ("app_webhooks_enabled", "true", "true"),
    (
        "app_webhook_sns_topic_arn",
        "arn:aws:sns:us-east-1:123456789012:t",
        "arn:aws:sns:us-east-1:123456789012:t",
    ),
    ("app_webhook_sns_region", "us-east-1", "us-east-1"),
];

/// Names that mean the same as another, by the name that is shown.
const ALIASES: &[(&str, &str, &str)] = &[
    ("app_max_presence_users", "7", "app_max_presence_members_per_channel"),
    ("app_require_authorization", "true", "app_require_channel_authorization"),
    ("app_webhook_enabled", "true", "app_webhooks_enabled"),
    ("redis_cluster_mode", "true", "redis_cluster"),
];

/// Settings of the server whose names begin like those of an app.
const OF_THE_SERVER: [&str; 2] = ["app_env", "app_manager"];

/// The credentials without which nothing starts, and the endpoint without which webhooks cannot be switched on.
fn app() -> Value {
    json!({"app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_webhook_url": "http://127.0.0.1:9/"})
}

/// What the server says the settings in effect are.
fn in_effect(launch: Launch) -> String {
    let ending = launch.flags(["--check-config"]).run();
    assert_eq!(ending.code, Some(0), "{}", ending.stderr);
    ending.stdout
}

/// The setting in a configuration file: a number and a truth value as such, anything else as text.
fn file_with(name: &str, value: &str) -> Value {
    let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    let mut app = app();
    if name.starts_with("app_") && !OF_THE_SERVER.contains(&name) {
        app[name] = value;
        return json!({"applications": [app]});
    }
    json!({"applications": [app], name: value})
}

/// Gives a setting in each place and asserts that it is in effect.
fn assert_settable_everywhere(name: &str, value: &str, shown: &str) {
    let setting = json!({name: value});
    let app = flags(&app());
    for text in [
        in_effect(Launch::unset().flags(app.clone()).flags(flags(&setting))),
        in_effect(with_environment(Launch::unset().flags(app.clone()), &setting)),
        in_effect(
            Launch::unset().flags(app).file(".env", &format!("{}={value}\n", name.to_ascii_uppercase())),
        ),
        in_effect(Launch::unset().config(&file_with(name, value))),
    ] {
        assert!(text.contains(&format!("  {shown}  (")), "{name} is not in effect:\n{text}");
    }
}

#[test]
fn every_setting_can_be_given_as_flag_in_the_environment_in_dotenv_and_in_the_config_file() {
    for (name, value, shown) in SETTINGS {
        assert_settable_everywhere(name, value, &format!("{name} = {shown}"));
    }
}

#[test]
fn every_alias_means_the_setting_that_it_stands_for() {
    for (alias, value, name) in ALIASES {
        assert_settable_everywhere(alias, value, &format!("{name} = {value}"));
    }
}

/// Where a node listens says which place won.
const FLAG: &str = "127.0.0.2";
const ENVIRONMENT: &str = "127.0.0.3";
const DOTENV: &str = "127.0.0.4";
const FILE: &str = "127.0.0.5";

/// A launch whose address is given in each of these places.
fn address_given_in(places: &[&str]) -> Launch {
    let app = json!({"app_id": "1", "app_key": "app-key", "app_secret": "app-secret"});
    let launch = Launch::unset().flags(flags(&app)).flags(["--port", "0"]);
    places.iter().fold(launch, |launch, place| match *place {
        FLAG => launch.flags(["--bind-address", FLAG]),
        ENVIRONMENT => launch.env("BIND_ADDRESS", ENVIRONMENT),
        DOTENV => launch.file(".env", &format!("BIND_ADDRESS={DOTENV}\n")),
        _ => launch.config(&json!({"bind_address": FILE})),
    })
}

#[test]
fn flags_win_over_the_environment_over_dotenv_over_the_config_file() {
    let places = [FLAG, ENVIRONMENT, DOTENV, FILE];
    for first in 0..places.len() {
        let node = address_given_in(&places[first..]).start();
        assert_eq!(node.address.ip().to_string(), places[first]);
    }
}

#[test]
fn the_config_file_may_be_preferred_to_the_environment_but_not_to_flags() {
    let prefer = |places: &[&str]| address_given_in(places).flags(["--prefer-config-file"]).start();
    assert_eq!(prefer(&[ENVIRONMENT, DOTENV, FILE]).address.ip().to_string(), FILE);
    assert_eq!(prefer(&[FLAG, ENVIRONMENT, DOTENV, FILE]).address.ip().to_string(), FLAG);
    let by_environment = address_given_in(&[ENVIRONMENT, FILE]).env("PREFER_CONFIG_FILE", "true").start();
    assert_eq!(by_environment.address.ip().to_string(), FILE);
}

#[tokio::test]
async fn another_env_file_can_be_named() {
    let text = "APP_ID=1\nAPP_KEY=app-key\nAPP_SECRET='app-secret'\nAPP_ACTIVITY_TIMEOUT=33\n";
    let launches = [
        Launch::bare().flags(["--env-file", "other.env"]),
        Launch::bare().flags(["-e", "other.env"]),
        Launch::bare().env("ENV_FILE", "other.env"),
    ];
    for launch in launches {
        let node = launch.file("other.env", text).file(".env", "APP_ACTIVITY_TIMEOUT=44\n").start();
        assert_eq!(node.connect().await.activity_timeout, 33);
    }
}

#[tokio::test]
async fn the_config_file_can_be_named_in_either_way() {
    let app =
        json!({"app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_activity_timeout": 33});
    let text = json!({"applications": [app]}).to_string();
    let launches = [
        Launch::bare().flags(["--config-file", "other.json"]),
        Launch::bare().flags(["--config", "other.json"]),
        Launch::bare().env("CONFIG_FILE", "other.json"),
    ];
    for launch in launches {
        let node = launch.file("other.json", &text).start();
        assert_eq!(node.connect().await.activity_timeout, 33);
    }
}

#[tokio::test]
async fn a_config_file_may_keep_the_servers_settings_in_a_block_of_their_own() {
    let app = json!({"app_id": "1", "app_key": "app-key", "app_secret": "app-secret"});
    let server = json!({"port": 0, "bind_address": FILE, "redis_cluster_mode": false, "env_file": "./.env"});
    let node = Launch::unset().config(&json!({"server": server, "applications": [app]})).start();
    assert_eq!(node.address.ip().to_string(), FILE);
    node.connect().await;
}

#[tokio::test]
async fn flags_speak_of_the_app_of_the_config_file_that_has_their_id() {
    let app =
        json!({"app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_activity_timeout": 5});
    let launch = Launch::bare().config(&json!({"applications": [app]}));
    let node = launch.flags(["--app-id", "1", "--app-activity-timeout", "6"]).start();
    assert_eq!(node.connect().await.activity_timeout, 6);
}

#[tokio::test]
async fn flags_with_another_id_are_one_more_app() {
    let app = json!({"app_id": "9", "app_key": "nine", "app_secret": "x"});
    let node = Launch::new().config(&json!({"applications": [app]})).start();
    for key in ["app-key", "nine"] {
        node.connect_to(&format!("/app/{key}?{QUERY}")).await.established().await;
    }
}

#[test]
fn what_is_not_given_has_the_documented_default() {
    let credentials = json!({"app_id": "1", "app_key": "app-key", "app_secret": "app-secret"});
    let effective = in_effect(Launch::unset().flags(flags(&credentials)));
    for (name, default) in [
        ("port", json!(6001)),
        ("bind_address", json!("0.0.0.0")),
        ("shutdown_grace_seconds", json!(20)),
        ("cache_driver", json!("local")),
        ("queue_driver", json!("local")),
        ("adapter_driver", json!("local")),
        ("app_manager", json!("array")),
        ("app_env", json!("production")),
        ("redis_prefix", json!("pusher")),
        ("redis_tls", json!(false)),
        ("redis_cluster", json!(false)),
        ("metrics_enabled", json!(false)),
        ("metrics_port", json!(6002)),
        ("log_level", json!("info")),
        ("ignore_logger_middleware", json!(false)),
        ("app_activity_timeout", json!(60)),
        ("app_authorization_timeout_seconds", json!(5)),
        ("app_max_connections", json!("unlimited")),
        ("app_max_presence_members_per_channel", json!(100)),
        ("app_max_presence_member_size_in_kb", json!(10)),
        ("app_max_channel_name_length", json!(200)),
        ("app_max_event_channels_at_once", json!(10)),
        ("app_max_event_name_length", json!(200)),
        ("app_max_event_payload_in_kb", json!(10)),
        ("app_max_event_batch_size", json!(10)),
    ] {
        assert!(effective.contains(&format!("  {name} = {}  (", text(&default))), "{name}:\n{effective}");
    }
}

#[test]
fn checking_the_settings_starts_nothing_and_says_what_is_in_effect() {
    let node = Node::start();
    let taken = node.address.port().to_string();
    let effective = in_effect(Launch::new().flags(["--max-socket-backlog-in-kb", "77"]));
    assert!(effective.contains("max_socket_backlog_in_kb = 77"), "{effective}");
    let ending = Launch::unset()
        .flags(["--bind-address", "127.0.0.1", "--port", &taken])
        .flags(flags(&app()))
        .flags(["--check-config"])
        .run();
    assert_eq!(ending.code, Some(0), "a port that is taken is no mistake in the settings: {}", ending.stderr);
}

#[test]
fn help_and_version_are_told_without_any_setting() {
    for (flags, expected) in
        [(["--version"], "socket-rush "), (["-v"], "socket-rush "), (["--help"], "--app-id")]
    {
        let ending = Launch::unset().flags(flags).run();
        assert_eq!(ending.code, Some(0), "{}", ending.stderr);
        assert!(ending.stdout.contains(expected), "{}", ending.stdout);
    }
}

#[test]
fn help_names_every_setting() {
    let help = Launch::unset().flags(["--help"]).run().stdout;
    for (name, ..) in SETTINGS {
        let flag = format!("--{}", name.replace('_', "-"));
        assert!(
            help.contains(&flag) && help.contains(&name.to_ascii_uppercase()),
            "{flag} is missing:\n{help}"
        );
    }
}
