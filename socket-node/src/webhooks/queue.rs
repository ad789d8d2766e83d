//! Where jobs wait to be delivered.

use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;
use webhook_worker::{
    job::Job,
    worker::{Fate, Lanes, NotTaken, Pending, Snapshot},
};

#[cfg(feature = "aws")]
use super::cloud::{self, CloudQueue};
use crate::cluster::{QueueFigures, QueueReceipt, RedisQueue};

/// The queue at the end of all webhooks. Cheap to clone: all clones are the same.
#[derive(Clone, Debug)]
pub enum Queue {
    /// The lanes of this process: what waits there ends with it.
    Local(Lanes),
    /// A queue that all nodes work off, and that outlives them.
    Shared(RedisQueue),
    /// A queue in the cloud, which others work off.
    #[cfg(feature = "aws")]
    Cloud(CloudQueue),
}

/// A job that the queue has taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is being delivered.
    Delivering(Pending),
    /// It is on its way to where it outlives this node.
    Leaving(QueueReceipt),
    /// The same, to the cloud.
    #[cfg(feature = "aws")]
    LeavingForCloud(cloud::Receipt),
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
            #[cfg(feature = "aws")]
            Self::Cloud(queue) => match queue.push(&job) {
                Some(receipt) => Ok(Taken::LeavingForCloud(receipt)),
                None => Err(NotTaken::Full(Box::new(job))),
            },
        }
    }

    /// What has become of the jobs that this node delivers.
    pub(super) fn deliveries(&self) -> Snapshot {
        match self {
            Self::Local(lanes) => lanes.snapshot(),
            Self::Shared(queue) => queue.deliveries(),
            #[cfg(feature = "aws")]
            Self::Cloud(_) => Snapshot::default(),
        }
    }

    /// Waits until it is known whether the queue is there, as long as the patience lasts.
    pub(super) async fn find(&self, patience: Duration) -> anyhow::Result<()> {
        timeout(patience, self.found()).await.unwrap_or_else(|_| {
            warn!("the queue of webhooks does not answer: they wait here until it does");
            Ok(())
        })
    }

    async fn found(&self) -> anyhow::Result<()> {
        match self {
            // Whoever shares a Redis looks after it anyway.
            Self::Local(_) | Self::Shared(_) => Ok(()),
            #[cfg(feature = "aws")]
            Self::Cloud(queue) => Ok(queue.found().await?),
        }
    }

    /// Jobs of this node that are on their way to where they outlive it.
    pub(super) fn leaving(&self) -> u64 {
        match self {
            Self::Local(_) => 0,
            Self::Shared(queue) => queue.figures().unanswered(),
            #[cfg(feature = "aws")]
            Self::Cloud(queue) => queue.waiting(),
        }
    }

    /// How often the place where they outlive it was out of reach.
    pub(super) fn outages(&self) -> u64 {
        match self {
            Self::Local(_) => 0,
            Self::Shared(queue) => queue.figures().reconnects.total(),
            #[cfg(feature = "aws")]
            Self::Cloud(queue) => queue.outages(),
        }
    }

    /// The figures of the queue that all nodes work off, if this is one of them.
    pub(super) fn shared(&self) -> Option<&QueueFigures> {
        match self {
            Self::Local(_) => None,
            Self::Shared(queue) => Some(queue.figures()),
            #[cfg(feature = "aws")]
            Self::Cloud(_) => None,
        }
    }

    /// Takes leave, as long as the patience lasts. Gives the number of jobs that nobody will deliver.
    pub(super) async fn drain(&self, patience: Duration) -> u64 {
        match self {
            Self::Local(lanes) => lanes.drain(patience).await,
            Self::Shared(queue) => queue.drain(patience).await,
            #[cfg(feature = "aws")]
            Self::Cloud(queue) => queue.drain(patience).await,
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
            #[cfg(feature = "aws")]
            Self::LeavingForCloud(receipt) => {
                if receipt.await {
                    End::Settled
                } else {
                    End::Refused
                }
            }
        }
    }
}
