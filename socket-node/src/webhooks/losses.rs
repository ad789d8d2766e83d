//! What is lost because a queue was full: counted, and logged at a rate that does not grow with the losses.

use std::{
    fmt::Display,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tracing::warn;

/// Events that will never be told.
#[derive(Debug, Default)]
pub(super) struct Losses {
    events: AtomicU64,
}

impl Losses {
    /// How many there are so far.
    pub(super) fn count(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Counts some more. A line is logged whenever the count has doubled: the first loss is seen at once, and an
    /// endpoint that is dead for hours does not fill the log.
    pub(super) fn add(&self, events: usize, why: &dyn Display) {
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        let before = self.events.fetch_add(events, Relaxed);
        let lost = before.saturating_add(events);
        if before.checked_ilog2() < lost.checked_ilog2() {
            warn!(lost, "webhooks are lost, {lost} events so far: {why}");
        }
    }
}
