//! In which order webhooks come among the dead letters.

use std::time::Duration;

use serde_json::Value;

use super::{accepted, apps, job};
use crate::support::{
    aws::Aws,
    aws_faults::{Fault, Faults},
    poller::Poller,
    receiver::{Answer, Receiver},
};

/// A poller, for which sending a dead letter is what may fail.
async fn poller_behind(faults: &Faults, queue: &'static str) -> Poller {
    let address = faults.address;
    // What stands before the emulator needs this thread if the test has no other.
    let starting =
        tokio::task::spawn_blocking(move || Poller::start(address, queue, &apps().to_string(), &[]));
    starting.await.expect("it starts")
}

/// What the next so many dead letters say, in their order.
async fn dead(aws: &Aws, queue: &str, count: usize) -> Vec<usize> {
    let number = |body: &str| {
        let job: Value = serde_json::from_str(body).expect("a job");
        let body: Value = serde_json::from_str(job["body"].as_str().expect("a text")).expect("JSON");
        body["events"][0]["data"].as_str().and_then(|data| data.parse().ok()).expect("a number")
    };
    aws.dead_letters(queue, count).await.iter().map(|letter| number(&letter.body)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_a_group_keep_its_order_although_some_take_their_time() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 30, 100).await;
    receiver.always_answer("/gone", Answer::Status(410));
    let faults = Faults::before(aws.address, "AmazonSQS.SendMessageBatch").await;
    faults.set(&[Fault::Stall(Duration::from_secs(1)), Fault::None, Fault::None]);
    let jobs: Vec<_> = (0..10).map(|number| ("a", job(&receiver, "/gone", "a", number))).collect();
    aws.send("webhooks.fifo", &jobs).await;
    let poller = poller_behind(&faults, "webhooks.fifo").await;
    assert!(dead(&aws, "webhooks.fifo", 10).await.into_iter().eq(0..10));
    aws.drained("webhooks.fifo").await;
    poller.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_dead_letter_that_is_not_taken_waits_for_it() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 30, 100).await;
    receiver.always_answer("/gone", Answer::Status(410));
    let faults = Faults::before(aws.address, "AmazonSQS.SendMessageBatch").await;
    // The first that is sent is not taken, and all others would be.
    faults.set(&[&[Fault::Refuse(403, "AccessDenied")][..], &[Fault::None; 99]].concat());
    let path = |number| if number == 2 { "/hook" } else { "/gone" };
    let jobs: Vec<_> = (0..5).map(|number| ("a", job(&receiver, path(number), "a", number))).collect();
    aws.send("webhooks.fifo", &jobs).await;
    let poller = poller_behind(&faults, "webhooks.fifo").await;
    assert_eq!(accepted(&mut receiver, 1).await, ["2"], "what is delivered meanwhile is delivered once");
    // The queue keeps them from everybody for half a minute.
    aws.drained_within("webhooks.fifo", Duration::from_secs(90)).await;
    assert_eq!(dead(&aws, "webhooks.fifo", 4).await, [0, 1, 3, 4]);
    let again = receiver.arrived();
    assert!(again.iter().all(|delivery| delivery.path() == "/gone"), "{again:?}");
    poller.stop().await;
}
