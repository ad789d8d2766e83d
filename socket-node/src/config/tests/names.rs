//! Every name of every setting, in every place.

use super::super::SERVER_SETTINGS;
use super::{file_with, nothing, one_app};
use app_manager::app::settings::{APP_SETTINGS, Kind, Setting};

/// A value that differs from the default, as text; `None` where a name cannot be tried on its own.
fn other_value(setting: &Setting) -> Option<&'static str> {
    match (setting.key, setting.kind) {
        ("check_config" | "version" | "help" | "env_file" | "config_file", _) => None,
        // Neither goes without the other.
        ("tls_cert" | "tls_key", _) => None,
        ("app_previous_secret" | "app_previous_secret_until", _) => None,
        // Nor these without the master's name.
        ("redis_sentinel_username" | "redis_sentinel_password", _) => None,
        ("app_id", _) => Some("1"),
        ("app_key", _) => Some("another"),
        ("app_manager", _) => Some("array"),
        ("app_webhooks_enabled", _) => Some("false"),
        ("bind_address", _) => Some("127.0.0.1"),
        ("database_url", _) => Some("mysql://localhost/apps"),
        ("redis_url", _) => Some("rediss://elsewhere:1"),
        ("webhook_allow_networks" | "webhook_deny_networks", _) => Some("10.1.0.0/16"),
        ("sns_topic_arn", _) => Some("arn:aws:sns:us-east-1:1:topic"),
        ("app_webhook_sns_topic_arn", _) => Some("arn:aws:sns:us-east-1:123456789012:topic"),
        ("app_webhook_sns_region", _) => Some("us-east-1"),
        ("aws_endpoint_url", _) => Some("http://localhost:4566"),
        ("app_webhook_url", _) => Some("http://localhost:1/hook"),
        ("app_allowed_origins" | "cors_allowed_origins", _) => Some("https://example.com"),
        (_, Kind::Bool) => Some(if setting.default == Some("true") { "false" } else { "true" }),
        (_, Kind::Number { .. } | Kind::Limit) => Some("77"),
        // The drivers' other word is refused in this version.
        (_, Kind::Choice(words)) if words.contains(&"redis") => Some("local"),
        (_, Kind::Choice(words)) => words.last().copied(),
        (_, Kind::Text(_)) => Some("other"),
        (_, Kind::Secret(_) | Kind::Password(_)) => Some("another secret"),
        (_, Kind::Digits | Kind::Url(_) | Kind::List(_)) => panic!("{} needs a value here", setting.key),
        (_, Kind::Webhooks) => None,
    }
}

fn every_setting() -> impl Iterator<Item = (&'static Setting, &'static str)> {
    let settings = SERVER_SETTINGS.iter().chain(APP_SETTINGS);
    settings.filter_map(|setting| other_value(setting).map(|value| (setting, value)))
}

/// The line of `--check-config` that a setting has.
fn line(text: &str, key: &str) -> String {
    let start = format!("  {key} = ");
    text.lines().find(|line| line.starts_with(&start)).unwrap_or_default().to_owned()
}

fn expected(setting: &Setting, value: &str, source: &str) -> String {
    let shown = if let Kind::Secret(_) = setting.kind { "(hidden)" } else { value };
    format!("  {} = {shown}  ({source})", setting.key)
}

#[test]
fn every_flag_sets_its_setting() {
    for (setting, value) in every_setting() {
        for name in setting.flag_names() {
            let dashed = if name.len() == 1 { format!("-{name}") } else { format!("--{name}") };
            let flag = if let Kind::Bool = setting.kind {
                vec![format!("{dashed}={value}")]
            } else {
                vec![dashed.clone(), value.to_owned()]
            };
            let operator = nothing().env("APP_ID", "1").env("APP_KEY", "k").env("APP_SECRET", "s");
            let operator = flag.iter().fold(operator, |operator, arg| operator.arg(arg));
            let printed = operator.args("--check-config").printed();
            assert_eq!(line(&printed, setting.key), expected(setting, value, &dashed));
        }
    }
}

#[test]
fn every_variable_sets_its_setting() {
    let base = r#"{"applications": [{"app_id": 1, "app_key": "k", "app_secret": "s"}]}"#;
    for (setting, value) in every_setting() {
        for name in setting.environment_names() {
            let operator = nothing().config_file(base).env("APP_ID", "1").env(&name, value);
            let printed = operator.args("--check-config").printed();
            assert_eq!(
                line(&printed, setting.key),
                expected(setting, value, &format!("environment variable {name}"))
            );
        }
    }
}

#[test]
fn every_json_key_of_the_server_sets_its_setting_flat_and_nested() {
    for (setting, value) in
        every_setting().filter(|(setting, _)| Setting::find_json(SERVER_SETTINGS, setting.key).is_some())
    {
        for name in setting.json_names() {
            for (entry, at) in [
                (format!(r#", "{name}": "{value}""#), name.to_owned()),
                (format!(r#", "server": {{"{name}": "{value}"}}"#), format!("server.{name}")),
            ] {
                let printed = nothing().config_file(&file_with(&entry)).args("--check-config").printed();
                let source = format!("config.json: {at}");
                assert_eq!(line(&printed, setting.key), expected(setting, value, &source));
            }
        }
    }
}

#[test]
fn a_certificate_and_its_key_can_be_named_in_every_place() {
    let file = file_with(r#", "tls_cert": "c.pem", "tls_key": "k.pem""#);
    for operator in [
        one_app().args("--tls-cert c.pem --tls-key k.pem"),
        one_app().env("TLS_CERT", "c.pem").env("TLS_KEY", "k.pem"),
        nothing().config_file(&file),
    ] {
        let files = operator.config().tls.expect("both are given");
        assert_eq!((files.certificate.to_str(), files.key.to_str()), (Some("c.pem"), Some("k.pem")));
    }
}

#[test]
fn every_json_key_of_an_app_sets_its_setting() {
    for (setting, value) in
        every_setting().filter(|(setting, _)| Setting::find_json(APP_SETTINGS, setting.key).is_some())
    {
        for name in setting.json_names() {
            let mut entries = serde_json::json!({"app_id": "9", "app_key": "k", "app_secret": "s"});
            entries[name] = value.into();
            let file = serde_json::json!({ "applications": [entries] }).to_string();
            let printed = nothing().config_file(&file).args("--check-config").printed();
            let source = format!("config.json: applications[0].{name}");
            assert_eq!(line(&printed, setting.key), expected(setting, value, &source));
        }
    }
}

#[test]
fn the_aliases_that_users_know_are_there() {
    for (flag, key) in [
        ("app-max-presence-users", "app_max_presence_members_per_channel"),
        ("app-require-authorization", "app_require_channel_authorization"),
        ("app-webhook-enabled", "app_webhooks_enabled"),
        ("app-webhook-batching-enabled", "app_has_webhook_batching_enabled"),
        ("redis-cluster-mode", "redis_cluster"),
        ("config", "config_file"),
        ("p", "port"),
        ("a", "adapter_driver"),
        ("e", "env_file"),
        ("v", "version"),
    ] {
        let mut settings = SERVER_SETTINGS.iter().chain(APP_SETTINGS);
        let setting = settings.find(|setting| setting.flag_names().any(|name| name == flag));
        assert_eq!(setting.map(|setting| setting.key), Some(key), "{flag}");
    }
}

#[test]
fn no_name_means_two_settings() {
    let all = || SERVER_SETTINGS.iter().chain(APP_SETTINGS);
    for names in [
        all().flat_map(Setting::flag_names).collect::<Vec<_>>(),
        all().flat_map(Setting::environment_names).collect(),
        all().flat_map(Setting::json_names).map(str::to_owned).collect(),
    ] {
        let mut distinct = names.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), names.len());
    }
}

#[test]
fn a_switch_is_on_when_only_its_flag_is_given() {
    let config = one_app().args("--allow-missing-protocol --app-enable-client-messages").config();
    assert!(config.protocol.allow_missing_protocol && config.apps[0].features.client_messages);
    let config = one_app().args("--app-enable-user-authentication=false").config();
    assert!(!config.apps[0].features.user_authentication);
}

#[test]
fn switches_and_numbers_may_be_written_in_the_usual_ways() {
    for (text, on) in
        [("true", true), ("1", true), ("YES", true), ("false", false), ("0", false), ("no", false)]
    {
        assert_eq!(one_app().env("REDIS_TLS", text).config().redis.tls, on, "{text}");
    }
    let file = file_with(r#", "port": "7001", "redis_tls": "yes", "ignore_logger_middleware": true"#);
    let config = nothing().config_file(&file).config();
    assert_eq!((config.listen.port, config.redis.tls, config.log.requests), (7001, true, false));
}

#[test]
fn zero_and_minus_one_are_unlimited() {
    for text in ["0", "-1"] {
        let config = one_app().args("--app-max-connections").arg(text).config();
        assert_eq!(config.apps[0].limits.max_connections, None);
    }
    assert_eq!(one_app().args("--app-max-connections 3").config().apps[0].limits.max_connections, Some(3));
}

#[test]
fn sentinels_and_what_they_ask_for_can_be_named_in_every_place() {
    let file = file_with(
        r#", "redis_url": "redis://u:p@one/3,two:1", "redis_sentinel_master": "main.1", "redis_sentinel_username": "s",
            "redis_sentinel_password": "t""#,
    );
    for operator in [
        one_app()
            .args("--redis-url redis://u:p@one/3,two:1 --redis-sentinel-master main.1")
            .args("--redis-sentinel-username s --redis-sentinel-password t"),
        one_app()
            .env("REDIS_URL", "redis://u:p@one/3,two:1")
            .env("REDIS_SENTINEL_MASTER", "main.1")
            .env("REDIS_SENTINEL_USERNAME", "s")
            .env("REDIS_SENTINEL_PASSWORD", "t"),
        nothing().config_file(&file),
    ] {
        let redis = operator.args("--adapter-driver redis").config().redis;
        let urls: Vec<_> = redis.urls.iter().map(|url| url.with_password()).collect();
        assert_eq!(urls, ["redis://u:p@one:6379/3", "redis://two:1"]);
        assert!(!redis.cluster);
        let sentinel = redis.sentinel.expect("it is named");
        assert_eq!((&*sentinel.master, sentinel.username.as_deref()), ("main.1", Some("s")));
        assert_eq!(sentinel.password.expect("it is given").reveal(), "t");
    }
    assert_eq!(one_app().args("--redis-url one").config().redis.sentinel, None);
}

#[test]
fn a_list_of_redis_servers_is_a_cluster() {
    let config = one_app().args("--redis-url a,rediss://u:p@b:7000/0").config();
    let urls: Vec<_> = config.redis.urls.iter().map(|url| url.with_password()).collect();
    assert_eq!(urls, ["rediss://a:6379", "rediss://u:p@b:7000/0"]);
    assert!(config.redis.cluster && config.redis.tls);
    for driver in ["--adapter-driver", "--queue-driver"] {
        let config = one_app().args("--redis-cluster").args(driver).arg("redis").config();
        assert!(config.redis.cluster, "{driver}");
    }
}

#[test]
fn help_and_version_are_printed_whatever_else_is_given() {
    for flag in ["--help", "-h"] {
        let help = nothing().args("--port nonsense").arg(flag).printed();
        assert!(help.contains("--app-max-event-payload-in-kb") && help.contains("[env PORT] [default 6001]"));
    }
    for flag in ["--version", "-v"] {
        assert_eq!(nothing().arg(flag).printed(), format!("socket-rush {}\n", env!("CARGO_PKG_VERSION")));
    }
}
