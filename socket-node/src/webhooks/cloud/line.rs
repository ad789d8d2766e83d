//! One line of jobs on their way to the cloud: one request after the other.

use std::{collections::VecDeque, sync::Arc};

use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot, watch},
    time::sleep,
};
use tracing::{info, warn};
use webhook_worker::cloud::{Failure, Kind, LETTERS, LETTERS_BYTES, Letter, Outlet, Rejected, pause};

use super::{Figures, Found};

/// A job that waits to be taken.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) letter: Letter,
    /// Told whether it was taken.
    pub(super) answer: oneshot::Sender<bool>,
    /// The room that it takes until then, in bytes and as a job.
    pub(super) _room: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

#[derive(Debug)]
pub(super) struct Line {
    inbox: mpsc::Receiver<Waiting>,
    figures: Arc<Figures>,
    /// What was taken out of the inbox, in order.
    waiting: VecDeque<Waiting>,
}

impl Line {
    pub(super) fn new(inbox: mpsc::Receiver<Waiting>, figures: Arc<Figures>) -> Self {
        Self { inbox, figures, waiting: VecDeque::new() }
    }

    /// Works until nobody can push any more.
    pub(super) async fn run(mut self, mut found: watch::Receiver<Found>) {
        let outlet = match found.wait_for(|found| matches!(found, Found::There(_))).await.as_deref() {
            Ok(Found::There(outlet)) => outlet.clone(),
            // Nobody looks for it any more: the node ends.
            _ => return,
        };
        while self.fill().await {
            let batch = self.batch();
            self.send(&outlet, batch).await;
        }
    }

    /// Waits for jobs, and takes as many as one request may have. `false` if there are no more.
    async fn fill(&mut self) -> bool {
        let missing = LETTERS.saturating_sub(self.waiting.len());
        if self.waiting.is_empty() {
            let mut came = Vec::with_capacity(missing);
            self.inbox.recv_many(&mut came, missing).await;
            self.waiting.extend(came);
        } else {
            let inbox = &mut self.inbox;
            self.waiting.extend(std::iter::from_fn(|| inbox.try_recv().ok()).take(missing));
        }
        !self.waiting.is_empty()
    }

    /// The first jobs, as many as fit into one request.
    fn batch(&mut self) -> Vec<Waiting> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(first) = self.waiting.front() {
            bytes += first.letter.bytes();
            if batch.len() == LETTERS || (bytes > LETTERS_BYTES && !batch.is_empty()) {
                break;
            }
            batch.extend(self.waiting.pop_front());
        }
        batch
    }

    /// Sends jobs until all of them are taken, or never will be.
    ///
    /// One that is not taken although others of its request are is sent again before anything else; those others have
    /// overtaken it, which cannot be helped.
    async fn send(&self, outlet: &Outlet, mut batch: Vec<Waiting>) {
        let mut failures = 0;
        while !batch.is_empty() {
            let letters: Vec<_> = batch.iter().map(|waiting| waiting.letter.clone()).collect();
            let failure = match outlet.send(&letters).await {
                Ok(rejected) => {
                    let failure = rejected.iter().find(|rejected| rejected.failure.kind != Kind::Letter);
                    let failure = failure.map(|rejected| rejected.failure.clone());
                    batch = self.settle(batch, &rejected);
                    failure
                }
                // The one that is to blame is found by itself.
                Err(Failure { kind: Kind::Letter, .. }) if batch.len() > 1 => {
                    for single in batch {
                        Box::pin(self.send(outlet, vec![single])).await;
                    }
                    return;
                }
                Err(failure) if failure.kind == Kind::Letter => {
                    self.settle(batch, &[Rejected { index: 0, failure }]);
                    return;
                }
                Err(failure) => Some(failure),
            };
            let Some(failure) = failure else { continue };
            if failures == 0 {
                self.figures.outages.one();
                warn!(%failure, "the cloud takes no webhooks; they wait here until there is no more room: {failure}");
            }
            sleep(pause(failures)).await;
            failures += 1;
        }
        if failures > 0 {
            info!("the cloud takes webhooks again");
        }
    }

    /// Answers for those that are taken, or never will be. What comes back is to be sent again.
    fn settle(&self, batch: Vec<Waiting>, rejected: &[Rejected]) -> Vec<Waiting> {
        let mut again = Vec::new();
        for (index, waiting) in batch.into_iter().enumerate() {
            let rejection = rejected.iter().find(|rejected| rejected.index == index);
            let is_taken = match rejection.map(|rejected| &rejected.failure) {
                None => true,
                Some(failure) if failure.kind == Kind::Letter => {
                    warn!(%failure, "the cloud refuses a webhook for good: {failure}");
                    false
                }
                Some(_) => {
                    again.push(waiting);
                    continue;
                }
            };
            self.figures.answered.one();
            // Nobody needs to wait.
            let _ = waiting.answer.send(is_taken);
        }
        again
    }
}
