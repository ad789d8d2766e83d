//! Requests that the queue takes, and whose answers are lost on their way back: the node cannot know, and sends them again.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::time::interval;

use super::{DEADLINE, assert_complete, clients, launch, say, told};
use crate::{
    cloud::apps,
    support::{
        aws::Aws,
        aws_faults::{Fault, Faults},
        poller::Poller,
        receiver::{Delivery, Receiver},
    },
};

const CHANNELS: usize = 5;

/// Events on each channel.
const EVENTS: usize = 120;

/// Time between two events of a channel, so that they need many requests.
const PACE: Duration = Duration::from_millis(20);

/// Of so many requests, the answer of one is lost.
const ONE_IN: usize = 10;

/// Fills a queue with numbered events, and gives the number of requests whose answers were lost.
async fn fill(aws: &Aws, receiver: &Receiver, queue: &str) -> usize {
    aws.create_queue(queue, 30, 100).await;
    let faults = Faults::before(aws.address, "SendMessageBatch").await;
    let mut turns = [Fault::None; ONE_IN];
    turns[ONE_IN - 1] = Fault::LoseAnswer;
    faults.set(&turns);
    let started = launch(receiver, queue).on_aws(faults.address);
    // The proxy needs this thread if the test has no other.
    let mut node = tokio::task::spawn_blocking(|| started.start_alone()).await.expect("it starts");
    let mut clients = clients(&node, CHANNELS).await;
    let mut pace = interval(PACE);
    for number in 0..EVENTS {
        pace.tick().await;
        say(&mut clients, number, 1).await;
    }
    node.stop().await;
    let lost = faults.requests() / ONE_IN;
    println!("{queue}: {} requests, the answers of {lost} lost", faults.requests());
    assert!(lost >= 5, "there were only {} requests", faults.requests());
    lost
}

#[tokio::test]
async fn a_fifo_queue_has_everything_once_and_in_order_although_one_answer_in_ten_is_lost() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    fill(&aws, &receiver, "webhooks.fifo").await;
    assert_eq!(aws.depth("webhooks.fifo").await, [(CHANNELS * EVENTS) as u64, 0]);
    let poller = Poller::start(aws.address, "webhooks.fifo", &apps().to_string(), &[]);
    assert_complete(&told(&mut receiver, CHANNELS * EVENTS).await, CHANNELS, EVENTS);
    aws.drained("webhooks.fifo").await;
    poller.stop().await;
    assert!(receiver.arrived().is_empty(), "something came twice");
}

#[tokio::test]
async fn a_standard_queue_repeats_what_it_got_twice_by_the_same_id() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    let lost = fill(&aws, &receiver, "webhooks").await;
    let [waiting, _] = aws.depth("webhooks").await;
    let poller = Poller::start(aws.address, "webhooks", &apps().to_string(), &[]);
    let mut bodies = BTreeMap::<String, Vec<String>>::new();
    for _ in 0..waiting {
        let Delivery { headers, body, .. } = receiver.next_within(DEADLINE).await;
        let id = headers.into_iter().find(|(name, _)| name == "x-socket-rush-delivery");
        bodies.entry(id.expect("every delivery has an id").1).or_default().push(body);
    }
    aws.drained("webhooks").await;
    poller.stop().await;
    assert!(receiver.arrived().is_empty());

    let repeats: usize = bodies.values().map(|of_id| of_id.len() - 1).sum();
    assert!(repeats >= lost, "{repeats} repeats of what was sent in {lost} requests");
    let mut told = BTreeMap::<String, Vec<usize>>::new();
    for (id, of_id) in &bodies {
        assert!(of_id.iter().all(|body| *body == of_id[0]), "different webhooks with the id {id}: {of_id:?}");
        let body: Value = serde_json::from_str(&of_id[0]).expect("JSON");
        let text = |key: &str| body["events"][0][key].as_str().expect("a text").to_owned();
        told.entry(text("channel")).or_default().push(text("data").parse().expect("a number"));
    }
    told.values_mut().for_each(|of_channel| of_channel.sort_unstable());
    assert_complete(&told, CHANNELS, EVENTS);
}
