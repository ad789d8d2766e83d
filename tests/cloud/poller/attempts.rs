//! Which attempt a webhook says it is.

use std::{collections::HashMap, time::Duration};

use tokio::time::sleep;

use super::{by_reference, jobs, poller};
use crate::support::{
    aws::Aws,
    receiver::{Answer, Delivery, Receiver},
};

/// How often each webhook came.
#[derive(Default)]
struct Counts(HashMap<String, u32>);

impl Counts {
    /// Counts one, which has to say the same of itself.
    fn add(&mut self, delivery: &Delivery) {
        let id = delivery.header("x-socket-rush-delivery").expect("every delivery has an id").to_owned();
        let count = self.0.entry(id).or_default();
        *count += 1;
        assert_eq!(delivery.header("x-socket-rush-attempt"), Some(&*count.to_string()), "{}", delivery.head);
    }
}

#[tokio::test]
async fn what_was_given_back_unsent_has_had_no_attempt() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks", 30, 100).await;
    receiver.always_answer("/hook", Answer::Hang);
    // A hundred more than the poller holds for one endpoint.
    let jobs = jobs(&receiver, 50, 1_100);
    aws.send("webhooks", &by_reference(&jobs)).await;
    let poller = poller(&aws, "webhooks", &[]);
    while poller.metric("socket_rush_poller_messages_returned_total").await < 200 {
        sleep(Duration::from_millis(10)).await;
    }
    receiver.always_answer("/hook", Answer::Status(200));
    let (mut counts, mut taken) = (Counts::default(), 0);
    while taken < jobs.len() {
        let delivery = receiver.next_within(Duration::from_secs(60)).await;
        counts.add(&delivery);
        taken += usize::from(delivery.answer == Answer::Status(200));
    }
    aws.drained("webhooks").await;
    poller.stop().await;
}
