//! The task between the reports and the queue: makes jobs of events, and hands them to the lanes.

use std::sync::Arc;

use tokio::{sync::mpsc, time::sleep_until};
use webhook_worker::{job::Job, worker::Lanes};

use super::{Report, losses::Losses, windows::Windows};

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
}

impl Gatherer {
    pub(super) fn new(inbox: mpsc::Receiver<Report>, lanes: Lanes, losses: Arc<Losses>) -> Self {
        Self { inbox, windows: Windows::default(), exit: Exit { lanes, losses } }
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
                    Some(Report::Flush(done)) => {
                        self.close_windows();
                        // Who asked may have lost its patience.
                        let _ = done.send(());
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
    fn hand_over(&self, job: Job, events: usize) {
        if let Err(refusal) = self.lanes.push(job) {
            self.losses.add(events, &refusal);
        }
    }
}
