//! What nodes tell each other: events for the channels that they share, what the census notices, and commands.
//!
//! A node listens to a channel's topic while it has subscribers of it. Everything that is accepted from a publisher
//! reaches every node that listens, in order and once, also across the loss of a connection or of Redis itself. What
//! cannot be known to have arrived is counted; what finds no room is refused before it is accepted. A node that alone
//! loses its connection misses what is published until it is back: its state says so.
//!
//! Suggested reading order: [`envelope`], what a message looks like, with [`notice`] and [`command`]; [`outbox`] and
//! [`publisher`], how it leaves; [`wanted`] and [`ear`], how a topic is listened to; [`hearing`] and [`origins`], what
//! becomes of a message that arrives; [`figures`], what is counted.

mod command;
mod ear;
mod envelope;
mod figures;
mod hearing;
mod notice;
mod origins;
mod outbox;
mod publisher;
mod wanted;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::watch;

use self::{
    ear::Ear, envelope::Origin, figures::Counts, hearing::Hearing, outbox::Outbox, publisher::Publisher,
    wanted::Wanted,
};
use super::{
    keys::Keys,
    link::{Link, pause},
};
use crate::{
    hub::Topic,
    protocol::{Frame, NodeId, SocketId},
};

pub use command::Command;
pub use figures::BusFigures;
pub use notice::{Kind as NoticeKind, Notice};
pub use outbox::OutboxFull;
pub use wanted::Away;

/// The bus, for those who speak and listen. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    outbox: Arc<Outbox>,
    wanted: Arc<Wanted>,
    counts: Arc<Counts>,
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
    /// `hear` is called in the connection's own task, in the order in which Redis published and never twice at once,
    /// and must not wait. It is never told what this node itself said.
    pub fn start(
        link: Link,
        keys: Keys,
        node: NodeId,
        hear: impl Fn(Heard<'_>) + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let control = keys.control();
        let counts = Arc::new(Counts::default());
        let outbox = Arc::new(Outbox::new(Origin::new(node, incarnation()), keys.clone()));
        let wanted = Arc::new(Wanted::new(keys));
        let hearing = Hearing::new(node, &control, wanted.clone(), counts.clone(), Box::new(hear));
        let (sender, state) = watch::channel(BusState::Away);
        let ear = Ear::new(
            link.clone(),
            control.clone(),
            wanted.clone(),
            Arc::new(hearing),
            counts.clone(),
            sender,
        );
        let publisher = Publisher::new(link, control, outbox.clone(), counts.clone());
        let work = async {
            tokio::join!(ear.run(), publisher.run());
        };
        (Self(Arc::new(Shared { outbox, wanted, counts, state })), work)
    }

    /// Tells the other nodes that listen to the topic of an event for all its subscribers but one. It never waits.
    ///
    /// # Errors
    /// If there is no room for it. Then nobody will hear it.
    pub fn publish(&self, topic: &Topic, frame: &Frame, except: Option<SocketId>) -> Result<(), OutboxFull> {
        self.0.outbox.put_event(topic, frame, except)
    }

    /// Tells all other nodes to do something.
    ///
    /// # Errors
    /// If there is no room for it. Then nobody will hear it.
    pub fn command(&self, command: &Command) -> Result<(), OutboxFull> {
        self.0.outbox.put_command(command)
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
        self.0.wanted.listen(topic)
    }

    /// Stops listening to a topic, unless somebody wants it again within a second.
    pub fn unlisten(&self, topic: &Topic) {
        self.0.wanted.unlisten(topic);
    }

    /// Whether this node hears the others, now and later.
    pub fn state(&self) -> watch::Receiver<BusState> {
        self.0.state.clone()
    }

    /// What the bus has counted.
    pub fn figures(&self) -> BusFigures {
        let Shared { outbox, wanted, counts, .. } = &*self.0;
        let depth = outbox.depth();
        BusFigures {
            reconnects: counts.reconnects.total(),
            unconfirmed: counts.unconfirmed.total(),
            unknown: counts.unknown.total(),
            repeats: counts.repeats.total(),
            outbox_messages: depth.messages,
            outbox_bytes: depth.bytes,
            nodes: counts.nodes.load(Relaxed),
            topics: wanted.count(),
            lag: counts.lag.distribution(),
        }
    }

    /// At the shutdown: waits until Redis has everything that was accepted, while the work goes on. What it does not
    /// have in time counts as unconfirmed, and its number is returned.
    pub async fn flush(&self, patience: Duration) -> usize {
        let left = self.0.outbox.flush(patience).await;
        self.0.counts.unconfirmed.add(left as u64);
        left
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
