//! What this process has of the queue.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::{Shared, VISIBILITY};
use crate::cloud::{LETTERS, Received};

/// How often the queue is told what is still held: three times before it would give it to others.
const TELL: Duration = Duration::from_secs(10);

/// Requests for that at the same time.
const AT_ONCE: usize = 8;

/// The messages that are held.
#[derive(Debug, Default)]
pub(super) struct Held {
    messages: Mutex<HashMap<Box<str>, Latest>>,
}

/// A message as it was received last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Latest {
    /// By which it is answered for.
    pub(super) handle: String,
    /// How often it had been received by then.
    pub(super) receives: u32,
}

impl Held {
    /// Takes note of a message. `false` if it is held already: then it came again, because the queue promises no more
    /// than at least once, or was told too late; and only the newest handle counts.
    pub(super) fn insert(&self, message: &Received) -> bool {
        let latest = Latest { handle: message.handle.clone(), receives: message.receives };
        self.messages.lock().insert(message.id.as_str().into(), latest).is_none()
    }

    /// A message as it was received last.
    pub(super) fn latest(&self, id: &str) -> Option<Latest> {
        self.messages.lock().get(id).cloned()
    }

    /// Lets go of a message.
    pub(super) fn remove(&self, id: &str) {
        self.messages.lock().remove(id);
    }

    fn all(&self) -> Vec<String> {
        self.messages.lock().values().map(|latest| latest.handle.clone()).collect()
    }
}

/// Keeps what is held from others, for ever.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut ticks = interval(TELL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let handles = shared.held.all();
        let requests: Vec<_> =
            handles.chunks(LETTERS).map(|handles| tell(Arc::clone(&shared), handles.to_vec())).collect();
        stream::iter(requests).buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
    }
}

async fn tell(shared: Arc<Shared>, handles: Vec<String>) {
    if let Err(failure) = shared.queue.hide(&handles, VISIBILITY).await {
        shared.figures.failed();
        warn!(%failure, "the queue could not be told what is held: {failure}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(handle: &str, receives: u32) -> Received {
        Received {
            id: "a".to_owned(),
            handle: handle.to_owned(),
            receives,
            sent_at_ms: 0,
            group: None,
            note: None,
            body: String::new(),
        }
    }

    #[test]
    fn a_message_that_comes_again_is_held_by_its_newest_handle() {
        let held = Held::default();
        assert!(held.insert(&received("1", 1)));
        assert!(!held.insert(&received("2", 2)));
        assert_eq!(held.latest("a"), Some(Latest { handle: "2".to_owned(), receives: 2 }));
        held.remove("a");
        assert!(held.latest("a").is_none() && held.insert(&received("3", 3)));
    }
}
