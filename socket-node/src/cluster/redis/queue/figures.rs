//! Figures of the queue for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::tally::Count;

/// What is counted as it happens. The depths are those of all nodes' streams, as this node last saw them.
#[derive(Debug, Default)]
pub struct Figures {
    /// Jobs that this node could not put into the queue because it was full.
    pub refused: Count,
    /// Jobs that were pushed.
    pub(super) pushed: Count,
    /// Jobs of which it is known whether they are in Redis.
    pub(super) answered: Count,
    /// Connections that were lost, each followed by another one.
    pub reconnects: Count,
    depth: AtomicU64,
    dead_letters: AtomicU64,
    shards: AtomicU64,
}

impl Figures {
    /// Jobs in the queue, also those under way.
    pub fn depth(&self) -> u64 {
        self.depth.load(Relaxed)
    }

    /// Jobs of this node that are not in Redis yet.
    pub fn unanswered(&self) -> u64 {
        // A job may be answered before it counts as pushed.
        self.pushed.total().saturating_sub(self.answered.total())
    }

    /// Jobs among the dead letters.
    pub fn dead_letters(&self) -> u64 {
        self.dead_letters.load(Relaxed)
    }

    /// How many of the queue's shards this node works off.
    pub fn shards(&self) -> u64 {
        self.shards.load(Relaxed)
    }

    pub(super) fn saw(&self, depth: u64, dead_letters: u64, shards: usize) {
        self.depth.store(depth, Relaxed);
        self.dead_letters.store(dead_letters, Relaxed);
        self.shards.store(shards as u64, Relaxed);
    }
}
