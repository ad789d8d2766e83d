//! A Redis that goes away.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    receiver::Receiver,
    world::{World, all_in_redis, job, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_frozen_loses_nothing_and_keeps_the_order() {
    let (world, endpoint) = (World::new().await, Receiver::answering(200).await);
    let nodes = world.nodes(3).await;
    let mut receipts = nodes[0].push_many(&endpoint.url(), 20, 20);
    endpoint.until("begun", |attempts| attempts.len() > 50).await;
    world.redis.freeze();
    let later = (20..30).flat_map(|data| (0..20).map(move |channel| (channel, data)));
    let later = later.map(|(channel, data)| job(&endpoint.url(), &format!("room-{channel}"), data));
    receipts.extend(later.map(|job| nodes[0].queue.push(&job).unwrap()));
    // A time of the fault, not one to wait for something.
    sleep(Duration::from_secs(3)).await;
    world.redis.thaw();
    all_in_redis(receipts).await;
    endpoint.delivered_in_order(600).await;
    let mut deliveries: Vec<_> = endpoint.attempts().into_iter().map(|attempt| attempt.delivery).collect();
    let attempts = deliveries.len();
    deliveries.sort();
    deliveries.dedup();
    // Only what another node took over when the leases ended may come twice.
    assert!(attempts - deliveries.len() <= 400, "{attempts} attempts for {} jobs", deliveries.len());
    until("an empty queue", || async { nodes[0].queue.figures().depth() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_in_the_node_for_a_redis_that_was_killed() {
    let (mut world, endpoint) = (World::new().await, Receiver::answering(200).await);
    let nodes = world.nodes(2).await;
    world.redis.kill();
    let receipts = nodes[0].push_many(&endpoint.url(), 10, 10);
    world.redis.restart();
    all_in_redis(receipts).await;
    assert_eq!(endpoint.delivered_in_order(100).await, 0);
    assert!(nodes[0].queue.figures().reconnects.total() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_lanes_have_is_delivered_although_redis_forgot_it() {
    let (mut world, endpoint) = (World::new().await, Receiver::answering(0).await);
    let nodes = world.nodes(1).await;
    all_in_redis(nodes[0].push_many(&endpoint.url(), 5, 5)).await;
    until("under way", || async { nodes[0].lanes.snapshot().queued == 25 }).await;
    world.redis.kill();
    world.redis.restart();
    endpoint.answer(200);
    assert_eq!(endpoint.delivered_in_order(25).await, 0);
}
