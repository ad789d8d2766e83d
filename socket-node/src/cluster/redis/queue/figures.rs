//! Figures of the queue for metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{
    cluster::redis::keys::{SHARDS, Shard},
    tally::Count,
};

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
    depth: PerShard,
    dead_letters: PerShard,
    /// 1 for each shard that this node works off.
    ours: PerShard,
}

type PerShard = [AtomicU64; SHARDS as usize];

impl Figures {
    /// Jobs in the queue, also those under way.
    pub fn depth(&self) -> u64 {
        sum(&self.depth)
    }

    /// Jobs of this node that are not in Redis yet.
    pub fn unanswered(&self) -> u64 {
        // A job may be answered before it counts as pushed.
        self.pushed.total().saturating_sub(self.answered.total())
    }

    /// Jobs among the dead letters.
    pub fn dead_letters(&self) -> u64 {
        sum(&self.dead_letters)
    }

    /// How many of the queue's shards this node works off.
    pub fn shards(&self) -> u64 {
        sum(&self.ours)
    }

    pub(super) fn saw(&self, shard: Shard, depth: u64, dead_letters: u64, is_ours: bool) {
        self.depth[shard.index()].store(depth, Relaxed);
        self.dead_letters[shard.index()].store(dead_letters, Relaxed);
        self.ours[shard.index()].store(is_ours.into(), Relaxed);
    }
}

fn sum(shards: &PerShard) -> u64 {
    shards.iter().map(|shard| shard.load(Relaxed)).sum()
}
