//! Local fan-out: who on this node gets an event, and how it reaches their sockets.
//!
//! The hub knows frames and names, no app rules, no Redis, no webhooks; it can be measured alone. An event costs one
//! write per socket when it comes alone, and one write per socket and *burst* when it does not: whoever publishes
//! into an idle channel becomes its flusher, and whatever arrives while it sweeps leaves together in the next sweep.
//!
//! Lock order, nowhere reversed: the map of channels, a channel's seats, a socket's outbound side. The lock of an
//! inbox is never held together with another, and none is held over an `.await`.
//!
//! Suggested reading order: [`topic`], [`transport`], [`socket`], [`channel`], then [`Hub`] itself.

mod backlog;
mod channel;
pub mod pulse;
mod socket;
#[cfg(test)]
mod tests;
mod topic;
mod transport;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use parking_lot::RwLock;

pub use channel::{Channel, Flush, Full};
pub use socket::{Socket, SocketOptions};
pub use topic::Topic;
pub use transport::Transport;

use crate::{
    protocol::{Frame, SocketId},
    tally::Tally,
};

/// Parts of the map, each with a lock of its own. A power of two.
const SHARDS: usize = 64;

type Shard = RwLock<HashMap<Topic, Arc<Channel>>>;

/// All channels that have subscribers on this node.
#[derive(Debug)]
pub struct Hub {
    shards: Box<[Shard]>,
    hasher: RandomState,
    tally: Arc<Tally>,
}

impl Hub {
    /// No channels yet; what they deliver is counted in `tally`.
    pub fn new(tally: Arc<Tally>) -> Self {
        let shards = std::iter::repeat_with(Shard::default).take(SHARDS).collect();
        Self { shards, hasher: RandomState::new(), tally }
    }

    /// Subscribes a socket. `greeting` is what it gets first: no event overtakes it, and none that is published from
    /// now on is missed. A socket that is subscribed already is left as it is.
    pub fn subscribe(&self, topic: &Topic, socket: &Arc<Socket>, greeting: &[Frame]) {
        let shard = self.shard(topic);
        // The map's lock is held until the socket has its seat: no one can remove the channel as empty meanwhile.
        let channels = shard.read();
        if let Some(channel) = channels.get(topic) {
            return channel.seat(socket, greeting);
        }
        drop(channels);
        let mut channels = shard.write();
        let new = || Arc::new(Channel::new(Arc::clone(&self.tally)));
        channels.entry(topic.clone()).or_insert_with(new).seat(socket, greeting);
    }

    /// Takes a socket out of a channel. The channel goes with its last subscriber.
    pub fn unsubscribe(&self, topic: &Topic, socket: SocketId) {
        let shard = self.shard(topic);
        let is_empty = shard.read().get(topic).is_some_and(|channel| channel.unseat(socket));
        if is_empty {
            let mut channels = shard.write();
            if channels.get(topic).is_some_and(|channel| channel.is_empty()) {
                channels.remove(topic);
            }
        }
    }

    /// Puts a frame into a channel's inbox, for everybody but `except`; its place among the channel's other events is
    /// fixed by that. If a [`Flush`] comes back, it has to be run, after all locks are dropped.
    ///
    /// # Errors
    /// If more is waiting to be flushed than the channel may hold.
    pub fn enqueue(
        &self,
        topic: &Topic,
        frame: &Frame,
        except: Option<SocketId>,
    ) -> Result<Option<Flush>, Full> {
        match self.channel(topic) {
            Some(channel) => channel.enqueue(frame, except),
            None => Ok(None),
        }
    }

    /// Whether a channel would take a frame now.
    ///
    /// # Errors
    /// If more is waiting to be flushed than the channel may hold.
    pub fn check_room(&self, topic: &Topic) -> Result<(), Full> {
        self.channel(topic).map_or(Ok(()), |channel| channel.check_room())
    }

    /// The same as [`enqueue`](Self::enqueue) for what must not be refused, such as the coming and going of members; the rate of connections
    /// bounds it.
    pub fn enqueue_always(&self, topic: &Topic, frame: &Frame, except: Option<SocketId>) -> Option<Flush> {
        self.channel(topic)?.enqueue_always(frame, except)
    }

    /// The same for what another node has published. It may be more than this node can deliver, and then the rest is
    /// lost, and counted: whoever published it has long been answered.
    pub fn enqueue_heard(&self, topic: &Topic, frame: &Frame, except: Option<SocketId>) -> Option<Flush> {
        self.channel(topic)?.enqueue_heard(frame, except)
    }

    /// The sockets that are subscribed to a channel at this moment.
    pub fn subscribers(&self, topic: &Topic) -> Vec<Arc<Socket>> {
        self.channel(topic).map(|channel| channel.sockets()).unwrap_or_default()
    }

    /// Whether any socket is subscribed to a channel at this moment.
    pub fn has_subscribers(&self, topic: &Topic) -> bool {
        self.channel(topic).is_some_and(|channel| !channel.is_empty())
    }

    fn channel(&self, topic: &Topic) -> Option<Arc<Channel>> {
        self.shard(topic).read().get(topic).cloned()
    }

    fn shard(&self, topic: &Topic) -> &Shard {
        let hash = usize::try_from(self.hasher.hash_one(topic) % SHARDS as u64).expect("it is below SHARDS");
        &self.shards[hash]
    }
}
