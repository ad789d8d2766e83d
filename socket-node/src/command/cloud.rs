//! Dead letters in SQS: those in the queue that the queue's redrive policy names.
//!
//! Reading a message hides it from others for a while, and in a FIFO queue what follows in its group too. So of such a
//! queue, one pass sees up to ten messages of each group; what is replayed or purged makes room for the next.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use webhook_worker::{
    cloud::{Cloud, LETTERS, Letter, Outlet, Queue, Received},
    job::now_ms,
    message,
};

use super::DeadLetter;
use crate::config::{CloudDestination, CloudOutlet};

/// For so long, others do not see what a command is looking at.
const VISIBILITY: Duration = Duration::from_secs(120);

/// How long a read waits for messages. Without waiting, a queue may miss some.
const WAIT: Duration = Duration::from_secs(1);

/// The dead letters of a queue.
pub(super) struct CloudLetters {
    queue: Queue,
    dead: Queue,
    /// What was read and is still there, by handle.
    seen: HashMap<String, String>,
}

impl CloudLetters {
    pub(super) async fn open(destination: &CloudDestination) -> anyhow::Result<Self> {
        let CloudOutlet::Queue(name) = &destination.outlet else {
            anyhow::bail!(
                "{destination} keeps no dead letters; the queues behind it may: use --queue-driver sqs"
            );
        };
        let cloud = Cloud::open(&destination.access).await?;
        let queue =
            Queue::find(&cloud, name).await.with_context(|| format!("{destination} cannot be used"))?;
        let dead = queue.dead_letters(&cloud).await?;
        let dead = dead.with_context(|| format!("{destination} has no redrive policy"))?;
        Ok(Self { queue, dead, seen: HashMap::new() })
    }

    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<DeadLetter>> {
        let received = self.dead.receive(WAIT, VISIBILITY).await?;
        // One that comes again has been hidden for as long as that may take.
        let new = received.into_iter().filter(|message| !self.seen.contains_key(&message.id));
        let letters: Vec<_> = new.map(letter).collect();
        self.seen.extend(letters.iter().map(|letter| (letter.id.clone(), letter.handle.clone())));
        Ok(letters)
    }

    /// In this order, so that it may be there twice and is never lost.
    pub(super) async fn replay(&mut self, letter: &DeadLetter) -> anyhow::Result<()> {
        let job = letter.job.as_ref().context("it holds no job")?;
        let again = Letter::of(job).again(now_ms());
        let rejected = Outlet::Queue(self.queue.clone()).send(&[again]).await?;
        if let Some(rejected) = rejected.into_iter().next() {
            return Err(rejected.failure.into());
        }
        self.purge(letter).await
    }

    pub(super) async fn purge(&mut self, letter: &DeadLetter) -> anyhow::Result<()> {
        let failed = self.dead.delete(std::slice::from_ref(&letter.handle)).await?;
        anyhow::ensure!(failed.is_empty(), "it could not be deleted");
        self.seen.remove(&letter.id);
        Ok(())
    }

    /// Shows others again what was only looked at.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        let handles: Vec<_> = self.seen.into_values().collect();
        for handles in handles.chunks(LETTERS) {
            self.dead.hide(handles, Duration::ZERO).await?;
        }
        Ok(())
    }
}

fn letter(message: Received) -> DeadLetter {
    let Received { id, handle, sent_at_ms, note, body, .. } = message;
    let (cause, attempts) = note.map(|note| (note.cause, note.attempts)).unzip();
    DeadLetter {
        id,
        handle,
        job: message::read(&body).ok(),
        text: body,
        cause,
        attempts,
        dead_at_ms: sent_at_ms,
    }
}
