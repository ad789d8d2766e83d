//! From values to the typed settings of the server.

use std::time::Duration;

use app_manager::{
    app::{
        App,
        settings::{Problems, Values, build as build_app},
    },
    apps::Freshness,
    store::DatabaseKind,
    webhook::Endpoint,
};
use webhook_worker::{
    deliver::{Cause, is_built_for},
    settings::{DYNAMODB_TABLE, SNS_TOPIC_ARN, SQS_QUEUE_URL, access, delivery, schedule},
    target::{self, AddressPolicy, Target},
};

use super::{
    apps::{APP_MANAGER, AppValues},
    database, redis,
    typed::{
        AppManager, AppTable, CloudDestination, CloudOutlet, Config, CorsOrigins, Driver, Listen, Log,
        LogFormat, LogLevel, ProtocolOptions, QueueDriver, SubscriptionErrorStyle, TlsFiles,
    },
};

/// Bytes of the KB in which sizes are set.
const KB: u32 = 1024;

/// Types all values. What cannot be goes to `problems`, and then the result is not to be used.
pub(super) fn build(server: &Values, apps: &[AppValues], problems: &mut Problems) -> Config {
    let apps: Vec<_> = apps.iter().filter_map(|app| build_app(&app.values, &app.origin, problems)).collect();
    let webhook_delivery = delivery(server);
    let notices = apps.iter().flat_map(|app| webhook_notices(app, &webhook_delivery.addresses)).collect();
    refuse_what_needs_aws(&apps, problems);
    Config {
        listen: listen(server),
        tls: tls(server, problems),
        metrics: metrics(server, problems),
        app_env: text(server, "app_env"),
        adapter: redis_driver(server, "adapter_driver"),
        cache: redis_driver(server, "cache_driver"),
        queue: queue_driver(server, problems),
        log: log(server),
        cors_allowed_origins: cors_allowed_origins(server, problems),
        protocol: protocol(server),
        max_socket_backlog: KB * server.number::<u32>("max_socket_backlog_in_kb"),
        webhook_delivery,
        webhook_schedule: schedule(server),
        shutdown_grace: Duration::from_secs(server.number("shutdown_grace_seconds")),
        redis: redis::build(server, problems),
        app_manager: app_manager(server, problems),
        apps,
        app_freshness: Freshness {
            app: Duration::from_secs(server.number("app_cache_ttl_seconds")),
            miss: Duration::from_secs(server.number("app_cache_negative_ttl_seconds")),
        },
        notices,
    }
}

/// What an operator may not know about an app's webhooks: that none is sent, or that one can never be.
fn webhook_notices(app: &App, policy: &AddressPolicy) -> Vec<String> {
    if app.webhooks.targets.is_empty() {
        return Vec::new();
    }
    if !app.webhooks.enabled {
        return vec![format!(
            "app {} has webhook targets, but app_webhooks_enabled is off: none is sent",
            app.id
        )];
    }
    let refused = app.webhooks.targets.iter().filter_map(|target| match &target.endpoint {
        Endpoint::Url(url) => Some((target::shown(&target.endpoint), Target::parse(url, policy).err()?)),
        Endpoint::SnsTopicArn(_) | Endpoint::LambdaFunction(_) => None,
    });
    refused
        .map(|(host, error)| format!("app {}: no webhook is ever sent to {host}: {error}", app.id))
        .collect()
}

/// Targets that this program cannot reach, also those of apps whose webhooks are off: they are meant to be used one day.
fn refuse_what_needs_aws(apps: &[App], problems: &mut Problems) {
    for app in apps {
        let mut endpoints = app.webhooks.targets.iter().map(|target| &target.endpoint);
        if let Some(endpoint) = endpoints.find(|endpoint| !is_built_for(endpoint)) {
            problems.add(format_args!("app {}: {}", app.id, target::shown(endpoint)), Cause::NoAws);
        }
    }
}

fn text(server: &Values, key: &str) -> String {
    server.text(key).expect("every text of the server that is asked for here has a default")
}

fn listen(server: &Values) -> Listen {
    let bind_address = text(server, "bind_address").parse();
    Listen { bind_address: bind_address.expect("only an IP address is taken"), port: server.number("port") }
}

fn tls(server: &Values, problems: &mut Problems) -> Option<TlsFiles> {
    match (server.text("tls_cert"), server.text("tls_key")) {
        (Some(certificate), Some(key)) => {
            return Some(TlsFiles { certificate: certificate.into(), key: key.into() });
        }
        (Some(_), None) => problems.add(server.source("tls_cert"), "TLS needs tls_key as well"),
        (None, Some(_)) => problems.add(server.source("tls_key"), "TLS needs tls_cert as well"),
        (None, None) => {}
    }
    None
}

/// Where metrics are served, if they are: on the address of the server, and a port of their own.
fn metrics(server: &Values, problems: &mut Problems) -> Option<Listen> {
    if !server.is_on("metrics_enabled") {
        return None;
    }
    let listen = listen(server);
    let port = server.number("metrics_port");
    if port == listen.port && port != 0 {
        problems.add(server.source("metrics_port"), "must be another port than the server's");
    }
    Some(Listen { port, ..listen })
}

/// The driver of something that nodes may do together through Redis.
fn redis_driver(server: &Values, key: &str) -> Driver {
    match text(server, key).as_str() {
        "redis" => Driver::Redis,
        _ => Driver::Local,
    }
}

/// Where the apps are. What names a place is needed only there.
fn app_manager(server: &Values, problems: &mut Problems) -> AppManager {
    match text(server, APP_MANAGER).as_str() {
        "dynamodb" => {
            if cfg!(not(feature = "aws")) {
                let what = "this server was built without AWS (the cargo feature 'aws')";
                problems.add(server.source(APP_MANAGER), what);
            }
            let name = text(server, DYNAMODB_TABLE.key);
            AppManager::DynamoDb(AppTable { name, access: access(server) })
        }
        "postgres" => sql_database(server, DatabaseKind::Postgres, problems),
        "mysql" => sql_database(server, DatabaseKind::MySql, problems),
        _ => AppManager::Array,
    }
}

fn sql_database(server: &Values, kind: DatabaseKind, problems: &mut Problems) -> AppManager {
    let url = database::build(server, kind, server.source(APP_MANAGER), problems);
    url.map_or(AppManager::Array, AppManager::Sql)
}

/// Where webhooks wait. What names the place in the cloud is needed only there.
fn queue_driver(server: &Values, problems: &mut Problems) -> QueueDriver {
    let (outlet, key): (fn(String) -> CloudOutlet, _) = match text(server, "queue_driver").as_str() {
        "sqs" => (CloudOutlet::Queue, SQS_QUEUE_URL.key),
        "sns" => (CloudOutlet::Topic, SNS_TOPIC_ARN.key),
        _ => {
            return match redis_driver(server, "queue_driver") {
                Driver::Local => QueueDriver::Local,
                Driver::Redis => QueueDriver::Redis,
            };
        }
    };
    let source = server.source("queue_driver");
    if cfg!(not(feature = "aws")) {
        problems.add(source, "this server was built without AWS (the cargo feature 'aws')");
    }
    let Some(name) = server.text(key) else {
        // If it was given and refused, that is said already.
        if server.given(key).is_none() {
            problems.add(source, format_args!("needs {key} as well"));
        }
        return QueueDriver::Local;
    };
    QueueDriver::Cloud(CloudDestination { outlet: outlet(name), access: access(server) })
}

fn log(server: &Values) -> Log {
    Log {
        level: match text(server, "log_level").as_str() {
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            other => unreachable!("log_level does not take {other}"),
        },
        format: match text(server, "log_format").as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            other => unreachable!("log_format does not take {other}"),
        },
        requests: !server.is_on("ignore_logger_middleware"),
    }
}

fn protocol(server: &Values) -> ProtocolOptions {
    let code = text(server, "terminate_close_code").parse();
    ProtocolOptions {
        allow_missing_protocol: server.is_on("allow_missing_protocol"),
        subscription_error_style: match text(server, "subscription_error_style").as_str() {
            "both" => SubscriptionErrorStyle::Both,
            "channel" => SubscriptionErrorStyle::Channel,
            "pusher" => SubscriptionErrorStyle::Pusher,
            other => unreachable!("subscription_error_style does not take {other}"),
        },
        terminate_close_code: code.expect("only numbers are taken"),
    }
}

fn cors_allowed_origins(server: &Values, problems: &mut Problems) -> CorsOrigins {
    let origins = server.list("cors_allowed_origins");
    if !origins.iter().any(|origin| origin == "*") {
        return CorsOrigins::Only(origins);
    }
    if origins.len() > 1 {
        problems.add(server.source("cors_allowed_origins"), "'*' means any and must stand alone");
    }
    CorsOrigins::Any
}
