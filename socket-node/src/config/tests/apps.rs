//! Which apps there are, and what their webhooks are.

use super::{CANARY, app, nothing, one_app};
use app_manager::webhook::{Endpoint, EventKind, LambdaFunction};

fn two_apps() -> super::Operator {
    nothing().config_file(&format!(r#"{{"applications": [{}, {}]}}"#, app("1", ""), app("2", "")))
}

#[test]
fn the_app_of_the_flags_joins_those_of_the_file() {
    let operator = two_apps().args("--app-id 3 --app-key key3 --app-secret s --app-max-connections 5");
    let apps = operator.config().apps;
    let ids: Vec<_> = apps.iter().map(|app| app.id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3"]);
    let limits: Vec<_> = apps.iter().map(|app| app.limits.max_connections).collect();
    assert_eq!(limits, [None, None, Some(5)]);
}

#[test]
fn how_long_apps_are_remembered_can_be_set_everywhere() {
    let seconds = std::time::Duration::from_secs;
    let remembered = |operator: super::Operator| {
        let freshness = operator.config().app_freshness;
        (freshness.app, freshness.miss)
    };
    assert_eq!(remembered(one_app()), (seconds(60), seconds(5)));
    let file = super::file_with(r#", "app_cache_ttl_seconds": 7, "app_cache_negative_ttl_seconds": 3"#);
    for operator in [
        one_app().args("--app-cache-ttl-seconds 7 --app-cache-negative-ttl-seconds 3"),
        one_app().env("APP_CACHE_TTL_SECONDS", "7").env("APP_CACHE_NEGATIVE_TTL_SECONDS", "3"),
        nothing().config_file(&file),
    ] {
        assert_eq!(remembered(operator), (seconds(7), seconds(3)));
    }
    assert_eq!(
        one_app().args("--app-cache-ttl-seconds 0").error(),
        "--app-cache-ttl-seconds: must be a whole number from 1 to 3600, not '0'"
    );
}

#[test]
fn credentials_may_come_from_different_sources() {
    let operator = nothing().args("--app-id 1").env("APP_KEY", "k").file(".env", "APP_SECRET='a b$c'\n");
    assert_eq!(operator.config().apps[0].key.as_str(), "k");
}

#[test]
fn an_id_may_be_a_number_in_json() {
    let file = r#"{"applications": [{"app_id": 123, "app_key": "k", "app_secret": "s"}]}"#;
    assert_eq!(nothing().config_file(file).config().apps[0].id.as_str(), "123");
}

#[test]
fn no_app_at_all_shows_the_three_flags() {
    for operator in [nothing(), nothing().args("--app-max-connections 5"), nothing().config_file("{}")] {
        assert_eq!(
            operator.error(),
            "app: none is configured; give --app-id, --app-key and --app-secret \
             (or APP_ID, APP_KEY and APP_SECRET), or 'applications' in a config file"
        );
    }
}

#[test]
fn an_incomplete_app_names_what_is_missing() {
    assert_eq!(
        nothing().args("--app-id 1").error(),
        "--app-id: the app is incomplete without --app-key (APP_KEY) and --app-secret (APP_SECRET)"
    );
    assert_eq!(
        two_apps().env("APP_KEY", "key1").env("APP_SECRET", CANARY).error(),
        "environment variable APP_KEY: the app is incomplete without --app-id (APP_ID)"
    );
    let file = r#"{"applications": [{"app_id": "1", "app_secret": "s"}, {}]}"#;
    assert_eq!(
        nothing().config_file(file).errors(),
        [
            "config.json: applications[0]: app_key is missing",
            "config.json: applications[1]: app_id is missing",
            "config.json: applications[1]: app_key is missing",
            "config.json: applications[1]: app_secret is missing",
        ]
    );
}

#[test]
fn a_limit_that_belongs_to_no_app_is_not_ignored() {
    let errors = two_apps().args("--app-max-connections 5").env("APP_ENABLED", "false").errors();
    assert_eq!(errors.len(), 2);
    assert!(errors[0].starts_with("environment variable APP_ENABLED: applies only to the app that --app-id"));
    assert!(errors[1].starts_with("--app-max-connections: applies only to the app that --app-id"));
}

#[test]
fn apps_that_cannot_be_told_apart_are_refused() {
    let twice = format!(r#"{{"applications": [{}, {}]}}"#, app("1", ""), app("1", ""));
    assert_eq!(
        nothing().config_file(&twice).errors(),
        [
            "config.json: applications[1].app_id: '1' is taken by config.json: applications[0].app_id",
            "config.json: applications[1].app_key: 'key1' is taken by config.json: applications[0].app_key",
        ]
    );
    assert_eq!(
        two_apps().args("--app-id 3 --app-key key2 --app-secret s").error(),
        "--app-key: 'key2' is taken by config.json: applications[1].app_key"
    );
}

#[test]
fn an_app_can_be_disabled() {
    assert!(!one_app().args("--app-enabled=false").config().apps[0].enabled);
}

#[test]
fn the_flat_webhook_settings_describe_one_target() {
    let operator = one_app().args(
        "--app-webhooks-enabled --app-webhook-url https://a.example/x --app-webhook-filter-prefix room- \
         --app-has-member-added-webhooks --app-has-cache-miss-webhooks --app-has-webhook-batching-enabled",
    );
    let webhooks = operator.config().apps.remove(0).webhooks;
    assert!(webhooks.enabled && webhooks.batching);
    let [target] = webhooks.targets.as_slice() else { panic!("one target, not {}", webhooks.targets.len()) };
    assert_eq!(target.endpoint, Endpoint::Url("https://a.example/x".to_owned()));
    assert_eq!(target.event_types, [EventKind::MemberAdded, EventKind::CacheMiss]);
    assert_eq!(target.channel_name_starts_with.as_deref(), Some("room-"));
}

#[test]
fn a_flat_target_without_selection_gets_every_event() {
    let operator = one_app().args("--app-webhook-enabled --app-webhook-url http://localhost:9/");
    assert!(operator.config().apps[0].webhooks.targets[0].event_types.is_empty());
}

#[test]
fn the_flat_settings_may_name_a_topic_beside_a_url() {
    let arn = "arn:aws:sns:eu-west-1:123456789012:t";
    let flags = format!(
        "--app-webhooks-enabled --app-webhook-sns-topic-arn {arn} --app-webhook-sns-region eu-west-1 \
         --app-webhook-filter-prefix room- --app-has-cache-miss-webhooks"
    );
    let of = |more: &str| {
        let targets = one_app().args(&format!("{flags}{more}")).config().apps.remove(0).webhooks.targets;
        for target in &targets {
            assert_eq!(target.event_types, [EventKind::CacheMiss]);
            assert_eq!(target.channel_name_starts_with.as_deref(), Some("room-"));
        }
        targets.into_iter().map(|target| target.endpoint).collect::<Vec<_>>()
    };
    let topic = Endpoint::SnsTopicArn(arn.to_owned());
    assert_eq!(of("").as_slice(), std::slice::from_ref(&topic));
    let url = Endpoint::Url("http://localhost:9/".to_owned());
    assert_eq!(of(" --app-webhook-url http://localhost:9/"), [url, topic]);
}

#[test]
fn a_file_may_name_topics_and_functions() {
    let entries = r#", "webhooks": [
        {"sns_topic_arn": "arn:aws:sns:eu-west-1:123456789012:t.fifo", "headers": {"Tenant": "1"}},
        {"lambda_function": "hooks:live", "lambda": {"async": true, "region": "us-east-1"}},
        {"lambda_function": "arn:aws:lambda:ap-south-1:123456789012:function:hooks"},
        {"lambda_function": "hooks"}]"#;
    let operator = nothing().config_file(&format!(r#"{{"applications": [{}]}}"#, app("1", entries)));
    let targets = operator.config().apps.remove(0).webhooks.targets;
    let endpoints: Vec<_> = targets.into_iter().map(|target| target.endpoint).collect();
    let function = |name: &str, region: Option<&str>, is_async| {
        let (name, region) = (name.to_owned(), region.map(str::to_owned));
        Endpoint::LambdaFunction(LambdaFunction { name, region, is_async })
    };
    assert_eq!(
        endpoints,
        [
            Endpoint::SnsTopicArn("arn:aws:sns:eu-west-1:123456789012:t.fifo".to_owned()),
            function("hooks:live", Some("us-east-1"), true),
            function("arn:aws:lambda:ap-south-1:123456789012:function:hooks", Some("ap-south-1"), false),
            function("hooks", None, false),
        ]
    );
}

#[test]
fn a_target_in_aws_needs_a_server_that_was_built_with_it() {
    let entries = r#", "webhooks": [{"url": "http://a"}, {"lambda_function": "hooks"}]"#;
    let operator = nothing().config_file(&format!(r#"{{"applications": [{}]}}"#, app("1", entries)));
    if cfg!(feature = "aws") {
        assert_eq!(operator.config().apps[0].webhooks.targets.len(), 2);
    } else {
        let [error] = operator.errors().try_into().unwrap();
        assert!(
            error.starts_with("app 1: hooks: the target is in AWS, and this program was built"),
            "{error}"
        );
        assert!(error.contains("build it with the cargo feature 'aws'"), "{error}");
    }
}

#[test]
fn a_file_may_give_an_app_several_targets() {
    let entries = r#", "app_webhooks_enabled": true, "app_webhook_url": "http://c.example", "webhooks": [
        {"url": "https://a.example", "event_types": ["channel_occupied", "client_event"],
         "filter": {"channel_name_starts_with": "a", "channel_name_ends_with": "z"}, "headers": {"X-One": "1"}},
        {"url": "https://b.example", "event_types": ["*"]}]"#;
    let operator = nothing().config_file(&format!(r#"{{"applications": [{}]}}"#, app("1", entries)));
    let targets = operator.config().apps.remove(0).webhooks.targets;
    assert_eq!(targets.len(), 3);
    assert_eq!(targets[0].event_types, [EventKind::ChannelOccupied, EventKind::ClientEvent]);
    assert!(
        targets[0].wants(EventKind::ClientEvent, "abcz") && !targets[0].wants(EventKind::ClientEvent, "abc")
    );
    assert_eq!(targets[0].headers, [("X-One".to_owned(), "1".to_owned())]);
    assert!(targets[1].event_types.is_empty());
}

#[test]
fn targets_of_an_app_whose_webhooks_are_off_are_pointed_out() {
    let config = one_app().args("--app-webhook-url http://localhost:9/").config();
    assert_eq!(config.notices, ["app 1 has webhook targets, but app_webhooks_enabled is off: none is sent"]);
}

#[test]
fn a_target_that_may_never_be_called_is_pointed_out() {
    let notices = |flags: &str| {
        let enabled = "--app-webhook-enabled --app-webhook-url";
        one_app().args(&format!("{enabled} {flags}")).config().notices
    };
    let [notice] = notices("http://10.0.0.1:9/token --webhook-block-private-addresses").try_into().unwrap();
    assert!(notice.starts_with("app 1: no webhook is ever sent to 10.0.0.1:9: "), "{notice}");
    assert!(!notice.contains("token"), "{notice}");
    assert_eq!(notices("http://10.0.0.1:9/token"), [""; 0]);
    assert_eq!(notices("http://169.254.169.254/").len(), 1, "link-local addresses are never called");
    assert_eq!(notices("http://example.com/ --webhook-block-private-addresses"), [""; 0]);
}

#[test]
fn origins_are_kept_as_browsers_send_them() {
    let operator =
        one_app().args("--app-allowed-origins HTTPS://Example.com:443/,*.example.com,http://[::1]:3000");
    assert_eq!(
        operator.config().apps[0].allowed_origins,
        ["https://example.com", "*.example.com", "http://[::1]:3000"]
    );
    assert!(one_app().args("--app-allowed-origins *").config().apps[0].allowed_origins.is_empty());
    let listed = app("1", r#", "app_allowed_origins": ["https://a.example", "b.example"]"#);
    let operator = nothing().config_file(&format!(r#"{{"applications": [{listed}]}}"#));
    assert_eq!(operator.config().apps[0].allowed_origins.len(), 2);
}
