//! The task that puts jobs into the streams.
//!
//! One batch is under way at a time, and is sent again under its number until it is answered: so jobs are in the
//! streams in the order in which they were pushed, and each of them once.

use std::sync::{Arc, LazyLock};

use redis::{RedisResult, Script, aio::MultiplexedConnection, from_redis_value};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time::sleep,
};
use tracing::{info, warn};

use super::{BATCH, Streams, figures::Figures};
use crate::cluster::redis::{keys::Shard, line::Line, share::random_name};

/// For so long, Redis remembers a batch that this node may send again.
const REMEMBERED_MS: u32 = 600_000;

static PUSH: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("push.lua")));

/// A job that waits to be put into its stream.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) shard: Shard,
    pub(super) json: String,
    /// Told whether there was room for it.
    pub(super) answer: oneshot::Sender<bool>,
    /// The room that it takes until then.
    pub(super) _room: OwnedSemaphorePermit,
}

#[derive(Debug)]
pub(super) struct Writer {
    line: Line,
    streams: Streams,
    /// In this name the batches are numbered.
    name: Box<str>,
    inbox: mpsc::Receiver<Letter>,
    figures: Arc<Figures>,
    most_in_stream: usize,
}

impl Writer {
    pub(super) fn new(
        line: Line,
        inbox: mpsc::Receiver<Letter>,
        figures: Arc<Figures>,
        most_in_stream: usize,
    ) -> Self {
        let streams = Streams { keys: line.keys.clone() };
        Self { line, streams, name: random_name(), inbox, figures, most_in_stream }
    }

    /// Works until nobody can push any more.
    pub(super) async fn run(mut self) {
        let (mut connection, mut letters) = (None, Vec::new());
        for number in 0_u64.. {
            if self.inbox.recv_many(&mut letters, BATCH).await == 0 {
                return;
            }
            let batch = Batch::new(number, std::mem::take(&mut letters));
            let taken = self.send(&batch, &mut connection).await;
            self.answer(batch, taken);
        }
    }

    /// Sends a batch until it is answered: how many jobs of each shard were taken.
    async fn send(&self, batch: &Batch, connection: &mut Option<MultiplexedConnection>) -> Vec<usize> {
        let mut failures = 0;
        loop {
            let error = match self.try_to_send(batch, connection).await {
                Ok(taken) => return taken,
                Err(error) => error,
            };
            *connection = None;
            if failures == 0 {
                self.figures.reconnects.one();
                warn!(%error, "webhooks cannot be put into Redis; they wait here until there is no more room");
            }
            sleep(self.line.pause(failures)).await;
            failures += 1;
        }
    }

    async fn try_to_send(
        &self,
        batch: &Batch,
        connection: &mut Option<MultiplexedConnection>,
    ) -> RedisResult<Vec<usize>> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.connect().await?),
        };
        let mut pipeline = redis::pipe();
        for (shard, letters) in &batch.shards {
            let mut call = PUSH.key(self.streams.queue(*shard));
            call.key(self.streams.last_batch(*shard, &self.name));
            call.arg(batch.number).arg(self.most_in_stream).arg(REMEMBERED_MS);
            for letter in letters {
                call.arg(&letter.json);
            }
            pipeline.invoke_script(&call);
        }
        let answers = connection.send_packed_commands(&pipeline, 0, batch.shards.len()).await?;
        answers.into_iter().map(|answer| Ok(from_redis_value(answer.extract_error()?)?)).collect()
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = self.line.link.connect().await?;
        PUSH.load_async(&mut connection).await?;
        info!("putting webhooks into Redis");
        Ok(connection)
    }

    fn answer(&self, batch: Batch, taken: Vec<usize>) {
        for ((_, letters), taken) in batch.shards.into_iter().zip(taken) {
            self.figures.answered.add(letters.len() as u64);
            self.figures.refused.add(letters.len().saturating_sub(taken) as u64);
            for (index, letter) in letters.into_iter().enumerate() {
                // Nobody needs to wait.
                let _ = letter.answer.send(index < taken);
            }
        }
    }
}

/// Jobs that are sent together.
#[derive(Debug)]
struct Batch {
    number: u64,
    /// By shard, in the order in which they were pushed.
    shards: Vec<(Shard, Vec<Letter>)>,
}

impl Batch {
    fn new(number: u64, letters: Vec<Letter>) -> Self {
        let mut shards: Vec<(Shard, Vec<Letter>)> = Vec::new();
        for letter in letters {
            match shards.iter_mut().find(|(shard, _)| *shard == letter.shard) {
                Some((_, letters)) => letters.push(letter),
                None => shards.push((letter.shard, vec![letter])),
            }
        }
        Self { number, shards }
    }
}
