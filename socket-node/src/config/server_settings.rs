//! Every setting of the server itself.

use app_manager::app::settings::{Kind, Places, Setting, read_origin};
use webhook_worker::settings::{
    AWS_ENDPOINT_URL, AWS_REGION, DYNAMODB_TABLE, LOG_FORMAT, LOG_LEVEL, SNS_TOPIC_ARN, SQS_QUEUE_URL,
    WEBHOOK_ALLOW_NETWORKS, WEBHOOK_BLOCK_PRIVATE_ADDRESSES, WEBHOOK_DENY_NETWORKS,
    WEBHOOK_RETRY_MAX_GAP_SECONDS, WEBHOOK_RETRY_SECONDS, ip_address, some_text,
};

use super::database::read_database_url;
use super::redis::{read_credential, read_master, read_prefix, read_urls};

/// The `.env` file that is read when no other is named. It alone may be missing.
pub(super) const DEFAULT_ENV_FILE: &str = "./.env";
const DRIVERS: Kind = Kind::Choice(&["local", "redis"]);

/// Every setting of the server itself, in the order in which they are documented.
pub static SERVER_SETTINGS: &[Setting] = &[
    Setting::new(
        "port",
        Kind::Number { least: 0, most: 65_535 },
        Some("6001"),
        "Port to listen on (0 for any free one)",
    )
    .with_flags(&["p"]),
    Setting::new("bind_address", Kind::Text(ip_address), Some("0.0.0.0"), "IP address to listen on"),
    Setting::new(
        "tls_cert",
        Kind::Text(some_text),
        None,
        "Path to a PEM file with the certificate and those that vouch for it; with it, the port speaks TLS only",
    ),
    Setting::new(
        "tls_key",
        Kind::Text(some_text),
        None,
        "Path to a PEM file with the certificate's private key",
    ),
    Setting::new(
        "env_file",
        Kind::Text(some_text),
        Some(DEFAULT_ENV_FILE),
        "Path to the `.env` file; only the default one may be missing",
    )
    .with_flags(&["e"]),
    Setting::new("config_file", Kind::Text(some_text), None, "Path to a JSON file of settings")
        .with_flags(&["config"])
        .only(Places::FlagAndEnvironment),
    Setting::new(
        "prefer_config_file",
        Kind::Bool,
        Some("false"),
        "Whether the config file wins over the environment; flags win over both",
    )
    .only(Places::FlagAndEnvironment),
    Setting::new("adapter_driver", DRIVERS, Some("local"), "How nodes hear of each other's events")
        .with_flags(&["a"]),
    Setting::new("cache_driver", DRIVERS, Some("local"), "Where cache channels keep their last event"),
    Setting::new(
        "queue_driver",
        Kind::Choice(&["local", "redis", "sqs", "sns"]),
        Some("local"),
        "Where webhooks wait to be delivered",
    ),
    Setting::new(
        "app_manager",
        Kind::Choice(&["array", "dynamodb", "postgres", "mysql"]),
        Some("array"),
        "Where the apps come from: these settings (`array`), or a database that `socket-rush apps` looks after",
    ),
    DYNAMODB_TABLE,
    Setting::new(
        "database_url",
        Kind::Url(read_database_url),
        None,
        "URL of the SQL database that has the apps: `postgres://user:password@host/database` or `mysql://…`",
    ),
    Setting::new(
        "app_cache_ttl_seconds",
        Kind::Number { least: 1, most: 3_600 },
        Some("60"),
        "Seconds within which a node notices a change of an app in a database that nobody has told it of",
    ),
    Setting::new(
        "app_cache_negative_ttl_seconds",
        Kind::Number { least: 1, most: 3_600 },
        Some("5"),
        "Seconds for which it remembers that a database has no app with an id or key",
    ),
    Setting::new(
        "app_env",
        Kind::Text(some_text),
        Some("production"),
        "Name of the environment, logged at the start",
    ),
    Setting::new("redis_prefix", Kind::Text(read_prefix), Some("pusher"), "Prefix of all keys in Redis"),
    Setting::new(
        "redis_url",
        Kind::Url(read_urls),
        Some("localhost:6379"),
        "URL of Redis, with or without `redis://` or `rediss://`; several separated by commas are a cluster's nodes, or \
         sentinels",
    ),
    Setting::new("redis_tls", Kind::Bool, Some("false"), "Whether to use TLS for Redis"),
    Setting::new("redis_cluster", Kind::Bool, Some("false"), "Whether Redis is a cluster")
        .also(&["redis_cluster_mode"]),
    Setting::new(
        "redis_sentinel_master",
        Kind::Text(read_master),
        None,
        "Name of the primary that sentinels watch; with it, `redis_url` lists the sentinels",
    ),
    Setting::new(
        "redis_sentinel_username",
        Kind::Text(read_credential),
        None,
        "User of the sentinels, if they have users; that of Redis stands in `redis_url`",
    ),
    Setting::new(
        "redis_sentinel_password",
        Kind::Password(read_credential),
        None,
        "Password of the sentinels, if they have one; that of Redis stands in `redis_url`",
    ),
    SQS_QUEUE_URL,
    SNS_TOPIC_ARN,
    AWS_REGION,
    AWS_ENDPOINT_URL,
    LOG_LEVEL,
    LOG_FORMAT,
    Setting::new(
        "ignore_logger_middleware",
        Kind::Bool,
        Some("false"),
        "Whether to log no line for each HTTP request",
    ),
    Setting::new(
        "cors_allowed_origins",
        Kind::List(read_origin),
        Some("*"),
        "Browser origins that may call the HTTP API, separated by commas; `*` is any",
    ),
    Setting::new(
        "allow_missing_protocol",
        Kind::Bool,
        Some("false"),
        "Whether to accept clients that name no protocol version, instead of closing them with 4008",
    ),
    Setting::new(
        "subscription_error_style",
        Kind::Choice(&["both", "channel", "pusher"]),
        Some("both"),
        "How a refused subscription is told: as `pusher:subscription_error` on the channel, as `pusher:error`, or both",
    ),
    Setting::new(
        "terminate_close_code",
        Kind::Choice(&["4009", "4200"]),
        Some("4009"),
        "Close code of terminated users' connections: clients stay away after 4009 and come back at once after 4200",
    ),
    Setting::new(
        "max_socket_backlog_in_kb",
        Kind::Number { least: 64, most: 65_536 },
        Some("1024"),
        "KB of 1024 bytes that may wait for one slow client before it is cut off",
    ),
    WEBHOOK_BLOCK_PRIVATE_ADDRESSES,
    WEBHOOK_ALLOW_NETWORKS,
    WEBHOOK_DENY_NETWORKS,
    WEBHOOK_RETRY_SECONDS,
    WEBHOOK_RETRY_MAX_GAP_SECONDS,
    Setting::new(
        "shutdown_grace_seconds",
        Kind::Number { least: 0, most: 3_600 },
        Some("20"),
        "Seconds within which a node that is told to stop has sent its clients away and ended",
    ),
    Setting::new(
        "metrics_enabled",
        Kind::Bool,
        Some("false"),
        "Whether to serve metrics for Prometheus, at `/metrics` on a port of their own",
    ),
    Setting::new(
        "metrics_port",
        Kind::Number { least: 0, most: 65_535 },
        Some("6002"),
        "Port of the metrics, on the address of the server (0 for any free one)",
    ),
    Setting::new(
        "check_config",
        Kind::Bool,
        Some("false"),
        "Print the settings in effect, without secrets, and exit",
    )
    .only(Places::Flag),
    Setting::new("version", Kind::Bool, Some("false"), "Print the version and exit")
        .with_flags(&["v"])
        .only(Places::Flag),
    Setting::new("help", Kind::Bool, Some("false"), "Print this help and exit")
        .with_flags(&["h"])
        .only(Places::Flag),
];
