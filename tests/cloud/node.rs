//! Nodes that hand their webhooks over to the cloud.

mod backlog;
mod lost_answers;

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{SECRET, accepted, apps, number_in};
use crate::{
    e2e::settings::server_launches,
    support::{
        aws::Aws,
        aws_faults::{Fault, Faults},
        client::Client,
        node::{Launch, Node},
        poller::Poller,
        receiver::{Answer, Receiver},
    },
};

/// The longest that anything may take here.
const DEADLINE: Duration = Duration::from_secs(60);

/// The settings of a node that hands webhooks of client events over to a queue.
fn settings(receiver: &Receiver, queue: &str) -> Value {
    json!({
        "queue_driver": "sqs", "sqs_queue_url": queue,
        "applications": [{
            "app_id": "1", "app_key": "app-key", "app_secret": SECRET, "app_enable_client_messages": true,
            "app_webhooks_enabled": true,
            "webhooks": [{"url": receiver.url, "event_types": ["client_event"]}],
        }],
    })
}

fn launch(receiver: &Receiver, queue: &str) -> Launch {
    Launch::bare().config(&settings(receiver, queue))
}

/// Clients in channels of their own.
async fn clients(node: &Node, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for index in 0..count {
        let mut client = node.connect().await;
        client.subscribe_private(&format!("private-{index}")).await;
        clients.push(client);
    }
    clients
}

/// Has each client say so many numbers in its channel, from this one on.
async fn say(clients: &mut [Client], from: usize, count: usize) {
    for (index, client) in clients.iter_mut().enumerate() {
        let channel = format!("private-{index}");
        let event = |number| json!({"event": "client-n", "channel": channel, "data": number});
        client.send_at_once((from..from + count).map(event)).await;
    }
}

/// What so many webhooks say, by channel, each in the order in which it came.
async fn told(receiver: &mut Receiver, count: usize) -> BTreeMap<String, Vec<usize>> {
    let mut told = BTreeMap::<_, Vec<usize>>::new();
    let mut taken = 0;
    while taken < count {
        let delivery = receiver.next_within(DEADLINE).await;
        if delivery.answer == Answer::Status(200) {
            taken += 1;
            let channel = delivery.events()[0]["channel"].as_str().expect("a channel").to_owned();
            told.entry(channel).or_default().push(number_in(&delivery).parse().expect("a number"));
        }
    }
    told
}

/// Every channel was told of all numbers, once each and in order.
fn assert_complete(told: &BTreeMap<String, Vec<usize>>, channels: usize, numbers: usize) {
    assert_eq!(told.len(), channels);
    for (channel, of_channel) in told {
        assert!(of_channel.iter().copied().eq(0..numbers), "{channel}: {of_channel:?}");
    }
}

#[tokio::test]
async fn a_queue_that_any_place_of_the_settings_names_gets_jobs_without_secrets() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", 30, 3).await;
    let hook = [("APP_WEBHOOKS_ENABLED", "true"), ("APP_WEBHOOK_URL", receiver.url.as_str())];
    let settings = json!({
        "queue_driver": "sqs", "sqs_queue_url": "webhooks", "aws_region": "us-east-1",
        "aws_endpoint_url": format!("http://{}", aws.address),
    });
    for launch in server_launches(&settings) {
        let launch = hook.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        let launch = launch.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "aws-canary");
        let mut node = launch.env("AWS_EC2_METADATA_DISABLED", "true").start_alone();
        node.connect().await.subscribe("room").await;
        node.stop().await;
        let messages = aws.take("webhooks").await;
        assert_eq!(messages.len(), 2, "it was occupied and vacated: {messages:?}");
        for message in messages {
            let job: Value = serde_json::from_str(&message.body).expect("JSON");
            assert_eq!((&job["v"], &job["app_id"]), (&json!(1), &json!("1")));
            assert_eq!(job["channels"], json!(["room"]));
            assert!(!message.body.contains("app-secret") && !message.body.contains("aws-canary"));
        }
    }
}

#[tokio::test]
async fn webhooks_reach_the_receiver_by_a_fifo_queue_and_the_function() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 6, 100).await;
    aws.create_function("webhooks.fifo", 6, json!({"APPS": apps().to_string()})).await;
    let node = launch(&receiver, &aws.url("webhooks.fifo")).on_aws(aws.address).start_alone();
    let mut clients = clients(&node, 3).await;
    say(&mut clients, 0, 20).await;
    assert_complete(&told(&mut receiver, 60).await, 3, 20);
    aws.drained("webhooks.fifo").await;
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn webhooks_reach_the_receiver_by_a_topic_a_queue_and_the_poller() {
    for (topic, queue, raw) in
        [("one", "webhooks", true), ("two", "webhooks", false), ("three.fifo", "webhooks.fifo", true)]
    {
        let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
        aws.create_queue(queue, 30, 3).await;
        let arn = aws.create_topic(topic, queue, raw).await;
        let mut settings = settings(&receiver, "unused");
        settings["queue_driver"] = json!("sns");
        settings["sns_topic_arn"] = json!(arn);
        let node = Launch::bare().config(&settings).on_aws(aws.address).start_alone();
        let poller = Poller::start(aws.address, queue, &apps().to_string(), &[]);
        let mut clients = clients(&node, 2).await;
        say(&mut clients, 0, 15).await;
        let mut told = told(&mut receiver, 30).await;
        if queue == "webhooks" {
            told.values_mut().for_each(|of_channel| of_channel.sort_unstable());
        }
        assert_complete(&told, 2, 15);
        aws.drained(queue).await;
        poller.stop().await;
    }
}

#[tokio::test]
async fn a_node_without_its_queue_or_topic_does_not_start() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    let topic = json!({"queue_driver": "sns", "sns_topic_arn": "arn:aws:sns:us-east-1:000000000000:lost"});
    let queue = json!({"queue_driver": "sqs", "sqs_queue_url": "lost"});
    for destination in [topic, queue] {
        let mut settings = settings(&receiver, "lost");
        for (key, value) in destination.as_object().expect("settings") {
            settings[key] = value.clone();
        }
        let ending = Launch::bare().config(&settings).on_aws(aws.address).run();
        assert_eq!(ending.code, Some(1), "{}", ending.stderr);
        assert!(ending.stderr.contains("webhooks have nowhere to go"), "{}", ending.stderr);
    }
}

#[tokio::test]
async fn a_node_whose_cloud_is_away_serves_and_hands_its_webhooks_over_once_there_is_a_queue() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    let faults = Faults::before(aws.address, "GetQueueUrl").await;
    faults.set(&[Fault::Refuse(503, "ServiceUnavailable")]);
    let started = launch(&receiver, "webhooks").on_aws(faults.address);
    let mut node = tokio::task::spawn_blocking(|| started.start_alone()).await.expect("it starts");
    let mut clients = clients(&node, 1).await;
    say(&mut clients, 0, 3).await;
    // Now the cloud answers, and there is no such queue yet.
    faults.set(&[]);
    node.wait_for_log("does not exist").await;
    aws.create_queue("webhooks", 30, 3).await;
    node.wait_for_log("webhooks go to the queue 'webhooks'").await;
    node.stop().await;
    assert_eq!(aws.take("webhooks").await.len(), 3);
}

#[tokio::test]
async fn whatever_befalls_the_way_to_the_queue_nothing_is_lost_doubled_or_out_of_order() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 30, 100).await;
    let faults = Faults::before(aws.address, "SendMessageBatch").await;
    let address = faults.address;
    let started = launch(&receiver, "webhooks.fifo").on_aws(address);
    // The proxy needs this thread if the test has no other.
    let mut node = tokio::task::spawn_blocking(|| started.start_alone()).await.expect("it starts");
    let mut clients = clients(&node, 3).await;
    let kinds = [
        &[Fault::Refuse(400, "ThrottlingException"), Fault::None][..],
        &[Fault::Refuse(503, "ServiceUnavailable"), Fault::Refuse(500, "InternalFailure"), Fault::None],
        &[Fault::Refuse(403, "ExpiredToken"), Fault::None],
        &[Fault::LoseAnswer, Fault::None],
        &[Fault::Stall(Duration::from_secs(7)), Fault::None],
    ];
    for (round, kind) in kinds.into_iter().enumerate() {
        faults.set(kind);
        let before = faults.requests();
        say(&mut clients, round * 10, 10).await;
        let hit = timeout(DEADLINE, async {
            while faults.requests() < before + kind.len() {
                sleep(Duration::from_millis(5)).await;
            }
        });
        hit.await.expect("the node sends, and sends again");
        // Nobody who publishes notices.
        node.api().publish("room", "news", round).await;
    }
    faults.set(&[]);
    let poller = Poller::start(aws.address, "webhooks.fifo", &apps().to_string(), &[]);
    assert_complete(&told(&mut receiver, 150).await, 3, 50);
    node.stop().await;
    aws.drained("webhooks.fifo").await;
    poller.stop().await;
    assert!(receiver.arrived().is_empty(), "something came twice");
}

#[tokio::test]
async fn what_the_cloud_has_not_taken_is_handed_over_before_the_node_ends() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 30, 100).await;
    let faults = Faults::before(aws.address, "SendMessageBatch").await;
    let started = launch(&receiver, "webhooks.fifo")
        .flags(["--metrics-enabled", "--metrics-port", "0"])
        .on_aws(faults.address);
    let mut node = tokio::task::spawn_blocking(|| started.start_alone()).await.expect("it starts");
    let mut clients = clients(&node, 1).await;
    faults.set(&[Fault::Refuse(503, "ServiceUnavailable")]);
    say(&mut clients, 0, 5).await;
    let waiting = timeout(DEADLINE, async {
        let figures = ["socket_rush_webhook_queue_leaving", "socket_rush_webhook_queue_reconnects_total"];
        while metric(&node, figures[0]).await != Some(5.0) || metric(&node, figures[1]).await < Some(1.0) {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waiting.await.expect("all of them wait");
    faults.set(&[]);
    node.stop().await;
    let poller = Poller::start(aws.address, "webhooks.fifo", &apps().to_string(), &[]);
    assert_eq!(accepted(&mut receiver, 5).await, ["0", "1", "2", "3", "4"]);
    poller.stop().await;
}

/// One of a node's metrics.
async fn metric(node: &Node, name: &str) -> Option<f64> {
    let address = node.metrics.expect("metrics were asked for");
    let request = "GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    let page = crate::support::api::raw_request(address, request).await.expect("an answer");
    page.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}
