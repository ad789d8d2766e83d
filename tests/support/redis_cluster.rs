//! A Redis Cluster of a test's own, formed by commands, whose servers it may kill and whose slots it may move.

use std::{
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

use redis::Value;

use super::redis::Redis;

/// Slots that there are.
const SLOTS: usize = 16_384;

/// Primaries that they are divided among.
const PRIMARIES: usize = 3;

/// After so long without a word, the others hold a server for dead.
const NODE_TIMEOUT: &str = "3000";

/// How long the servers may take to find each other, and a replica to be as far as its primary.
const DEADLINE: Duration = Duration::from_secs(40);

/// Time between two looks whether they have.
const PAUSE: Duration = Duration::from_millis(20);

/// Three primaries, with a replica each or none. They end with this value.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    /// The primaries, then the replicas in the same order. A replica may become one.
    servers: Vec<Redis>,
}

impl RedisCluster {
    /// Primaries alone, once all slots are served.
    pub(crate) fn start() -> Self {
        Self::of(PRIMARIES)
    }

    /// Primaries with replicas that are fit to take their place.
    pub(crate) fn with_replicas() -> Self {
        let cluster = Self::of(2 * PRIMARIES);
        for (primary, replica) in cluster.servers[..PRIMARIES].iter().zip(&cluster.servers[PRIMARIES..]) {
            replica.ask::<()>(&["CLUSTER", "REPLICATE", &id(primary)]);
        }
        until("replicas", || cluster.servers[PRIMARIES..].iter().all(is_in_step));
        // Those who vote must know of them, too.
        until("known replicas", || cluster.servers.iter().all(|server| replicas(server) == PRIMARIES));
        cluster
    }

    fn of(count: usize) -> Self {
        let servers: Vec<_> = (0..count).map(|_| server()).collect();
        for (index, server) in servers.iter().enumerate() {
            server.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            if index < PRIMARIES {
                let slots = slots_of(index);
                let [first, last] = [slots.start(), slots.end()].map(ToString::to_string);
                server.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            }
            let [port, bus] = [server.address.port(), server.bus_port()].map(|port| port.to_string());
            servers[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        until("a cluster", || servers.iter().all(|server| is_whole(server, count)));
        Self { servers }
    }

    /// The addresses of two of its servers, as settings name them: the others are to be found.
    pub(crate) fn url(&self) -> String {
        format!("{},{}", self.servers[0].address, self.servers[1].address)
    }

    /// Ends one of the servers without warning.
    pub(crate) fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }

    /// Starts a server again that was killed, with nothing in it, in the place that it had.
    pub(crate) fn restart(&mut self, server: usize) {
        self.servers[server].restart();
    }

    /// Has the replica of a primary take its place while both live, as before an upgrade.
    pub(crate) fn hand_over(&self, primary: usize) {
        self.servers[PRIMARIES + primary].ask::<()>(&["CLUSTER", "FAILOVER"]);
        self.until_replica(primary);
    }

    /// Stops one of the servers in the middle of what it does.
    pub(crate) fn freeze(&self, server: usize) {
        self.servers[server].freeze();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self, server: usize) {
        self.servers[server].thaw();
    }

    /// Waits until a server has become a replica.
    pub(crate) fn until_replica(&self, server: usize) {
        until("demotion", || is_replica(&self.servers[server]));
    }

    /// The shards of a prefix whose slots a server has, and the slots.
    pub(crate) fn shards_of(&self, server: usize) -> Vec<(usize, u16)> {
        let server = &self.servers[server];
        let own = owned(server);
        let shards = (0..16).map(|shard| {
            let slot = server.ask::<u16>(&["CLUSTER", "KEYSLOT", &format!("{{{shard}}}")]);
            (shard, slot)
        });
        shards.filter(|(_, slot)| own.iter().any(|slots| slots.contains(slot))).collect()
    }

    /// The topics at a server that somebody listens to.
    pub(crate) fn topics_at(&self, server: usize) -> Vec<String> {
        self.servers[server].ask(&["PUBSUB", "SHARDCHANNELS"])
    }

    /// Moves the slot of a topic.
    pub(crate) fn move_slot_of(&self, topic: &str, from: usize, to: usize) {
        self.move_slot(self.servers[from].ask(&["CLUSTER", "KEYSLOT", topic]), from, to);
    }

    /// Moves a slot with all that is in it, as an operator's tool does it.
    pub(crate) fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let (slot, [source, target]) = (slot.to_string(), [from, to].map(|server| &self.servers[server]));
        let [source_id, target_id] = [source, target].map(id);
        let (host, port) = (target.address.ip().to_string(), target.address.port().to_string());
        target.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]);
        source.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]);
        loop {
            let keys: Vec<String> = source.ask(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            if keys.is_empty() {
                break;
            }
            let mut migrate = vec!["MIGRATE", &host, &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            source.ask::<()>(&migrate);
        }
        let others = self.servers.iter().enumerate().filter(|(index, _)| ![from, to].contains(index));
        let others = others.map(|(_, server)| server).filter(|server| !is_replica(server));
        for server in [target, source].into_iter().chain(others) {
            server.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]);
        }
    }
}

/// A server that belongs to no cluster yet.
fn server() -> Redis {
    // One dead primary is to cost its own slots and no others, also until its replica has its place.
    let coverage = ["--cluster-require-full-coverage", "no", "--cluster-allow-pubsubshard-when-down", "no"];
    let quick = ["--repl-diskless-sync-delay", "0"];
    Redis::in_cluster(&[&["--cluster-node-timeout", NODE_TIMEOUT][..], &coverage, &quick].concat())
}

fn slots_of(primary: usize) -> RangeInclusive<usize> {
    primary * SLOTS / PRIMARIES..=(primary + 1) * SLOTS / PRIMARIES - 1
}

fn id(server: &Redis) -> String {
    server.ask(&["CLUSTER", "MYID"])
}

/// Whether a server knows so many, and all slots are served.
fn is_whole(server: &Redis, count: usize) -> bool {
    let info: String = server.ask(&["CLUSTER", "INFO"]);
    let has = |line: String| info.lines().any(|found| found == line);
    has("cluster_state:ok".to_owned())
        && has(format!("cluster_known_nodes:{count}"))
        && has(format!("cluster_slots_ok:{SLOTS}"))
}

fn is_replica(server: &Redis) -> bool {
    server.ask::<String>(&["INFO", "replication"]).contains("role:slave")
}

fn is_in_step(replica: &Redis) -> bool {
    replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up")
}

/// How many replicas a server knows, with which it is connected.
fn replicas(server: &Redis) -> usize {
    let nodes: String = server.ask(&["CLUSTER", "NODES"]);
    nodes.lines().filter(|node| node.contains("slave") && node.ends_with("connected")).count()
}

/// The slots of a server.
fn owned(server: &Redis) -> Vec<RangeInclusive<u16>> {
    let port = i64::from(server.address.port());
    let ranges: Vec<(u16, u16, Vec<Value>)> = read_ranges(server.ask(&["CLUSTER", "SLOTS"]));
    let own = ranges.into_iter().filter(|(_, _, owner)| owner.get(1) == Some(&Value::Int(port)));
    own.map(|(first, last, _)| first..=last).collect()
}

/// First and last slot of each range, and its owner.
fn read_ranges(answer: Value) -> Vec<(u16, u16, Vec<Value>)> {
    let ranges: Vec<Vec<Value>> = redis::from_redis_value(answer).expect("a list of ranges");
    let read = |mut range: Vec<Value>| {
        let owner = redis::from_redis_value(range.remove(2)).expect("a server");
        let [first, last] = [0, 1].map(|place| redis::from_redis_value_ref(&range[place]).expect("a slot"));
        (first, last, owner)
    };
    ranges.into_iter().map(read).collect()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "no {what} within {DEADLINE:?}");
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_all_shards_are_at_the_primaries_and_can_be_moved() {
        let cluster = RedisCluster::start();
        let shards = |server| cluster.shards_of(server);
        assert_eq!((0..PRIMARIES).map(|server| shards(server).len()).sum::<usize>(), 16);
        let (shard, slot) = shards(0)[0];
        let key = format!("{{{shard}}}");
        cluster.servers[0].ask::<()>(&["SET", &key, "value"]);
        cluster.move_slot(slot, 0, 1);
        assert!(shards(1).contains(&(shard, slot)) && !shards(0).contains(&(shard, slot)));
        assert_eq!(cluster.servers[1].ask::<String>(&["GET", &key]), "value");
    }
}
