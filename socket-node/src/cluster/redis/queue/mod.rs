//! The queue of webhooks in Redis: any node puts jobs in, and all nodes work them off.
//!
//! Each shard has a stream. A job is in that of its first channel, from the push until it is delivered or among the
//! dead letters. One node at a time works a stream off, by its [`Share`], from the beginning: what
//! a dead node had under way is still there, before everything that came later. So a consumer group would have nothing
//! to add; and should two nodes ever work off the same stream for a moment, as after a freeze, each still goes through
//! it in order. Endpoints see some requests twice then, with the same ids, but nothing for the first time too late.
//!
//! - [`writer`] puts jobs in, in order and once each;
//! - [`reader`] hands them to the lanes, and takes them out when they are through;
//! - [`part`] is what the reader knows of one stream.

mod figures;
mod part;
mod reader;
mod writer;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::join_all;
use thiserror::Error;
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};
use tracing::Instrument as _;
use webhook_worker::{
    job::Job,
    worker::{Lanes, Snapshot},
};

pub use figures::Figures;

use self::{
    reader::Reader,
    writer::{Letter, Writer},
};
use super::{
    keys::{Keys, Shard},
    line::{Lines, PerLine},
    share::{LEASE, Share},
};

/// Jobs that are sent or read at once.
const BATCH: usize = 100;

/// Bytes of jobs that may wait in this node to be put into Redis.
const WAITING_ROOM: u32 = 64 << 20;

/// Jobs that may wait there on each line.
const MOST_WAITING: usize = 50_000;

/// Bounds and times of the queue.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Jobs in one of the streams.
    pub in_stream: usize,
    /// Dead letters of one of the streams; beyond, the oldest are forgotten.
    pub dead_letters: usize,
    /// Jobs of one stream that this node holds because the lanes have no room for them; beyond, it reads no more.
    pub waiting: usize,
    /// How long a stream is a node's without a word from it.
    pub lease: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { in_stream: 100_000, dead_letters: 10_000, waiting: 5_000, lease: LEASE }
    }
}

/// The queue as one node has it. Cheap to clone: all clones are the same.
#[derive(Clone, Debug)]
pub struct RedisQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Each line has a writer and a reader of its own.
    inboxes: PerLine<mpsc::Sender<Letter>>,
    /// Bytes that are left in the waiting room.
    room: Arc<Semaphore>,
    figures: Arc<Figures>,
    lanes: Lanes,
    /// Whether the node takes its leave; closed when it has.
    leaving: watch::Sender<bool>,
}

/// There is no room for the job, in Redis or on the way there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the queue in Redis is full, or out of reach for too long")]
pub struct QueueFull;

/// Tells whether a job is in Redis, once that is known: while Redis is away, it is not.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<bool>);

impl Future for Receipt {
    type Output = Result<(), QueueFull>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|is_in| is_in.unwrap_or(false).then_some(()).ok_or(QueueFull))
    }
}

impl RedisQueue {
    /// A queue whose jobs these lanes deliver, and its work, which ends when the queue is drained.
    pub fn start(
        lines: &Lines,
        lanes: Lanes,
        bounds: Bounds,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (leaving, is_leaving) = watch::channel(false);
        let figures = Arc::<Figures>::default();
        let mut shares = Share::on_each(lines, "queue", bounds.lease).into_iter();
        let mut works = Vec::new();
        let inboxes = lines.each(|line| {
            let (inbox, letters) = mpsc::channel(MOST_WAITING);
            let share = shares.next().expect("each line has a share");
            let writer = Writer::new(line.clone(), letters, Arc::clone(&figures), bounds.in_stream);
            let (lanes, figures, is_leaving) = (lanes.clone(), Arc::clone(&figures), is_leaving.clone());
            let reader = Reader::new(line.clone(), share, lanes, figures, bounds, is_leaving);
            let work = async {
                tokio::join!(writer.run(), reader.run());
            };
            works.push(work.instrument(line.span()));
            inbox
        });
        let room = Arc::new(Semaphore::new(WAITING_ROOM as usize));
        let queue = Self { shared: Arc::new(Shared { inboxes, room, figures, lanes, leaving }) };
        (queue, async {
            join_all(works).await;
        })
    }

    /// Puts a job in, behind all that were pushed before, and never waits. The receipt tells when it is in Redis.
    ///
    /// # Errors
    /// If there is no room for it on the way.
    pub fn push(&self, job: &Job) -> Result<Receipt, QueueFull> {
        let json = job.to_json();
        let (answer, receipt) = oneshot::channel();
        let channel = job.channels.first().map_or("", String::as_str);
        let shard = Shard::of(job.app_id.as_str(), channel);
        let bytes = u32::try_from(json.len()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.shared.room).try_acquire_many_owned(bytes).ok();
        let letter = room.map(|room| Letter { shard, json, answer, _room: room });
        if letter.is_none_or(|letter| self.shared.inboxes.of(shard).try_send(letter).is_err()) {
            self.shared.figures.refused.one();
            return Err(QueueFull);
        }
        self.shared.figures.pushed.one();
        Ok(Receipt(receipt))
    }

    /// What has happened so far, for metrics.
    pub fn figures(&self) -> &Figures {
        &self.shared.figures
    }

    /// What has become of the jobs that this node works off.
    pub fn deliveries(&self) -> Snapshot {
        self.shared.lanes.snapshot()
    }

    /// Takes leave: waits until what was pushed is in Redis, finishes what is under way, and leaves the rest to other
    /// nodes, all as long as the patience lasts. Gives the number of jobs that may not be in Redis.
    pub async fn drain(&self, patience: Duration) -> u64 {
        let now = Instant::now();
        let everything = self.shared.room.acquire_many(WAITING_ROOM);
        // An error would say that time is over; the figures say what that costs.
        let _ = timeout_at(now + patience / 2, everything).await;
        self.shared.leaving.send_replace(true);
        let until = now + patience * 7 / 8;
        self.shared.lanes.drain(until.saturating_duration_since(Instant::now())).await;
        // An error would say that Redis is away. Then others have to wait for the leases to end.
        let _ = timeout_at(now + patience, self.shared.leaving.closed()).await;
        self.shared.figures.unanswered()
    }
}

/// How the queue's keys are named.
#[derive(Clone, Debug)]
struct Streams {
    keys: Keys,
}

impl Streams {
    fn queue(&self, shard: Shard) -> String {
        format!("{}queue", self.keys.of_shard(shard))
    }

    fn dead_letters(&self, shard: Shard) -> String {
        format!("{}queue-dead", self.keys.of_shard(shard))
    }

    fn last_batch(&self, shard: Shard, writer: &str) -> String {
        format!("{}queue-batch:{writer}", self.keys.of_shard(shard))
    }
}
