//! What the nodes of one server know together. With the local driver there is one node, and it knows everything.
//!
//! [`census`] is what a node knows by itself, and all that there is to know where it is alone. A [`Cluster`] is how it
//! knows of the others.

pub mod census;
pub mod redis;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

pub use redis::{
    bus::{Bus, BusState, Command, Heard, NoticeKind, OutboxFull, announce_app_changes},
    cache::{CacheAway, Kept, RedisCache},
    census::{
        Away, CensusState, JoinError, Joined, Occupied, RedisCensus, Wants,
        journal::{Journal, JournalDesk, Record, RecordId, Transition},
    },
    keys::Shard,
    line::{Line, Lines},
    queue::{Figures as QueueFigures, Receipt as QueueReceipt, RedisQueue},
};

/// Pause before Redis is asked again whether everything was read.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The other nodes of this server, as far as this one has to do with them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The ways to what they share.
    pub lines: Lines,
    /// What is published.
    pub bus: Bus,
    /// Who is where.
    pub census: RedisCensus,
}

impl Cluster {
    /// Waits until this node hears the others and they know of it, as long as the patience lasts; false if it is not so
    /// by then. It goes on trying.
    pub async fn joined(&self, patience: Duration) -> bool {
        let joined = async {
            for shard in self.lines.iter().map(Line::first) {
                let (mut bus, mut census) = (self.bus.state(shard), self.census.state(shard));
                let heard = bus.wait_for(|state| matches!(state, BusState::Listening(_))).await.is_ok();
                if !heard || census.wait_for(|state| matches!(state, CensusState::Entered(_))).await.is_err()
                {
                    return false;
                }
            }
            true
        };
        timeout(patience, joined).await.unwrap_or(false)
    }

    /// At the shutdown: gives up what this node still has, and waits until others have heard all that it had to say.
    /// If there are no others, it waits until webhooks have been told of everything that there is to tell.
    pub async fn leave(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let unheard = tokio::join!(self.census.leave_all(patience), self.bus.flush(patience)).1;
        if unheard > 0 {
            warn!(unheard, "{unheard} events may not have reached other nodes");
        }
        while Instant::now() < deadline && self.census.leaves_records().await {
            sleep(ASK_AGAIN).await;
        }
    }
}
