//! The last event of every cache channel, in Redis, for all nodes.
//!
//! It is written by the script that publishes it, [in one step](scripts): the order of what is kept is the order in which
//! nodes hear it. It is read on the connection on which this node hears: who has the answer has heard all that came
//! before it, and nothing that comes after it is in it. What this node itself has said is waited for first.
//!
//! Whoever reads has a deadline. While Redis is away, a node goes on with what it knows by itself.

pub(super) mod scripts;

use std::time::Duration;

use redis::{RedisResult, aio::MultiplexedConnection};
use thiserror::Error;
use tokio::{sync::watch, time::timeout};
use tracing::debug;

use super::{
    bus::{Bus, BusState, OutboxFull},
    keys::{Keys, Shard},
    line::Lines,
};
use crate::{
    hub::Topic,
    protocol::{Frame, NodeId, SocketId},
};

/// How long an event is kept after it was published.
const TIME_TO_LIVE: Duration = Duration::from_secs(30 * 60);

/// How long anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a publisher waits for an event to be in Redis, where everybody finds it.
const KEEPING: Duration = Duration::from_millis(500);

/// The cache as one node has it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RedisCache {
    bus: Bus,
    lines: Lines,
}

/// An event that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// As its subscribers got it.
    pub frame: Frame,
    /// How long it will still be kept.
    pub left: Duration,
}

/// What was found of a channel.
#[derive(Clone, Debug)]
pub struct Found {
    /// The last event.
    pub kept: Option<Kept>,
    /// Up to when: on the connection with this number, everything that has been published after it is heard by a node
    /// that listens to the channel.
    pub generation: u64,
}

/// Redis does not answer.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the cache is away")]
pub struct CacheAway;

impl RedisCache {
    /// The cache of nodes that hear each other on this bus.
    pub fn beside(bus: Bus, lines: Lines) -> Self {
        Self { bus, lines }
    }

    /// The cache of nodes that have nothing else in common, and its work, which never ends.
    pub fn start(lines: &Lines, node: NodeId) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let lines = lines.for_cache();
        let (bus, work) = Bus::start(&lines, node, |_| {});
        (Self { bus, lines }, work)
    }

    /// Has an event kept as the last one of its channel, and published if there are nodes to hear it. It never waits.
    ///
    /// # Errors
    /// If there is no room for it on the way to Redis. Then nobody will hear it.
    pub fn keep(&self, topic: &Topic, frame: &Frame, except: Option<SocketId>) -> Result<(), OutboxFull> {
        self.bus.publish_and_keep(topic, frame, except)
    }

    /// Waits until what this node has had kept is in Redis, half a second at most and not at all while Redis is away.
    pub async fn kept(&self, topic: &Topic) {
        if self.generation(topic).is_some() {
            self.settle(topic, KEEPING).await;
        }
    }

    /// Waits until what this node has had kept is in Redis, as long as the patience lasts. If it ends first, it is still
    /// on its way.
    pub async fn settle(&self, topic: &Topic, patience: Duration) {
        let _ = timeout(patience, self.bus.settled(topic)).await;
    }

    /// The last event of a channel, as of now or later than all that this node has had kept.
    ///
    /// # Errors
    /// [`CacheAway`], after a second at most.
    pub async fn recall(&self, topic: &Topic) -> Result<Found, CacheAway> {
        let recall = async {
            self.bus.settled(topic).await;
            let (generation, mut connection) = self.wire(topic)?;
            let key = scripts::event_key(self.keys(topic), topic);
            let mut pipeline = redis::pipe();
            pipeline.cmd("GET").arg(&key).cmd("PTTL").arg(&key);
            let answer: RedisResult<(Option<Vec<u8>>, i64)> = pipeline.query_async(&mut connection).await;
            let (frame, left) = answer.map_err(|error| away(&error))?;
            // It may have vanished between the two questions.
            let left = u64::try_from(left).map(Duration::from_millis).ok();
            let frame = frame.and_then(|frame| Frame::from_encoded(frame.into()));
            let kept = frame.zip(left).map(|(frame, left)| Kept { frame, left });
            Ok(Found { kept, generation })
        };
        timeout(PATIENCE, recall).await.unwrap_or(Err(CacheAway))
    }

    /// Gives back an event that Redis has lost; false if something stands there meanwhile.
    ///
    /// # Errors
    /// [`CacheAway`], after a second at most.
    pub async fn restore(&self, topic: &Topic, kept: &Kept) -> Result<bool, CacheAway> {
        let restore = async {
            let (_, mut connection) = self.wire(topic)?;
            let (event, miss) =
                (scripts::event_key(self.keys(topic), topic), scripts::miss_key(self.keys(topic), topic));
            let left = scripts::milliseconds(kept.left).max(1);
            let mut pipeline = redis::pipe();
            pipeline.cmd("SET").arg(event).arg(&kept.frame.bytes()[..]).arg("NX").arg("PX").arg(left);
            pipeline.cmd("DEL").arg(miss).ignore();
            let answer: RedisResult<(Option<String>,)> = pipeline.query_async(&mut connection).await;
            answer.map(|(set,)| set.is_some()).map_err(|error| away(&error))
        };
        timeout(PATIENCE, restore).await.unwrap_or(Err(CacheAway))
    }

    /// Whether nobody on any node has found the channel empty since it became empty; it is known from now on.
    ///
    /// # Errors
    /// [`CacheAway`], after a second at most.
    pub async fn is_first_miss(&self, topic: &Topic) -> Result<bool, CacheAway> {
        let ask = async {
            let (_, mut connection) = self.wire(topic)?;
            let answer = scripts::is_first_miss(self.keys(topic), topic, &mut connection).await;
            answer.map_err(|error| away(&error))
        };
        timeout(PATIENCE, ask).await.unwrap_or(Err(CacheAway))
    }

    /// The number of the connection on which this node hears what happens in a channel, while it does.
    pub fn generation(&self, topic: &Topic) -> Option<u64> {
        self.bus.wire(topic).map(|(generation, _)| generation)
    }

    /// Waits until all of it can be reached, as long as the patience lasts; false if it is not so by then.
    pub async fn reached(&self, patience: Duration) -> bool {
        let reached = async {
            for line in self.lines.iter() {
                let mut state = self.state(line.first());
                if state.wait_for(|state| matches!(state, BusState::Listening(_))).await.is_err() {
                    return false;
                }
            }
            true
        };
        timeout(patience, reached).await.unwrap_or(false)
    }

    /// The ways to it.
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Whether the part of a shard can be reached, now and from now on.
    pub fn state(&self, shard: Shard) -> watch::Receiver<BusState> {
        self.bus.state(shard)
    }

    fn keys(&self, topic: &Topic) -> &Keys {
        &self.lines.of_topic(topic).keys
    }

    fn wire(&self, topic: &Topic) -> Result<(u64, MultiplexedConnection), CacheAway> {
        self.bus.wire(topic).ok_or(CacheAway)
    }
}

fn away(error: &redis::RedisError) -> CacheAway {
    debug!(%error, "a question to the cache in Redis failed");
    CacheAway
}
