//! The same tests against two nodes: with `SOCKET_RUSH_TEST_NODES=2` in the environment, what a test starts as a node is
//! a pair that shares a Redis. Clients go to one and the other by turns, and so do requests that read; events are
//! published through the second, so that they have to cross over to the first client. No test can tell, except for those
//! that are about one process. With `SOCKET_RUSH_TEST_REDIS=cluster`, the Redis is a Redis Cluster.

use std::{
    env,
    net::SocketAddr,
    process,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use super::{Launch, Node};
use crate::support::{redis::Redis, redis_cluster::RedisCluster};

/// Tests whose nodes are single ones all the same, by the beginning of their names, and what they are about.
const ABOUT_ONE_PROCESS: &[(&str, &str)] = &[
    ("e2e::authorization::one_apps_limits_are_not_used_up", "each process counts rates for itself"),
    ("e2e::bad_frames::connections_that_end_within_a_frame", "its memory"),
    ("e2e::bad_frames::many_connections_that_wait", "its memory"),
    ("e2e::bad_handshake::three_hundred_connections_that_hang", "its memory"),
    ("e2e::bad_handshake::too_much_before_the_end", "its memory"),
    ("e2e::bad_messages::a_message_of_four_megabytes", "its memory"),
    ("e2e::drain::", "it is told to stop while others are not"),
    ("e2e::handshake::the_first_line_says", "its standard output"),
    ("e2e::http_events::batches::each_event_of_a_batch_counts", "each process counts rates for itself"),
    ("e2e::http_events::bounds::a_body_far_beyond_all_limits", "its memory"),
    ("e2e::http_events::bounds::more_events_per_second", "each process counts rates for itself"),
    ("e2e::http_reads::more_reads_per_second", "each process counts rates for itself"),
    ("e2e::limits::a_place_is_free_again", "the other hears a moment later that a place is free"),
    ("e2e::limits::refused_connections_take_no_place", "the other hears a moment later that a place is free"),
    ("e2e::logs::the_id_on_an_answer", "the order of the lines in its log"),
    ("e2e::metrics::", "each process counts what it does"),
    ("e2e::settings::", "how it reads its settings, also those of the Redis that a pair would share"),
    ("e2e::tls::", "its certificate, and its files"),
    ("e2e::webhooks::contents::each_of_the_seven", "the order of events of several kinds"),
    ("e2e::webhooks::contents::every_count_is_told", "several nodes gather counts before they tell them"),
    ("load::", "what many connections cost it"),
    ("sdk::pusher_js_and_the_node_server_sdk_speak_tls", "its certificate, and its files"),
    ("sdk::pusher_js_moves_to_another_node", "it is told to stop while others are not"),
    ("sdk::readme::", "the README speaks of one port"),
    ("sdk::the_node_server_sdk_finds_webhooks_valid", "the order of events of several kinds"),
    ("sdk::the_prometheus_parser", "each process counts what it does"),
    ("sdk::the_python_server_sdk_finds_webhooks_valid", "the order of events of several kinds"),
];

/// The same where pairs share a Redis Cluster: these are about the order of events on different channels, which may cross
/// over on different servers.
const ABOUT_CHANNELS_TOGETHER: &[&str] = &[
    "e2e::authorization::two_thousand_events_of_one_app",
    "e2e::http_events::batches::a_batch_without_info",
];

/// The node that a test does not see.
#[derive(Debug)]
pub(super) struct Twin {
    pub(super) node: Box<Node>,
    /// It ends with the last pair.
    _redis: Arc<Shared>,
}

/// Where clients or requests go, by turns. Clones take turns with each other.
#[derive(Clone, Debug)]
pub(crate) struct Doors {
    addresses: Arc<[SocketAddr]>,
    turn: Arc<AtomicUsize>,
}

impl Doors {
    /// The doors at these addresses, of which that with the number `first` is the first to be taken.
    pub(crate) fn new(addresses: &[SocketAddr], first: usize) -> Self {
        Self { addresses: addresses.into(), turn: Arc::new(first.into()) }
    }

    /// The next one.
    pub(crate) fn next(&self) -> SocketAddr {
        self.addresses[self.turn.fetch_add(1, Relaxed) % self.addresses.len()]
    }

    /// All of them.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// Whether the test that calls this is to be given pairs.
pub(super) fn is_wanted() -> bool {
    match env::var("SOCKET_RUSH_TEST_NODES").as_deref() {
        Err(_) | Ok("1") => false,
        Ok("2") => !is_about_one_process(),
        Ok(other) => panic!("SOCKET_RUSH_TEST_NODES may be 1 or 2, not {other:?}"),
    }
}

/// A test runs on a thread that has its name.
fn is_about_one_process() -> bool {
    let thread = thread::current();
    let test = thread.name().filter(|name| name.contains("::"));
    let test = test
        .expect("pairs need tests on threads of their own: more than one thread, and nodes started there");
    let is_about_order = || ABOUT_CHANNELS_TOGETHER.iter().any(|beginning| test.starts_with(beginning));
    let is_about_one = ABOUT_ONE_PROCESS.iter().any(|(beginning, _)| test.starts_with(beginning));
    is_about_one || is_cluster_wanted() && is_about_order()
}

/// Whether pairs are to share a Redis Cluster.
fn is_cluster_wanted() -> bool {
    match env::var("SOCKET_RUSH_TEST_REDIS").as_deref() {
        Err(_) | Ok("server") => false,
        Ok("cluster") => true,
        Ok(other) => panic!("SOCKET_RUSH_TEST_REDIS may be server or cluster, not {other:?}"),
    }
}

/// Starts two nodes of a kind that share a Redis, with nothing in it that another pair would find.
pub(super) fn start(launch: Launch) -> Node {
    let redis = shared_redis();
    let launch = launch.on_redis_at(&redis.url(), &unique_prefix()).flags(["--cache-driver", "redis"]);
    let twin = launch.duplicate().start_alone();
    let mut node = launch.start_alone();
    let addresses = [node.address, twin.address];
    (node.clients, node.requests) = (Doors::new(&addresses, 0), Doors::new(&addresses, 0));
    node.twin = Some(Twin { node: Box::new(twin), _redis: redis });
    node
}

/// A prefix of keys that no other node has, unless it was given the same one.
pub(crate) fn unique_prefix() -> String {
    static PREFIXES: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}-{}", process::id(), PREFIXES.fetch_add(1, Relaxed))
}

/// What pairs share.
#[derive(Debug)]
enum Shared {
    Server(Redis),
    Cluster(RedisCluster),
}

impl Shared {
    fn start() -> Self {
        if is_cluster_wanted() { Self::Cluster(RedisCluster::start()) } else { Self::Server(Redis::start()) }
    }

    fn url(&self) -> String {
        match self {
            Self::Server(redis) => redis.address.to_string(),
            Self::Cluster(redis) => redis.url(),
        }
    }
}

/// The Redis of all pairs that there are.
fn shared_redis() -> Arc<Shared> {
    static SHARED: Mutex<Weak<Shared>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let redis = Arc::new(Shared::start());
        *shared = Arc::downgrade(&redis);
        redis
    })
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn every_exception_names_a_test() {
        let list = Command::new(env::current_exe().expect("this test has a path")).arg("--list").output();
        let list = String::from_utf8(list.expect("it runs").stdout).expect("names are UTF-8");
        let beginnings = ABOUT_ONE_PROCESS.iter().map(|(beginning, _)| beginning);
        for beginning in beginnings.chain(ABOUT_CHANNELS_TOGETHER) {
            assert!(list.lines().any(|line| line.starts_with(beginning)), "there is no test {beginning}");
        }
    }

    #[test]
    fn doors_are_taken_by_turns_by_all_that_share_them() {
        let [first, second] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let doors = Doors::new(&[first, second], 1);
        let shared = doors.clone();
        assert_eq!([doors.next(), shared.next(), doors.next()], [second, first, second]);
    }
}
