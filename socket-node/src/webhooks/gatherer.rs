//! The task between the reports and the queue: makes jobs of events, and hands them to the lanes.

use std::{
    collections::{HashSet, VecDeque},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use app_manager::webhook::Endpoint;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, sleep_until},
};
use webhook_worker::worker::NotTaken;

use super::{
    Report,
    losses::Losses,
    queue::{End, Queue, Taken},
    receipt::Receipt,
    windows::{Parcel, Windows},
};

/// Pause before jobs are offered again that found no room. A lane has work for much longer.
const OFFER_AGAIN: Duration = Duration::from_millis(20);

/// Gathers events for each target, and hands them over as jobs.
#[derive(Debug)]
pub(super) struct Gatherer {
    inbox: mpsc::Receiver<Report>,
    windows: Windows,
    exit: Exit,
}

/// Where jobs go.
#[derive(Debug)]
struct Exit {
    queue: Queue,
    losses: Arc<Losses>,
    /// What is handed over once the node is about to end: everybody leaves at the same time then, and nobody comes any
    /// more. No more than the departures and reports that there may be.
    kept: Option<VecDeque<Parcel>>,
    /// Jobs whose end somebody wants to know, or that may yet be refused.
    under_way: FuturesUnordered<Settling>,
}

/// A job under way, up to the end of its receipts.
type Settling = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Gatherer {
    pub(super) fn new(inbox: mpsc::Receiver<Report>, queue: Queue, losses: Arc<Losses>) -> Self {
        Self {
            inbox,
            windows: Windows::default(),
            exit: Exit { queue, losses, kept: None, under_way: FuturesUnordered::new() },
        }
    }

    /// Works until nobody can report any more.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.windows.due();
            let window = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = window => self.close_windows(),
                Some(()) = self.exit.under_way.next() => {}
                report = self.inbox.recv() => match report {
                    Some(Report::Event(app, event, receipt)) => {
                        self.windows.take(&app, &event, receipt.as_ref(), |parcel| self.exit.hand_over(parcel));
                        if let Some(receipt) = receipt {
                            receipt.settle();
                        }
                    }
                    Some(Report::Ending) => self.exit.kept = Some(VecDeque::new()),
                    Some(Report::Flush(done)) => {
                        self.close_windows();
                        self.exit.hand_over_kept(done).await;
                    }
                    None => return self.close_windows(),
                },
            }
        }
    }

    fn close_windows(&mut self) {
        self.windows.close(|parcel| self.exit.hand_over(parcel));
    }
}

impl Exit {
    /// The queue holds thousands of jobs; beyond, an endpoint that is dead, or slower than its app is fast, loses what
    /// is new.
    fn hand_over(&mut self, parcel: Parcel) {
        if let Some(kept) = &mut self.kept {
            kept.push_back(parcel);
            return;
        }
        let Parcel { job, events, receipts } = parcel;
        match self.queue.push(job) {
            Ok(taken) => self.follow(taken, events, receipts),
            Err(refusal) => {
                self.losses.add(events, &refusal);
                settle(receipts);
            }
        }
    }

    /// Settles the receipts when the job is through, or in other hands.
    fn follow(&self, taken: Taken, events: usize, receipts: Vec<Receipt>) {
        if receipts.is_empty() && taken.is_certain() {
            return;
        }
        let losses = Arc::clone(&self.losses);
        self.under_way.push(Box::pin(async move {
            match taken.end().await {
                End::Settled => settle(receipts),
                End::Refused => {
                    losses.add(events, &"the queue is full, or was out of reach for too long");
                    settle(receipts);
                }
                // It is still to be told of, by whoever has its events.
                End::Abandoned => {}
            }
        }));
    }

    /// Offers what was kept until all of it is taken, or nobody waits for that any more.
    async fn hand_over_kept(&mut self, mut done: oneshot::Sender<()>) {
        let mut kept = self.kept.take().unwrap_or_default();
        self.offer(&mut kept);
        while !kept.is_empty() {
            tokio::select! {
                () = sleep(OFFER_AGAIN) => self.offer(&mut kept),
                Some(()) = self.under_way.next() => {}
                () = done.closed() => {
                    let lost = kept.iter().map(|parcel| parcel.events).sum();
                    return self.losses.add(lost, &"the node had no more time");
                }
            }
        }
        // Who asked may have lost its patience just now.
        let _ = done.send(());
    }

    /// Offers each job once. Where one finds no room, all later ones for its endpoint stay behind it.
    fn offer(&self, kept: &mut VecDeque<Parcel>) {
        let mut full: HashSet<Endpoint> = HashSet::new();
        for _ in 0..kept.len() {
            let Some(Parcel { job, events, receipts }) = kept.pop_front() else { return };
            if full.contains(&job.endpoint) {
                kept.push_back(Parcel { job, events, receipts });
                continue;
            }
            match self.queue.push(job) {
                Ok(taken) => self.follow(taken, events, receipts),
                Err(NotTaken::Full(job) | NotTaken::Draining(job)) => {
                    full.insert(job.endpoint.clone());
                    kept.push_back(Parcel { job: *job, events, receipts });
                }
            }
        }
    }
}

fn settle(receipts: Vec<Receipt>) {
    for receipt in receipts {
        receipt.settle();
    }
}
