//! Who wins when several sources speak of the same setting.

use super::super::LogLevel;
use super::{file_with, nothing, one_app};

const FILE: &str = r#", "port": 3"#;

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = || nothing().config_file(&file_with(FILE));
    assert_eq!(file().config().listen.port, 3);
    assert_eq!(file().env("PORT", "2").config().listen.port, 2);
    assert_eq!(file().env("PORT", "2").args("--port 1").config().listen.port, 1);
}

#[test]
fn a_preferred_file_wins_over_the_environment_but_not_over_flags() {
    let file = || nothing().config_file(&file_with(FILE)).args("--prefer-config-file").env("PORT", "2");
    assert_eq!(file().config().listen.port, 3);
    assert_eq!(file().args("--port 1").config().listen.port, 1);
}

#[test]
fn the_environment_can_prefer_the_file() {
    let file = || nothing().config_file(&file_with(FILE)).env("PREFER_CONFIG_FILE", "true").env("PORT", "2");
    assert_eq!(file().config().listen.port, 3);
    assert_eq!(file().args("--prefer-config-file=false").config().listen.port, 2);
}

#[test]
fn what_the_preferred_file_leaves_out_the_environment_still_says() {
    let operator =
        nothing().config_file(&file_with(FILE)).args("--prefer-config-file").env("LOG_LEVEL", "debug");
    assert_eq!(operator.config().log.level, LogLevel::Debug);
}

#[test]
fn the_environment_wins_over_the_env_file_and_that_over_the_config_file() {
    let operator = || nothing().config_file(&file_with(FILE)).file(".env", "PORT=4\nLOG_LEVEL=warn\n");
    let config = operator().config();
    assert_eq!((config.listen.port, config.log.level), (4, LogLevel::Warn));
    let config = operator().env("PORT", "2").config();
    assert_eq!((config.listen.port, config.log.level), (2, LogLevel::Warn));
    assert_eq!(operator().args("--prefer-config-file").config().listen.port, 3);
}

#[test]
fn an_empty_variable_is_not_set_and_hides_the_env_file() {
    assert_eq!(one_app().env("PORT", "").config().listen.port, 6001);
    assert_eq!(one_app().file(".env", "PORT=4").env("PORT", "").config().listen.port, 6001);
}

#[test]
fn the_same_app_in_flags_environment_and_file_is_laid_over_key_by_key() {
    let app = r#"{"app_id": 1, "app_key": "file", "app_secret": "s", "app_max_connections": 3,
                  "app_max_event_batch_size": 3, "app_max_event_name_length": 3}"#;
    let operator = || {
        nothing()
            .config_file(&format!(r#"{{"applications": [{app}]}}"#))
            .env("APP_ID", "1")
            .env("APP_MAX_CONNECTIONS", "2")
            .env("APP_MAX_EVENT_BATCH_SIZE", "2")
            .args("--app-max-connections 1")
    };
    let numbers = |config: &super::Config| {
        let limits = &config.apps[0].limits;
        (limits.max_connections, limits.max_event_batch_size, limits.max_event_name_length)
    };
    let config = operator().config();
    assert_eq!((config.apps.len(), config.apps[0].key.as_str()), (1, "file"));
    assert_eq!(numbers(&config), (Some(1), 2, 3));
    assert_eq!(numbers(&operator().args("--prefer-config-file").config()), (Some(1), 3, 3));
}

#[test]
fn aliases_may_repeat_a_value_but_not_contradict_it() {
    let agreeing = one_app().args("--app-max-presence-users 7 --app-max-presence-members-per-channel 7");
    assert_eq!(agreeing.config().apps[0].limits.max_presence_members_per_channel, 7);
    let contradicting = one_app().args("--app-max-presence-users 7 --app-max-presence-members-per-channel 8");
    assert_eq!(
        contradicting.error(),
        "--app-max-presence-users: is the same setting as --app-max-presence-members-per-channel, but has another value"
    );
}

#[test]
fn aliases_in_different_sources_follow_precedence() {
    let operator =
        one_app().env("APP_MAX_PRESENCE_USERS", "7").args("--app-max-presence-members-per-channel 8");
    assert_eq!(operator.config().apps[0].limits.max_presence_members_per_channel, 8);
}

#[test]
fn a_value_that_is_overridden_is_checked_all_the_same() {
    let error = one_app().args("--port 1").env("PORT", "many").error();
    assert_eq!(error, "environment variable PORT: must be a whole number from 0 to 65535, not 'many'");
}
