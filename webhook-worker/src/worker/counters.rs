//! Figures for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What has happened since the start. Every figure but [`queued`](Self::queued) and [`endpoints`](Self::endpoints)
/// only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Jobs that were taken and are not through: waiting for their turn, for a retry or for an answer.
    pub queued: u64,
    /// Endpoints that have a lane now.
    pub endpoints: usize,
    /// Attempts that ended, with whatever result.
    pub attempts: u64,
    /// Jobs that an endpoint took.
    pub delivered: u64,
    /// Failed attempts after which another was planned.
    pub retried: u64,
    /// Jobs that were given up.
    pub dead: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    taken: AtomicU64,
    attempts: AtomicU64,
    delivered: AtomicU64,
    retried: AtomicU64,
    dead: AtomicU64,
}

impl Counters {
    pub(super) fn taken(&self) {
        self.taken.fetch_add(1, Relaxed);
    }

    pub(super) fn attempted(&self) {
        self.attempts.fetch_add(1, Relaxed);
    }

    pub(super) fn delivered(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retried.fetch_add(1, Relaxed);
    }

    pub(super) fn dead(&self) {
        self.dead.fetch_add(1, Relaxed);
    }

    pub(super) fn snapshot(&self, endpoints: usize) -> Snapshot {
        let (delivered, dead) = (self.delivered.load(Relaxed), self.dead.load(Relaxed));
        Snapshot {
            // Read last, so that no job is through before it was taken.
            queued: self.taken.load(Relaxed).saturating_sub(delivered + dead),
            endpoints,
            attempts: self.attempts.load(Relaxed),
            delivered,
            retried: self.retried.load(Relaxed),
            dead,
        }
    }
}
