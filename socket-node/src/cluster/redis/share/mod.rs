//! Work that is divided among the nodes by shards, each of which one node does alone.
//!
//! A node owns a shard under a lease. All nodes renew theirs, and take what nobody has as long as they have less than
//! their fair part: so a dead node's shards are others' soon after its leases end, and no node has much more to do than
//! another. Nobody is told anything: what a node has to know stands in Redis.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use parking_lot::Mutex;
use redis::{RedisResult, Script, aio::MultiplexedConnection};
use tokio::time::Instant;

use super::{
    keys::{SHARDS, Shard},
    line::{Line, Lines},
};

/// How long a shard is a node's without being renewed. With the second or two until somebody looks, what a dead node
/// had is another one's within 15 seconds.
pub const LEASE: Duration = Duration::from_secs(12);

static ATTEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("attend.lua")));
static OWN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("own.lua")));
static DISOWN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("disown.lua")));

/// The shards of a line of which this node does the work. What is fair is reckoned over all lines.
#[derive(Debug)]
pub struct Share {
    line: Line,
    /// The name of the work that is divided.
    work: &'static str,
    node: Box<str>,
    lease: Duration,
    holdings: Arc<Mutex<Holdings>>,
    /// As many shards as a node should have; none once it takes its leave.
    fair: usize,
    is_retired: bool,
}

/// What this node has, on all lines.
#[derive(Debug, Default)]
struct Holdings {
    /// Until when each shard is this node's, as far as it knows: never longer than Redis thinks.
    until: [Option<Instant>; SHARDS as usize],
    /// Those that Redis is being asked for. They count, so that two lines do not both take the last.
    asked_for: [bool; SHARDS as usize],
}

impl Share {
    /// The shares of a node that has nothing yet, one on each line. Each value is a node of its own.
    pub fn on_each(lines: &Lines, work: &'static str, lease: Duration) -> Vec<Self> {
        let (node, holdings) = (random_name(), Arc::<Mutex<Holdings>>::default());
        let share = |line: &Line| Self {
            line: line.clone(),
            work,
            node: node.clone(),
            lease,
            holdings: Arc::clone(&holdings),
            fair: 0,
            is_retired: false,
        };
        lines.iter().map(share).collect()
    }

    /// Whether this node has the shard, and nobody else can have it.
    pub fn owns(&self, shard: Shard) -> bool {
        self.holdings.lock().owns(shard)
    }

    /// How many shards this node has beyond its fair part. It should [shed](Self::shed) them when that costs nothing.
    pub fn surplus(&self) -> usize {
        self.holdings.lock().count().saturating_sub(self.fair)
    }

    /// Renews what this node has and takes what it may have. To be called several times in a lease.
    ///
    /// # Errors
    /// If Redis does not answer. What the node has then ends with its lease.
    pub async fn renew(&mut self, connection: &MultiplexedConnection) -> RedisResult<()> {
        let mut connection = connection.clone();
        if !self.is_retired {
            self.attend(&mut connection).await?;
        }
        let (held, free): (Vec<_>, Vec<_>) = self.line.shards().partition(|shard| self.owns(*shard));
        for shard in held {
            self.own(shard, &mut connection).await?;
        }
        // Nodes that look at the same time should not all look at the same shard.
        let start = getrandom::u32().unwrap_or(0) as usize % free.len().max(1);
        for shard in free[start..].iter().chain(&free[..start]) {
            if !self.holdings.lock().ask_for(*shard, self.fair) {
                break;
            }
            let owned = self.own(*shard, &mut connection).await;
            self.holdings.lock().asked_for[shard.index()] = false;
            owned?;
        }
        Ok(())
    }

    /// Leaves a shard to others, at once.
    ///
    /// # Errors
    /// If Redis does not answer. Then others get it when the lease ends.
    pub async fn give_up(&self, shard: Shard, connection: &MultiplexedConnection) -> RedisResult<()> {
        self.holdings.lock().until[shard.index()] = None;
        DISOWN.key(self.owner_key(shard)).arg(&*self.node).invoke_async(&mut connection.clone()).await
    }

    /// [Gives up](Self::give_up) a shard if the node has more than its fair part; false if it has not.
    ///
    /// # Errors
    /// If Redis does not answer. Then others get it when the lease ends.
    pub async fn shed(&self, shard: Shard, connection: &MultiplexedConnection) -> RedisResult<bool> {
        let is_shed = self.holdings.lock().shed(shard, self.fair);
        if is_shed {
            self.give_up(shard, connection).await?;
        }
        Ok(is_shed)
    }

    /// Takes no more from now on: others take this node's part as it gives up what it has.
    ///
    /// # Errors
    /// If Redis does not answer. Then others know when the lease ends.
    pub async fn retire(&mut self, connection: &MultiplexedConnection) -> RedisResult<()> {
        (self.is_retired, self.fair) = (true, 0);
        let mut remove = redis::cmd("ZREM");
        remove.arg(self.nodes_key()).arg(&*self.node);
        remove.exec_async(&mut connection.clone()).await
    }

    /// Leaves everything to others, at once.
    ///
    /// # Errors
    /// If Redis does not answer. Then others get it when the lease ends.
    pub async fn leave(&mut self, connection: &MultiplexedConnection) -> RedisResult<()> {
        self.retire(connection).await?;
        for shard in self.line.shards() {
            self.give_up(shard, connection).await?;
        }
        Ok(())
    }

    /// Is counted in, and finds out how many others are.
    async fn attend(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let nodes: usize = ATTEND
            .key(self.nodes_key())
            .arg(&*self.node)
            .arg(self.lease_ms())
            .invoke_async(connection)
            .await?;
        self.fair = usize::from(SHARDS).div_ceil(nodes.max(1));
        Ok(())
    }

    async fn own(&self, shard: Shard, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        // Taken before the question, so that this node's clock never ends after that of Redis.
        let until = Instant::now() + self.lease;
        let is_ours: bool = OWN
            .key(self.owner_key(shard))
            .arg(&*self.node)
            .arg(self.lease_ms())
            .invoke_async(connection)
            .await?;
        self.holdings.lock().until[shard.index()] = is_ours.then_some(until);
        Ok(())
    }

    fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }

    fn owner_key(&self, shard: Shard) -> String {
        format!("{}{}-owner", self.line.keys.of_shard(shard), self.work)
    }

    /// Each line counts the nodes for itself: any of them can be away.
    fn nodes_key(&self) -> String {
        format!("{}{}-nodes", self.line.keys.of_shard(self.line.first()), self.work)
    }
}

impl Holdings {
    fn owns(&self, shard: Shard) -> bool {
        self.until[shard.index()].is_some_and(|until| Instant::now() < until)
    }

    fn count(&self) -> usize {
        Shard::all().filter(|shard| self.asked_for[shard.index()] || self.owns(*shard)).count()
    }

    /// Notes that Redis is asked for a shard; false if the node is not to have more.
    fn ask_for(&mut self, shard: Shard, fair: usize) -> bool {
        let may_have = self.count() < fair;
        self.asked_for[shard.index()] = may_have;
        may_have
    }

    /// Takes note that a shard is given up, if the node has too many.
    fn shed(&mut self, shard: Shard, fair: usize) -> bool {
        let is_surplus = self.count() > fair && self.owns(shard);
        if is_surplus {
            self.until[shard.index()] = None;
        }
        is_surplus
    }
}

/// A name that nobody has had before.
pub fn random_name() -> Box<str> {
    use std::hash::{BuildHasher as _, RandomState};
    // A system that has no random numbers for us still has some for its hash maps.
    let random = || getrandom::u64().unwrap_or_else(|_| RandomState::new().hash_one(0));
    format!("{:016x}{:016x}", random(), random()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_take_or_give_at_the_same_time_end_at_the_fair_part() {
        let mut holdings = Holdings::default();
        let taken = Shard::all().filter(|shard| holdings.ask_for(*shard, 8)).count();
        assert_eq!(taken, 8);
        let until = Instant::now() + LEASE;
        holdings = Holdings { until: [Some(until); SHARDS as usize], ..Holdings::default() };
        let shed = Shard::all().filter(|shard| holdings.shed(*shard, 6)).count();
        assert_eq!((shed, holdings.count()), (10, 6));
    }
}
