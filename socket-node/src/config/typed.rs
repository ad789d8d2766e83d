//! The settings of a server as the rest of the program sees them: typed, complete, and with the defaults filled in.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use app_manager::{access::Access, app::App, apps::Freshness, store::DatabaseUrl};
use webhook_worker::{deliver::DeliverySettings, retry::Schedule};

use super::RedisConfig;

/// Everything that was configured.
pub struct Config {
    /// Where clients connect.
    pub listen: Listen,
    /// What the port's TLS is made of; without it, the port is a plain one.
    pub tls: Option<TlsFiles>,
    /// Where metrics are served, if they are.
    pub metrics: Option<Listen>,
    /// What the operator calls this environment; logged at the start.
    pub app_env: String,
    /// How nodes hear of each other's events.
    pub adapter: Driver,
    /// Where cache channels keep their last event.
    pub cache: Driver,
    /// Where webhooks wait to be delivered.
    pub queue: QueueDriver,
    /// What is logged, and how.
    pub log: Log,
    /// Which browser origins may call the HTTP API.
    pub cors_allowed_origins: CorsOrigins,
    /// Where the protocol leaves a choice.
    pub protocol: ProtocolOptions,
    /// Bytes that may wait for one slow client before it is cut off.
    pub max_socket_backlog: u32,
    /// Which addresses webhooks may be sent to, and how topics and functions in AWS are reached.
    pub webhook_delivery: DeliverySettings,
    /// When failed webhooks are tried again, and for how long.
    pub webhook_schedule: Schedule,
    /// Time for a node that is told to stop to send its clients away and end.
    pub shutdown_grace: Duration,
    /// The Redis that drivers named `redis` would use.
    pub redis: RedisConfig,
    /// Where the apps are.
    pub app_manager: AppManager,
    /// The apps that are served, if the settings have them.
    pub apps: Vec<App>,
    /// For how long it is good what a database says of apps.
    pub app_freshness: Freshness,
    /// What is in order but perhaps not meant; to be logged at the start.
    pub notices: Vec<String>,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The interface; `0.0.0.0` or `::` is all of them.
    pub bind_address: IpAddr,
    /// The port; 0 is any free one.
    pub port: u16,
}

impl From<Listen> for SocketAddr {
    fn from(listen: Listen) -> Self {
        Self::new(listen.bind_address, listen.port)
    }
}

/// Where a certificate and its key are, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and after it those that vouch for it.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What stands behind the adapter or the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// This process alone.
    Local,
    /// The Redis of the settings.
    Redis,
}

/// Where the apps are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppManager {
    /// In the settings.
    Array,
    /// In a table of DynamoDB.
    DynamoDb(AppTable),
    /// In a database of PostgreSQL, MySQL or MariaDB.
    Sql(DatabaseUrl),
}

/// A table of apps, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppTable {
    /// Its name.
    pub name: String,
    /// How AWS is reached.
    pub access: Access,
}

/// Where webhooks wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueDriver {
    /// In this process.
    Local,
    /// In the Redis of the settings, until a node delivers them.
    Redis,
    /// In the cloud, until a worker does.
    Cloud(CloudDestination),
}

/// Where webhooks go that others deliver, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudDestination {
    /// What takes them.
    pub outlet: CloudOutlet,
    /// How AWS is reached.
    pub access: Access,
}

/// What takes webhooks in the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudOutlet {
    /// A queue in SQS, by URL or name.
    Queue(String),
    /// A topic in SNS, by ARN.
    Topic(String),
}

impl fmt::Display for CloudDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outlet {
            CloudOutlet::Queue(name) => write!(f, "the queue '{name}'"),
            CloudOutlet::Topic(arn) => write!(f, "the topic '{arn}'"),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// The least important lines that are still written.
    pub level: LogLevel,
    /// What a line looks like.
    pub format: LogFormat,
    /// Whether each HTTP request gets a line.
    pub requests: bool,
}

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What a day's work consists of.
    Info,
    /// What may need attention.
    Warn,
    /// What failed.
    Error,
}

impl LogLevel {
    /// The word for it, as it is configured.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Which browser origins may call the HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigins {
    /// All of them.
    Any,
    /// These, as lower-case `scheme://host[:port]` or bare host, `*.` in front of a host standing for its subdomains.
    Only(Vec<String>),
}

/// Choices that the Pusher protocol leaves open, or that clients disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolOptions {
    /// Whether clients that name no protocol version are let in, instead of being closed with 4008.
    pub allow_missing_protocol: bool,
    /// How a refused subscription is told.
    pub subscription_error_style: SubscriptionErrorStyle,
    /// The close code of connections whose user the app terminated.
    pub terminate_close_code: u16,
}

/// How a refused subscription is told to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionErrorStyle {
    /// In both ways: old and new clients each find theirs.
    Both,
    /// As `pusher:subscription_error` on the channel.
    Channel,
    /// As `pusher:error`.
    Pusher,
}

/// Leaves out what may be secret in apps: headers and URLs of their webhooks.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let apps: Vec<_> = self.apps.iter().map(|app| &app.id).collect();
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("tls", &self.tls)
            .field("metrics", &self.metrics)
            .field("app_env", &self.app_env)
            .field("adapter", &self.adapter)
            .field("cache", &self.cache)
            .field("queue", &self.queue)
            .field("log", &self.log)
            .field("cors_allowed_origins", &self.cors_allowed_origins)
            .field("protocol", &self.protocol)
            .field("max_socket_backlog", &self.max_socket_backlog)
            .field("webhook_delivery", &self.webhook_delivery)
            .field("webhook_schedule", &self.webhook_schedule)
            .field("shutdown_grace", &self.shutdown_grace)
            .field("redis", &self.redis)
            .field("app_manager", &self.app_manager)
            .field("apps", &apps)
            .field("app_freshness", &self.app_freshness)
            .field("notices", &self.notices)
            .finish()
    }
}
