//! Where jobs wait to be delivered.

use std::time::Duration;

use webhook_worker::{
    job::Job,
    worker::{Fate, Lanes, NotTaken, Pending, Snapshot},
};

use crate::cluster::{QueueReceipt, RedisQueue};

/// The queue at the end of all webhooks. Cheap to clone: all clones are the same.
#[derive(Clone, Debug)]
pub enum Queue {
    /// The lanes of this process: what waits there ends with it.
    Local(Lanes),
    /// A queue that all nodes work off, and that outlives them.
    Shared(RedisQueue),
}

/// A job that the queue has taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is being delivered.
    Delivering(Pending),
    /// It is on its way to where it outlives this node.
    Leaving(QueueReceipt),
}

/// What becomes of a job here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was delivered, or given up, or is in other hands.
    Settled,
    /// The queue had no room for it after all.
    Refused,
    /// The node stopped first.
    Abandoned,
}

impl Queue {
    /// Takes a job over, behind all others of its channels, and never waits.
    pub(super) fn push(&self, job: Job) -> Result<Taken, NotTaken> {
        match self {
            Self::Local(lanes) => lanes.push(job).map(Taken::Delivering),
            Self::Shared(queue) => match queue.push(&job) {
                Ok(receipt) => Ok(Taken::Leaving(receipt)),
                Err(_) => Err(NotTaken::Full(Box::new(job))),
            },
        }
    }

    /// What has become of the jobs that this node delivers.
    pub(super) fn deliveries(&self) -> Snapshot {
        match self {
            Self::Local(lanes) => lanes.snapshot(),
            Self::Shared(queue) => queue.deliveries(),
        }
    }

    /// Takes leave, as long as the patience lasts. Gives the number of jobs that nobody will deliver.
    pub(super) async fn drain(&self, patience: Duration) -> u64 {
        match self {
            Self::Local(lanes) => lanes.drain(patience).await,
            Self::Shared(queue) => queue.drain(patience).await,
        }
    }
}

impl Taken {
    /// Whether a job that nobody asks for needs no more attention.
    pub(super) const fn is_certain(&self) -> bool {
        matches!(self, Self::Delivering(_))
    }

    /// Waits for the end.
    pub(super) async fn end(self) -> End {
        match self {
            Self::Delivering(pending) => match pending.await {
                Fate::Delivered | Fate::Dead { .. } => End::Settled,
                Fate::Abandoned => End::Abandoned,
            },
            Self::Leaving(receipt) => receipt.await.map_or(End::Refused, |()| End::Settled),
        }
    }
}
