//! An endpoint that fails or hangs for a while, beside twenty that do not: it loses nothing, and they do not notice; whether
//! the node delivers itself or a poller does what it puts into a queue.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::{interval, sleep_until};

use crate::support::{
    aws::Aws,
    client::Client,
    node::{Launch, Node},
    poller::Poller,
    receiver::{Answer, Delivery, Receiver},
    signing::Credentials,
};

/// Endpoints that are well, each of an app of its own.
const HEALTHY: usize = 20;

/// Channels on which each app's client speaks.
const CHANNELS: usize = 4;

/// How long the broken endpoint is broken, from the moment when everybody begins to speak.
const OUTAGE: Duration = Duration::from_secs(10);

/// Below this, a difference between two figures is noise.
const NOISE: Duration = Duration::from_millis(20);

/// How often it is measured until the difference is small: what costs the healthy ones anything does so every time, and
/// what else the machine does, only now and then.
const TRIES: usize = 3;

/// The path of the endpoint that is broken.
const BROKEN: &str = "/0";

/// How much is said.
#[derive(Clone, Copy)]
struct Talk {
    /// Events of each app.
    events: usize,
    /// Time between two events of an app.
    pace: Duration,
}

/// As much as a node delivers itself without haste.
const OF_A_NODE: Talk = Talk { events: 200, pace: Duration::from_millis(50) };

/// As much as the stand-in for AWS passes on without haste.
const BY_A_QUEUE: Talk = Talk { events: 60, pace: Duration::from_millis(200) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_fails_loses_nothing_and_costs_the_healthy_ones_nothing() {
    expect_no_difference(async || {
        let sides = [Side::of_a_node().await, Side::of_a_node().await];
        measure(OF_A_NODE, sides, Answer::Status(500)).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_hangs_loses_nothing_and_costs_the_healthy_ones_nothing() {
    expect_no_difference(async || {
        let sides = [Side::of_a_node().await, Side::of_a_node().await];
        measure(OF_A_NODE, sides, Answer::Hang).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_hangs_behind_a_queue_and_a_poller_costs_the_healthy_ones_nothing() {
    expect_no_difference(async || {
        let aws = Aws::start().await;
        let sides = [Side::by_a_queue(&aws, "one.fifo").await, Side::by_a_queue(&aws, "two.fifo").await];
        measure(BY_A_QUEUE, sides, Answer::Hang).await
    })
    .await;
}

/// Has it measured how long one of a hundred webhooks takes at least, without a broken endpoint and beside one, until there
/// is no difference.
async fn expect_no_difference(measure: impl AsyncFn() -> (Duration, Duration)) {
    let mut differences = Vec::new();
    for _ in 0..TRIES {
        let (without, beside) = measure().await;
        if beside < without.mul_f64(1.2).max(without + NOISE) {
            return;
        }
        differences.push((without, beside));
    }
    panic!("p99 of healthy endpoints, alone and beside one that is broken: {differences:?}");
}

/// Measures two sides in the same seconds, of which one has a broken endpoint, so that what else the machine does concerns
/// both.
async fn measure(talk: Talk, sides: [Side; 2], broken: Answer) -> (Duration, Duration) {
    let [mut control, mut side] = sides;
    // It has been well once, so that it is trusted.
    side.receiver.answer(BROKEN, [Answer::Status(200)]);
    side.receiver.always_answer(BROKEN, broken);
    let mut clients = vec![client(&side.node, 0).await];
    for app in 1..=HEALTHY {
        clients.extend([client(&control.node, app).await, client(&side.node, app).await]);
    }

    let outage = tokio::time::Instant::now() + OUTAGE;
    speak(&mut clients, talk).await;
    sleep_until(outage).await;
    side.receiver.always_answer(BROKEN, Answer::Status(200));
    let beside = until_all_are_taken(&mut side.receiver, (HEALTHY + 1) * talk.events).await;
    let without = control.receiver.next_some(HEALTHY * talk.events).await;

    let failures = beside.iter().filter(|delivery| !is_taken(delivery)).count();
    assert!(failures > 0, "the endpoint was never broken");
    assert_everything_came_once_and_in_order(&beside, talk);
    let (without, beside) = (p99(&without), p99(&beside));
    println!(
        "p99 of healthy endpoints: {without:?} alone, {beside:?} beside one that failed {failures} times"
    );
    (without, beside)
}

/// A node, whose app `n` calls the path `/n` of a receiver, and whoever delivers for it.
struct Side {
    receiver: Receiver,
    node: Node,
    _poller: Option<Poller>,
}

impl Side {
    /// One that delivers itself.
    async fn of_a_node() -> Self {
        let receiver = Receiver::start().await;
        let node = Launch::bare().config(&json!({"applications": apps(&receiver)})).start();
        Self { receiver, node, _poller: None }
    }

    /// One with a poller behind a queue.
    async fn by_a_queue(aws: &Aws, queue: &str) -> Self {
        aws.create_queue(queue, 30, 100).await;
        let receiver = Receiver::start().await;
        let apps = apps(&receiver);
        let settings = json!({"applications": apps, "queue_driver": "sqs", "sqs_queue_url": queue});
        let node = Launch::bare().config(&settings).on_aws(aws.address).start();
        let poller = Poller::start(aws.address, queue, &apps.to_string(), &[]);
        Self { receiver, node, _poller: Some(poller) }
    }
}

fn apps(receiver: &Receiver) -> Value {
    let app = |number: usize| {
        let url = receiver.url_of(&format!("/{number}"));
        json!({
            "app_id": number.to_string(), "app_key": format!("key-{number}"), "app_secret": "secret",
            "app_enable_client_messages": true, "app_webhooks_enabled": true,
            "webhooks": [{"url": url, "event_types": ["client_event"]}],
        })
    };
    (0..=HEALTHY).map(app).collect()
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
async fn speak(clients: &mut [Client], talk: Talk) {
    let mut pace = interval(talk.pace);
    for number in 0..talk.events {
        pace.tick().await;
        for client in &mut *clients {
            let data = format!("{number} {}", since_the_start().as_micros());
            client.trigger(&format!("private-{}", number % CHANNELS), "client-e", data).await;
        }
    }
}

/// Webhooks until so many were taken by their endpoints.
async fn until_all_are_taken(receiver: &mut Receiver, count: usize) -> Vec<Delivery> {
    let (mut deliveries, mut taken) = (Vec::new(), 0);
    while taken < count {
        let delivery = receiver.next().await;
        taken += usize::from(is_taken(&delivery));
        deliveries.push(delivery);
    }
    deliveries
}

fn is_taken(delivery: &Delivery) -> bool {
    delivery.answer == Answer::Status(200)
}

fn assert_everything_came_once_and_in_order(deliveries: &[Delivery], talk: Talk) {
    let mut channels: HashMap<(String, String), Vec<usize>> = HashMap::new();
    for delivery in deliveries.iter().filter(|delivery| is_taken(delivery)) {
        let channel = delivery.events()[0]["channel"].to_string();
        channels.entry((delivery.path().to_owned(), channel)).or_default().push(sent(delivery).0);
    }
    assert_eq!(channels.len(), (HEALTHY + 1) * CHANNELS);
    for (channel, numbers) in channels {
        assert_eq!(numbers.len(), talk.events / CHANNELS, "{channel:?}");
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
