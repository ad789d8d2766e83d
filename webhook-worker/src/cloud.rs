//! Amazon's queues and topics, as far as webhooks need them. No type of the AWS SDK leaves this room.
//!
//! - [`Cloud`] is how they are reached;
//! - [`Queue`] is a queue in SQS, to send to and to receive from;
//! - [`Topic`] is a topic in SNS, to publish to;
//! - [`Outlet`] is either, for who sends;
//! - [`Receivers`] are the topics and functions to which webhooks are delivered.

mod access;
mod failure;
mod receivers;
mod sns;
mod sqs;

use std::time::Duration;

use crate::{
    job::{Job, in_allowed_characters},
    retry::Jitter,
};

pub use access::Cloud;
pub use failure::{Failure, Kind};
pub use receivers::Receivers;
pub(crate) use receivers::{Clients, Invocation, Notification};
pub(crate) use sns::EVENT_NAME;
pub use sns::Topic;
pub use sqs::{Note, Queue, Received};

/// Letters of one request at most.
pub const LETTERS: usize = 10;

/// Bytes of one request's letters at most. SQS takes 1 MiB by now, SNS and older limits 256 KiB.
pub const LETTERS_BYTES: usize = 256 * 1024;

/// How long to wait before the next try, the longer the more have failed: about 100 ms at first, 5 s at last.
pub fn pause(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);
    Jitter::random().of(FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST))
}

/// A job as it is sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Letter {
    /// The job's JSON, in characters that every queue takes.
    body: String,
    /// What is handed over in order by a queue that keeps one.
    group: String,
    /// By which such a queue recognises what it has been sent already.
    deduplication: String,
}

impl Letter {
    /// The letter with this job.
    pub fn of(job: &Job) -> Self {
        Self {
            body: in_allowed_characters(job.to_json()),
            group: job.group(),
            deduplication: job.id.to_string(),
        }
    }

    /// Another letter with the same job, which a queue does not take for a repetition of the first.
    #[must_use]
    pub fn again(self, number: u64) -> Self {
        Self { deduplication: format!("{}-{number}", self.deduplication), ..self }
    }

    /// How much of [`LETTERS_BYTES`] it takes.
    pub fn bytes(&self) -> usize {
        /// For the attribute of a topic's letter.
        const ATTRIBUTE: usize = 64;
        self.body.len() + ATTRIBUTE
    }

    /// The group, by which whoever sends several requests at once keeps the order.
    pub fn group(&self) -> &str {
        &self.group
    }
}

/// Leaves the body out, in which a customer's tokens may be.
impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { body: _, group, deduplication } = self;
        f.debug_struct("Letter")
            .field("group", group)
            .field("deduplication", deduplication)
            .finish_non_exhaustive()
    }
}

/// A letter of a request that was not taken although the request was.
#[derive(Debug)]
pub struct Rejected {
    /// Its place in the request.
    pub index: usize,
    /// Why.
    pub failure: Failure,
}

impl Rejected {
    /// What the cloud says of an entry whose id is its place. `None` if it is none of ours.
    fn read(id: &str, code: &str, message: Option<&str>, is_senders_fault: bool) -> Option<Self> {
        let mut failure = Failure::coded(code, message);
        if is_senders_fault {
            failure.kind = Kind::Letter;
        }
        Some(Self { index: id.parse().ok()?, failure })
    }
}

/// Where letters go.
#[derive(Clone, Debug)]
pub enum Outlet {
    /// A queue, which workers read.
    Queue(Queue),
    /// A topic, to which queues are subscribed.
    Topic(Topic),
}

impl Outlet {
    /// Sends up to [`LETTERS`] of up to [`LETTERS_BYTES`]. What comes back was not taken; the rest was.
    ///
    /// # Errors
    /// If it is not known that any was taken.
    pub async fn send(&self, letters: &[Letter]) -> Result<Vec<Rejected>, Failure> {
        match self {
            Self::Queue(queue) => queue.send(letters).await,
            Self::Topic(topic) => topic.publish(letters).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pause;

    #[test]
    fn pauses_grow_up_to_a_bound_and_differ() {
        for failures in 0..100 {
            let middle = Duration::from_millis(100 << failures.min(16)).min(Duration::from_secs(5));
            let pause = pause(failures);
            assert!(pause >= middle.mul_f64(0.79) && pause <= middle.mul_f64(1.21), "{failures}: {pause:?}");
        }
        assert!((0..10).any(|_| pause(3) != pause(3)));
    }
}
