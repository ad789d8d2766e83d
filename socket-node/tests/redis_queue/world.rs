//! Nodes that share a Redis, of which there is only the queue.

use std::{collections::HashMap, time::Duration};

use app_manager::{
    app::{
        App, AppId,
        settings::{APP_SETTINGS, Problems, Setting, Values, build},
    },
    apps::Apps,
    store::ArrayStore,
    webhook::{Endpoint, WebhookTarget},
};
use socket_node::cluster::redis::{
    keys::{Keys, Shard},
    line::Lines,
    queue::{Bounds, QueueFull, Receipt, RedisQueue},
};
use tokio::{
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};
use webhook_worker::{
    deliver::{Deliverer, DeliverySettings},
    event::WebhookEvent,
    job::{Job, now_ms},
    retry::Schedule,
    target::AddressPolicy,
    worker::{Lanes, Limits},
};

use crate::redis_server::{Redis, link};

/// Time for anything to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A Redis, and what nodes need to share it.
pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
    pub(crate) bounds: Bounds,
    pub(crate) limits: Limits,
}

/// A node of which there is only the queue.
pub(crate) struct Node {
    pub(crate) queue: RedisQueue,
    pub(crate) lanes: Lanes,
    work: AbortHandle,
}

impl World {
    pub(crate) async fn new() -> Self {
        let bounds = Bounds { lease: Duration::from_secs(3), ..Bounds::default() };
        let schedule = Schedule { first_gap: Duration::from_millis(100), ..Schedule::default() };
        let limits = Limits { schedule, probe_rest: Duration::from_millis(1), ..Limits::default() };
        Self { redis: Redis::start(), keys: Keys::new("test"), bounds, limits }
    }

    pub(crate) fn node(&self) -> Node {
        let deliverer = Deliverer::new(DeliverySettings::new(AddressPolicy::public_and_private()));
        let lanes = Lanes::new(deliverer, Apps::new(ArrayStore::new([app()]).unwrap()), self.limits);
        let lines = Lines::to_server(link(self.redis.port()), self.keys.clone());
        let (queue, work) = RedisQueue::start(&lines, lanes.clone(), self.bounds);
        Node { queue, lanes, work: tokio::spawn(work).abort_handle() }
    }

    /// Nodes that have divided the streams among themselves.
    pub(crate) async fn nodes(&self, count: u64) -> Vec<Node> {
        let nodes: Vec<_> = (0..count).map(|_| self.node()).collect();
        let most = 16_u64.div_ceil(count);
        until("a fair share for all", || async {
            let shards: Vec<_> = nodes.iter().map(|node| node.queue.figures().shards()).collect();
            shards.iter().sum::<u64>() == 16 && shards.iter().all(|shards| *shards <= most)
        })
        .await;
        nodes
    }

    /// How many entries a channel's stream of this name has.
    pub(crate) async fn length(&self, stream: &str, channel: &str) -> usize {
        let mut command = redis::cmd("XLEN");
        command.arg(format!("{}{stream}", self.keys.of_shard(Shard::of("1", channel))));
        command.query_async(&mut link(self.redis.port()).connect().await.unwrap()).await.unwrap()
    }

    /// The entries of a channel's stream of this name.
    pub(crate) async fn entries(&self, stream: &str, channel: &str) -> Vec<HashMap<String, String>> {
        let mut command = redis::cmd("XRANGE");
        command.arg(format!("{}{stream}", self.keys.of_shard(Shard::of("1", channel)))).arg("-").arg("+");
        let entries: Vec<(String, HashMap<String, String>)> =
            command.query_async(&mut link(self.redis.port()).connect().await.unwrap()).await.unwrap();
        entries.into_iter().map(|(_, fields)| fields).collect()
    }
}

impl Node {
    /// Pushes a job, and waits until it is known whether it is in Redis.
    pub(crate) async fn push(&self, job: &Job) -> Result<(), QueueFull> {
        timeout(DEADLINE, self.queue.push(job)?).await.expect("an answer")
    }

    /// Pushes this many jobs to each of so many channels.
    pub(crate) fn push_many(&self, url: &str, channels: usize, each: usize) -> Vec<Receipt> {
        let jobs = (0..each).flat_map(|data| (0..channels).map(move |channel| (channel, data)));
        jobs.map(|(channel, data)| self.queue.push(&job(url, &format!("room-{channel}"), data)).unwrap())
            .collect()
    }

    /// Ends at once, as a process that is killed. What it had under way ends in the middle.
    pub(crate) async fn kill(self) {
        self.work.abort();
        self.lanes.drain(Duration::ZERO).await;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// Waits until all of these are in Redis.
pub(crate) async fn all_in_redis(receipts: Vec<Receipt>) {
    for receipt in receipts {
        timeout(DEADLINE, receipt).await.expect("an answer").expect("there is room");
    }
}

/// A webhook to this URL of an event with this data.
pub(crate) fn job(url: &str, channel: &str, data: usize) -> Job {
    let target = WebhookTarget {
        endpoint: Endpoint::Url(url.into()),
        event_types: Vec::new(),
        channel_name_starts_with: None,
        channel_name_ends_with: None,
        headers: Vec::new(),
    };
    let event = WebhookEvent::ClientEvent {
        channel: channel.into(),
        event: "client-e".into(),
        data: data.to_string(),
        socket_id: "1.1".into(),
        user_id: None,
    };
    Job::render(&AppId::from("1"), &target, &[event], now_ms())
}

/// Waits until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < DEADLINE, "{what}: waited too long");
        sleep(Duration::from_millis(10)).await;
    }
}

fn app() -> App {
    let mut values = Values::new(APP_SETTINGS);
    let mut problems = Problems::default();
    for (name, value) in [("app_id", "1"), ("app_key", "key"), ("app_secret", "secret")] {
        let setting = Setting::find_json(APP_SETTINGS, name).unwrap();
        values.add(setting, &value.into(), name.into(), &mut problems);
    }
    build(&values, "test", &mut problems).unwrap()
}
