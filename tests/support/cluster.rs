//! Nodes that share a Redis of their own, or a Redis Cluster, each of which may be killed or frozen, and so may Redis and the way to it.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::{
    node::{Launch, Node, unique_prefix},
    proxy::Proxy,
    redis::Redis,
    redis_cluster::RedisCluster,
};

const QUIET: &str = "--ignore-logger-middleware";

/// Some nodes and their Redis.
#[derive(Debug)]
pub(crate) struct Cluster<R = Redis> {
    nodes: Vec<Node>,
    /// What stands between each node and Redis, if the test asked for it.
    proxies: Vec<Proxy>,
    /// What the names of all that they have in Redis begin with.
    pub(crate) prefix: String,
    /// What they share. It is dropped last, so that nodes end in peace.
    pub(crate) redis: R,
}

impl Cluster {
    /// So many nodes of the usual app, with further flags.
    pub(crate) fn start(count: usize, flags: &[&str]) -> Self {
        Self::of(count, || Launch::new().flags(flags.iter().copied()))
    }

    /// So many nodes of any kind. They log no requests: a test that fails shows their logs, and many publish a lot.
    pub(crate) fn of(count: usize, launch: impl Fn() -> Launch) -> Self {
        let (redis, prefix) = (Redis::start(), unique_prefix());
        let nodes =
            (0..count).map(|_| launch().flags([QUIET]).on_redis(redis.address, &prefix).start_alone());
        let nodes = nodes.collect();
        Self { nodes, proxies: Vec::new(), prefix, redis }
    }

    /// So many nodes of the usual app that find this Redis by these flags, and it alone.
    pub(crate) fn watched(count: usize, flags: &[String], redis: Redis) -> Self {
        let prefix = unique_prefix();
        let launch = || {
            let shared = ["--adapter-driver", "redis", "--redis-prefix", &prefix, QUIET];
            Launch::new().flags(shared).flags(flags.to_vec()).start_alone()
        };
        let nodes = (0..count).map(|_| launch()).collect();
        Self { nodes, proxies: Vec::new(), prefix, redis }
    }

    /// So many nodes of the usual app, each of which reaches Redis through a proxy of its own.
    pub(crate) async fn behind_proxies(count: usize, flags: &[&str]) -> Self {
        let (redis, prefix) = (Redis::start(), unique_prefix());
        let (mut nodes, mut proxies) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let proxy = Proxy::to(redis.address).await;
            let launch =
                Launch::new().flags(flags.iter().copied()).flags([QUIET]).on_redis(proxy.address, &prefix);
            // The proxy needs this thread if the test has no other.
            let started = tokio::task::spawn_blocking(|| launch.start_alone());
            nodes.push(started.await.expect("the node starts"));
            proxies.push(proxy);
        }
        Self { nodes, proxies, prefix, redis }
    }

    /// Waits until all nodes listen to all that they want to hear, and says how long that took: each subscribes last to the
    /// topic that all of them hear.
    pub(crate) async fn all_hear(&self, deadline: Duration) -> Duration {
        let (began, control) = (Instant::now(), format!("{}:control", self.prefix));
        let asking = async {
            loop {
                let (_, listening): (String, usize) = self.redis.ask(&["PUBSUB", "NUMSUB", &control]);
                if listening == self.nodes.len() {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(deadline, asking).await.unwrap_or_else(|_| panic!("not all hear within {deadline:?}"));
        began.elapsed()
    }

    /// Starts a node in the place of one that is gone, on the same Redis.
    pub(crate) fn replace(&mut self, index: usize, launch: Launch) {
        self.nodes[index] = launch.flags([QUIET]).on_redis(self.redis.address, &self.prefix).start_alone();
    }
}

impl Cluster<RedisCluster> {
    /// So many nodes of any kind that share a Redis Cluster.
    pub(crate) fn on(redis: RedisCluster, count: usize, launch: impl Fn() -> Launch) -> Self {
        let (url, prefix) = (redis.url(), unique_prefix());
        let nodes = (0..count).map(|_| launch().flags([QUIET]).on_redis_at(&url, &prefix).start_alone());
        let nodes = nodes.collect();
        Self { nodes, proxies: Vec::new(), prefix, redis }
    }
}

impl<R> Cluster<R> {
    /// One of the nodes.
    pub(crate) fn node(&self, index: usize) -> &Node {
        &self.nodes[index]
    }

    /// All of them.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One of them, to be stopped.
    pub(crate) fn node_mut(&mut self, index: usize) -> &mut Node {
        &mut self.nodes[index]
    }

    /// A node's way to Redis.
    pub(crate) fn proxy(&self, index: usize) -> &Proxy {
        &self.proxies[index]
    }

    /// Ends a node without warning.
    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].kill();
    }

    /// Stops a node in the middle of what it does.
    pub(crate) fn freeze(&self, index: usize) {
        self.nodes[index].freeze();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self, index: usize) {
        self.nodes[index].thaw();
    }
}
