//! How files are found and read.

use super::super::{Driver, QueueDriver};
use super::{CANARY, app, file_with, nothing, one_app};

/// The example that users of other servers know, with the drivers of this version.
const SAMPLE: &str = r#"{
  "server": {
    "adapter_driver": "DRIVER", "queue_driver": "DRIVER", "cache_driver": "DRIVER", "app_manager": "array",
    "port": 6001, "bind_address": "0.0.0.0", "log_level": "info", "app_env": "production", "env_file": "./.env",
    "redis_url": "localhost:6379", "redis_prefix": "pusher", "redis_tls": false, "redis_cluster_mode": false
  },
  "applications": [
    {
      "app_id": "123", "app_key": "app1key", "app_secret": "app1secret", "app_activity_timeout": 60,
      "app_max_presence_members_per_channel": 100, "app_max_presence_member_size_in_kb": 10,
      "app_require_channel_authorization": false, "app_enable_client_messages": true,
      "app_webhooks_enabled": false
    },
    { "app_id": "456", "app_key": "app2key", "app_secret": "app2secret" }
  ]
}"#;

#[test]
fn the_well_known_sample_is_taken() {
    let drivers =
        [("local", Driver::Local, QueueDriver::Local), ("redis", Driver::Redis, QueueDriver::Redis)];
    for (name, driver, queue) in drivers {
        let config = nothing().config_file(&SAMPLE.replace("DRIVER", name)).config();
        assert_eq!(config.apps.len(), 2);
        assert!(config.apps[0].features.client_messages && !config.apps[1].features.client_messages);
        assert_eq!(([config.adapter, config.cache], config.queue), ([driver; 2], queue));
    }
}

#[test]
fn the_config_file_has_two_flags_and_a_variable() {
    let file = || nothing().file("other.json", &file_with(r#", "port": 9"#));
    for operator in [
        file().args("--config-file other.json"),
        file().args("--config other.json"),
        file().env("CONFIG_FILE", "other.json"),
        file().file(".env", "CONFIG_FILE=other.json"),
    ] {
        assert_eq!(operator.config().listen.port, 9);
    }
}

#[test]
fn the_env_file_has_two_flags_a_variable_and_a_json_key() {
    let file = || one_app().file("other.env", "export PORT=9 # why not\n");
    for operator in [
        file().args("--env-file other.env"),
        file().args("-e other.env"),
        file().env("ENV_FILE", "other.env"),
        file().config_file(r#"{"server": {"env_file": "other.env"}}"#),
    ] {
        assert_eq!(operator.config().listen.port, 9);
    }
}

#[test]
fn a_file_that_was_named_must_be_there() {
    for operator in [
        one_app().args("--env-file none.env"),
        one_app().args("--env-file ./.env"),
        one_app().env("ENV_FILE", "none.env"),
        one_app().config_file(r#"{"env_file": "none.env"}"#),
        one_app().args("--config-file none.json"),
        one_app().env("CONFIG_FILE", "none.json"),
        one_app().file(".env", "CONFIG_FILE=none.json"),
        nothing().args("--config none.json"),
        one_app().args("--config-file ."),
    ] {
        let error = operator.error();
        assert!(error.contains("cannot be read: "), "{error}");
    }
}

#[test]
fn flat_and_nested_keys_may_repeat_a_value_but_not_contradict_it() {
    let agreeing = file_with(r#", "port": "9", "server": {"port": 9}"#);
    assert_eq!(nothing().config_file(&agreeing).config().listen.port, 9);
    let contradicting = file_with(r#", "port": 8, "server": {"port": 9}"#);
    assert_eq!(
        nothing().config_file(&contradicting).error(),
        "config.json: server.port: is the same setting as config.json: port, but has another value"
    );
}

#[test]
fn a_config_file_that_an_env_file_named_cannot_name_another_env_file() {
    let operator =
        one_app().file(".env", "CONFIG_FILE=config.json").file("config.json", r#"{"env_file": "other.env"}"#);
    assert_eq!(
        operator.error(),
        "config.json: env_file: must be './.env', the file that named this config file"
    );
}

#[test]
fn a_flag_that_names_the_env_file_wins_over_the_config_file_that_this_leads_to() {
    let operator = one_app()
        .file("other.env", "CONFIG_FILE=config.json\nPORT=9")
        .file("config.json", r#"{"env_file": "./.env"}"#)
        .args("--env-file other.env");
    assert_eq!(operator.config().listen.port, 9);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let broken = app("1", r#", "app_max_conections": 1, "app_activity_timeout": 0"#);
    let errors = nothing()
        .config_file(&format!(r#"{{"applications": [{broken}], "prot": 1}}"#))
        .file(".env", "APP_ENABLED=perhaps\n")
        .env("LOG_LEVEL", "loud")
        .args("--nonsense --port 70000")
        .errors();
    assert_eq!(
        errors,
        [
            "--nonsense: is unknown",
            "--port: must be a whole number from 0 to 65535, not '70000'",
            "environment variable LOG_LEVEL: must be trace or debug or info or warn or error, not 'loud'",
            "config.json: applications[0].app_activity_timeout: must be a whole number from 1 to 86400, not '0'",
            "config.json: applications[0].app_max_conections: is unknown; did you mean 'app_max_connections'?",
            "config.json: prot: is unknown; did you mean 'port'?",
            "./.env APP_ENABLED: must be true or false, not 'perhaps'",
            "./.env APP_ENABLED: applies only to the app that --app-id (or APP_ID) names, and none is named; \
             set it in 'applications' of the config file",
        ]
    );
}

#[test]
fn a_byte_order_mark_is_not_a_mistake() {
    let operator =
        nothing().config_file(&format!("\u{feff}{}", file_with(""))).file(".env", "\u{feff}PORT=9\n");
    assert_eq!(operator.config().listen.port, 9);
}

#[test]
fn mistakes_in_an_env_file_name_the_line_and_not_its_content() {
    let operator = one_app().file(".env", &format!("PORT=1\n\nAPP_SECRET {CANARY}\nLOG_LEVEL=loud\n"));
    assert_eq!(
        operator.errors(),
        [
            "./.env line 3: must be NAME=value, with quotes around a value that has spaces",
            "./.env LOG_LEVEL: must be trace or debug or info or warn or error, not 'loud'",
        ]
    );
}
