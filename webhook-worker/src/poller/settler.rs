//! Tells the queue what became of messages.

use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::time::sleep;
use tracing::warn;

use super::{Shared, desk::Fates, line::Settled};
use crate::{
    cloud::{Failure, Kind, LETTERS, Note, Received, pause},
    worker::Fate,
};

/// How often the queue is told one thing before it is left to find out by itself: the message comes again then, and the
/// endpoint sees its webhook once more, with the same id.
const TRIES: u32 = 8;

pub(super) struct Settler {
    shared: Arc<Shared>,
    fates: Fates,
}

impl Settler {
    pub(super) fn new(shared: Arc<Shared>, fates: Fates) -> Self {
        Self { shared, fates }
    }

    /// Works until nobody learns of fates any more.
    pub(super) async fn run(self) {
        loop {
            let mut settled = Vec::new();
            if self.fates.lock().await.recv_many(&mut settled, LETTERS).await == 0 {
                return;
            }
            self.settle(settled).await;
        }
    }

    async fn settle(&self, settled: Vec<Settled>) {
        let (mut through, mut abandoned) = (Vec::new(), Vec::new());
        for Settled { message, fate, attempts, line } in settled {
            match fate {
                Fate::Delivered => through.push(message.id),
                Fate::Dead { cause, attempts: in_all } => {
                    let note = Note { cause, attempts: in_all };
                    if !line.is_broken() && self.bury(&message, &note).await {
                        through.push(message.id);
                    } else {
                        line.break_off();
                        self.let_go(&message.id, attempts);
                    }
                }
                Fate::Abandoned => abandoned.extend(self.let_go(&message.id, attempts)),
            }
        }
        self.delete(&through).await;
        if !abandoned.is_empty() {
            // An error would say that others have to wait for a moment.
            let _ = self.shared.queue.hide(&abandoned, Duration::ZERO).await;
        }
        through.iter().for_each(|id| self.shared.held.remove(id));
    }

    /// Lets a message come again that has had so many attempts. Its handle tells the queue when.
    fn let_go(&self, id: &str, attempts: u32) -> Option<String> {
        let latest = self.shared.held.latest(id)?;
        self.shared.attempts.remember(id, latest.receives, attempts);
        self.shared.held.remove(id);
        Some(latest.handle)
    }

    /// Whether a message that is dead may be deleted: it is among the dead letters, or there are none.
    async fn bury(&self, message: &Received, note: &Note) -> bool {
        let Some(dead_letters) = &self.shared.dead_letters else { return true };
        for failures in 0..TRIES {
            match dead_letters.bury(message, note).await {
                Ok(()) => {
                    self.shared.figures.counts.buried.fetch_add(1, Relaxed);
                    return true;
                }
                Err(failure) if failure.kind == Kind::Passing => self.rest(&failure, failures).await,
                Err(failure) => {
                    self.shared.figures.failed();
                    warn!(%failure, "a dead letter is not taken: {failure}");
                    return false;
                }
            }
        }
        false
    }

    async fn delete(&self, ids: &[String]) {
        let handle = |id: &String| Some(self.shared.held.latest(id)?.handle);
        let mut handles: Vec<_> = ids.iter().filter_map(handle).collect();
        for failures in 0..TRIES {
            if handles.is_empty() {
                return;
            }
            match self.shared.queue.delete(&handles).await {
                Ok(failed) => {
                    handles = failed.into_iter().filter_map(|index| handles.get(index).cloned()).collect();
                }
                Err(failure) => self.rest(&failure, failures).await,
            }
        }
        if !handles.is_empty() {
            warn!("{} webhooks that are through could not be deleted, and come again", handles.len());
        }
    }

    async fn rest(&self, failure: &Failure, failures: u32) {
        self.shared.figures.failed();
        warn!(%failure, "the queue could not be told what became of webhooks: {failure}");
        sleep(pause(failures)).await;
    }
}
