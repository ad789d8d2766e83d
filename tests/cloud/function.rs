//! The Lambda function behind a queue: the binary itself, started by the emulator.

use serde_json::{Value, json};

use super::{accepted, apps, job, number_in};
use crate::support::{
    aws::Aws,
    receiver::{Answer, Receiver},
};

/// The function's time, and that of the queue until it repeats something: more than an attempt may take.
const SECONDS: u32 = 6;

/// The variables of a function that has a receiver on the loopback address.
fn variables() -> Value {
    json!({"APPS": apps().to_string()})
}

#[tokio::test]
async fn what_fails_comes_again_alone_and_ends_among_the_dead_letters() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", SECONDS, 3).await;
    receiver.always_answer("/bad", Answer::Status(500));
    let bad = job(&receiver, "/bad", "a", 100);
    let mut messages: Vec<_> = (0..9).map(|number| ("a", job(&receiver, "/hook", "a", number))).collect();
    messages.push(("b", bad.clone()));
    aws.create_function("webhooks", SECONDS, variables()).await;
    aws.send("webhooks", &messages).await;
    let mut good = accepted(&mut receiver, 9).await;
    good.sort();
    assert!(good.into_iter().eq((0..9).map(|number: usize| number.to_string())));
    let dead = aws.dead_letters("webhooks", 1).await;
    assert_eq!(dead[0].body, bad);
    aws.drained("webhooks").await;
    let attempts = receiver.arrived();
    assert!(attempts.iter().all(|delivery| delivery.path() == "/bad"), "nothing good came twice");
}

#[tokio::test]
async fn a_group_is_delivered_in_order_although_its_endpoint_fails_for_a_while() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", SECONDS, 100).await;
    receiver.answer("/hook", [Answer::Status(200), Answer::Status(500), Answer::Status(500)]);
    let messages: Vec<_> = (0..8).map(|number| ("a", job(&receiver, "/hook", "a", number))).collect();
    aws.create_function("webhooks.fifo", SECONDS, variables()).await;
    aws.send("webhooks.fifo", &messages).await;
    let numbers = accepted(&mut receiver, 8).await;
    assert!(numbers.into_iter().eq((0..8).map(|number: usize| number.to_string())));
    aws.drained("webhooks.fifo").await;
}

#[tokio::test]
async fn an_answer_names_what_failed_and_all_that_follows_in_its_group() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    // Nothing comes again while the queue is looked at.
    aws.create_queue("webhooks.fifo", 600, 100).await;
    receiver.answer("/hook", [Answer::Status(200), Answer::Status(200), Answer::Status(500)]);
    let mut messages: Vec<_> = (0..6).map(|number| ("a", job(&receiver, "/hook", "a", number))).collect();
    messages.extend((6..9).map(|number| ("b", job(&receiver, "/other", "b", number))));
    aws.send("webhooks.fifo", &messages).await;
    aws.create_function("webhooks.fifo", SECONDS, variables()).await;
    let attempts = receiver.next_some(6).await;
    aws.holds("webhooks.fifo", [0, 4]).await;
    let mut sent: Vec<_> = attempts.iter().map(number_in).collect();
    sent.sort();
    assert_eq!(sent, ["0", "1", "2", "6", "7", "8"]);
    assert!(receiver.arrived().is_empty(), "what follows a failure is not sent");
}
