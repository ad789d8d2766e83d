//! Nodes and Redis as they should be.

use std::time::Duration;

use crate::{
    receiver::Receiver,
    world::{World, all_in_redis, job, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_deliver_everything_once_and_in_order() {
    let (world, endpoint) = (World::new().await, Receiver::answering(200).await);
    let nodes = world.nodes(3).await;
    let receipts = nodes[0].push_many(&endpoint.url(), 50, 40);
    all_in_redis(receipts).await;
    assert_eq!(endpoint.delivered_in_order(2000).await, 0);
    for node in &nodes {
        assert!(node.lanes.snapshot().delivered > 0, "a node had nothing to do");
    }
    until("an empty queue", || async { nodes[0].queue.figures().depth() == 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_for_an_endpoint_that_fails_for_a_while() {
    let (world, endpoint) = (World::new().await, Receiver::answering(500).await);
    let nodes = world.nodes(2).await;
    all_in_redis(nodes[0].push_many(&endpoint.url(), 4, 5)).await;
    endpoint.until("tried", |attempts| attempts.len() >= 6).await;
    until("counted", || async { nodes[1].queue.figures().depth() == 20 }).await;
    endpoint.answer(200);
    assert_eq!(endpoint.delivered_in_order(20).await, 0);
    assert!(endpoint.attempts().iter().any(|attempt| attempt.number > 1 && attempt.status == 200));
    until("an empty queue", || async { nodes[1].queue.figures().depth() == 0 }).await;
    assert_eq!(nodes[1].queue.figures().dead_letters(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_later_gets_its_part_while_others_work() {
    let (world, endpoint) = (World::new().await, Receiver::answering(200).await);
    let first = world.nodes(1).await.remove(0);
    let late = world.node();
    let mut pushed = 0;
    while late.queue.figures().shards() != 8 || first.queue.figures().shards() != 8 {
        for channel in 0..50 {
            first.push(&job(&endpoint.url(), &format!("room-{channel}"), pushed)).await.unwrap();
        }
        pushed += 1;
        assert!(pushed < 5000, "the first node keeps everything");
    }
    assert_eq!(endpoint.delivered_in_order(50 * pushed).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_takes_leave_finishes_what_it_can_and_leaves_the_rest() {
    let (world, endpoint) = (World::new().await, Receiver::answering(0).await);
    let mut nodes = world.nodes(2).await;
    all_in_redis(nodes[0].push_many(&endpoint.url(), 20, 20)).await;
    let leaving = nodes.remove(0);
    until("under way", || async { leaving.lanes.snapshot().queued > 0 }).await;
    let began = std::time::Instant::now();
    assert_eq!(leaving.queue.drain(Duration::from_secs(1)).await, 0);
    assert!(began.elapsed() < Duration::from_secs(2));
    endpoint.answer(200);
    until("taken over", || async { nodes[0].queue.figures().shards() == 16 }).await;
    // Long before the lease would have ended.
    endpoint.delivered_in_order(400).await;
}
