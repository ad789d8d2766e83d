//! A running node: the one place that turns settings into parts and puts them together.

pub(crate) mod app_store;
mod changes;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use app_manager::apps::Apps;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};
use tracing::{Instrument as _, warn};
use webhook_worker::{
    deliver::{Deliverer, DeliverySettings},
    retry::Schedule,
    worker::{Lanes, Limits},
};

use self::app_store::AppStore;
#[cfg(feature = "aws")]
use crate::webhooks::CloudQueue;
use crate::{
    channels::{self, Channels},
    cluster::{Bus, Cluster, Journal, Lines, RedisCache, RedisCensus, RedisQueue, redis::queue::Bounds},
    config::{Config, CorsOrigins, Driver, Listen, Log, ProtocolOptions, QueueDriver, RedisConfig, TlsFiles},
    connection::{self, Sockets},
    http::{self, AllowedOrigins, Api, Http},
    hub::pulse,
    limits::RequestLimits,
    listener::{self, Front},
    metrics::{self, Metrics, Sources},
    protocol::{Close, NodeId},
    shutdown::{Drain, Readiness},
    tally::Tally,
    tls::{Certificate, Hangups},
    webhooks::{Queue, Webhooks},
};

/// Time to find the other nodes before clients may come.
const JOIN: Duration = Duration::from_secs(5);

/// A node that has its port and everything behind it, and has not begun to serve.
#[derive(Debug)]
pub struct Node {
    listener: TcpListener,
    /// The port of the metrics, if they are served.
    metrics: Option<TcpListener>,
    front: Front,
    apps: Apps,
    channels: Channels,
    sockets: Sockets,
    webhooks: Webhooks,
    readiness: Readiness,
    grace: Duration,
    tally: Arc<Tally>,
    others: Option<Others>,
    cache: Option<RedisCache>,
    /// Where the apps are, if they are not in the settings.
    app_store: Option<AppStore>,
    tasks: JoinSet<()>,
}

impl Node {
    /// Builds a node as the settings say.
    ///
    /// # Errors
    /// If a port is taken, its certificate cannot be used, or two apps cannot be told apart.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn build(config: Config) -> anyhow::Result<Self> {
        let listener = bind(config.listen)?;
        let metrics = config.metrics.map(bind).transpose().context("cannot serve metrics")?;
        let tally = Arc::new(Tally::new(config.apps.iter().map(|app| app.id.clone())));
        let mut tasks = JoinSet::new();
        let (app_store, apps) = app_store::open(&config.app_manager, config.apps, config.app_freshness)?;
        let certificate = config.tls.map(|files| renewed_certificate(files, &mut tasks)).transpose()?;
        let lanes = lanes(&apps, config.webhook_delivery, config.webhook_schedule);
        let queue = queue(config.queue, &config.redis, lanes, &mut tasks)?;
        let (webhooks, work) = Webhooks::new(queue);
        tasks.spawn(work);
        let terminated = Close::terminated(config.protocol.terminate_close_code);
        let channels = Channels::new(apps.clone(), webhooks.clone(), terminated, Arc::clone(&tally));
        let (readiness, node) = (Readiness::default(), random_node_id()?);
        let others = match config.adapter {
            Driver::Local => None,
            Driver::Redis => Some(join_cluster(
                &config.redis,
                node,
                &channels,
                &readiness,
                (&apps, &webhooks),
                &mut tasks,
            )?),
        };
        let cluster = others.as_ref().map(|others| &others.cluster);
        let cache = match config.cache {
            Driver::Local => None,
            Driver::Redis => Some(keep_in_redis(&config.redis, node, cluster, &channels, &mut tasks)?),
        };
        let options = connection_options(&config.protocol, config.max_socket_backlog);
        let sockets = Sockets::new(
            node,
            apps.clone(),
            channels.clone(),
            options,
            readiness.clone(),
            Arc::clone(&tally),
        );
        changes::look_out(&apps, &channels, &sockets, &mut tasks);
        let (limits, ready) = (RequestLimits::default(), readiness.clone());
        let api = Api { apps: apps.clone(), channels: channels.clone(), limits, readiness: ready };
        let http =
            Http::new(api, around_requests(&config.cors_allowed_origins, &config.log), Arc::clone(&tally));
        let front = Front { sockets: sockets.clone(), http, certificate };
        Ok(Self {
            listener,
            metrics,
            front,
            apps,
            channels,
            sockets,
            webhooks,
            readiness,
            grace: config.shutdown_grace,
            tally,
            others,
            cache,
            app_store,
            tasks,
        })
    }

    /// Where the node listens; with port 0 in the settings, this is the port that it got.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where metrics are served, if they are.
    pub fn metrics_address(&self) -> Option<std::io::Result<SocketAddr>> {
        self.metrics.as_ref().map(TcpListener::local_addr)
    }

    /// Waits until the other nodes know of this one, if there may be any, until it reaches the cache, and until it is known
    /// that the queue of webhooks and the database of apps are there. A node whose Redis or whose cloud is away serves all
    /// the same; without Redis, it is not ready.
    ///
    /// # Errors
    /// If the queue or the database is not there.
    pub async fn join(&self) -> anyhow::Result<()> {
        if let Some(store) = &self.app_store {
            store.find().await?;
        }
        self.webhooks.find_queue(JOIN).await.context("webhooks have nowhere to go")?;
        let joined = async {
            match &self.others {
                // What says whether this node is ready hears of it a moment later, and clients come at once.
                Some(others) if others.cluster.joined(JOIN).await => {
                    timeout(JOIN, self.readiness.not_apart()).await.is_ok()
                }
                Some(_) => false,
                None => true,
            }
        };
        let reached = async {
            match &self.cache {
                Some(cache) => cache.reached(JOIN).await,
                None => true,
            }
        };
        match tokio::join!(joined, reached) {
            (true, true) => {}
            (false, _) => warn!("Redis does not answer: this node serves without the others until it does"),
            (true, false) => {
                warn!("Redis does not answer: cache channels have what this node knows until it does")
            }
        }
        Ok(())
    }

    /// Begins to serve.
    pub fn start(self) -> RunningNode {
        let Self {
            listener,
            metrics,
            front,
            apps,
            channels,
            sockets,
            webhooks,
            readiness,
            grace,
            tally,
            others,
            cache: _,
            app_store: _,
            mut tasks,
        } = self;
        if let Some(listener) = metrics {
            let (tally, apps) = (Arc::clone(&tally), apps.clone());
            let (channels, sockets, webhooks) = (channels.clone(), sockets.clone(), webhooks.clone());
            let cluster = others.as_ref().map(|others| others.cluster.clone());
            let metrics = Metrics::new(Sources { tally, apps, channels, sockets, webhooks, cluster });
            tasks.spawn(async {
                metrics::serve(listener, metrics).await;
            });
        }
        let (closing, is_closing) = watch::channel(());
        tasks.spawn(listener::serve(listener, front, is_closing));
        tasks.spawn(keep_time(channels, sockets.clone(), tally, apps));
        RunningNode { tasks, sockets, webhooks, readiness, grace, others, closing }
    }
}

/// What there is to take leave of where there may be other nodes.
#[derive(Debug)]
struct Others {
    cluster: Cluster,
    /// Ends the reading of the journal; closed itself when that has ended.
    reading: watch::Sender<()>,
    /// Tells webhooks of what was read, on each line. It ends when all of it is through.
    telling: JoinSet<()>,
}

impl Others {
    /// Says what is left to say. Afterwards nothing new comes for the webhooks.
    async fn leave(&self, deadline: Instant) {
        let patience = deadline.saturating_duration_since(Instant::now()) / 2;
        self.cluster.leave(patience).await;
        self.reading.send_replace(());
        // What was read and is not told by then is read by another node.
        let _ = timeout_at(deadline, self.reading.closed()).await;
    }

    /// Takes off the journal what has been told of.
    async fn take_off(&mut self, deadline: Instant) {
        // What is not taken off by then is told of once more, by another node and with the same id.
        let _ = timeout_at(deadline, async { while self.telling.join_next().await.is_some() {} }).await;
    }
}

/// A node that serves. Its tasks end with it.
#[derive(Debug)]
pub struct RunningNode {
    tasks: JoinSet<()>,
    sockets: Sockets,
    webhooks: Webhooks,
    readiness: Readiness,
    grace: Duration,
    others: Option<Others>,
    /// Closes the port; closed itself when no HTTP connection is left.
    closing: watch::Sender<()>,
}

impl RunningNode {
    /// Sends the clients away, delivers what webhooks have to tell of it, and closes the port, all within the grace.
    /// Until the port is closed, requests are answered.
    pub async fn stop(mut self) {
        let drain = Drain::within(self.grace);
        self.readiness.drain();
        drain.send_away(&self.sockets).await;
        if let Some(others) = &self.others {
            others.leave(drain.webhooks_by()).await;
        }
        self.deliver_webhooks(drain.webhooks_by()).await;
        self.closing.send_replace(());
        // Side by side: what one of them waits for in vain is not to cost the other its time.
        let taken_off = async {
            if let Some(others) = &mut self.others {
                others.take_off(drain.end()).await;
            }
        };
        let (closed, ()) = tokio::join!(timeout_at(drain.end(), self.closing.closed()), taken_off);
        if closed.is_err() {
            warn!("requests were still under way at the end");
        }
        self.tasks.shutdown().await;
    }

    async fn deliver_webhooks(&self, deadline: Instant) {
        let lost = self.webhooks.drain(deadline.saturating_duration_since(Instant::now())).await;
        if lost > 0 {
            warn!(lost, "{lost} webhooks could not be delivered before the end");
        }
    }
}

fn bind(listen: Listen) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from(listen);
    listener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

/// The certificate that the port shows, and shows anew after every SIGHUP.
fn renewed_certificate(files: TlsFiles, tasks: &mut JoinSet<()>) -> anyhow::Result<Certificate> {
    let certificate = Certificate::load(files)?;
    let hangups = Hangups::take_over().context("cannot listen for signals")?;
    tasks.spawn(hangups.renew(certificate.clone()));
    Ok(certificate)
}

/// Makes this node one of those that share a Redis.
fn join_cluster(
    redis: &RedisConfig,
    node: NodeId,
    channels: &Channels,
    readiness: &Readiness,
    (apps, webhooks): (&Apps, &Webhooks),
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Others> {
    let lines = Lines::new(redis)?;
    let ear = channels.clone();
    let (bus, bus_work) = Bus::start(&lines, node, move |heard| ear.hear(heard));
    let (census, census_work) = RedisCensus::start(&lines);
    let cluster = Cluster { lines: lines.clone(), bus, census };
    channels.join_cluster(cluster.clone());
    tasks.spawn(bus_work);
    tasks.spawn(census_work);
    tasks.spawn(channels.clone().keep_in_step(readiness.clone()));
    tasks.spawn(channels.clone().tell_counts());
    let (reading, is_ending) = watch::channel(());
    let mut telling = JoinSet::new();
    for (line, journal) in lines.iter().zip(Journal::on_each(&lines)) {
        let telling_of =
            channels::tell_of_journal(journal, apps.clone(), webhooks.clone(), is_ending.clone());
        telling.spawn(telling_of.instrument(line.span()));
    }
    Ok(Others { cluster, reading, telling })
}

/// Has the last events of cache channels kept in Redis, where nodes share them whether or not they hear each other.
fn keep_in_redis(
    redis: &RedisConfig,
    node: NodeId,
    cluster: Option<&Cluster>,
    channels: &Channels,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<RedisCache> {
    let cache = match cluster {
        Some(cluster) => RedisCache::beside(cluster.bus.clone(), cluster.lines.clone()),
        None => {
            let (cache, work) = RedisCache::start(&Lines::new(redis)?, node);
            tasks.spawn(work);
            cache
        }
    };
    channels.keep_in(cache.clone());
    tasks.spawn(channels.clone().keep_cache_filled());
    Ok(cache)
}

/// Once a second, does what no event triggers.
async fn keep_time(channels: Channels, sockets: Sockets, tally: Arc<Tally>, apps: Apps) {
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        let now = pulse::now();
        sockets.tick(now);
        channels.tick(now);
        tally.apps.make_room(|app| apps.known(app.as_str()).is_some());
    }
}

/// The queue of webhooks: nodes may share it whether or not they share anything else.
fn queue(
    driver: QueueDriver,
    redis: &RedisConfig,
    lanes: Lanes,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<Queue> {
    match driver {
        QueueDriver::Local => Ok(Queue::Local(lanes)),
        QueueDriver::Redis => {
            let (queue, work) = RedisQueue::start(&Lines::new(redis)?, lanes, Bounds::default());
            tasks.spawn(work);
            Ok(Queue::Shared(queue))
        }
        #[cfg(feature = "aws")]
        QueueDriver::Cloud(destination) => {
            let (queue, work) = CloudQueue::start(destination);
            tasks.spawn(work);
            Ok(Queue::Cloud(queue))
        }
        #[cfg(not(feature = "aws"))]
        QueueDriver::Cloud(destination) => anyhow::bail!("{destination} cannot be used without AWS"),
    }
}

/// The code that delivers, whichever queue jobs wait in.
fn lanes(apps: &Apps, settings: DeliverySettings, schedule: Schedule) -> Lanes {
    let limits = Limits { schedule, ..Limits::default() };
    Lanes::new(Deliverer::new(settings), apps.clone(), limits)
}

fn connection_options(protocol: &ProtocolOptions, max_backlog: u32) -> connection::Options {
    connection::Options {
        allow_missing_protocol: protocol.allow_missing_protocol,
        subscription_error_style: protocol.subscription_error_style,
        max_backlog,
    }
}

fn around_requests(origins: &CorsOrigins, log: &Log) -> http::Options {
    let cors_allowed_origins = match origins {
        CorsOrigins::Any => AllowedOrigins::new(["*"]),
        CorsOrigins::Only(origins) => AllowedOrigins::new(origins.iter().map(String::as_str)),
    };
    http::Options { cors_allowed_origins, log_requests: log.requests }
}

fn random_node_id() -> anyhow::Result<NodeId> {
    let bits =
        getrandom::u64().map_err(|error| anyhow::anyhow!("no random numbers from the system: {error}"))?;
    Ok(NodeId::from_random(bits))
}
