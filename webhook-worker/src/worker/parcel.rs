//! A job in a lane, with all that has to be known of it until it is through.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};

use crate::{
    job::{Job, now_ms},
    retry::{Jitter, Schedule},
};

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// An endpoint took it.
    Delivered,
    /// It is given up, and belongs among the dead letters.
    Dead {
        /// Why, in words that may be logged and stored.
        cause: String,
        /// How many attempts were made in all.
        attempts: u32,
    },
    /// The server stopped first. The job is still to be delivered, by whoever has it from its queue.
    Abandoned,
}

/// A job's fate, once it is known.
#[derive(Debug)]
pub struct Pending {
    fate: oneshot::Receiver<Fate>,
}

impl Future for Pending {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Fate> {
        Pin::new(&mut self.fate).poll(context).map(|fate| fate.unwrap_or(Fate::Abandoned))
    }
}

/// The room that a job takes, given back when the job is dropped.
#[expect(dead_code, reason = "held, never read")]
pub(super) struct Room {
    pub(super) in_all: OwnedSemaphorePermit,
    pub(super) in_lane: OwnedSemaphorePermit,
}

/// A job in a lane.
pub(super) struct Parcel {
    pub(super) job: Arc<Job>,
    /// Attempts in all, also those before the job came here.
    pub(super) attempts: u32,
    /// How often it was not even known who could sign. Then nobody was asked, and all the same the next try has to wait.
    pub(super) unasked: u32,
    /// Why the last attempt failed.
    pub(super) last_failure: Option<String>,
    came_at: Instant,
    /// The wall clock's time then. From there on only the other clock counts, which nobody can set.
    came_at_ms: u64,
    fate: oneshot::Sender<Fate>,
    _room: Room,
}

impl Parcel {
    pub(super) fn new(job: Job, room: Room) -> (Self, Pending) {
        let (sender, fate) = oneshot::channel();
        let parcel = Self {
            attempts: job.attempts,
            unasked: 0,
            job: Arc::new(job),
            last_failure: None,
            came_at: Instant::now(),
            came_at_ms: now_ms(),
            fate: sender,
            _room: room,
        };
        (parcel, Pending { fate })
    }

    /// When the next attempt is due after one that just failed, if there is to be one.
    ///
    /// An endpoint that asks for more time gets it, but no more than the schedule's longest gap.
    pub(super) fn next_attempt(&self, schedule: Schedule, asked_for: Option<Duration>) -> Option<Instant> {
        let now_ms = self.came_at_ms.saturating_add(millis(self.came_at.elapsed()));
        let tries = self.attempts.saturating_add(self.unasked);
        let gap = schedule.next_attempt(tries, self.job.time_ms, now_ms, Jitter::random())?;
        let asked_for = asked_for.unwrap_or_default().min(schedule.longest_gap);
        Some(Instant::now() + gap.max(asked_for))
    }

    /// Whether the job's time ran out while it waited here.
    ///
    /// One that was too old when it came, as a dead letter that is sent again, gets its one attempt all the same.
    pub(super) fn is_overdue(&self, schedule: Schedule) -> bool {
        let age = Duration::from_millis(self.came_at_ms.saturating_sub(self.job.time_ms));
        schedule.horizon.checked_sub(age).is_some_and(|left| self.came_at.elapsed() > left)
    }

    /// Tells whoever waits for it. The room is free when this returns.
    pub(super) fn end(self, fate: Fate) {
        // Nobody needs to wait.
        let _ = self.fate.send(fate);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
