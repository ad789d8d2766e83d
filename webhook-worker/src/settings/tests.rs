//! Settings through the front door: arguments and variables in, values or errors out.

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs,
    path::PathBuf,
};

use app_manager::app::settings::markdown;
use serde_json::json;

use super::*;

/// Stands for every secret. No error may ever hold it.
const CANARY: &str = "canary-5ecret";

fn read_poller(args: &str, variables: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let args = args.split_whitespace().map(OsString::from).collect();
    let variables: HashMap<_, _> =
        variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    let settings = read(POLLER_SETTINGS, args, &variables);
    if let Err(lines) = &settings {
        assert!(!lines.iter().any(|line| line.contains(CANARY)), "{lines:?}");
    }
    settings
}

fn app(id: &str) -> serde_json::Value {
    json!({"app_id": id, "app_key": format!("key{id}"), "app_secret": CANARY})
}

#[test]
fn apps_come_from_the_file_the_variable_and_the_credentials() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let text =
        json!({"server": {"log_level": "warn", "redis_prefix": "x"}, "port": 7, "applications": [app("1")]});
    fs::write(file.path(), text.to_string()).unwrap();
    let [path, two] = [file.path().to_str().unwrap().to_owned(), json!([app("2")]).to_string()];
    let variables = [
        ("APPS", &*two),
        ("APP_ID", "3"),
        ("APP_KEY", "key3"),
        ("APP_SECRET", CANARY),
        ("PORT", "6001"),
        ("POLLER_PORT", "8"),
    ];
    let settings = read_poller(&format!("--config-file={path} --log-level error"), &variables).unwrap();
    for id in ["1", "2", "3"] {
        assert_eq!(settings.apps.known(id).unwrap().key.as_str(), format!("key{id}"));
    }
    let values = &settings.values;
    assert_eq!(
        (values.text("log_level").as_deref(), values.number::<u16>("poller_port")),
        (Some("error"), 8)
    );
}

#[test]
fn apps_come_from_a_table_where_one_is_chosen() {
    for (args, variables) in [
        ("--app-manager dynamodb --dynamodb-table their-apps", vec![]),
        ("", vec![("APP_MANAGER", "dynamodb"), ("DYNAMODB_TABLE", "their-apps")]),
    ] {
        let settings = read_poller(args, &variables).unwrap();
        assert_eq!(settings.values.text("dynamodb_table").as_deref(), Some("their-apps"));
        // Nobody has been asked yet.
        assert!(settings.apps.known("1").is_none());
    }
    let apps = json!([app("1")]).to_string();
    assert_eq!(
        read_poller("--app-manager dynamodb", &[("APPS", &apps)]).unwrap_err(),
        ["app 1: is in the settings, and with app_manager dynamodb apps are in a table; \
          'socket-rush apps import' puts them there"]
    );
}

#[test]
fn an_app_twice_or_none_at_all_is_refused() {
    let twice = json!([app("1"), app("1")]).to_string();
    assert_eq!(read_poller("", &[("APPS", &twice)]).unwrap_err(), ["app: two apps have the id '1'"]);
    assert!(read_poller("", &[]).unwrap_err()[0].starts_with("app: none is configured"));
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let apps =
        json!([{"app_id": "1", "app_key": "a", "app_secret": CANARY, "app_sceret": CANARY}, 7]).to_string();
    let args = format!("--poller-port 70000 {CANARY} --nonsense={CANARY} --sqs-queue-url");
    let lines = read_poller(&args, &[("APPS", &apps), ("WEBHOOK_RETRY_SECONDS", "1")]).unwrap_err();
    let expected = [
        "--poller-port: must be a whole number from 0 to 65535, not '70000'",
        "argument 3: is no flag",
        "argument 4: is no flag",
        "--sqs-queue-url: needs a value",
        "environment variable WEBHOOK_RETRY_SECONDS: must be a whole number from 15 to 86400, not '1'",
        "environment variable APPS[0].app_sceret: is unknown",
        "environment variable APPS[1]: must be an object",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_refused() {
    for text in ["", "[]", "{"] {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let args = format!("--config {}", file.path().display());
        assert_eq!(read_poller(&args, &[]).unwrap_err().len(), 1);
    }
    assert!(read_poller("--config /nowhere", &[]).unwrap_err()[0].contains("cannot be read"));
}

#[test]
fn the_last_attempt_begins_before_the_time_is_over() {
    let apps = json!([app("1")]).to_string();
    let with =
        |seconds: &str| read_poller("", &[("APPS", &apps), ("WEBHOOK_RETRY_SECONDS", seconds)]).unwrap();
    assert_eq!(schedule(&with("").values), Schedule::default());
    assert_eq!(schedule(&with("86400").values).horizon, Duration::from_secs(86_390));
}

#[test]
fn endpoints_are_urls_without_credentials() {
    for (url, is_sound) in
        [("http://127.0.0.1:4566", true), ("localhost:4566", false), ("http://a:b@c", false), ("", false)]
    {
        assert_eq!(http_url(url).is_ok(), is_sound, "{url}");
    }
}

#[test]
fn topics_are_named_by_arn() {
    for (arn, is_sound) in [
        ("arn:aws:sns:eu-west-1:123456789012:webhooks", true),
        ("arn:aws-cn:sns:cn-north-1:1:t.fifo", true),
        ("webhooks", false),
        ("arn:aws:sqs:eu-west-1:123456789012:webhooks", false),
        ("arn:aws:sns:eu-west-1:123456789012:", false),
        ("arn:aws:sns:eu-west-1:123456789012:webhooks:subscription", false),
    ] {
        assert_eq!(topic_arn(arn).is_ok(), is_sound, "{arn}");
    }
}

#[test]
fn every_default_is_a_value_that_its_setting_takes() {
    for setting in LAMBDA_SETTINGS.iter().chain(POLLER_SETTINGS) {
        let mut problems = app_manager::app::settings::Problems::default();
        if let Some(default) = setting.default {
            assert!(setting.read(&default.into(), setting.key, &mut problems).is_some(), "{}", setting.key);
        }
    }
}

#[test]
fn no_setting_has_the_name_of_another() {
    for settings in [LAMBDA_SETTINGS, POLLER_SETTINGS] {
        let names: HashSet<_> = settings.iter().map(|setting| setting.key).collect();
        assert_eq!(names.len(), settings.len());
    }
}

/// `UPDATE_README=1 cargo test -p webhook-worker the_readme` writes the tables anew.
#[test]
fn the_readme_shows_the_settings_of_the_workers_as_they_are() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    for (name, settings) in [("poller", POLLER_SETTINGS), ("lambda", LAMBDA_SETTINGS)] {
        let (begin, end) =
            (format!("<!-- {name}-settings:begin -->"), format!("<!-- {name}-settings:end -->"));
        let readme = fs::read_to_string(&path).unwrap();
        let (before, rest) = readme.split_once(&begin).expect("the README marks where the settings begin");
        let (shown, after) = rest.split_once(&end).expect("the README marks where the settings end");
        let section = format!("\n{}", markdown(settings, ""));
        if std::env::var_os("UPDATE_README").is_some() {
            fs::write(&path, format!("{before}{begin}{section}{end}{after}")).unwrap();
        } else {
            assert_eq!(shown, section, "run the test again with UPDATE_README=1");
        }
    }
}
