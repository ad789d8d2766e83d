//! What must never be seen.

use std::fmt::Debug;

use super::super::Startup;
use super::{CANARY, app, nothing, one_app};
use app_manager::app::settings::{APP_SETTINGS, Problems, Setting, Values};

fn assert_silent(shown: &impl Debug) {
    assert!(!format!("{shown:?} {shown:#?}").contains(CANARY));
}

#[test]
fn a_running_configuration_shows_no_secret() {
    let entries = format!(
        r#", "webhooks": [{{"url": "https://a.example/?token={CANARY}", "headers": {{"X-Token": "{CANARY}"}}}}]"#
    );
    let operator = nothing()
        .config_file(&format!(r#"{{"applications": [{}]}}"#, app("1", &entries)))
        .env("REDIS_URL", &format!("redis://user:{CANARY}@localhost,redis://user:{CANARY}@other"))
        .env("REDIS_SENTINEL_PASSWORD", CANARY)
        .env("REDIS_SENTINEL_MASTER", "main");
    let Ok(startup @ Startup::Run(_)) = operator.load() else { panic!("a server would start") };
    assert_silent(&startup);
    let text = operator.args("--check-config").printed();
    assert!(!text.contains(CANARY), "{text}");
    assert!(text.contains("redis_url = redis://***@localhost:6379,redis://***@other:6379"), "{text}");
    assert!(text.contains("redis_sentinel_password = (hidden)  (environment variable"), "{text}");
    assert!(text.contains("app_secret = (hidden)  (config.json: applications[0].app_secret)"), "{text}");
    assert!(text.contains("webhooks = https://a.example/?***"), "{text}");
}

#[test]
fn values_on_their_way_show_no_secret() {
    let mut values = Values::new(APP_SETTINGS);
    let setting = Setting::find_json(APP_SETTINGS, "app_secret").unwrap();
    values.add(setting, &CANARY.into(), "--app-secret".to_owned(), &mut Problems::default());
    assert_silent(&values);
    assert_silent(&values.value("app_secret"));
}

#[test]
fn a_secret_that_is_refused_or_in_the_wrong_place_is_not_repeated() {
    let long = CANARY.repeat(100);
    let refused = [
        one_app().args("--app-secret another"),
        nothing().args("--app-id 1 --app-key k").arg(&format!("--app-secret= {CANARY}")),
        nothing().args("--app-id 1 --app-key k").arg(&format!("--app-secret={long}")),
        nothing().args("--app-id 1 --app-key k --app-secret").arg(&format!("-{CANARY}")),
        nothing().args("--app-id 1 --app-key k --app-secret two").arg(CANARY),
        nothing().args("--app-id 1 --app-key k --app-secret --").arg(&format!("{CANARY}\n")),
        one_app().arg(&format!("--app-secert={CANARY}")),
        one_app().args("--app-secert").arg(CANARY),
        one_app().arg(CANARY),
        one_app().env("APP_KEY", &format!("{CANARY}!")),
        one_app().env("APP_ID", CANARY),
        one_app().env("REDIS_URL", &format!("redis://u:{CANARY}@")),
        one_app().env("REDIS_URL", &format!("http://u:{CANARY}@h")),
        one_app().env("APP_WEBHOOK_URL", &format!("https://u:{CANARY}@h")),
        one_app().env("APP_WEBHOOK_URL", &format!("ftp://h?{CANARY}")),
        one_app().file(".env", &format!("APP_SECRET='{CANARY}\n")),
        one_app().file(".env", &format!("APP_KEY=k\nAPP_KEY={CANARY}\n")),
        nothing().config_file(&format!(r#"{{"applications": [{{"app_secret": "{CANARY}" "app_id": 1}}]}}"#)),
        nothing().config_file(&format!(r#"{{"applications": [{{"app_secret": ["{CANARY}"]}}]}}"#)),
    ];
    for operator in refused {
        // `errors` fails if the secret is in them.
        assert!(!operator.errors().is_empty());
    }
}

#[test]
fn headers_and_urls_of_refused_webhooks_are_not_repeated() {
    for target in [
        format!(r#"{{"url": "{CANARY}"}}"#),
        format!(r#"{{"url": "http://h", "headers": {{"X-A": "{CANARY}\n"}}}}"#),
        format!(r#"{{"url": "http://h", "headers": {{"Host": "{CANARY}"}}}}"#),
        format!(r#"{{"url": "http://h", "filter": "{CANARY}"}}"#),
        format!(r#"{{"url": "http://h", "event_types": ["{CANARY}"]}}"#),
    ] {
        let file = format!(r#"{{"applications": [{}]}}"#, app("1", &format!(r#", "webhooks": [{target}]"#)));
        let error = nothing().config_file(&file).error();
        assert!(error.starts_with("config.json: applications[0].webhooks[0]."), "{error}");
    }
}
