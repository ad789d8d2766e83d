//! A running node: the one place that turns settings into parts and puts them together.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use app_manager::{apps::Apps, store::ArrayStore};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tracing::warn;
use webhook_worker::{
    deliver::{Deliverer, DeliverySettings},
    target::AddressPolicy,
    worker::{Lanes, Limits},
};

use crate::{
    channels::Channels,
    config::{Config, CorsOrigins},
    connection::{self, Sockets},
    http::{self, AllowedOrigins, Api, Http},
    hub::pulse,
    limits::RequestLimits,
    listener::{self, Front},
    protocol::{Close, NodeId},
    shutdown::{self, Readiness},
    webhooks::Webhooks,
};

/// How long the end of a node waits for webhooks to be delivered.
const WEBHOOK_PATIENCE: Duration = Duration::from_secs(10);

/// A node that has its port and everything behind it, and has not begun to serve.
#[derive(Debug)]
pub struct Node {
    listener: TcpListener,
    front: Front,
    channels: Channels,
    sockets: Sockets,
    webhooks: Webhooks,
    readiness: Readiness,
    tasks: JoinSet<()>,
}

impl Node {
    /// Builds a node as the settings say.
    ///
    /// # Errors
    /// If its port is taken, or two apps cannot be told apart.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn build(config: Config) -> anyhow::Result<Self> {
        let address = SocketAddr::from(config.listen);
        let listener = listener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let apps = Apps::new(ArrayStore::new(config.apps)?);
        let mut tasks = JoinSet::new();
        let policy = AddressPolicy::blocking_private(config.webhook_block_private_addresses);
        let (webhooks, work) = Webhooks::new(local_queue(&apps, policy));
        tasks.spawn(work);
        let terminated = Close::terminated(config.protocol.terminate_close_code);
        let channels = Channels::new(apps.clone(), webhooks.clone(), terminated);
        let readiness = Readiness::default();
        let options = connection::Options {
            allow_missing_protocol: config.protocol.allow_missing_protocol,
            subscription_error_style: config.protocol.subscription_error_style,
            max_backlog: config.max_socket_backlog,
        };
        let sockets =
            Sockets::new(random_node_id()?, apps.clone(), channels.clone(), options, readiness.clone());
        let limits = RequestLimits::default();
        let api = Api { apps, channels: channels.clone(), limits, readiness: readiness.clone() };
        let around = http::Options {
            cors_allowed_origins: allowed_origins(&config.cors_allowed_origins),
            log_requests: config.log.requests,
        };
        let http = Http::new(api, around);
        let front = Front { sockets: sockets.clone(), http };
        Ok(Self { listener, front, channels, sockets, webhooks, readiness, tasks })
    }

    /// Where the node listens; with port 0 in the settings, this is the port that it got.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Begins to serve.
    pub fn start(self) -> RunningNode {
        let Self { listener, front, channels, sockets, webhooks, readiness, mut tasks } = self;
        tasks.spawn(async {
            listener::serve(listener, front).await;
        });
        tasks.spawn(keep_time(channels, sockets.clone()));
        RunningNode { tasks, sockets, webhooks, readiness }
    }
}

/// A node that serves. Its tasks end with it.
#[derive(Debug)]
pub struct RunningNode {
    tasks: JoinSet<()>,
    sockets: Sockets,
    webhooks: Webhooks,
    readiness: Readiness,
}

impl RunningNode {
    /// Sends the clients away and delivers what webhooks have to tell of it.
    pub async fn stop(mut self) {
        self.readiness.drain();
        shutdown::drain(&self.sockets).await;
        let lost = self.webhooks.drain(WEBHOOK_PATIENCE).await;
        if lost > 0 {
            warn!(lost, "{lost} webhooks could not be delivered before the end");
        }
        self.tasks.shutdown().await;
    }
}

/// Once a second, does what no event triggers.
async fn keep_time(channels: Channels, sockets: Sockets) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let now = pulse::now();
        sockets.tick(now);
        channels.tick(now);
    }
}

/// The queue in this process: jobs go straight to the code that delivers them.
fn local_queue(apps: &Apps, policy: AddressPolicy) -> Lanes {
    let settings = DeliverySettings::new(policy);
    Lanes::new(Deliverer::new(settings), apps.clone(), Limits::default())
}

fn allowed_origins(origins: &CorsOrigins) -> AllowedOrigins {
    match origins {
        CorsOrigins::Any => AllowedOrigins::new(["*"]),
        CorsOrigins::Only(origins) => AllowedOrigins::new(origins.iter().map(String::as_str)),
    }
}

fn random_node_id() -> anyhow::Result<NodeId> {
    let bits =
        getrandom::u64().map_err(|error| anyhow::anyhow!("no random numbers from the system: {error}"))?;
    Ok(NodeId::from_random(bits))
}
