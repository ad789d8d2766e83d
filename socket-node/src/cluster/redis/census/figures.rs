//! What the census counts, in plain numbers.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    cluster::redis::keys::{SHARDS, Shard},
    tally::{Count, Durations},
};

/// What is counted as it happens.
#[derive(Debug, Default)]
pub struct Figures {
    /// From sending changes to their answers: one for each pipeline.
    pub script_time: Durations,
    /// Sweeps that this node has made.
    pub sweeps: Count,
    /// Leases that this node found over, one for each shard.
    pub leases_swept: Count,
    /// How often this node had to enter everything again although Redis was there.
    pub leases_lost: Count,
    /// How often this node has entered everything that it has on a line: the first time too.
    pub entered: Count,
    entering: Mutex<Entering>,
    renewed: Mutex<[Option<Instant>; SHARDS as usize]>,
    journal: [AtomicU64; SHARDS as usize],
    cut: [AtomicU64; SHARDS as usize],
}

/// How everything was entered the last time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entering {
    /// How much it was.
    pub entries: usize,
    /// How long it took.
    pub duration: Duration,
}

impl Figures {
    /// How everything was entered the last time.
    pub fn entering(&self) -> Entering {
        *self.entering.lock()
    }

    /// How long ago the lease was renewed, in the shard where that is longest ago; `None` if there is one without.
    pub fn lease_age(&self) -> Option<Duration> {
        let renewed: Option<Vec<_>> = self.renewed.lock().iter().copied().collect();
        Some(renewed?.into_iter().min()?.elapsed())
    }

    /// Events in the journals that no queue has taken yet, as of the last sweep.
    pub fn journal_depth(&self) -> u64 {
        sum(&self.journal)
    }

    /// Events that have ever been cut from journals that were too long, on behalf of all nodes.
    pub fn journal_cut(&self) -> u64 {
        sum(&self.cut)
    }

    pub(super) fn renewed(&self, shards: impl Iterator<Item = Shard>) {
        let (mut renewed, now) = (self.renewed.lock(), Instant::now());
        for shard in shards {
            renewed[shard.index()] = Some(now);
        }
    }

    pub(super) fn entered(&self, entries: usize, duration: Duration) {
        *self.entering.lock() = Entering { entries, duration };
        self.entered.one();
    }

    pub(super) fn swept(&self, shard: Shard, leases: u64, journal: u64, cut: u64) {
        self.leases_swept.add(leases);
        self.journal[shard.index()].store(journal, Relaxed);
        self.cut[shard.index()].store(cut, Relaxed);
    }
}

fn sum(shards: &[AtomicU64]) -> u64 {
    shards.iter().map(|shard| shard.load(Relaxed)).sum()
}
