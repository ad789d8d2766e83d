//! An endpoint that fails for a while, beside twenty that do not: it loses nothing, and they do not notice.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::{interval, sleep_until};

use crate::support::{
    client::Client,
    node::{Launch, Node},
    receiver::{Answer, Delivery, Receiver},
    signing::Credentials,
};

/// Endpoints that are well, each of an app of its own.
const HEALTHY: usize = 20;

/// Channels on which each app's client speaks.
const CHANNELS: usize = 4;

/// Events of each app.
const EVENTS: usize = 200;

/// Time between two events of an app.
const PACE: Duration = Duration::from_millis(50);

/// How long the broken endpoint answers 500.
const OUTAGE: Duration = Duration::from_secs(10);

/// Below this, a difference between two figures is noise.
const NOISE: Duration = Duration::from_millis(20);

/// How often it is measured until the difference is small: what costs the healthy ones anything does so every time, and
/// what else the machine does, only now and then.
const TRIES: usize = 3;

/// The path of the endpoint that fails.
const BROKEN: &str = "/0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_loses_nothing_and_costs_the_healthy_ones_nothing() {
    let mut differences = Vec::new();
    for _ in 0..TRIES {
        let (without, beside) = measure().await;
        if beside < without.mul_f64(1.2).max(without + NOISE) {
            return;
        }
        differences.push((without, beside));
    }
    panic!("p99 of healthy endpoints, alone and beside one that fails: {differences:?}");
}

/// How long one of a hundred webhooks takes at least: without an endpoint that fails, and beside one. Two nodes are measured
/// in the same seconds, so that what else the machine does concerns both.
async fn measure() -> (Duration, Duration) {
    let (mut control, mut receiver) = (Receiver::start().await, Receiver::start().await);
    let (control_node, node) = (node(&control), node(&receiver));
    receiver.always_answer(BROKEN, Answer::Status(500));
    let mut clients = vec![client(&node, 0).await];
    for app in 1..=HEALTHY {
        clients.extend([client(&control_node, app).await, client(&node, app).await]);
    }

    let outage = tokio::time::Instant::now() + OUTAGE;
    speak(&mut clients).await;
    sleep_until(outage).await;
    receiver.always_answer(BROKEN, Answer::Status(200));
    let beside = until_all_are_taken(&mut receiver).await;
    let without = control.next_some(HEALTHY * EVENTS).await;

    let failures = beside.iter().filter(|delivery| !is_taken(delivery)).count();
    assert!(failures > 0, "the endpoint never failed");
    assert_everything_came_once_and_in_order(&beside);
    let (without, beside) = (p99(&without), p99(&beside));
    println!(
        "p99 of healthy endpoints: {without:?} alone, {beside:?} beside one that failed {failures} times"
    );
    (without, beside)
}

/// A node with an app for each endpoint: app `n` calls the path `/n`.
fn node(receiver: &Receiver) -> Node {
    let app = |number: usize| {
        let url = receiver.url_of(&format!("/{number}"));
        json!({
            "app_id": number.to_string(), "app_key": format!("key-{number}"), "app_secret": "secret",
            "app_enable_client_messages": true, "app_webhooks_enabled": true,
            "webhooks": [{"url": url, "event_types": ["client_event"]}],
        })
    };
    let apps: Vec<Value> = (0..=HEALTHY).map(app).collect();
    Launch::bare().config(&json!({"applications": apps})).start()
}

/// A client of this app, subscribed to all of its channels.
async fn client(node: &Node, app: usize) -> Client {
    let credentials = Credentials::new(&app.to_string(), &format!("key-{app}"), "secret");
    let mut client = node.connect_as(&credentials).await;
    for channel in 0..CHANNELS {
        client.subscribe_private(&format!("private-{channel}")).await;
    }
    client
}

/// Has every client send its events at the same pace, on its channels in turn. The data is the number and the time of
/// sending.
async fn speak(clients: &mut [Client]) {
    let mut pace = interval(PACE);
    for number in 0..EVENTS {
        pace.tick().await;
        for client in &mut *clients {
            let data = format!("{number} {}", since_the_start().as_micros());
            client.trigger(&format!("private-{}", number % CHANNELS), "client-e", data).await;
        }
    }
}

/// Webhooks until every event was taken by its endpoint.
async fn until_all_are_taken(receiver: &mut Receiver) -> Vec<Delivery> {
    let (mut deliveries, mut taken) = (Vec::new(), 0);
    while taken < (HEALTHY + 1) * EVENTS {
        let delivery = receiver.next().await;
        taken += usize::from(is_taken(&delivery));
        deliveries.push(delivery);
    }
    deliveries
}

fn is_taken(delivery: &Delivery) -> bool {
    delivery.answer == Answer::Status(200)
}

fn assert_everything_came_once_and_in_order(deliveries: &[Delivery]) {
    let mut channels: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for delivery in deliveries.iter().filter(|delivery| is_taken(delivery)) {
        let channel = delivery.events()[0]["channel"].to_string();
        channels.entry((delivery.path().to_owned(), channel)).or_default().push(sent(delivery).0);
    }
    assert_eq!(channels.len(), (HEALTHY + 1) * CHANNELS);
    for (channel, numbers) in channels {
        assert_eq!(numbers.len(), EVENTS / CHANNELS, "{channel:?}");
        assert!(numbers.is_sorted_by(|before, after| before < after), "{channel:?}: {numbers:?}");
    }
}

/// The number of the event, and when it was sent.
fn sent(delivery: &Delivery) -> (usize, Duration) {
    let events = delivery.events();
    let (number, micros) =
        events[0]["data"].as_str().and_then(|data| data.split_once(' ')).expect("our data");
    (number.parse().expect("a number"), Duration::from_micros(micros.parse().expect("a number")))
}

/// The latency that one of a hundred webhooks of healthy endpoints exceeds.
fn p99(deliveries: &[Delivery]) -> Duration {
    let healthy = deliveries.iter().filter(|delivery| delivery.path() != BROKEN);
    let latency = |delivery: &Delivery| (delivery.at - start()).saturating_sub(sent(delivery).1);
    let mut latencies: Vec<_> = healthy.map(latency).collect();
    latencies.sort();
    latencies[latencies.len() * 99 / 100]
}

/// A moment before anything was sent, from which times are counted.
fn start() -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *START
}

fn since_the_start() -> Duration {
    start().elapsed()
}
