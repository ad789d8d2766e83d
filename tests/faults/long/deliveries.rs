//! A hundred thousand webhooks through each of the queues.

use crate::load::queues::{Way, deliver};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes minutes: tests/faults-long"]
async fn a_hundred_thousand_events_arrive_through_every_queue() {
    for batching in [true, false] {
        for way in [Way::Local, Way::Redis, Way::Sqs] {
            deliver(way, 100_000, batching).await;
        }
    }
}
