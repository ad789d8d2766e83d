//! What nodes tell each other: events for the channels that they share, what the census notices, and commands.
//!
//! A node listens to a channel's topic while it has subscribers of it. Everything that is accepted from a publisher
//! reaches every node that listens, in order and once, also across the loss of a connection or of Redis itself. What
//! cannot be known to have arrived is counted; what finds no room is refused before it is accepted. A node that alone
//! loses its connection misses what is published until it is back: its state says so, and the events are counted.
//!
//! All of this is so on each [line](super::line) by itself: a node numbers what it says on each of them, and hears each
//! with an ear of its own.
//!
//! Suggested reading order: [`envelope`], what a message looks like, with [`notice`] and [`command`]; [`announcement`], what is said by
//! somebody who is no node; [`outbox`] and
//! [`publisher`], how it leaves; [`wanted`] and [`ear`], how a topic is listened to; [`hearing`], [`origins`] and
//! [`trails`], what becomes of a message that arrives; [`wire`], what is asked in order with that; [`figures`], what
//! is counted; [`recent`], how things are forgotten.

mod announcement;
mod command;
mod ear;
mod envelope;
mod figures;
mod hearing;
mod notice;
mod origins;
mod outbox;
mod publisher;
mod recent;
mod trails;
mod wanted;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use tokio::sync::watch;
use tracing::Instrument as _;

use self::{
    ear::Ear,
    envelope::Origin,
    figures::Counts,
    hearing::{Hear, Hearing},
    outbox::Outbox,
    publisher::Publisher,
    wanted::Wanted,
    wire::Wire,
};
use super::{
    keys::Shard,
    line::{Line, Lines, PerLine},
    link::pause,
};
use crate::{
    hub::Topic,
    protocol::{Frame, NodeId, SocketId},
};

pub use announcement::announce_app_changes;
pub use command::Command;
pub use figures::BusFigures;
pub use notice::{Kind as NoticeKind, Notice};
pub use outbox::OutboxFull;
pub use wanted::Away;

/// The bus, for those who speak and listen. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus {
    lines: PerLine<Voice>,
    /// What is counted on all lines together.
    counts: Arc<Counts>,
}

/// The bus as far as one line carries it.
#[derive(Debug)]
struct Voice {
    outbox: Arc<Outbox>,
    wanted: Arc<Wanted>,
    nodes: Arc<AtomicU32>,
    wire: Arc<Wire>,
    state: watch::Receiver<BusState>,
}

/// Whether this node hears the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusState {
    /// It does not, or not all that it wants to.
    Away,
    /// It hears everything that it wants to, on a connection with this number, from 1. What was published between two
    /// of them may have been missed.
    Listening(u64),
}

/// Something that another node said, or the census.
#[derive(Debug)]
pub enum Heard<'a> {
    /// An event for the subscribers of a channel.
    Event {
        /// The channel.
        topic: &'a Topic,
        /// A subscriber that does not get it.
        except: Option<SocketId>,
        /// What the others get.
        frame: Frame,
    },
    /// Somebody came or went.
    Notice {
        /// The channel in which it happened.
        topic: &'a Topic,
        /// Who, and what.
        notice: Notice,
    },
    /// Something to be done on this node.
    Command(Command),
}

impl Bus {
    /// The bus of this node, and the work that makes it run: it never ends, and is to be dropped at the shutdown.
    ///
    /// `hear` is called in a connection's own task, for what lies on the same line in the order in which Redis published
    /// and never twice at once, and must not wait. It is never told what this node itself said.
    pub fn start<H: Fn(Heard<'_>) + Send + Sync + 'static>(
        lines: &Lines,
        node: NodeId,
        hear: H,
    ) -> (Self, impl Future<Output = ()> + Send + use<H>) {
        let (origin, hear): (_, Hear) = (Origin::new(node, incarnation()), Arc::new(hear));
        let (counts, mut works) = (Arc::<Counts>::default(), Vec::new());
        let voices = lines.each(|line| {
            let (voice, work) = Voice::new(line, node, origin, &counts, &hear);
            works.push(work.instrument(line.span()));
            voice
        });
        let work = async {
            join_all(works).await;
        };
        (Self { lines: voices, counts }, work)
    }

    /// Tells the other nodes that listen to the topic of an event for all its subscribers but one. It never waits.
    ///
    /// # Errors
    /// If there is no room for it. Then nobody will hear it.
    pub fn publish(&self, topic: &Topic, frame: &Frame, except: Option<SocketId>) -> Result<(), OutboxFull> {
        self.lines.of_topic(topic).outbox.put_event(topic, frame, except)
    }

    /// The same for an event that Redis is to keep as the last one of its channel, in the same step.
    ///
    /// # Errors
    /// If there is no room for it. Then nobody will hear it.
    pub fn publish_and_keep(
        &self,
        topic: &Topic,
        frame: &Frame,
        except: Option<SocketId>,
    ) -> Result<(), OutboxFull> {
        self.lines.of_topic(topic).outbox.put_kept_event(topic, frame, except)
    }

    /// Waits until everything that this node has said on the way that a topic's events take is in Redis: as long as
    /// Redis is away.
    pub(super) async fn settled(&self, topic: &Topic) {
        self.lines.of_topic(topic).outbox.settled().await;
    }

    /// A connection with its number, while this node hears: who has an answer on it to a question about a topic's keys
    /// has heard all that was published on the topic before.
    pub(super) fn wire(&self, topic: &Topic) -> Option<(u64, MultiplexedConnection)> {
        self.lines.of_topic(topic).wire.get()
    }

    /// Tells all other nodes to do something.
    ///
    /// # Errors
    /// If there is no room for it. Then nobody will hear it.
    pub fn command(&self, command: &Command) -> Result<(), OutboxFull> {
        self.lines.of(Shard::FIRST).outbox.put_command(command)
    }

    /// Listens to a topic from now on, or goes on listening. It is noted at once, whether the future is awaited or not;
    /// the future tells when Redis has confirmed it, so that whatever is published afterwards is heard.
    ///
    /// There is no count: the last one of [`listen`](Self::listen) and [`unlisten`](Self::unlisten) holds.
    ///
    /// # Errors
    /// If Redis is away, or does not confirm it within two seconds. The topic will be listened to as soon as Redis is
    /// back.
    pub fn listen(&self, topic: &Topic) -> impl Future<Output = Result<(), Away>> + Send + use<> {
        self.lines.of_topic(topic).wanted.listen(topic)
    }

    /// Stops listening to a topic, unless somebody wants it again within a second.
    pub fn unlisten(&self, topic: &Topic) {
        self.lines.of_topic(topic).wanted.unlisten(topic);
    }

    /// Whether this node hears what others say in a shard, now and later.
    pub fn state(&self, shard: Shard) -> watch::Receiver<BusState> {
        self.lines.of(shard).state.clone()
    }

    /// What the bus has counted.
    pub fn figures(&self) -> BusFigures {
        let counts = &self.counts;
        let depths: Vec<_> = self.lines.iter().map(|voice| voice.outbox.depth()).collect();
        let nodes = self.lines.iter().map(|voice| voice.nodes.load(Relaxed)).min();
        BusFigures {
            reconnects: counts.reconnects.total(),
            unconfirmed: counts.unconfirmed.total(),
            unknown: counts.unknown.total(),
            repeats: counts.repeats.total(),
            missed: counts.missed.total(),
            outbox_messages: depths.iter().map(|depth| depth.messages).sum(),
            outbox_bytes: depths.iter().map(|depth| depth.bytes).sum(),
            nodes: nodes.unwrap_or_default(),
            topics: self.lines.iter().map(|voice| voice.wanted.count()).sum(),
            lag: counts.lag.distribution(),
        }
    }

    /// At the shutdown: waits until Redis has everything that was accepted, while the work goes on. What it does not
    /// have in time counts as unconfirmed, and its number is returned.
    pub async fn flush(&self, patience: Duration) -> usize {
        let flushing = self.lines.iter().map(|voice| voice.outbox.flush(patience));
        let left = join_all(flushing).await.into_iter().sum();
        self.counts.unconfirmed.add(left as u64);
        left
    }
}

impl Voice {
    fn new(
        line: &Line,
        node: NodeId,
        origin: Origin,
        counts: &Arc<Counts>,
        hear: &Hear,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (keys, nodes) = (line.keys.clone(), Arc::<AtomicU32>::default());
        let outbox = Arc::new(Outbox::new(origin, keys.clone(), line.dialect, line.control(), line.reach));
        let wire = Arc::<Wire>::default();
        let wanted = Arc::new(Wanted::new(keys));
        let hearing = Arc::new(Hearing::new(node, line, wanted.clone(), counts.clone(), hear.clone()));
        let (sender, state) = watch::channel(BusState::Away);
        let ear = Ear::new(line.clone(), wanted.clone(), hearing, counts.clone(), wire.clone(), sender);
        let publisher = Publisher::new(line.clone(), outbox.clone(), counts.clone(), nodes.clone());
        let work = async {
            tokio::join!(ear.run(), publisher.run());
        };
        (Self { outbox, wanted, nodes, wire, state }, work)
    }
}

/// Tells the buses apart that one process has, one after the other: another process is another node.
fn incarnation() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// How long the bus waits before it tries again to connect: events wait for it, so never as long as others do, and so
/// that all nodes are back before a publisher's patience with them ends.
fn retry(failures: u32) -> Duration {
    pause(failures.min(3))
}
