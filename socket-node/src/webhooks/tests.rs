//! What is told of coming and going, and when.

use std::{sync::Arc, time::Duration};

use app_manager::{app::App, apps::Apps, store::ArrayStore};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{advance, timeout},
};
use webhook_worker::{
    deliver::{Deliverer, DeliverySettings},
    event::WebhookEvent,
    target::AddressPolicy,
    worker::{Lanes, Limits},
};

use super::{
    Queue, Report, Webhooks,
    fixtures::{app, topic},
};

const SECOND: Duration = Duration::from_secs(1);

/// Webhooks whose reports can be read, and the task that waits for departures.
struct Desk {
    webhooks: Webhooks,
    reports: mpsc::Receiver<Report>,
    _clerk: tokio::task::JoinSet<()>,
}

impl Desk {
    fn with_room_for(events: usize) -> Self {
        let (sender, reports) = mpsc::channel(events);
        let webhooks = Webhooks::reporting_to(sender, Queue::Local(lanes()));
        let mut clerk = tokio::task::JoinSet::new();
        clerk.spawn(webhooks.clone().settle_departures());
        Self { webhooks, reports, _clerk: clerk }
    }

    fn new() -> Self {
        Self::with_room_for(100)
    }

    /// What was told since this was last asked, as `name channel user`.
    async fn told(&mut self) -> Vec<String> {
        // The clerk has its turn: it has nothing to wait for but the clock, which stands still.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let mut told = Vec::new();
        while let Ok(Report::Event(_, event, _)) = self.reports.try_recv() {
            let event: Value = serde_json::from_str(&event.to_json()).unwrap();
            let words = ["name", "channel", "user_id"].map(|key| event[key].as_str().unwrap_or_default());
            told.push(words.join(" ").trim_end().to_owned());
        }
        told
    }
}

/// Lanes to nowhere: no app is known, so that every job is dead at once.
fn lanes() -> Lanes {
    lanes_within(Limits::default())
}

fn lanes_within(limits: Limits) -> Lanes {
    let settings = DeliverySettings::new(AddressPolicy::public_and_private());
    let apps = Apps::new(ArrayStore::new([]).expect("no two of them are alike"));
    Lanes::new(Deliverer::new(settings), apps, limits)
}

/// An app whose only target wants these kinds; none means all.
fn app_that_wants(kinds: &[&str]) -> Arc<App> {
    let target = json!({"url": "http://127.0.0.1:9/", "event_types": kinds});
    let target = if kinds.is_empty() { json!({"url": "http://127.0.0.1:9/"}) } else { target };
    app(json!({"app_webhooks_enabled": true, "webhooks": [target]}))
}

#[tokio::test(start_paused = true)]
async fn arrivals_are_told_at_once_and_departures_after_three_seconds() {
    let (mut desk, app) = (Desk::new(), app_that_wants(&[]));
    desk.webhooks.arrived(&app, &topic("presence-a"), None);
    desk.webhooks.arrived(&app, &topic("presence-a"), Some("ann"));
    assert_eq!(desk.told().await, ["channel_occupied presence-a", "member_added presence-a ann"]);
    desk.webhooks.departed(&app, &topic("presence-a"), Some("ann"));
    desk.webhooks.departed(&app, &topic("presence-a"), None);
    assert!(desk.told().await.is_empty());
    advance(3 * SECOND + Duration::from_millis(1)).await;
    assert_eq!(desk.told().await, ["member_removed presence-a ann", "channel_vacated presence-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_return_in_time_makes_both_sides_vanish() {
    let (mut desk, app) = (Desk::new(), app_that_wants(&[]));
    for user_id in [Some("ann"), None] {
        desk.webhooks.departed(&app, &topic("presence-a"), user_id);
    }
    advance(2 * SECOND).await;
    for user_id in [Some("ann"), None] {
        desk.webhooks.arrived(&app, &topic("presence-a"), user_id);
    }
    advance(5 * SECOND).await;
    assert!(desk.told().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_user_fills_the_channel_again_without_standing_in_for_the_one_who_left() {
    let (mut desk, app) = (Desk::new(), app_that_wants(&[]));
    for user_id in [Some("ann"), None] {
        desk.webhooks.departed(&app, &topic("presence-a"), user_id);
    }
    for user_id in [None, Some("bob")] {
        desk.webhooks.arrived(&app, &topic("presence-a"), user_id);
    }
    assert_eq!(desk.told().await, ["member_added presence-a bob"]);
    advance(4 * SECOND).await;
    assert_eq!(desk.told().await, ["member_removed presence-a ann"]);
}

#[tokio::test(start_paused = true)]
async fn a_return_that_comes_too_late_is_told_after_the_departure() {
    let (mut desk, app) = (Desk::new(), app_that_wants(&[]));
    desk.webhooks.departed(&app, &topic("a"), None);
    advance(3 * SECOND + Duration::from_millis(1)).await;
    assert_eq!(desk.told().await, ["channel_vacated a"]);
    desk.webhooks.arrived(&app, &topic("a"), None);
    assert_eq!(desk.told().await, ["channel_occupied a"]);
}

#[tokio::test(start_paused = true)]
async fn a_return_is_taken_back_also_where_only_one_side_is_told() {
    for kinds in [["channel_occupied"], ["channel_vacated"]] {
        let (mut desk, app) = (Desk::new(), app_that_wants(&kinds));
        desk.webhooks.departed(&app, &topic("a"), None);
        desk.webhooks.arrived(&app, &topic("a"), None);
        advance(4 * SECOND).await;
        assert!(desk.told().await.is_empty(), "{kinds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_for_an_app_that_does_not_want_to_hear_of_it() {
    let off = app(json!({"webhooks": [{"url": "http://127.0.0.1:9/"}]}));
    for app in [off, app_that_wants(&["client_event"]), app_that_wants(&["member_removed"])] {
        let mut desk = Desk::new();
        desk.webhooks.departed(&app, &topic("a"), None);
        desk.webhooks.arrived(&app, &topic("a"), None);
        assert!(desk.webhooks.shared.flaps.next_due().is_none());
        assert!(desk.told().await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn who_reports_never_waits_and_what_finds_no_room_is_counted() {
    let (mut desk, app) = (Desk::with_room_for(2), app_that_wants(&[]));
    for channel in ["a", "b", "c", "d"] {
        desk.webhooks.tell(&app, WebhookEvent::CacheMiss { channel: channel.into() });
    }
    assert_eq!(desk.told().await, ["cache_miss a", "cache_miss b"], "what is new is lost");
    assert_eq!(desk.webhooks.lost(), 2);
}

#[tokio::test]
async fn the_end_waits_neither_for_departures_nor_for_windows() {
    let (webhooks, work) = Webhooks::new(Queue::Local(lanes()));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(work);
    webhooks.departed(&app_that_wants(&[]), &topic("a"), None);
    let given_up = timeout(2 * SECOND, webhooks.drain(SECOND)).await.expect("it holds nothing back");
    assert_eq!(given_up, 0);
    assert_eq!(webhooks.deliveries().dead, 1);
}

#[tokio::test]
async fn at_the_end_more_may_leave_than_the_lanes_have_room_for() {
    let (webhooks, work) = Webhooks::new(Queue::Local(lanes_within(Limits {
        jobs: 40,
        jobs_per_endpoint: 5,
        probe_rest: Duration::ZERO,
        ..Limits::default()
    })));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(work);
    let app = app_that_wants(&[]);
    for number in 0..500 {
        webhooks.departed(&app, &topic(&format!("room-{number}")), None);
    }
    assert_eq!(webhooks.drain(30 * SECOND).await, 0);
    assert_eq!((webhooks.deliveries().dead, webhooks.lost()), (500, 0));
}

#[tokio::test]
async fn an_endpoint_that_takes_nothing_does_not_hold_up_the_end() {
    let limits = Limits { jobs: 0, ..Limits::default() };
    let (webhooks, work) = Webhooks::new(Queue::Local(lanes_within(limits)));
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(work);
    webhooks.departed(&app_that_wants(&[]), &topic("a"), None);
    timeout(2 * SECOND, webhooks.drain(SECOND / 10)).await.expect("no later than was said");
    timeout(SECOND, async {
        while webhooks.lost() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("what could not be offered is counted");
}
