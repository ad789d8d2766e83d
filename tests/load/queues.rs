//! Very many webhooks through each of the queues to one endpoint: none is lost, and this says how fast it goes and what it
//! costs.
//!
//! The rate through SQS is the emulator's and no queue's: whoever waits there for messages is looked after ten times a second.
//! What node and poller use of the processors is theirs.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::support::{
    aws::Aws,
    client::Client,
    node::{Launch, METRICS, Node, unique_prefix},
    poller::Poller,
    process::cpu_time,
    receiver::Receiver,
    redis::Redis,
};

/// Clients, each of which speaks on a channel of its own.
const CLIENTS: usize = 8;

/// Events that a client sends in one write.
const AT_ONCE: usize = 25;

/// Events that are under way at a time: enough for every queue to be busy, and few enough for all of them to have room.
const UNDER_WAY: usize = 2_000;

/// How long nothing may arrive.
const DEADLINE: Duration = Duration::from_secs(30);

const QUEUE: &str = "webhooks";

/// Where webhooks wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// In the node, which delivers them.
    Local,
    /// In Redis, from where the node delivers them.
    Redis,
    /// In SQS, from where a poller delivers them.
    Sqs,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_arrive_in_batches_through_every_queue() {
    for way in [Way::Local, Way::Redis, Way::Sqs] {
        deliver(way, 10_000, true).await;
    }
}

/// Has clients send so many events, waits until the endpoint has all of them, and prints what that took.
pub(crate) async fn deliver(way: Way, events: usize, batching: bool) {
    let mut receiver = Receiver::start().await;
    let road = Road::start(way, &receiver, batching).await;
    let mut clients = Vec::new();
    for index in 0..CLIENTS {
        let mut client = road.node.connect().await;
        client.subscribe_private(&channel(index)).await;
        clients.push(client);
    }
    let (began, before) = (Instant::now(), road.cpu_times());
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut speaking = JoinSet::new();
    for (index, client) in clients.into_iter().enumerate() {
        speaking.spawn(speak(client, channel(index), events / CLIENTS, Arc::clone(&room)));
    }
    let requests = until_all_are_told(&mut receiver, events, &room).await;
    let took = began.elapsed();
    let after = road.cpu_times();
    let [node, poller, emulator, test] =
        std::array::from_fn(|index| Cost(after[index] - before[index], events));
    println!(
        "{way:?}: {events} events in {requests} requests within {took:?}, {:.0} a second; processor time of each: node {node}, \
         poller {poller}, emulator {emulator}, endpoint and clients {test}",
        events as f64 / took.as_secs_f64(),
    );
    assert_eq!(road.node.metric("webhook_events_dropped_total").await, 0);
    // Those who have spoken are connected until here.
    speaking.join_all().await;
}

fn channel(index: usize) -> String {
    format!("private-{index}")
}

/// Sends numbers as fast as there is room for them.
async fn speak(mut client: Client, channel: String, count: usize, room: Arc<Semaphore>) -> Client {
    for first in (0..count).step_by(AT_ONCE) {
        room.acquire_many(AT_ONCE as u32).await.expect("never closed").forget();
        let event =
            |number: usize| json!({"event": "client-n", "channel": channel, "data": number.to_string()});
        client.send_at_once((first..count.min(first + AT_ONCE)).map(event)).await;
    }
    client
}

/// Waits until the endpoint was told of each event, and gives the number of requests. What is told again makes no room.
async fn until_all_are_told(receiver: &mut Receiver, events: usize, room: &Semaphore) -> usize {
    let mut told: HashMap<String, Vec<bool>> = HashMap::new();
    let (mut requests, mut count, mut repeats) = (0, 0, 0);
    while count < events {
        let delivery = receiver.next_within(DEADLINE).await;
        requests += 1;
        for event in delivery.events() {
            let text = |key: &str| event[key].as_str().expect("a text");
            let of_channel =
                told.entry(text("channel").to_owned()).or_insert_with(|| vec![false; events / CLIENTS]);
            let is_told = &mut of_channel[text("data").parse::<usize>().expect("a number")];
            if std::mem::replace(is_told, true) {
                repeats += 1;
            } else {
                count += 1;
                room.add_permits(1);
            }
        }
    }
    if repeats > 0 {
        println!("{repeats} events were told twice");
    }
    requests
}

/// A node, its queue, and whoever works that off.
struct Road {
    poller: Option<Poller>,
    node: Node,
    aws: Option<Aws>,
    _redis: Option<Redis>,
}

impl Road {
    async fn start(way: Way, receiver: &Receiver, batching: bool) -> Self {
        let apps = json!([{
            "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_enable_client_messages": true,
            "app_webhooks_enabled": true, "app_has_webhook_batching_enabled": batching,
            "webhooks": [{"url": receiver.url, "event_types": ["client_event"]}],
        }]);
        let start = |more: Value, launch: Launch| {
            let mut settings = json!({"applications": apps});
            for (key, value) in more.as_object().expect("settings") {
                settings[key] = value.clone();
            }
            launch.flags(METRICS).config(&settings).start_alone()
        };
        match way {
            Way::Local => {
                let node = start(json!({}), Launch::bare());
                Self { poller: None, node, aws: None, _redis: None }
            }
            Way::Redis => {
                let redis = Redis::start();
                let url = redis.address.to_string();
                let settings =
                    json!({"queue_driver": "redis", "redis_url": url, "redis_prefix": unique_prefix()});
                let node = start(settings, Launch::bare());
                Self { poller: None, node, aws: None, _redis: Some(redis) }
            }
            Way::Sqs => {
                let aws = Aws::start().await;
                aws.create_queue(QUEUE, 30, 100).await;
                let settings = json!({"queue_driver": "sqs", "sqs_queue_url": QUEUE});
                let node = start(settings, Launch::bare().on_aws(aws.address));
                let poller = Poller::start(aws.address, QUEUE, &apps.to_string(), &[]);
                Self { poller: Some(poller), node, aws: Some(aws), _redis: None }
            }
        }
    }

    /// What node, poller, emulator and this process have used so far.
    fn cpu_times(&self) -> [Duration; 4] {
        [
            self.node.cpu_time(),
            self.poller.as_ref().map_or(Duration::ZERO, Poller::cpu_time),
            self.aws.as_ref().map_or(Duration::ZERO, Aws::cpu_time),
            cpu_time(std::process::id()),
        ]
    }
}

/// Time that was used for so many events.
struct Cost(Duration, usize);

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} µs", self.0.as_secs_f64() * 1e6 / self.1 as f64)
    }
}
