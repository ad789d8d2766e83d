//! The task between the reports and the queue: makes jobs of events, and hands them to the lanes.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use app_manager::webhook::Endpoint;
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, sleep_until},
};
use webhook_worker::{
    job::Job,
    worker::{Lanes, NotTaken},
};

use super::{Report, losses::Losses, windows::Windows};

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
    lanes: Lanes,
    losses: Arc<Losses>,
    /// What is handed over once the node is about to end: everybody leaves at the same time then, and nobody comes any
    /// more. No more than the departures and reports that there may be.
    kept: Option<VecDeque<(Job, usize)>>,
}

impl Gatherer {
    pub(super) fn new(inbox: mpsc::Receiver<Report>, lanes: Lanes, losses: Arc<Losses>) -> Self {
        Self { inbox, windows: Windows::default(), exit: Exit { lanes, losses, kept: None } }
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
                report = self.inbox.recv() => match report {
                    Some(Report::Event(app, event)) => {
                        self.windows.take(&app, &event, |job, events| self.exit.hand_over(job, events));
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
        self.windows.close(|job, events| self.exit.hand_over(job, events));
    }
}

impl Exit {
    /// The lanes hold thousands of jobs; beyond, an endpoint that is dead, or slower than its app is fast, loses what
    /// is new.
    fn hand_over(&mut self, job: Job, events: usize) {
        if let Some(kept) = &mut self.kept {
            kept.push_back((job, events));
        } else if let Err(refusal) = self.lanes.push(job) {
            self.losses.add(events, &refusal);
        }
    }

    /// Offers what was kept until all of it is taken, or nobody waits for that any more.
    async fn hand_over_kept(&mut self, mut done: oneshot::Sender<()>) {
        let mut kept = self.kept.take().unwrap_or_default();
        offer(&self.lanes, &mut kept);
        while !kept.is_empty() {
            tokio::select! {
                () = sleep(OFFER_AGAIN) => offer(&self.lanes, &mut kept),
                () = done.closed() => {
                    let lost = kept.iter().map(|(_, events)| events).sum();
                    return self.losses.add(lost, &"the node had no more time");
                }
            }
        }
        // Who asked may have lost its patience just now.
        let _ = done.send(());
    }
}

/// Offers each job once. Where one finds no room, all later ones for its endpoint stay behind it.
fn offer(lanes: &Lanes, kept: &mut VecDeque<(Job, usize)>) {
    let mut full: HashSet<Endpoint> = HashSet::new();
    for _ in 0..kept.len() {
        let Some((job, events)) = kept.pop_front() else { return };
        if full.contains(&job.endpoint) {
            kept.push_back((job, events));
        } else if let Err(NotTaken::Full(job) | NotTaken::Draining(job)) = lanes.push(job) {
            full.insert(job.endpoint.clone());
            kept.push_back((*job, events));
        }
    }
}
