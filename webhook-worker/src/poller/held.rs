//! What this process has of the queue.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::{Shared, VISIBILITY};
use crate::cloud::LETTERS;

/// How often the queue is told what is still held: three times before it would give it to others.
const TELL: Duration = Duration::from_secs(10);

/// Requests for that at the same time.
const AT_ONCE: usize = 8;

/// The messages that are held, and by which handle they are answered for.
#[derive(Debug, Default)]
pub(super) struct Held {
    handles: Mutex<HashMap<Box<str>, String>>,
}

impl Held {
    /// Takes note of a message. `false` if it is held already: then it came again, because the queue promises no more
    /// than at least once, or was told too late; and only the newest handle counts.
    pub(super) fn insert(&self, id: &str, handle: &str) -> bool {
        self.handles.lock().insert(id.into(), handle.to_owned()).is_none()
    }

    /// The newest handle of a message.
    pub(super) fn handle(&self, id: &str) -> Option<String> {
        self.handles.lock().get(id).cloned()
    }

    /// Lets go of a message.
    pub(super) fn remove(&self, id: &str) {
        self.handles.lock().remove(id);
    }

    fn all(&self) -> Vec<String> {
        self.handles.lock().values().cloned().collect()
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

    #[test]
    fn a_message_that_comes_again_is_held_by_its_newest_handle() {
        let held = Held::default();
        assert!(held.insert("a", "1"));
        assert!(!held.insert("a", "2"));
        assert_eq!(held.handle("a").as_deref(), Some("2"));
        held.remove("a");
        assert!(held.handle("a").is_none() && held.insert("a", "3"));
    }
}
