//! Works a queue in SQS off, for as long as the process lives: what the Lambda function does, without Lambda.
//!
//! Messages are received, held, and handed to the [`Lanes`], which try each for as long as its schedule says; meanwhile
//! the queue is told every few seconds not to give them to others. What is delivered is deleted, what is dead is put
//! among the queue's dead letters with its cause, and what has to be left behind at the end is given back at once. If the
//! process is killed, the queue gives what it held to others half a minute later, with the same delivery ids.
//!
//! - `held` is what this process has of the queue;
//! - `receiver` gets messages, hands them over, and learns their fates;
//! - `line` keeps the fates of a group in order;
//! - `desk` gives each fate to one of those who tell the queue;
//! - `settler` is one of them;
//! - [`health`] is for load balancers, supervisors and Prometheus.

mod desk;
pub mod health;
mod held;
mod line;
mod receiver;
mod settler;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tracing::warn;

use self::{desk::Desk, held::Held, receiver::Receiver, settler::Settler};
use crate::{
    attempts::Attempts,
    cloud::{Cloud, Failure, Kind, Queue, pause},
    worker::{Lanes, Limits},
};

/// For so long the queue gives what this process holds to nobody else, from the last time that it was told so.
const VISIBILITY: Duration = Duration::from_secs(30);

/// Requests that wait for messages at the same time.
const RECEIVERS: usize = 2;

/// How many jobs a poller holds at a time: each is spoken for every ten seconds, ten of them in one request.
pub fn limits(limits: Limits) -> Limits {
    Limits { jobs: 5_000, jobs_per_endpoint: 1_000, ..limits }
}

/// What a poller does, in numbers. Cheap to clone: all clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Messages received, repeats among them.
    received: AtomicU64,
    /// Messages that were given back because there was no room for them.
    returned: AtomicU64,
    /// Messages that were put among the dead letters.
    buried: AtomicU64,
    /// Requests to the queue that failed.
    failures: AtomicU64,
    /// Whether the queue answers.
    is_reached: AtomicBool,
    is_draining: AtomicBool,
}

impl Figures {
    fn failed(&self) {
        self.counts.failures.fetch_add(1, Relaxed);
    }
}

/// The queue, once it answers.
///
/// # Errors
/// If it is not there, or the settings do not tell where.
pub async fn find(cloud: &Cloud, name: &str) -> Result<(Queue, Option<Queue>), Failure> {
    for failures in 0.. {
        let finding = async {
            let queue = Queue::find(cloud, name).await?;
            let dead_letters = queue.dead_letters(cloud).await?;
            Ok((queue, dead_letters))
        };
        match finding.await {
            Err(failure @ Failure { kind: Kind::Passing, .. }) => {
                warn!(%failure, "the queue cannot be asked: {failure}");
                sleep(pause(failures)).await;
            }
            found => return found,
        }
    }
    unreachable!("it tries for ever")
}

/// What all parts of a poller share.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    dead_letters: Option<Queue>,
    lanes: Lanes,
    held: Held,
    attempts: Attempts,
    figures: Figures,
}

/// A poller at work. Its tasks end with it.
#[derive(Debug)]
pub struct Poller {
    shared: Arc<Shared>,
    stopping: watch::Sender<bool>,
    receivers: JoinSet<()>,
    settlers: JoinSet<()>,
    keeper: JoinSet<()>,
}

impl Poller {
    /// Begins to work a queue off.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start((queue, dead_letters): (Queue, Option<Queue>), lanes: Lanes, figures: Figures) -> Self {
        if dead_letters.is_none() {
            warn!("the queue {} has no dead letters: what cannot be delivered is only logged", queue.name());
        }
        figures.counts.is_reached.store(true, Relaxed);
        let (held, attempts) = (Held::default(), Attempts::default());
        let shared = Arc::new(Shared { queue, dead_letters, lanes, held, attempts, figures });
        let (stopping, is_stopping) = watch::channel(false);
        let (desk, fates) = Desk::open();
        let (mut receivers, mut settlers, mut keeper) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        for _ in 0..RECEIVERS {
            receivers.spawn(Receiver::new(Arc::clone(&shared), desk.clone()).run(is_stopping.clone()));
        }
        for fates in fates {
            settlers.spawn(Settler::new(Arc::clone(&shared), fates).run());
        }
        keeper.spawn(held::keep(Arc::clone(&shared)));
        Self { shared, stopping, receivers, settlers, keeper }
    }

    /// Receives no more, finishes what is under way, and gives back the rest, all within the grace. What comes back is
    /// how many jobs were left to others.
    pub async fn stop(mut self, grace: Duration) -> u64 {
        let deadline = Instant::now() + grace;
        self.shared.figures.counts.is_draining.store(true, Relaxed);
        self.stopping.send_replace(true);
        let left = self.shared.lanes.drain(grace * 3 / 4).await;
        // Nothing is to be kept from others any more.
        self.keeper.shutdown().await;
        let telling = async {
            while self.receivers.join_next().await.is_some() {}
            while self.settlers.join_next().await.is_some() {}
        };
        // An error would say that the queue does not answer; then it gives back by itself what it is not told of.
        let _ = timeout_at(deadline, telling).await;
        left
    }
}
