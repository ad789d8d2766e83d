//! Connections: from the WebSocket handshake to the last frame. What a client says is understood and answered here;
//! what it leads to happens in [`channels`](crate::channels).
//!
//! Suggested reading order: [`Sockets`], what all connections share; [`handshake`], who is let in; [`session`], the
//! life of one connection; [`subscribing`], [`signing_in`] and [`client_events`], what its client may ask for;
//! [`registry`], all connections of the node, for the sweep and the shutdown.

mod client_events;
mod handshake;
mod registry;
mod session;
mod signing_in;
mod subscribing;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use app_manager::apps::Apps;

use crate::{
    channels::Channels,
    config::SubscriptionErrorStyle,
    hub::Socket,
    protocol::{Close, NodeId, SocketId},
    shutdown::Readiness,
    tally::Tally,
};
use registry::Registry;

/// Everything that the connections of a node share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Sockets {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    apps: Apps,
    channels: Channels,
    options: Options,
    readiness: Readiness,
    node: NodeId,
    /// Number of the socket that comes next.
    next_serial: AtomicU64,
    registry: Registry,
    tally: Arc<Tally>,
}

/// How this node treats connections, whatever their app.
#[derive(Clone, Debug)]
pub struct Options {
    /// Clients that do not say which protocol they speak are let in.
    pub allow_missing_protocol: bool,
    /// How a refused subscribe is told.
    pub subscription_error_style: SubscriptionErrorStyle,
    /// Bytes that may wait for a reader that is slow.
    pub max_backlog: u32,
}

/// Sockets whose peers read more slowly than events come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Behind {
    /// How many they are.
    pub sockets: usize,
    /// What waits for all of them.
    pub bytes: usize,
}

impl Sockets {
    /// No connections yet.
    pub fn new(
        node: NodeId,
        apps: Apps,
        channels: Channels,
        options: Options,
        readiness: Readiness,
        tally: Arc<Tally>,
    ) -> Self {
        let (next_serial, registry) = (AtomicU64::new(1), Registry::default());
        let shared = Shared { apps, channels, options, readiness, node, next_serial, registry, tally };
        Self { shared: Arc::new(shared) }
    }

    /// Does for every connection what is due at this second of the node's clock. To be called every second.
    pub fn tick(&self, now: u32) {
        for socket in self.shared.registry.all() {
            socket.check(now);
        }
    }

    /// How many connections there are, those among them that have yet to hang up.
    pub fn count(&self) -> usize {
        self.shared.registry.count()
    }

    /// All connections of this moment.
    pub fn all(&self) -> Vec<Arc<Socket>> {
        self.shared.registry.all().collect()
    }

    /// The connections that may not stay because their app is switched off or gone, each with what it is to be told.
    pub fn to_close(&self) -> Vec<(Arc<Socket>, Close)> {
        let shut = self.shared.registry.judged(handshake::reason_to_go);
        shut.filter(|(socket, _)| !socket.is_closing()).collect()
    }

    /// What waits for slow readers at this moment. It looks at every socket, as the sweep does every second.
    pub fn behind(&self) -> Behind {
        let waiting = self.shared.registry.all().map(|socket| socket.backlog_bytes());
        waiting.filter(|bytes| *bytes > 0).fold(Behind::default(), |behind, bytes| Behind {
            sockets: behind.sockets + 1,
            bytes: behind.bytes + bytes,
        })
    }

    fn next_id(&self) -> SocketId {
        SocketId::new(self.shared.node, self.shared.next_serial.fetch_add(1, Relaxed))
    }
}
