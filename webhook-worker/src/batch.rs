//! The messages that a cloud's queue hands over at once: one attempt for each, and the ids of those that failed.
//!
//! Whoever is called with a batch, as a Lambda function is, does not live long enough to wait for a next attempt. The
//! queue repeats what has failed, after its visibility timeout, and moves it to its dead letters after so many
//! receives: these two are the retry policy then. Nothing is kept here from one batch to the next but how the endpoints
//! have answered, so that a dead one costs little, and how many attempts each message has had that is to come again.

mod breaker;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::Duration,
};

use app_manager::{app::AppId, apps::Apps, webhook::Endpoint};
use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use self::breaker::Breaker;
use crate::{
    attempts::Attempts,
    deliver::{Deliverer, Outcome},
    job::{Job, now_ms},
    message,
    retry::Schedule,
    target,
};

/// Requests under way at once. A batch is rarely larger than ten; of one that is, the rest waits its turn.
const REQUESTS: usize = 64;

/// A message of a queue.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// What the queue calls it.
    pub id: String,
    /// The group whose messages a FIFO queue hands over in order.
    pub group: Option<String>,
    /// How often the queue has handed it over, this time included.
    pub receives: u32,
    /// When it was put into the queue, in milliseconds since 1970.
    pub sent_at_ms: u64,
    /// The job, perhaps in an envelope.
    pub body: String,
}

/// Leaves the body out, in which a customer's tokens may be.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, group, receives, sent_at_ms, body: _ } = self;
        f.debug_struct("Message")
            .field("id", id)
            .field("group", group)
            .field("receives", receives)
            .field("sent_at_ms", sent_at_ms)
            .finish_non_exhaustive()
    }
}

/// Delivers batches.
#[derive(Debug)]
pub struct Batches {
    deliverer: Deliverer,
    apps: Apps,
    schedule: Schedule,
    breaker: Breaker,
    attempts: Attempts,
}

/// What must be delivered in order.
#[derive(PartialEq, Eq, Hash)]
enum Line {
    /// A group of a FIFO queue. What comes after a failure fails too: the queue hands all of it over again, in order.
    Group(String),
    /// The events of a channel at an endpoint. A queue that promises no order may already have mixed them up, so a
    /// failure holds up nothing.
    Channel(AppId, Endpoint, String),
}

/// A message that can be delivered.
struct Parcel {
    message: Message,
    job: Job,
    /// Attempts that the message had before this receive.
    attempts: u32,
}

/// What became of a message.
enum End {
    /// The endpoint took it.
    Taken,
    /// It did not.
    Failed,
    /// The endpoint was not asked.
    Unsent,
}

impl Batches {
    /// Delivers with this. An attempt is not begun when the webhook is older than the schedule's horizon, unless the
    /// message comes for the first time, or was older already when it was put into the queue.
    pub fn new(deliverer: Deliverer, apps: Apps, schedule: Schedule) -> Self {
        Self { deliverer, apps, schedule, breaker: Breaker::default(), attempts: Attempts::default() }
    }

    /// Makes an attempt for each message, in order where order is promised, and is done at `until`. What comes back are
    /// the ids of the messages that are still to be delivered.
    pub async fn deliver(&self, messages: Vec<Message>, until: Instant) -> Vec<String> {
        let mut failed = Vec::new();
        let mut lines: HashMap<Line, VecDeque<Parcel>> = HashMap::new();
        let mut broken: Vec<String> = Vec::new();
        for message in messages {
            let attempts = self.attempts.recall(&message.id, message.receives);
            // What comes after an unreadable message of its group waits for that to be out of the way.
            if message.group.as_ref().is_some_and(|group| broken.contains(group)) {
                failed.push(self.comes_again(message, attempts));
                continue;
            }
            match message::read(&message.body) {
                Ok(job) => {
                    let line = lines.entry(Line::of(&message, &job)).or_default();
                    line.push_back(Parcel { message, job, attempts });
                }
                Err(error) => {
                    warn!(message_id = message.id, %error, "message {} cannot be delivered", message.id);
                    failed.push(message.id);
                    broken.extend(message.group);
                }
            }
        }
        let lines = lines.into_iter().map(|(line, parcels)| self.deliver_line(line, parcels, until));
        let mut lines = stream::iter(lines).buffer_unordered(REQUESTS);
        while let Some(of_line) = lines.next().await {
            failed.extend(of_line);
        }
        failed
    }

    async fn deliver_line(&self, line: Line, mut parcels: VecDeque<Parcel>, until: Instant) -> Vec<String> {
        let mut failed = Vec::new();
        let mut is_first = true;
        while let Some(parcel) = parcels.pop_front() {
            // The first has a right to its attempt, however little time is left.
            let in_time = is_first || Instant::now() + self.deliverer.deadline_of(&parcel.job) <= until;
            is_first = false;
            let end = if in_time { self.deliver_one(&parcel, until).await } else { End::Unsent };
            let attempts = match end {
                End::Taken => continue,
                End::Failed => parcel.attempts.saturating_add(1),
                End::Unsent => parcel.attempts,
            };
            failed.push(self.comes_again(parcel.message, attempts));
            if !in_time || matches!(line, Line::Group(_)) {
                let unsent = parcels.drain(..);
                failed.extend(unsent.map(|parcel| self.comes_again(parcel.message, parcel.attempts)));
            }
        }
        failed
    }

    /// The id of a message that has failed, after so many attempts.
    fn comes_again(&self, message: Message, attempts: u32) -> String {
        self.attempts.remember(&message.id, message.receives, attempts);
        message.id
    }

    /// Whether its time is over.
    ///
    /// A dead letter that is sent again was too old from the beginning. It has as many attempts as the queue lets it have:
    /// nobody knows whether there was one when it came before, or whether it only waited for another one of its group, for
    /// time, or for an endpoint that was left alone.
    fn is_overdue(&self, message: &Message, job: &Job) -> bool {
        let is_old =
            |at_ms: u64| Duration::from_millis(at_ms.saturating_sub(job.time_ms)) > self.schedule.horizon;
        message.receives > 1 && is_old(now_ms()) && !is_old(message.sent_at_ms)
    }

    async fn deliver_one(&self, Parcel { message, job, attempts }: &Parcel, until: Instant) -> End {
        let (id, endpoint) = (job.id, target::shown(&job.endpoint));
        if self.is_overdue(message, job) {
            warn!(delivery = %id, app_id = %job.app_id, endpoint, "gave up webhook {id}: its time is over");
            return End::Unsent;
        }
        if !self.breaker.may_call(&job.endpoint) {
            info!(delivery = %id, endpoint, "left webhook {id} alone: its endpoint has failed too often of late");
            return End::Unsent;
        }
        let attempt = job.attempts.saturating_add(*attempts).saturating_add(1);
        let outcome = timeout_at(until, self.deliverer.attempt_for(&self.apps, job, attempt)).await;
        let (cause, end) = match outcome {
            Ok(Outcome::Delivered { .. }) => {
                self.breaker.succeeded(&job.endpoint);
                return End::Taken;
            }
            // Says nothing of the endpoint's health.
            Ok(Outcome::Refused { cause }) => (cause.to_string(), End::Failed),
            Ok(Outcome::Retry { cause, .. }) if cause.is_of_the_endpoint() => {
                self.breaker.failed(&job.endpoint);
                (cause.to_string(), End::Failed)
            }
            Ok(Outcome::Retry { cause, .. }) => (cause.to_string(), End::Unsent),
            Err(_) => ("there was no time left to wait for the answer".to_owned(), End::Failed),
        };
        warn!(delivery = %id, app_id = %job.app_id, endpoint, attempt, cause, "webhook {id} failed");
        end
    }
}

impl Line {
    fn of(message: &Message, job: &Job) -> Self {
        match &message.group {
            Some(group) => Self::Group(group.clone()),
            None => {
                let channel = job.channels.first().cloned().unwrap_or_default();
                Self::Channel(job.app_id.clone(), job.endpoint.clone(), channel)
            }
        }
    }
}
