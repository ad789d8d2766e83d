//! What becomes of a message that Redis passes on: it is read, and given to this node if it is news to it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{
    Heard,
    envelope::{Content, Message, Origin, Place, Sender},
    figures::Counts,
    origins::Origins,
    trails::Trails,
    wanted::{Listened, Wanted},
};
use crate::{cluster::redis::line::Line, protocol::NodeId};

/// How often it is looked whether anything has come.
const LOOK: Duration = Duration::from_millis(100);

/// Who gets what is heard. It runs in the connection's own task, and is not to wait.
pub(super) type Hear = Arc<dyn Fn(Heard<'_>) + Send + Sync>;

pub(super) struct Hearing {
    node: NodeId,
    control: String,
    /// What messages are that were published.
    message: PushKind,
    wanted: Arc<Wanted>,
    counts: Arc<Counts>,
    hear: Hear,
    /// How much has come so far.
    pushes: AtomicU64,
    order: Mutex<Order>,
}

/// It stays locked while a message is given to the node, so that a connection that was given up, and is still at its
/// last message, and the one after it do not speak at once.
#[derive(Default)]
struct Order {
    /// The connection that counts.
    connection: u64,
    origins: Origins,
    trails: Trails,
    /// It was logged that something was missed before this connection.
    is_told: bool,
}

impl Hearing {
    pub(super) fn new(
        node: NodeId,
        line: &Line,
        wanted: Arc<Wanted>,
        counts: Arc<Counts>,
        hear: Hear,
    ) -> Self {
        let (control, message) = (line.control(), line.dialect.message());
        let (pushes, order) = (AtomicU64::default(), Mutex::default());
        Self { node, control, message, wanted, counts, hear, pushes, order }
    }

    /// From now on, only this connection is heard.
    pub(super) fn begin(&self, connection: u64) {
        let mut order = self.order.lock();
        order.connection = connection;
        order.is_told = false;
    }

    /// Something came on a connection.
    pub(super) fn push(&self, connection: u64, push: PushInfo) {
        self.pushes.fetch_add(1, Relaxed);
        if push.kind != self.message {
            return;
        }
        let Ok([Value::BulkString(name), Value::BulkString(message)]) = <[_; 2]>::try_from(push.data) else {
            return self.counts.unknown.one();
        };
        let mut order = self.order.lock();
        if order.connection != connection {
            return;
        }
        if self.deliver(&mut order, &name, message.into()).is_none() {
            self.counts.unknown.one();
        }
    }

    /// Waits until nothing has come for so long.
    pub(super) async fn silence(&self, long: Duration) {
        let (mut pushes, mut since) = (self.pushes.load(Relaxed), Instant::now());
        while since.elapsed() < long {
            sleep(LOOK).await;
            let now = self.pushes.load(Relaxed);
            if now != pushes {
                (pushes, since) = (now, Instant::now());
            }
        }
    }

    /// `None` if it is not understood.
    fn deliver(&self, order: &mut Order, name: &[u8], message: Bytes) -> Option<()> {
        let is_control = name == self.control.as_bytes();
        match Message::read(message)? {
            Message::Said(sender, Content::Command(command)) if is_control => {
                if self.is_news(order, sender) {
                    (self.hear)(Heard::Command(command));
                }
            }
            // Nothing but a command has a meaning there, and a command has one only there.
            Message::Said(_, Content::Command(_)) => return None,
            _ if is_control => return None,
            Message::Said(sender, Content::Event { place, except, frame }) => {
                if self.is_news(order, sender)
                    && let Some(listened) = self.wanted.listened(std::str::from_utf8(name).ok()?)
                {
                    self.miss(order, sender.origin, &listened, place);
                    let topic = listened.topic;
                    (self.hear)(Heard::Event { topic: &topic, except, frame });
                }
            }
            Message::Noticed(notice) => {
                if let Some(Listened { topic, .. }) = self.wanted.listened(std::str::from_utf8(name).ok()?) {
                    (self.hear)(Heard::Notice { topic: &topic, notice });
                }
            }
        }
        Some(())
    }

    /// Whether another node says it, and for the first time.
    fn is_news(&self, order: &mut Order, sender: Sender) -> bool {
        if sender.origin.node == self.node.number() {
            return false;
        }
        let is_new = order.origins.is_new(sender);
        if !is_new {
            self.counts.repeats.one();
        }
        is_new
    }

    /// Counts what is missing before an event that is heard now.
    fn miss(&self, order: &mut Order, origin: Origin, listened: &Listened, place: Place) {
        let missing = order.trails.follow(origin, &listened.topic, place, listened.is_confirmed);
        if missing == 0 {
            return;
        }
        self.counts.missed.add(missing);
        if !order.is_told {
            order.is_told = true;
            warn!("other nodes have published events that this node did not hear: some are missing");
        }
    }
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hearing").field("node", &self.node).finish_non_exhaustive()
    }
}
