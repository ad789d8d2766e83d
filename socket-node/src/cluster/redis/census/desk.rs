//! Where changes are handed in: recorded at once, sent by the [`clerk`](super::clerk) in the same order.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use app_manager::app::AppId;
use parking_lot::Mutex;
use tokio::{
    sync::{
        Notify,
        oneshot::{
            self,
            error::{RecvError, TryRecvError},
        },
    },
    time::Instant,
};

use super::{
    Away, Shared,
    held::{Claim, Entry, Held},
    scripts::{Change, Outcome, Target},
};
use crate::{cluster::redis::keys::Shard, hub::Topic};

/// Changes that wait to be sent.
const MAX_WAITING: usize = 65_536;

/// For so long, counts that change wait for others.
const GATHER_COUNTS: Duration = Duration::from_millis(10);

/// The table of what is held and the changes that Redis does not know of yet, under one lock: so that whoever copies
/// the table knows which changes are in it.
#[derive(Debug, Default)]
pub(super) struct Desk {
    papers: Mutex<Papers>,
    /// Wakes the clerk.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Papers {
    held: Held,
    calls: VecDeque<Call>,
    /// When the counts that have changed are to be sent.
    counts_at: Option<Instant>,
    is_open: bool,
    /// Whether a change found no room: Redis will not be right before everything is entered again.
    has_gap: bool,
    is_closing: bool,
}

/// A change on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) target: Target,
    pub(super) change: Change,
    /// What is to be confirmed or refused.
    pub(super) claim: Option<Claim>,
    answer: Option<oneshot::Sender<Outcome>>,
}

/// What there is for the clerk to do.
#[derive(Debug)]
pub(super) enum Work {
    /// These changes are to be sent.
    Calls(VecDeque<Call>),
    /// A change is missing: everything is to be entered again.
    Gap,
    /// The node goes away, and there is nothing left to send.
    Closing,
}

/// What becomes of a change, as soon as it is known.
#[derive(Debug)]
pub(super) struct Answer(oneshot::Receiver<Outcome>);

impl Desk {
    /// Records an arrival and hands it in.
    pub(super) fn arrive(&self, record: impl FnOnce(&mut Held) -> (Claim, Change)) -> Answer {
        let (answer, outcome) = oneshot::channel();
        let mut papers = self.papers.lock();
        let (claim, change) = record(&mut papers.held);
        let target = claim.entry.target();
        papers.hand_in(Call { target, change, claim: Some(claim), answer: Some(answer) });
        drop(papers);
        self.changed.notify_one();
        Answer(outcome)
    }

    /// Records a departure and hands it in, unless there is nothing to depart from.
    pub(super) fn depart(&self, record: impl FnOnce(&mut Held) -> Option<(Target, Change)>) {
        let mut papers = self.papers.lock();
        if let Some((target, change)) = record(&mut papers.held) {
            papers.hand_in(Call { target, change, claim: None, answer: None });
            drop(papers);
            self.changed.notify_one();
        }
    }

    /// Records what has become different of entries that are held, and hands it in. Nobody waits for it.
    pub(super) fn amend(&self, record: impl FnOnce(&mut Held) -> Vec<(Target, Claim, Change)>) {
        let mut papers = self.papers.lock();
        let changes = record(&mut papers.held);
        for (target, claim, change) in changes {
            papers.hand_in(Call { target, change, claim: Some(claim), answer: None });
        }
        drop(papers);
        self.changed.notify_one();
    }

    /// Records a count; `record` says whether it is the first to wait.
    pub(super) fn count(&self, record: impl FnOnce(&mut Held) -> bool) {
        let mut papers = self.papers.lock();
        if record(&mut papers.held) {
            papers.counts_at = Some(Instant::now() + GATHER_COUNTS);
            drop(papers);
            self.changed.notify_one();
        }
    }

    /// Hands a channel's count in at once, whether or not it has changed; `None` if the channel is not held.
    pub(super) fn count_now(&self, topic: &Topic) -> Option<Answer> {
        let (answer, outcome) = oneshot::channel();
        let mut papers = self.papers.lock();
        let (target, change) = papers.held.take_count(topic)?;
        papers.hand_in(Call { target, change, claim: None, answer: Some(answer) });
        drop(papers);
        self.changed.notify_one();
        Some(Answer(outcome))
    }

    /// Opens for a new holder: gives everything that is to be entered. What is handed in from now on waits.
    pub(super) fn open(&self, is_empty_again: impl Fn(Shard) -> bool) -> VecDeque<Call> {
        let mut papers = self.papers.lock();
        papers.is_open = !papers.is_closing;
        papers.has_gap = false;
        papers.counts_at = None;
        let all = papers.held.all(is_empty_again).into_iter();
        all.map(|(target, claim, change)| Call { target, change, claim: Some(claim), answer: None }).collect()
    }

    /// Closes until there is another holder. What waits is dropped: it is recorded, and that is enough.
    pub(super) fn close(&self) {
        let calls = {
            let mut papers = self.papers.lock();
            papers.is_open = false;
            std::mem::take(&mut papers.calls)
        };
        for call in calls {
            self.conclude(call, Outcome::Lost);
        }
    }

    /// Waits for work.
    pub(super) async fn work(&self) -> Work {
        loop {
            let counts_at = {
                let mut papers = self.papers.lock();
                match papers.work() {
                    Some(work) => return work,
                    None => papers.counts_at,
                }
            };
            match counts_at {
                // A permit that is left behind only makes it look once more.
                Some(due) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Records what became of a call, and tells whoever waits for it.
    pub(super) fn conclude(&self, call: Call, outcome: Outcome) {
        if let Some(claim) = &call.claim {
            match outcome {
                Outcome::Lost => {}
                Outcome::Done | Outcome::Joined(_) => self.papers.lock().held.confirm(claim),
                Outcome::Refused => self.papers.lock().held.refuse(claim),
            }
        }
        let is_counted = !matches!(outcome, Outcome::Refused);
        let is_in_vain = call.answer.is_some_and(|answer| answer.send(outcome).is_err());
        // Nobody else would ever count this connection out.
        if is_in_vain
            && is_counted
            && let Some(Claim { entry: Entry::Connections(app), .. }) = &call.claim
        {
            self.depart(|held| held.disconnect(app));
        }
    }

    /// Nothing more is to be taken in: the node goes away.
    pub(super) fn retire(&self) {
        let mut papers = self.papers.lock();
        papers.is_closing = true;
        papers.is_open = false;
        drop(papers);
        self.changed.notify_one();
    }

    /// Whether the node goes away.
    pub(super) fn is_retiring(&self) -> bool {
        self.papers.lock().is_closing
    }

    /// How many entries are held.
    pub(super) fn held(&self) -> usize {
        self.papers.lock().held.len()
    }
}

impl Papers {
    fn hand_in(&mut self, call: Call) {
        if self.is_open && self.calls.len() < MAX_WAITING {
            self.calls.push_back(call);
        } else {
            self.has_gap |= self.is_open;
            // The call is dropped, and with it the other end of its answer.
        }
    }

    /// Counts go last: the channels they are about have been entered by then.
    fn work(&mut self) -> Option<Work> {
        let mut calls = std::mem::take(&mut self.calls);
        if self.counts_at.is_some_and(|due| due <= Instant::now()) {
            self.counts_at = None;
            let counts = self.held.take_counts().into_iter();
            calls.extend(counts.map(|(target, change)| Call { target, change, claim: None, answer: None }));
        }
        if !calls.is_empty() {
            Some(Work::Calls(calls))
        } else if self.is_closing {
            Some(Work::Closing)
        } else {
            self.has_gap.then_some(Work::Gap)
        }
    }
}

impl Answer {
    /// Waits for it. Not for long: the clerk's connection has a deadline, and when it is over everybody is answered.
    pub(super) async fn outcome(self) -> Result<Outcome, Away> {
        known(self.0.await)
    }
}

/// A connection that waits to be counted in. Whoever stops waiting, because the connection is gone, never counts it
/// out: then this does, or the clerk when the answer comes.
#[derive(Debug)]
pub(super) struct Counting {
    shared: Arc<Shared>,
    app: AppId,
    answer: Answer,
    is_answered: bool,
}

impl Counting {
    pub(super) const fn new(shared: Arc<Shared>, app: AppId, answer: Answer) -> Self {
        Self { shared, app, answer, is_answered: false }
    }

    /// Waits for the answer.
    pub(super) async fn outcome(mut self) -> Result<Outcome, Away> {
        let outcome = (&mut self.answer.0).await;
        self.is_answered = true;
        known(outcome)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        // After this, either the answer is here, or the clerk finds that nobody waits.
        self.answer.0.close();
        let is_counted = match self.answer.0.try_recv() {
            Ok(outcome) => !matches!(outcome, Outcome::Refused),
            Err(TryRecvError::Closed) => true,
            Err(TryRecvError::Empty) => false,
        };
        if is_counted {
            self.shared.desk.depart(|held| held.disconnect(&self.app));
        }
    }
}

fn known(outcome: Result<Outcome, RecvError>) -> Result<Outcome, Away> {
    match outcome {
        Ok(Outcome::Lost) | Err(_) => Err(Away),
        Ok(outcome) => Ok(outcome),
    }
}
