//! What is refused, and in which words.

use super::{app, file_with, nothing, one_app};

// Lines are compared whole, so that a change of what operators read is seen here.

/// Arguments beside a complete app, and the one line that they lead to.
const FLAGS: &[(&str, &str)] = &[
    ("--port 70000", "--port: must be a whole number from 0 to 65535, not '70000'"),
    ("--port -1", "--port: must be a whole number from 0 to 65535, not '-1'"),
    ("--port 60.5", "--port: must be a whole number from 0 to 65535, not '60.5'"),
    ("--port=", "--port: must be a whole number from 0 to 65535, not ''"),
    (
        "--port 99999999999999999999999999999999999999999999",
        "--port: must be a whole number from 0 to 65535, not '9999999999999999999999999999999999999999…'",
    ),
    ("--port 1 --port 2", "--port: is given twice, with different values"),
    ("--port 1 -p 2", "-p: is the same setting as --port, but has another value"),
    ("-p x", "-p: must be a whole number from 0 to 65535, not 'x'"),
    ("--port", "--port: needs a value; if it begins with '-', write --flag=value"),
    ("--prot 80", "--prot: is unknown; did you mean '--port'?"),
    ("--app-max-conections=5", "--app-max-conections: is unknown; did you mean '--app-max-connections'?"),
    ("--xyzzy", "--xyzzy: is unknown"),
    ("-z", "-z: is unknown"),
    (
        "-",
        "argument 6: belongs to no flag (a switch takes its value as --flag=true); it is not repeated here, as it may be a secret",
    ),
    ("--app-secretplain", "--app-secret…: is unknown; did you mean '--app-secret=…'?"),
    ("--app-max-connections -1 -1", "-1: is unknown"),
    (
        "serve",
        "argument 6: belongs to no flag (a switch takes its value as --flag=true); it is not repeated here, as it may be a secret",
    ),
    (
        "--redis-tls true",
        "argument 7: belongs to no flag (a switch takes its value as --flag=true); it is not repeated here, as it may be a secret",
    ),
    ("--redis-tls=maybe", "--redis-tls: must be true or false, not 'maybe'"),
    ("--bind-address localhost", "--bind-address: must be an IP address such as 0.0.0.0 or ::"),
    ("--bind-address 300.0.0.1", "--bind-address: must be an IP address such as 0.0.0.0 or ::"),
    ("--redis-cluster --redis-url u:p@a/1", "--redis-url: a Redis cluster has no database but 0"),
    ("--redis-url a,b/00,c/2", "--redis-url: a Redis cluster has no database but 0"),
    ("--redis-sentinel-master a:b", "--redis-sentinel-master: must be letters, digits, '.', '-' and '_'"),
    (
        "--redis-sentinel-master main --redis-cluster",
        "--redis-sentinel-master: cannot be combined with redis_cluster",
    ),
    ("--redis-sentinel-password x", "--redis-sentinel-password: needs redis_sentinel_master"),
    ("--redis-sentinel-username x", "--redis-sentinel-username: needs redis_sentinel_master"),
    (
        "--redis-sentinel-master main --redis-sentinel-username x",
        "--redis-sentinel-username: needs redis_sentinel_password",
    ),
    (
        "--redis-sentinel-master main --redis-url a:1,redis://:p@b:2",
        "--redis-url: user, password and database are those of the servers that the sentinels watch: give them once, in \
         the first URL",
    ),
    ("-a nats", "-a: must be local or redis, not 'nats'"),
    ("--queue-driver nats", "--queue-driver: must be local or redis or sqs or sns, not 'nats'"),
    ("--queue-driver sqs", "--queue-driver: needs sqs_queue_url as well"),
    ("--queue-driver sns", "--queue-driver: needs sns_topic_arn as well"),
    ("--queue-driver sns --sns-topic-arn t", "--sns-topic-arn: must be 'arn:aws:sns:region:account:topic'"),
    ("--sqs-queue-url=", "--sqs-queue-url: must not be empty or contain white space"),
    (
        "--aws-endpoint-url localhost:4566",
        "--aws-endpoint-url: must be an absolute http or https URL without user name and password",
    ),
    (
        "--webhook-retry-seconds 86401",
        "--webhook-retry-seconds: must be a whole number from 15 to 86400, not '86401'",
    ),
    (
        "--webhook-retry-max-gap-seconds 0",
        "--webhook-retry-max-gap-seconds: must be a whole number from 1 to 3600, not '0'",
    ),
    ("--app-manager sqlite", "--app-manager: must be array or dynamodb or postgres or mysql, not 'sqlite'"),
    (
        "--metrics-enabled --port 77 --metrics-port 77",
        "--metrics-port: must be another port than the server's",
    ),
    ("--log-level loud", "--log-level: must be trace or debug or info or warn or error, not 'loud'"),
    ("--log-format xml", "--log-format: must be text or json, not 'xml'"),
    (
        "--subscription-error-style loud",
        "--subscription-error-style: must be both or channel or pusher, not 'loud'",
    ),
    ("--terminate-close-code 1000", "--terminate-close-code: must be 4009 or 4200, not '1000'"),
    (
        "--max-socket-backlog-in-kb 63",
        "--max-socket-backlog-in-kb: must be a whole number from 64 to 65536, not '63'",
    ),
    (
        "--max-socket-backlog-in-kb 65537",
        "--max-socket-backlog-in-kb: must be a whole number from 64 to 65536, not '65537'",
    ),
    (
        "--cors-allowed-origins *,https://a.example",
        "--cors-allowed-origins: '*' means any and must stand alone",
    ),
    (
        "--cors-allowed-origins https://a.example/path",
        "--cors-allowed-origins: must be origins such as 'https://example.com', 'example.com' or '*.example.com'",
    ),
    (
        "--cors-allowed-origins a.example:http",
        "--cors-allowed-origins: must be origins such as 'https://example.com', 'example.com' or '*.example.com'",
    ),
    ("--app-activity-timeout 0", "--app-activity-timeout: must be a whole number from 1 to 86400, not '0'"),
    (
        "--app-authorization-timeout-seconds 0",
        "--app-authorization-timeout-seconds: must be a whole number from 1 to 86400, not '0'",
    ),
    (
        "--app-max-channel-name-length 0",
        "--app-max-channel-name-length: must be a whole number from 1 to 65535, not '0'",
    ),
    (
        "--app-max-event-name-length 0",
        "--app-max-event-name-length: must be a whole number from 1 to 65535, not '0'",
    ),
    (
        "--app-max-event-batch-size 0",
        "--app-max-event-batch-size: must be a whole number from 1 to 10000, not '0'",
    ),
    (
        "--app-max-connections -2",
        "--app-max-connections: must be a whole number from 0 to 4294967295, where 0 means unlimited, not '-2'",
    ),
    (
        "--app-max-connections 4294967296",
        "--app-max-connections: must be a whole number from 0 to 4294967295, where 0 means unlimited, not '4294967296'",
    ),
    (
        "--app-webhooks-enabled",
        "--app-webhooks-enabled: is on, but there is nowhere to send to; set app_webhook_url, app_webhook_sns_topic_arn or webhooks",
    ),
    (
        "--app-require-channel-authorization --app-require-authorization=false",
        "--app-require-authorization: is the same setting as --app-require-channel-authorization, but has another value",
    ),
    ("--app-webhook-url example.com/hook", "--app-webhook-url: must be an absolute http or https URL"),
    ("--app-webhook-url ftp://example.com", "--app-webhook-url: must be an absolute http or https URL"),
    ("--app-webhook-url http://", "--app-webhook-url: must be an absolute http or https URL"),
    (
        "--app-webhook-url http://a:b@c",
        "--app-webhook-url: must not contain a user name or password; use a header",
    ),
    (
        "--app-webhook-sns-topic-arn arn:aws:sns:x",
        "--app-webhook-sns-topic-arn: must be the ARN of a topic, such as 'arn:aws:sns:eu-west-1:123456789012:webhooks'",
    ),
    (
        "--app-webhook-sns-topic-arn arn:aws:sns:eu-west-1:1:webhooks",
        "--app-webhook-sns-topic-arn: has an account that is not 12 digits",
    ),
    ("--app-webhook-sns-region eu-west", "--app-webhook-sns-region: must be a region such as 'eu-west-1'"),
    (
        "--app-webhook-sns-topic-arn arn:aws:sns:eu-west-1:123456789012:t --app-webhook-sns-region eu-west-2",
        "--app-webhook-sns-region: is another region than that of the topic's ARN (--app-webhook-sns-topic-arn)",
    ),
    (
        "--app-webhook-sns-region eu-west-2 --app-webhooks-enabled --app-webhook-url http://a",
        "--app-webhook-sns-region: applies to app_webhook_sns_topic_arn, which is not set",
    ),
    ("--app-allowed-origins *,a.example", "--app-allowed-origins: '*' means any and must stand alone"),
    (
        "--app-allowed-origins a.example,,",
        "--app-allowed-origins: must be origins such as 'https://example.com', 'example.com' or '*.example.com'",
    ),
];

/// One variable beside a complete app, and the one line that it leads to.
const VARIABLES: &[(&str, &str, &str)] = &[
    ("PORT", "tcp://10.0.0.1:6001", "must be a whole number from 0 to 65535, not 'tcp://10.0.0.1:6001'"),
    ("PORT", " 80", "must be a whole number from 0 to 65535, not ' 80'"),
    ("PORT", "8\n0", r"must be a whole number from 0 to 65535, not '8\n0'"),
    ("REDIS_TLS", "on", "must be true or false, not 'on'"),
    ("PREFER_CONFIG_FILE", "please", "must be true or false, not 'please'"),
    ("APP_ENV", " ", "must not be empty or contain control characters"),
    ("REDIS_PREFIX", "a b", "must be 1 to 100 bytes without white space, control characters or braces"),
    ("REDIS_PREFIX", "{tag}", "must be 1 to 100 bytes without white space, control characters or braces"),
    ("REDIS_URL", "http://localhost", REDIS_URL),
    ("REDIS_URL", "localhost:x", REDIS_URL),
    ("REDIS_URL", "localhost:0", REDIS_URL),
    ("REDIS_URL", "a,,b", REDIS_URL),
    ("REDIS_URL", "localhost/first", REDIS_URL),
    ("REDIS_URL", "redis://[::zz]:6379", REDIS_URL),
    ("APP_ID", "12a", "must be 1 to 64 digits"),
    ("APP_ID", "-5", "must be 1 to 64 digits"),
    ("APP_KEY", "a/b", "must be 1 to 200 letters, digits, '_' or '-'"),
    ("APP_SECRET", " s", "must not begin or end with white space or contain control characters"),
    ("APP_SECRET", "s\n", "must not begin or end with white space or contain control characters"),
    ("APP_MAX_EVENT_PAYLOAD_IN_KB", "10KB", "must be a whole number from 1 to 65536, not '10KB'"),
];
const REDIS_URL: &str = "must be 'host:port' or 'redis[s]://[user:password@]host[:port][/database]', or several separated by commas";

/// Entries of a config file beside a complete app, and the one line that they lead to after the file's name.
const FILES: &[(&str, &str)] = &[
    (r#""prot": 80"#, "prot: is unknown; did you mean 'port'?"),
    (r#""server": {"prot": 80}"#, "server.prot: is unknown; did you mean 'port'?"),
    (r#""servers": {}"#, "servers: is unknown; did you mean 'server'?"),
    (r#""zzz\n": 1"#, r"zzz\n: is unknown"),
    (r#""server": []"#, "server: must be an object"),
    (r#""app_id": "1""#, "app_id: is a setting of an app and belongs into an entry of 'applications'"),
    (r#""config_file": "x""#, "config_file: is unknown"),
    (r#""port": null"#, "port: must be a whole number from 0 to 65535, not 'null'"),
    (r#""port": 1.5"#, "port: must be a whole number from 0 to 65535, not '1.5'"),
    (r#""port": [1]"#, "port: must be a whole number from 0 to 65535, not an array"),
    (r#""port": true"#, "port: must be a whole number from 0 to 65535, not 'true'"),
    (r#""redis_tls": 1"#, "redis_tls: must be true or false, not '1'"),
    (r#""redis_tls": {}"#, "redis_tls: must be true or false, not an object"),
    (r#""log_level": 3"#, "log_level: must be trace or debug or info or warn or error, not '3'"),
    (r#""app_env": 5"#, "app_env: must be text"),
    (r#""app_env": """#, "app_env: must not be empty or contain control characters"),
    (
        r#""redis_url": """#,
        "redis_url: must be 'host:port' or 'redis[s]://[user:password@]host[:port][/database]', or several separated by commas",
    ),
    (
        r#""redis_cluster": true, "redis_cluster_mode": false"#,
        "redis_cluster_mode: is the same setting as config.json: redis_cluster, but has another value",
    ),
    (r#""cors_allowed_origins": [1]"#, "cors_allowed_origins: must be text"),
    (
        r#""cors_allowed_origins": 1"#,
        "cors_allowed_origins: must be an array of texts, or a text with commas between them",
    ),
];

/// Entries of an app in a config file, and the one line that they lead to after the app's place.
const APPS: &[(&str, &str)] = &[
    (r#""app_max_conections": 1"#, ".app_max_conections: is unknown; did you mean 'app_max_connections'?"),
    (r#""port": 1"#, ".port: is a setting of the server and belongs into 'server'"),
    (
        r#""app_max_connections": "many""#,
        ".app_max_connections: must be a whole number from 0 to 4294967295, where 0 means unlimited, not 'many'",
    ),
    (r#""app_enabled": "perhaps""#, ".app_enabled: must be true or false, not 'perhaps'"),
    (
        r#""app_require_authorization": true, "app_require_channel_authorization": false"#,
        ".app_require_channel_authorization: is the same setting as config.json: applications[0].app_require_authorization, but has another value",
    ),
    (r#""webhooks": {}"#, ".webhooks: must be an array of webhook targets"),
    (r#""webhooks": ["http://a"]"#, ".webhooks[0]: must be an object"),
    (r#""webhooks": [{}]"#, ".webhooks[0]: names no endpoint; set url, sns_topic_arn or lambda_function"),
    (r#""webhooks": [{"url": 1}]"#, ".webhooks[0].url: must be text"),
    (r#""webhooks": [{"url": "/hook"}]"#, ".webhooks[0].url: must be an absolute http or https URL"),
    (
        r#""webhooks": [{"url": "http://a", "ulr": 1}]"#,
        ".webhooks[0].ulr: is unknown; a target has url, sns_topic_arn, lambda_function, lambda, event_types, filter, headers",
    ),
    (
        r#""webhooks": [{"url": "http://a", "sns_topic_arn": "arn:aws:sns:eu-west-1:123456789012:t"}]"#,
        ".webhooks[0]: names several endpoints: url and sns_topic_arn",
    ),
    (
        r#""webhooks": [{"sns_topic_arn": "arn"}]"#,
        ".webhooks[0].sns_topic_arn: must be the ARN of a topic, such as 'arn:aws:sns:eu-west-1:123456789012:webhooks'",
    ),
    (r#""webhooks": [{"sns_topic_arn": 7}]"#, ".webhooks[0].sns_topic_arn: must be text"),
    (
        r#""webhooks": [{"sns_topic_arn": "arn:aws:sns:eu-west-1:123456789012:a b"}]"#,
        ".webhooks[0].sns_topic_arn: has a topic's name that is not 1 to 256 letters, digits, '_' or '-', with '.fifo' behind them for a FIFO topic",
    ),
    (
        r#""webhooks": [{"sns_topic_arn": "arn:aws:sns:eu-west-1:123456789012:t", "lambda": {}}]"#,
        ".webhooks[0].lambda: applies to lambda_function, which is not set",
    ),
    (
        r#""webhooks": [{"sns_topic_arn": "arn:aws:sns:eu-west-1:123456789012:t", "headers": {"a!b": "c"}}]"#,
        ".webhooks[0].headers.a!b: is no name of an attribute that a topic's message may have",
    ),
    (
        r#""webhooks": [{"sns_topic_arn": "arn:aws:sns:eu-west-1:123456789012:t", "headers": {"EventName": "c"}}]"#,
        ".webhooks[0].headers.EventName: is no name of an attribute that a topic's message may have",
    ),
    (
        r#""webhooks": [{"sns_topic_arn": "arn:aws:sns:eu-west-1:123456789012:t", "headers": {"a": ""}}]"#,
        ".webhooks[0].headers.a: must not be empty for a topic",
    ),
    (
        r#""webhooks": [{"sns_topic_arn": "arn:aws:sns:eu-west-1:123456789012:t", "headers": {"a": "1", "b": "1", "c": "1", "d": "1", "e": "1", "f": "1", "g": "1"}}]"#,
        ".webhooks[0].headers: must be 6 at most for a topic",
    ),
    (
        r#""webhooks": [{"lambda_function": ""}]"#,
        ".webhooks[0].lambda_function: must be a function's name, its ARN, or the end of that from the account on, such as '123456789012:function:hooks'; a name has 1 to 64 letters, digits, '_' or '-'",
    ),
    (r#""webhooks": [{"lambda_function": []}]"#, ".webhooks[0].lambda_function: must be text"),
    (
        r#""webhooks": [{"lambda_function": "arn:aws:lambda:eu-west-1:123456789012:function:f", "lambda": {"region": "us-east-1"}}]"#,
        ".webhooks[0].lambda_function: is in another region than the one beside it",
    ),
    (r#""webhooks": [{"lambda_function": "f", "lambda": true}]"#, ".webhooks[0].lambda: must be an object"),
    (
        r#""webhooks": [{"lambda_function": "f", "lambda": {"async": "yes"}}]"#,
        ".webhooks[0].lambda.async: must be true or false",
    ),
    (
        r#""webhooks": [{"lambda_function": "f", "lambda": {"region": "here"}}]"#,
        ".webhooks[0].lambda.region: must be a region such as 'eu-west-1'",
    ),
    (
        r#""webhooks": [{"lambda_function": "f", "lambda": {"asynch": true}}]"#,
        ".webhooks[0].lambda.asynch: is unknown; it has async and region",
    ),
    (
        r#""webhooks": [{"lambda_function": "f", "lambda": {"client_options": {}}}]"#,
        ".webhooks[0].lambda.client_options: is not available; credentials are found where every program of AWS finds them",
    ),
    (
        r#""webhooks": [{"lambda_function": "f", "region": "eu-west-1"}]"#,
        ".webhooks[0].region: is unknown here; it belongs into lambda",
    ),
    (
        r#""webhooks": [{"sqs_queue_url": "q"}]"#,
        ".webhooks[0].sqs_queue_url: is not available; subscribe the queue to a topic and set sns_topic_arn",
    ),
    (
        r#""webhooks": [{"url": "http://a", "event_types": "*"}]"#,
        ".webhooks[0].event_types: must be an array of event names",
    ),
    (
        r#""webhooks": [{"url": "http://a", "event_types": ["*", "cache_miss"]}]"#,
        ".webhooks[0].event_types: '*' means all and must stand alone",
    ),
    (
        r#""webhooks": [{"url": "http://a", "event_types": ["cache_mis"]}]"#,
        ".webhooks[0].event_types[0]: must be one of channel_occupied, channel_vacated, member_added, member_removed, client_event, cache_miss, subscription_count",
    ),
    (
        r#""webhooks": [{"url": "http://a", "filter": {"prefix": "a"}}]"#,
        ".webhooks[0].filter.prefix: is unknown; a filter has channel_name_starts_with and channel_name_ends_with",
    ),
    (
        r#""webhooks": [{"url": "http://a", "filter": {"channel_name_starts_with": ""}}]"#,
        ".webhooks[0].filter.channel_name_starts_with: must be a text that is not empty",
    ),
    (r#""webhooks": [{"url": "http://a", "headers": []}]"#, ".webhooks[0].headers: must be an object"),
    (
        r#""webhooks": [{"url": "http://a", "headers": {"X-Pusher-Key": "k"}}]"#,
        ".webhooks[0].headers.X-Pusher-Key: is set by the server",
    ),
    (
        r#""webhooks": [{"url": "http://a", "headers": {"a b": "k"}}]"#,
        ".webhooks[0].headers.a b: must be the name of one header",
    ),
    (
        r#""webhooks": [{"url": "http://a", "headers": {"A": "1", "a": "2"}}]"#,
        ".webhooks[0].headers.a: must be the name of one header",
    ),
    (
        r#""webhooks": [{"url": "http://a", "headers": {"A": 1}}]"#,
        ".webhooks[0].headers.A: must be a text of visible ASCII characters",
    ),
    (
        r#""app_webhooks_enabled": true, "webhooks": []"#,
        ".app_webhooks_enabled: is on, but there is nowhere to send to; set app_webhook_url, app_webhook_sns_topic_arn or webhooks",
    ),
    (
        r#""app_webhooks_enabled": true, "webhooks": [{"url": "http://a"}], "app_has_cache_miss_webhooks": true"#,
        ".app_has_cache_miss_webhooks: applies to app_webhook_url and app_webhook_sns_topic_arn, of which neither is set",
    ),
];

/// Whole config files, and the one line that they lead to after the file's name.
const TEXTS: &[(&str, &str)] = &[
    ("", "EOF while parsing a value at line 1 column 0"),
    ("[]", "must hold a JSON object"),
    ("{\n  \"port\": 1,\n}", "trailing comma at line 3 column 1"),
    ("{\n  \"port\": 1 \"x\": 2\n}", "expected `,` or `}` at line 2 column 13"),
    ("{\"port\": 1} x", "trailing characters at line 1 column 13"),
    ("{\n \"port\": 1,\n \"port\": 2}", "the key 'port' is there twice at line 3 column 7"),
    (
        "{\"applications\": [{\"app_id\": 1, \"app_id\": 1}]}",
        "the key 'app_id' is there twice at line 1 column 40",
    ),
    ("// comment\n{}", "expected value at line 1 column 1"),
    (r#"{"applications": {}}"#, "applications: must be an array of objects"),
    (r#"{"applications": ["1"]}"#, "applications[0]: must be an object"),
    (
        r#"{"applications": [{"app_id": 1.5, "app_key": "k", "app_secret": "s"}]}"#,
        "applications[0].app_id: must be 1 to 64 digits",
    ),
    (
        r#"{"applications": [{"app_id": -1, "app_key": "k", "app_secret": "s"}]}"#,
        "applications[0].app_id: must be 1 to 64 digits",
    ),
    (
        r#"{"applications": [{"app_id": "", "app_key": "k", "app_secret": "s"}]}"#,
        "applications[0].app_id: must be 1 to 64 digits",
    ),
    (
        r#"{"applications": [{"app_id": 1, "app_key": "", "app_secret": "s"}]}"#,
        "applications[0].app_key: must be 1 to 200 letters, digits, '_' or '-'",
    ),
    (
        r#"{"applications": [{"app_id": 1, "app_key": 1, "app_secret": "s"}]}"#,
        "applications[0].app_key: must be text",
    ),
    (
        r#"{"applications": [{"app_id": 1, "app_key": "k", "app_secret": ""}]}"#,
        "applications[0].app_secret: must be 1 to 1024 bytes long",
    ),
    (
        r#"{"applications": [{"app_id": 1, "app_key": "k", "app_secret": null}]}"#,
        "applications[0].app_secret: must be text",
    ),
];

#[test]
fn bad_flags_are_refused() {
    for (args, expected) in FLAGS {
        assert_eq!(one_app().args(args).error(), *expected);
    }
}

#[test]
fn bad_variables_are_refused_in_the_environment_and_in_the_env_file() {
    let credentials = |operator: super::Operator| {
        ["APP_ID=1", "APP_KEY=k", "APP_SECRET=s"].iter().fold(operator, |operator, credential| {
            let (name, value) = credential.split_once('=').unwrap();
            operator.env(name, value)
        })
    };
    for (name, value, expected) in VARIABLES {
        let in_environment = credentials(nothing()).env(name, value);
        assert_eq!(in_environment.error(), format!("environment variable {name}: {expected}"));
        let mut in_file =
            credentials(nothing()).file(".env", &format!("{name}=\"{}\"\n", value.replace('\n', "\\n")));
        in_file.environment.remove(std::ffi::OsStr::new(name));
        assert_eq!(in_file.error(), format!("./.env {name}: {expected}"));
    }
}

#[test]
fn bad_entries_of_a_config_file_are_refused() {
    for (entries, expected) in FILES {
        let operator = nothing().config_file(&file_with(&format!(", {entries}")));
        assert_eq!(operator.error(), format!("config.json: {expected}"));
    }
}

#[test]
fn bad_entries_of_an_app_are_refused() {
    for (entries, expected) in APPS {
        let file = format!(r#"{{"applications": [{}]}}"#, app("1", &format!(", {entries}")));
        assert_eq!(nothing().config_file(&file).error(), format!("config.json: applications[0]{expected}"));
    }
}

#[test]
fn config_files_that_make_no_sense_are_refused() {
    for (text, expected) in TEXTS {
        assert_eq!(nothing().config_file(text).error(), format!("config.json: {expected}"));
    }
}

#[test]
fn a_config_file_that_is_nested_without_end_is_refused() {
    let error = nothing().config_file(&"[".repeat(100_000)).error();
    assert!(error.contains("recursion limit exceeded"), "{error}");
}

#[test]
fn an_env_file_may_not_contradict_itself_or_name_another() {
    assert_eq!(
        one_app().file(".env", "PORT=1\nPORT=2\n").error(),
        "./.env PORT: is set twice, to different values"
    );
    assert_eq!(
        one_app().file(".env", "ENV_FILE=x\n").error(),
        "./.env ENV_FILE: has no effect in a .env file"
    );
}

#[cfg(unix)]
#[test]
fn what_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let broken = || std::ffi::OsString::from_vec(vec![b'x', 0xff]);
    let mut operator = one_app();
    operator.args.push(broken());
    operator.environment.insert("APP_ENV".into(), broken());
    operator.environment.insert("SOMEBODY_ELSES".into(), broken());
    assert_eq!(
        operator.errors(),
        ["argument 6: must be UTF-8 text", "environment variable APP_ENV: must be UTF-8 text"]
    );
}
