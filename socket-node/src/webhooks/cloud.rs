//! The queue of webhooks in the cloud: jobs leave this node for a queue in SQS or a topic in SNS, and others deliver them.
//!
//! Jobs are divided into lines by their group, an app's channel at an endpoint. Each line sends one request after the
//! other, so that a group's jobs arrive in order, and the lines do so at the same time. What the cloud does not take is
//! kept and sent again, by the same id, until it is taken; meanwhile there is room for so much and no more.

mod line;

use std::{
    future::Future,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, sleep, timeout_at},
};
use tracing::{info, warn};
use webhook_worker::{
    cloud::{Cloud, Failure, Kind, LETTERS_BYTES, Letter, Outlet, Queue, Topic, pause},
    job::Job,
};

use self::line::{Line, Waiting};
use crate::{
    config::{CloudDestination, CloudOutlet},
    tally::Count,
};

/// Requests at the same time.
const LINES: usize = 8;

/// Bytes of jobs that may wait in this node until the cloud has taken them.
const ROOM: u32 = 64 << 20;

/// Jobs that may wait there.
const MOST_WAITING: usize = 50_000;

/// The queue as one node has it. Cheap to clone: all clones are the same.
#[derive(Clone, Debug)]
pub struct CloudQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    lines: Vec<mpsc::Sender<Waiting>>,
    /// Bytes that are left.
    room: Arc<Semaphore>,
    /// Jobs that are left.
    places: Arc<Semaphore>,
    figures: Arc<Figures>,
    found: watch::Receiver<Found>,
}

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Jobs that were pushed.
    pushed: Count,
    /// Jobs of which it is known whether they were taken.
    answered: Count,
    /// Times that the cloud stopped taking them.
    outages: Count,
}

/// Whether the destination is there.
#[derive(Clone, Debug)]
enum Found {
    NotYet,
    There(Outlet),
    /// Not unless somebody does something about it.
    Never(Failure),
}

/// Tells whether the cloud has taken a job, once that is known.
#[derive(Debug)]
pub(super) struct Receipt(oneshot::Receiver<bool>);

impl Future for Receipt {
    /// Whether it was taken.
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        Pin::new(&mut self.0).poll(context).map(|is_taken| is_taken.unwrap_or(false))
    }
}

impl CloudQueue {
    /// A queue that ends there, and its work, which ends with the last clone.
    pub fn start(destination: CloudDestination) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (finding, found) = watch::channel(Found::NotYet);
        let figures = Arc::<Figures>::default();
        let (mut lines, mut work) = (Vec::new(), Vec::new());
        for _ in 0..LINES {
            let (line, inbox) = mpsc::channel(MOST_WAITING);
            lines.push(line);
            work.push(Line::new(inbox, Arc::clone(&figures)).run(found.clone()));
        }
        let (room, places) = (Semaphore::new(ROOM as usize), Semaphore::new(MOST_WAITING));
        let (room, places) = (Arc::new(room), Arc::new(places));
        let queue = Self { shared: Arc::new(Shared { lines, room, places, figures, found }) };
        (queue, async move {
            let lines = futures_util::future::join_all(work);
            tokio::join!(lines, find(destination, finding));
        })
    }

    /// Waits until it is known whether the destination is there.
    ///
    /// # Errors
    /// If it is not, or the settings do not tell where.
    pub async fn found(&self) -> Result<(), Failure> {
        let mut found = self.shared.found.clone();
        // An error would say that the queue's work has ended, and the node with it.
        let Ok(found) = found.wait_for(|found| !matches!(found, Found::NotYet)).await else { return Ok(()) };
        match &*found {
            Found::Never(failure) => Err(failure.clone()),
            Found::There(_) | Found::NotYet => Ok(()),
        }
    }

    /// Takes a job over, behind all others of its group, and never waits. `None` if there is no room.
    pub(super) fn push(&self, job: &Job) -> Option<Receipt> {
        let letter = Letter::of(job);
        let (answer, receipt) = oneshot::channel();
        let bytes = u32::try_from(letter.bytes()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.shared.room).try_acquire_many_owned(bytes).ok()?;
        let place = Arc::clone(&self.shared.places).try_acquire_owned().ok()?;
        self.shared.figures.pushed.one();
        if letter.bytes() > LETTERS_BYTES {
            warn!(delivery = %job.id, bytes, "webhook {} is too large for the cloud", job.id);
            self.shared.figures.answered.one();
            // Whoever waits for it is told that it was not taken when the answer is dropped.
            return Some(Receipt(receipt));
        }
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(letter.group());
        let line = usize::try_from(hash % LINES as u64).unwrap_or_default();
        // A line has room for all that there may be; only one that has ended would not take it.
        let waiting = Waiting { letter, answer, _room: (room, place) };
        self.shared.lines[line].try_send(waiting).ok()?;
        Some(Receipt(receipt))
    }

    /// Jobs that the cloud has not taken yet.
    pub(super) fn waiting(&self) -> u64 {
        let Figures { pushed, answered, .. } = &*self.shared.figures;
        // A job may be answered before it counts as pushed.
        pushed.total().saturating_sub(answered.total())
    }

    /// Times that the cloud stopped taking jobs.
    pub(super) fn outages(&self) -> u64 {
        self.shared.figures.outages.total()
    }

    /// Waits until everything that was pushed is taken, as long as the patience lasts. Gives the number of jobs that may
    /// not be.
    pub(super) async fn drain(&self, patience: Duration) -> u64 {
        // An error would say that time is over; the figures say what that costs.
        let _ = timeout_at(Instant::now() + patience, self.shared.room.acquire_many(ROOM)).await;
        self.waiting()
    }
}

/// Looks for the destination until it is there.
async fn find(destination: CloudDestination, finding: watch::Sender<Found>) {
    for failures in 0.. {
        match look_for(&destination).await {
            Ok(outlet) => {
                info!("webhooks go to {destination}");
                finding.send_replace(Found::There(outlet));
                return;
            }
            Err(failure) => {
                warn!(%failure, "{destination} cannot be used: {failure}");
                // That stops the start. Once the node serves, what is missing may yet be made.
                if failure.kind != Kind::Passing {
                    finding.send_replace(Found::Never(failure));
                }
                sleep(pause(failures)).await;
            }
        }
    }
}

async fn look_for(destination: &CloudDestination) -> Result<Outlet, Failure> {
    let cloud = Cloud::open(&destination.access).await?;
    Ok(match &destination.outlet {
        CloudOutlet::Queue(name) => Outlet::Queue(Queue::find(&cloud, name).await?),
        CloudOutlet::Topic(arn) => Outlet::Topic(Topic::find(&cloud, arn).await?),
    })
}
