//! Which events share a request: those that a short time brings for one target of an app that batches.

use std::{collections::HashMap, sync::Arc, time::Duration};

use app_manager::{
    app::{App, AppId},
    webhook::WebhookTarget,
};
use tokio::time::Instant;
use webhook_worker::{
    event::WebhookEvent,
    job::{Job, MAX_EVENTS, batches, now_ms},
};

use super::receipt::Receipt;

/// How long an app's events are gathered for one request. Short against the delivery, long against a burst.
const WINDOW: Duration = Duration::from_millis(100);

/// Turns events into jobs, at once or when their window ends.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// What waits for its window to end, by app and target.
    open: HashMap<(AppId, usize), Batch>,
    /// When the oldest of these windows ends, and with it all others.
    due: Option<Instant>,
}

#[derive(Debug)]
struct Batch {
    app: Arc<App>,
    events: Vec<WebhookEvent>,
    receipts: Vec<Receipt>,
}

/// A job that is complete, and what it is about.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) job: Job,
    /// How many events it tells of.
    pub(super) events: usize,
    /// Of those that somebody keeps until it is done.
    pub(super) receipts: Vec<Receipt>,
}

impl Parcel {
    /// A job for one event. If somebody keeps the event, whoever tells of it in vain and whoever tells of it again do so
    /// by the same id.
    fn of(app: &App, target: &WebhookTarget, event: &WebhookEvent, receipt: Option<&Receipt>) -> Self {
        let time_ms = receipt.map_or_else(now_ms, Receipt::time_ms);
        let job = Job::render(&app.id, target, std::slice::from_ref(event), time_ms);
        let job = match receipt {
            Some(receipt) => job.named_after(receipt.cause()),
            None => job,
        };
        Self { job, events: 1, receipts: receipt.map(Receipt::another).into_iter().collect() }
    }
}

impl Windows {
    /// When [`close`](Self::close) is due, if anything waits for it.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes an event for every target of the app that wants it, and gives the jobs that are complete to `hand_over`.
    pub(super) fn take(
        &mut self,
        app: &Arc<App>,
        event: &WebhookEvent,
        receipt: Option<&Receipt>,
        mut hand_over: impl FnMut(Parcel),
    ) {
        let mut is_full = false;
        for (index, target) in app.webhooks.targets.iter().enumerate() {
            if !target.wants(event.kind(), event.channel()) {
                continue;
            }
            if !app.webhooks.batching {
                hand_over(Parcel::of(app, target, event, receipt));
                continue;
            }
            let batch = self.open.entry((app.id.clone(), index));
            let new = || Batch { app: Arc::clone(app), events: Vec::new(), receipts: Vec::new() };
            let batch = batch.or_insert_with(new);
            batch.events.push(event.clone());
            batch.receipts.extend(receipt.map(Receipt::another));
            is_full |= batch.events.len() >= MAX_EVENTS;
            self.due.get_or_insert_with(|| Instant::now() + WINDOW);
        }
        if is_full {
            self.close(hand_over);
        }
    }

    /// Ends all windows, and gives each job to `hand_over`.
    pub(super) fn close(&mut self, mut hand_over: impl FnMut(Parcel)) {
        self.due = None;
        for ((_, index), Batch { app, events, receipts }) in self.open.drain() {
            // The app is the one that the events were gathered for, so the target is there.
            let target = &app.webhooks.targets[index];
            for events in batches(events) {
                let job = Job::render(&app.id, target, &events, now_ms());
                // Which of the requests tells of which event is not known here: each is done when all of them are.
                let receipts = receipts.iter().map(Receipt::another).collect();
                hand_over(Parcel { job, events: events.len(), receipts });
            }
            for receipt in receipts {
                receipt.settle();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tokio::time::advance;

    use super::*;
    use crate::webhooks::fixtures::{app, app_with_id};

    /// Webhooks to these targets.
    fn settings(batching: bool, targets: &Value) -> Value {
        json!({
            "app_webhooks_enabled": true, "app_has_webhook_batching_enabled": batching, "webhooks": targets,
        })
    }

    fn everything_at(urls: &[&str]) -> Value {
        urls.iter().map(|url| json!({ "url": url })).collect()
    }

    fn occupied(channel: &str) -> WebhookEvent {
        WebhookEvent::ChannelOccupied { channel: channel.to_owned() }
    }

    /// A job as app, URL and channels.
    fn told(job: &Job) -> (String, String, Vec<String>) {
        (job.app_id.as_str().to_owned(), job.endpoint.name().to_owned(), job.channels.clone())
    }

    /// The jobs that a call hands over, in the order of apps and URLs.
    fn jobs(of: impl FnOnce(&mut dyn FnMut(Parcel))) -> Vec<(String, String, Vec<String>)> {
        let mut jobs = Vec::new();
        of(&mut |Parcel { job, events, .. }| {
            assert_eq!(job.body.matches(r#""name""#).count(), events);
            jobs.push(told(&job));
        });
        jobs.sort();
        jobs
    }

    fn channels(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn without_batching_every_target_gets_every_event_at_once() {
        let app = app(settings(false, &everything_at(&["http://a/", "http://b/"])));
        let mut windows = Windows::default();
        let at_once = jobs(|hand_over| windows.take(&app, &occupied("room"), None, hand_over));
        let both = ["http://a/", "http://b/"].map(|url| ("1".into(), url.into(), channels(&["room"])));
        assert_eq!(at_once, both);
        assert_eq!(windows.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_gets_only_what_it_wants() {
        let targets = json!([
            {"url": "http://a/", "event_types": ["channel_vacated"]},
            {"url": "http://b/", "filter": {"channel_name_starts_with": "shop-"}},
            {"url": "http://c/", "filter": {"channel_name_ends_with": "-7"}},
        ]);
        let app = app(settings(false, &targets));
        let mut windows = Windows::default();
        let told = jobs(|hand_over| windows.take(&app, &occupied("hall-7"), None, hand_over));
        assert_eq!(told, [("1".into(), "http://c/".into(), channels(&["hall-7"]))]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_window_brings_shares_a_request_per_app_and_target_and_never_across_apps() {
        let of = |id: &str| app_with_id(id, settings(true, &everything_at(&["http://a/"])));
        let (one, two) = (of("1"), of("2"));
        let mut windows = Windows::default();
        for (app, channel) in [(&one, "x"), (&two, "x"), (&one, "y"), (&two, "z")] {
            assert!(jobs(|hand_over| windows.take(app, &occupied(channel), None, hand_over)).is_empty());
            advance(Duration::from_millis(20)).await;
        }
        assert_eq!(windows.due(), Some(Instant::now() + WINDOW - Duration::from_millis(80)));
        let told = jobs(|hand_over| windows.close(hand_over));
        let url = || "http://a/".to_owned();
        assert_eq!(
            told,
            [("1".into(), url(), channels(&["x", "y"])), ("2".into(), url(), channels(&["x", "z"]))]
        );
        assert_eq!(windows.due(), None);
        assert!(jobs(|hand_over| windows.close(hand_over)).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_of_an_encrypted_channel_travels_alone() {
        let app = app(settings(true, &everything_at(&["http://a/"])));
        let mut windows = Windows::default();
        for channel in ["a", "private-encrypted-b", "c"] {
            jobs(|hand_over| windows.take(&app, &occupied(channel), None, hand_over));
        }
        let told: Vec<_> =
            jobs(|hand_over| windows.close(hand_over)).into_iter().map(|(.., channels)| channels).collect();
        assert_eq!(told, [channels(&["a", "c"]), channels(&["private-encrypted-b"])]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_request_does_not_wait_for_its_window() {
        let app = app(settings(true, &everything_at(&["http://a/"])));
        let mut windows = Windows::default();
        for number in 1..=MAX_EVENTS {
            let complete =
                jobs(|hand_over| windows.take(&app, &occupied(&format!("room-{number}")), None, hand_over));
            assert_eq!(complete.len(), usize::from(number == MAX_EVENTS));
        }
        assert_eq!(windows.due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_webhook_says_when_it_was_made() {
        let before = now_ms();
        let mut times = Vec::new();
        let app = app(settings(false, &everything_at(&["http://a/"])));
        Windows::default().take(&app, &occupied("room"), None, |Parcel { job, .. }| {
            let body: Value = serde_json::from_str(&job.body).unwrap();
            assert_eq!(body["time_ms"].as_u64(), Some(job.time_ms));
            times.push(job.time_ms);
        });
        assert!(times.len() == 1 && (before..=now_ms()).contains(&times[0]), "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_somebody_keeps_has_the_same_id_whoever_tells_of_it() {
        let app = app(settings(false, &everything_at(&["http://a/", "http://b/"])));
        let tell = || {
            let (receipt, _settled) = Receipt::new("7".to_owned(), 1_000);
            let mut jobs = Vec::new();
            Windows::default().take(&app, &occupied("room"), Some(&receipt), |parcel| jobs.push(parcel.job));
            jobs.into_iter().map(|job| (job.id, job.time_ms)).collect::<Vec<_>>()
        };
        let told = tell();
        assert_eq!(told, tell());
        assert!(told[0].0 != told[1].0 && told[0].1 == 1_000);
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_settled_when_all_of_its_requests_are() {
        for is_batching in [false, true] {
            let app = app(settings(is_batching, &everything_at(&["http://a/", "http://b/"])));
            let (receipt, mut settled) = Receipt::new("7".to_owned(), 1_000);
            let (mut windows, mut parcels) = (Windows::default(), Vec::new());
            windows.take(&app, &occupied("room"), Some(&receipt), |parcel| parcels.push(parcel));
            receipt.settle();
            windows.close(|parcel| parcels.push(parcel));
            assert_eq!(parcels.len(), 2);
            for parcel in parcels {
                assert!(settled.try_recv().is_err());
                parcel.receipts.into_iter().for_each(Receipt::settle);
            }
            assert!(settled.try_recv().is_ok());
        }
    }
}
