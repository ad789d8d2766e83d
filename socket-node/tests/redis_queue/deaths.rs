//! Nodes that end without a word.

use std::time::Instant;

use crate::{
    receiver::Receiver,
    world::{World, all_in_redis, job, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_node_had_under_way_others_deliver_in_order() {
    let (world, endpoint) = (World::new().await, Receiver::answering(200).await);
    let mut nodes = world.nodes(3).await;
    let (dies, stays) = (nodes.remove(0), nodes.remove(0));
    let receipts = stays.push_many(&endpoint.url(), 50, 60);
    endpoint.until("begun", |attempts| attempts.len() > 300).await;
    dies.kill().await;
    all_in_redis(receipts).await;
    // Each lane may have had some requests under way.
    assert!(endpoint.delivered_in_order(3000).await <= 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shards_of_a_dead_node_are_others_within_seconds_of_its_lease() {
    let (world, endpoint) = (World::new().await, Receiver::answering(200).await);
    let mut nodes = world.nodes(2).await;
    nodes.remove(0).kill().await;
    let began = Instant::now();
    for channel in 0..16 {
        nodes[0].push(&job(&endpoint.url(), &format!("room-{channel}"), 0)).await.unwrap();
    }
    endpoint.delivered_in_order(16).await;
    assert!(began.elapsed() < world.bounds.lease * 3, "{:?}", began.elapsed());
    until("taken over", || async { nodes[0].queue.figures().shards() == 16 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_survive_when_all_nodes_are_dead() {
    let (world, endpoint) = (World::new().await, Receiver::answering(500).await);
    let node = world.nodes(1).await.remove(0);
    all_in_redis(node.push_many(&endpoint.url(), 5, 5)).await;
    node.kill().await;
    endpoint.answer(200);
    let heir = world.node();
    assert_eq!(endpoint.delivered_in_order(25).await, 0);
    until("an empty queue", || async { heir.queue.figures().depth() == 0 }).await;
}
