//! A queue that takes nothing while there is more and more for it.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{DEADLINE, clients, settings};
use crate::support::{
    aws::Aws,
    aws_faults::{Fault, Faults},
    node::{Launch, METRICS, Node},
    receiver::Receiver,
};

/// What a node keeps for a queue that is away.
const ROOM: u64 = 64 << 20;

/// The bytes that each event has to say: many, so that the room is full soon.
const EVENT_BYTES: usize = 60_000;

/// What a job takes besides, at most.
const JOB_BYTES: usize = 1_000;

const CHANNELS: usize = 4;

/// Events on each channel. There is room for some 1,100 in all.
const EVENTS: usize = 350;

/// Events that are sent in one write.
const AT_ONCE: usize = 10;

/// What the node may grow beyond the room: for events on their way there, and for the requests that are tried.
const BESIDES: u64 = 64 << 20;

/// Waits until this is true of a node.
async fn until(what: &str, node: &Node, is_so: impl Fn([u64; 2]) -> bool) -> [u64; 2] {
    let waiting = async {
        loop {
            let figures = [
                node.metric("webhook_queue_leaving").await,
                node.metric("webhook_events_dropped_total").await,
            ];
            if is_so(figures) {
                return figures;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("{what} never comes"))
}

#[tokio::test]
async fn what_a_queue_does_not_take_waits_up_to_a_bound_and_is_counted_beyond() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 30, 100).await;
    let faults = Faults::before(aws.address, "SendMessageBatch").await;
    faults.set(&[Fault::Refuse(400, "ThrottlingException"), Fault::Refuse(503, "ServiceUnavailable")]);
    let mut settings = settings(&receiver, "webhooks.fifo");
    settings["applications"][0]["app_max_event_payload_in_kb"] = json!(64);
    let started = Launch::bare().config(&settings).flags(METRICS).on_aws(faults.address);
    // The proxy needs this thread if the test has no other.
    let mut node = tokio::task::spawn_blocking(|| started.start_alone()).await.expect("it starts");
    let mut clients = clients(&node, CHANNELS).await;
    let before = node.resident_bytes();
    let data = "x".repeat(EVENT_BYTES);
    for _ in 0..EVENTS / AT_ONCE {
        for (index, client) in clients.iter_mut().enumerate() {
            let channel = format!("private-{index}");
            let event = |_| json!({"event": "client-n", "channel": channel, "data": data});
            client.send_at_once((0..AT_ONCE).map(event)).await;
        }
    }
    let said = (CHANNELS * EVENTS) as u64;
    let [kept, dropped] = until("all of it", &node, |[kept, dropped]| kept + dropped == said).await;
    let growth = || node.resident_bytes().saturating_sub(before);
    println!("of {said} events {kept} kept, {dropped} dropped; the node grew by {} bytes", growth());
    assert!(dropped > 0 && kept * (EVENT_BYTES as u64) < ROOM);
    // It is the room that was full, and not something before it.
    assert!((kept + 1) * (EVENT_BYTES + JOB_BYTES) as u64 > ROOM, "{kept} kept");
    // What was dropped takes memory until the allocator gives it back.
    until(&format!("memory of {} bytes", ROOM + BESIDES), &node, |_| growth() < ROOM + BESIDES).await;
    // Nobody who publishes or subscribes notices.
    node.api().publish("room", "news", "").await;
    node.connect().await.subscribe("room").await;

    faults.set(&[]);
    assert_eq!(until("room", &node, |[kept, _]| kept == 0).await, [0, dropped]);
    assert_eq!(aws.depth("webhooks.fifo").await, [kept, 0], "what was kept is there, once");
    node.stop().await;
}
