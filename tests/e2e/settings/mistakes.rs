//! Settings that cannot be meant: all of them are told at once, one a line, and nothing starts.

use serde_json::{Value, json};

use super::server_launches;
use crate::support::node::{Ending, Launch};

/// Runs it, asserts that it did not start because of its settings, and returns what it complained of.
fn complaints(launch: Launch) -> Vec<String> {
    let Ending { code, stdout, stderr } = launch.run();
    assert_eq!(code, Some(64), "{stderr}");
    assert_eq!(stdout, "", "what is wrong belongs on standard error");
    stderr.lines().map(ToOwned::to_owned).collect()
}

/// Asserts that there is one complaint for each of these, which names it, and no other.
fn assert_complaints(launch: Launch, names: &[&str]) {
    let lines = complaints(launch);
    assert_eq!(lines.len(), names.len(), "{names:?}: {lines:#?}");
    for name in names {
        let naming = lines.iter().filter(|line| line.contains(name)).count();
        assert!(naming >= 1, "{name} is not named in {lines:#?}");
    }
}

/// A configuration file of the usual app, with more settings of the server and of the app.
fn file(server: &Value, app: &Value) -> Value {
    let mut file = json!({"applications": [
        {"app_id": "1", "app_key": "app-key", "app_secret": "app-secret"},
    ]});
    for (key, value) in server.as_object().expect("an object of settings") {
        file[key] = value.clone();
    }
    for (key, value) in app.as_object().expect("an object of settings") {
        file["applications"][0][key] = value.clone();
    }
    file
}

#[test]
fn all_mistakes_of_all_places_are_told_at_once() {
    let launch = Launch::new()
        .flags(["--log-level=loud", "--no-such-flag=1", "--app-max-connections=many"])
        .env("CACHE_DRIVER", "floppy")
        .env("APP_MAX_EVENT_BATCH_SIZE", "-5")
        .config(&json!({"queue_driver": "floppy", "nonsense": 1}));
    assert_complaints(
        launch,
        &[
            "--log-level",
            "--no-such-flag",
            "--app-max-connections",
            "CACHE_DRIVER",
            "APP_MAX_EVENT_BATCH_SIZE",
            "queue_driver",
            "nonsense",
        ],
    );
}

#[test]
fn an_unknown_flag_is_told_with_the_one_that_was_meant() {
    let lines = complaints(Launch::new().flags(["--app-max-conections", "5"]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("--app-max-conections") && lines[0].contains("--app-max-connections"),
        "{lines:?}"
    );
}

#[test]
fn an_unknown_key_of_the_config_file_is_a_mistake_wherever_it_stands() {
    assert_complaints(Launch::bare().config(&file(&json!({"prot": 1}), &json!({}))), &["prot"]);
    assert_complaints(Launch::bare().config(&file(&json!({"server": {"prot": 1}}), &json!({}))), &["prot"]);
    assert_complaints(Launch::bare().config(&file(&json!({}), &json!({"app_kee": 1}))), &["app_kee"]);
}

#[test]
fn a_value_of_the_wrong_type_or_size_is_a_mistake() {
    for (server, name) in [
        (json!({"port": "banana"}), "port"),
        (json!({"port": 65536}), "port"),
        (json!({"port": -1}), "port"),
        (json!({"port": 1.5}), "port"),
        (json!({"port": [1]}), "port"),
        (json!({"bind_address": "nowhere"}), "bind_address"),
        (json!({"redis_tls": "perhaps"}), "redis_tls"),
        (json!({"redis_url": "http://127.0.0.1"}), "redis_url"),
        (json!({"log_level": "LOUD"}), "log_level"),
        (json!({"app_manager": "tape"}), "app_manager"),
        (json!({"adapter_driver": "tape"}), "adapter_driver"),
    ] {
        let launch = Launch::unset().flags(["--app-enabled=true", "--app-id=1"]);
        assert_complaints(launch.config(&file(&server, &json!({}))), &[name]);
    }
}

#[test]
fn a_value_of_an_app_of_the_wrong_type_or_size_is_a_mistake() {
    for (app, name) in [
        (json!({"app_id": "one"}), "app_id"),
        (json!({"app_id": ""}), "app_id"),
        (json!({"app_key": ""}), "app_key"),
        (json!({"app_secret": ""}), "app_secret"),
        (json!({"app_activity_timeout": 0}), "app_activity_timeout"),
        (json!({"app_activity_timeout": "soon"}), "app_activity_timeout"),
        (json!({"app_max_connections": 1.5}), "app_max_connections"),
        (json!({"app_max_event_payload_in_kb": 0}), "app_max_event_payload_in_kb"),
        (json!({"app_enable_client_messages": "perhaps"}), "app_enable_client_messages"),
        (json!({"app_max_channel_name_length": "99999999999999999999"}), "app_max_channel_name_length"),
        (json!({"app_webhook_url": "ftp://example.com"}), "app_webhook_url"),
        (
            json!({"app_webhook_sns_topic_arn": "arn:aws:sqs:us-east-1:123456789012:t"}),
            "app_webhook_sns_topic_arn",
        ),
        (json!({"app_webhook_sns_region": "nowhere"}), "app_webhook_sns_region"),
        (json!({"webhooks": [{"sns_topic_arn": "t"}]}), "sns_topic_arn"),
        (json!({"webhooks": [{"lambda_function": "a b"}]}), "lambda_function"),
    ] {
        assert_complaints(Launch::bare().config(&file(&json!({}), &app)), &[name]);
    }
}

#[test]
fn without_an_app_there_is_nothing_to_serve() {
    let lines = complaints(Launch::bare());
    for flag in ["--app-id", "--app-key", "--app-secret"] {
        assert!(lines.iter().any(|line| line.contains(flag)), "{lines:?}");
    }
}

#[test]
fn an_app_needs_all_of_its_credentials() {
    let lines = complaints(Launch::bare().flags(["--app-id", "1", "--app-key", "k"]));
    assert!(lines.iter().any(|line| line.contains("--app-secret")), "{lines:?}");
    let app = json!({"app_id": "1", "app_secret": "s"});
    let lines = complaints(Launch::bare().config(&json!({"applications": [app]})));
    assert!(lines.iter().any(|line| line.contains("app_key")), "{lines:?}");
}

#[test]
fn two_apps_may_not_have_the_same_id_or_key() {
    let apps = json!([
        {"app_id": "1", "app_key": "a", "app_secret": "s"},
        {"app_id": "1", "app_key": "b", "app_secret": "s"},
        {"app_id": "2", "app_key": "a", "app_secret": "s"},
    ]);
    assert_complaints(Launch::bare().config(&json!({"applications": apps})), &["app_id", "app_key"]);
}

#[test]
fn a_file_that_was_named_must_be_there_and_readable() {
    assert_complaints(Launch::new().flags(["--config-file", "missing.json"]), &["missing.json"]);
    assert_complaints(Launch::new().flags(["--env-file", "missing.env"]), &["missing.env"]);
    let broken = Launch::new().file("broken.json", "{\"port\": 1,}").flags(["--config-file", "broken.json"]);
    assert_complaints(broken, &["broken.json"]);
    let no_object = Launch::new().file("list.json", "[]").flags(["--config-file", "list.json"]);
    assert_complaints(no_object, &["list.json"]);
}

#[test]
fn a_line_of_dotenv_that_sets_nothing_is_a_mistake() {
    assert_complaints(Launch::new().file(".env", "LOG_LEVEL=warn\nthis is no setting\n"), &[".env"]);
}

#[test]
fn checking_the_settings_finds_the_same_mistakes() {
    assert_complaints(Launch::new().flags(["--check-config", "--log-level=loud"]), &["--log-level"]);
}

#[test]
fn what_cannot_be_redis_is_told_with_what_can() {
    let url = "must be 'host:port' or 'redis[s]://[user:password@]host[:port][/database]', or several separated by commas";
    let cluster = "a Redis cluster has no database but 0";
    for (flags, complaint) in [
        (&["--redis-url", "http://127.0.0.1"][..], format!("--redis-url: {url}")),
        (&["--redis-url", "127.0.0.1:0x10"], format!("--redis-url: {url}")),
        (&["--redis-url", "127.0.0.1:7000,127.0.0.1:7001/1"], format!("--redis-url: {cluster}")),
    ] {
        let lines = complaints(Launch::new().flags(["--adapter-driver", "redis"]).flags(flags.to_vec()));
        assert_eq!(lines, [complaint], "{flags:?}");
    }
    for launch in server_launches(&json!({"redis_url": "127.0.0.1/1", "redis_cluster": true})) {
        let lines = complaints(launch);
        assert!(lines.len() == 1 && lines[0].ends_with(cluster), "{lines:?}");
    }
}

#[test]
fn the_metrics_need_a_port_of_their_own() {
    let app = ["--app-id", "1", "--app-key", "k", "--app-secret", "s"];
    for ports in [&["--port", "7014", "--metrics-port", "7014"][..], &["--port", "6002"]] {
        let lines = complaints(Launch::unset().flags(app).flags(["--metrics-enabled"]).flags(ports.to_vec()));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("metrics") && lines[0].contains("another port"), "{lines:?}");
    }
}

#[test]
fn a_taken_port_of_the_metrics_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it listens");
    let ending =
        Launch::new().flags(["--metrics-enabled", "--metrics-port", &address.port().to_string()]).run();
    assert!(ending.code.is_some_and(|code| code != 0 && code != 64), "{ending:?}");
    let line = format!("cannot serve metrics: cannot listen on {address}: ");
    assert!(ending.stderr.lines().any(|found| found.starts_with(&line)), "{ending:?}");
    assert_eq!(ending.stdout, "");
}

#[test]
fn an_address_that_is_taken_is_no_mistake_in_the_settings_but_ends_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it listens").port().to_string();
    let launch = Launch::unset().flags(["--bind-address", "127.0.0.1", "--port", &port]);
    let ending = launch.flags(["--app-id", "1", "--app-key", "k", "--app-secret", "s"]).run();
    assert!(ending.code.is_some_and(|code| code != 0 && code != 64), "{ending:?}");
    assert!(ending.stderr.contains(&port), "{ending:?}");
    assert_eq!(ending.stdout, "");
}
