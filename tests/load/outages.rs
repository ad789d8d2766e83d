//! A queue in the cloud that throttles, fails, refuses or stands still: whoever publishes and subscribes does not notice,
//! and no webhook is lost.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::{interval, sleep, timeout};

use crate::support::{
    api::Api,
    aws::Aws,
    aws_faults::{Fault, Faults},
    client::Client,
    node::{Launch, METRICS, Node},
};

/// What befalls the queue, one after the other, and for how long. What stands still does so for longer than anybody waits.
const OUTAGE: [(Fault, Duration); 4] = [
    (Fault::Refuse(400, "ThrottlingException"), Duration::from_millis(2_500)),
    (Fault::Refuse(503, "ServiceUnavailable"), Duration::from_millis(2_500)),
    (Fault::Refuse(403, "ExpiredToken"), Duration::from_millis(2_500)),
    (Fault::Stall(Duration::from_secs(10)), Duration::from_millis(5_500)),
];

/// Time between two turns, in each of which somebody publishes and somebody subscribes on either node.
const PACE: Duration = Duration::from_millis(25);

/// Below this, a difference between two figures is noise, even on a machine that has nothing else to do.
const NOISE: Duration = Duration::from_millis(3);

/// How often it is measured until the difference is small: what an outage costs it costs every time, and what else the
/// machine does, only now and then.
const TRIES: usize = 3;

/// How long it may take until the cloud has taken what waited: a request that nobody answers is given up after five
/// seconds, and the next one comes up to six later.
const DEADLINE: Duration = Duration::from_secs(60);

const QUEUE: &str = "webhooks.fifo";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_out_of_order_costs_who_publishes_and_subscribes_nothing_and_no_webhook() {
    let mut measured = Vec::new();
    for _ in 0..TRIES {
        let latencies = measure().await;
        println!("p99 of publishing and of subscribing: {latencies:?}");
        if latencies.iter().all(Comparison::shows_no_difference) {
            return;
        }
        measured.push(latencies);
    }
    panic!("p99 of publishing and of subscribing: {measured:?}");
}

/// How long one of a hundred takes at least.
#[derive(Debug)]
struct Comparison {
    /// With a queue, of either node. That the two differ is what else the machine does, at one time and at another.
    calm: [Duration; 2],
    /// Without one, of both.
    outage: Duration,
}

impl Comparison {
    fn shows_no_difference(&self) -> bool {
        let [one, other] = self.calm;
        let (mean, noise) = ((one + other) / 2, one.abs_diff(other).max(NOISE));
        self.outage < mean.mul_f64(1.1) + noise
    }
}

/// Compares publishing and subscribing. Of two nodes that take turns, one has an outage, and then the other: so each is held
/// against itself, and both against the same seconds.
async fn measure() -> [Comparison; 2] {
    let aws = Aws::start().await;
    aws.create_queue(QUEUE, 30, 100).await;
    let mut sides = [Side::start(&aws, "a").await, Side::start(&aws, "b").await];
    for sick in [0, 1] {
        for (fault, time) in OUTAGE {
            sides[sick].faults.set(&[fault]);
            let (end, mut pace) = (Instant::now() + time, interval(PACE));
            while Instant::now() < end {
                pace.tick().await;
                let [one, other] = &mut sides;
                one.turn(sick == 0).await;
                other.turn(sick == 1).await;
            }
            assert!(sides[sick].waiting().await > 0, "{fault:?} keeps nothing from the queue");
        }
        sides[sick].faults.set(&[]);
        sides[sick].catch_up().await;
    }
    let channels: usize = sides.iter().map(|side| side.channels).sum();
    let [[calm_a, sick_a], [calm_b, sick_b]] = {
        let [a, b] = sides;
        [a.end().await, b.end().await]
    };
    // A FIFO queue takes what it is sent twice only once, so a number that is right says that nothing is lost or doubled.
    assert_eq!(aws.depth(QUEUE).await, [2 * channels as u64, 0], "each channel was occupied and vacated");
    let comparison = |of: fn(&Latencies) -> &Vec<Duration>| Comparison {
        calm: [p99(of(&calm_a).clone()), p99(of(&calm_b).clone())],
        outage: p99([of(&sick_a).as_slice(), of(&sick_b)].concat()),
    };
    [comparison(|latencies| &latencies.publishing), comparison(|latencies| &latencies.subscribing)]
}

/// A node, those who use it, and its way to the queue.
struct Side {
    name: &'static str,
    faults: Faults,
    node: Node,
    api: Api,
    watcher: Client,
    subscriber: Client,
    /// Channels that were subscribed to.
    channels: usize,
    /// With a queue, and without.
    latencies: [Latencies; 2],
}

impl Side {
    async fn start(aws: &Aws, name: &'static str) -> Self {
        let faults = Faults::before(aws.address, "SendMessageBatch").await;
        let launch = Launch::bare().flags(METRICS).on_aws(faults.address).config(&json!({
            "queue_driver": "sqs", "sqs_queue_url": QUEUE, "ignore_logger_middleware": true,
            "applications": [{
                "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_webhooks_enabled": true,
                "webhooks": [{
                    "url": "http://127.0.0.1:9/", "event_types": ["channel_occupied", "channel_vacated"],
                }],
            }],
        }));
        // The proxy needs a thread.
        let node = tokio::task::spawn_blocking(|| launch.start_alone()).await.expect("it starts");
        let (mut watcher, subscriber) = (node.connect().await, node.connect().await);
        watcher.subscribe(&format!("{name}-room")).await;
        let api = node.api();
        Self { name, faults, node, api, watcher, subscriber, channels: 1, latencies: Default::default() }
    }

    /// Publishes, until it is heard, and subscribes to a channel that nobody else is on: webhooks tell of that twice.
    async fn turn(&mut self, is_sick: bool) {
        let latencies = &mut self.latencies[usize::from(is_sick)];
        let began = Instant::now();
        self.api.publish(&format!("{}-room", self.name), "news", self.channels).await;
        self.watcher.expect("news").await;
        latencies.publishing.push(began.elapsed());

        let channel = format!("{}-{}", self.name, self.channels);
        let began = Instant::now();
        self.subscriber.subscribe(&channel).await;
        latencies.subscribing.push(began.elapsed());
        self.subscriber.unsubscribe(&channel).await;
        self.channels += 1;
    }

    /// Webhooks that the queue has not taken yet.
    async fn waiting(&self) -> u64 {
        self.node.metric("webhook_queue_leaving").await
    }

    /// Waits until the queue has taken everything.
    async fn catch_up(&self) {
        let waiting = async {
            while self.waiting().await > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("webhooks still wait after {DEADLINE:?}"));
    }

    /// Ends the node, which hands over everything, and gives the latencies with a queue and without.
    async fn end(mut self) -> [Latencies; 2] {
        assert_eq!(self.node.metric("webhook_events_dropped_total").await, 0);
        self.watcher.close().await;
        self.subscriber.close().await;
        self.node.stop().await;
        self.latencies
    }
}

#[derive(Debug, Default)]
struct Latencies {
    publishing: Vec<Duration>,
    subscribing: Vec<Duration>,
}

/// The latency that one of a hundred exceeds.
fn p99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}
