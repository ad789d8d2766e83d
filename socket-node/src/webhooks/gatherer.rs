//! From events to jobs: one request an event, or, where an app batches, one for what a short time brings.

use std::{collections::HashMap, sync::Arc, time::Duration};

use app_manager::{
    app::{App, AppId},
    webhook::WebhookTarget,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::warn;
use webhook_worker::{
    event::WebhookEvent,
    job::{Job, MAX_EVENTS, batches, now_ms},
    worker::Lanes,
};

use super::Report;

/// How long an app's events are gathered for one request. Short against the delivery, long against a burst.
const WINDOW: Duration = Duration::from_millis(100);

/// Gathers events for each target, and hands them over as jobs.
#[derive(Debug)]
pub(super) struct Gatherer {
    inbox: mpsc::Receiver<Report>,
    lanes: Lanes,
    /// What waits for its window to end, by app and target.
    open: HashMap<(AppId, usize), Batch>,
    /// When the oldest of these windows ends.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Batch {
    app: Arc<App>,
    events: Vec<WebhookEvent>,
}

impl Gatherer {
    pub(super) fn new(inbox: mpsc::Receiver<Report>, lanes: Lanes) -> Self {
        Self { inbox, lanes, open: HashMap::new(), due: None }
    }

    /// Works until nobody can report any more.
    pub(super) async fn run(mut self) {
        loop {
            let due = self.due;
            let window = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = window => self.flush(),
                report = self.inbox.recv() => match report {
                    Some(Report::Event(app, event)) => self.take(&app, &event),
                    Some(Report::Flush(done)) => {
                        self.flush();
                        // Who asked may have lost its patience.
                        let _ = done.send(());
                    }
                    None => return self.flush(),
                },
            }
        }
    }

    fn take(&mut self, app: &Arc<App>, event: &WebhookEvent) {
        for (index, target) in app.webhooks.targets.iter().enumerate() {
            if !target.wants(event.kind(), event.channel()) {
                continue;
            }
            if !app.webhooks.batching {
                self.hand_over(app, target, std::slice::from_ref(event));
                continue;
            }
            let batch = self.open.entry((app.id.clone(), index));
            let batch = batch.or_insert_with(|| Batch { app: Arc::clone(app), events: Vec::new() });
            batch.events.push(event.clone());
            self.due.get_or_insert_with(|| Instant::now() + WINDOW);
            if batch.events.len() >= MAX_EVENTS {
                self.flush();
            }
        }
    }

    /// Ends all windows.
    fn flush(&mut self) {
        self.due = None;
        for ((_, index), Batch { app, events }) in std::mem::take(&mut self.open) {
            // The app is the one that the events were gathered for, so the target is there.
            let target = &app.webhooks.targets[index];
            for batch in batches(events) {
                self.hand_over(&app, target, &batch);
            }
        }
    }

    /// Makes a job of the events. The lanes hold thousands of them; beyond, an endpoint that is dead, or slower than
    /// its app is fast, loses what is new.
    fn hand_over(&self, app: &App, target: &WebhookTarget, events: &[WebhookEvent]) {
        let job = Job::render(&app.id, target, events, now_ms());
        if let Err(error) = self.lanes.push(job) {
            warn!(app_id = %app.id, "a webhook of app {} is lost: {error}", app.id);
        }
    }
}
