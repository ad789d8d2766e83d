//! What happens when there is no room, and to what cannot be delivered.

use std::time::Duration;

use webhook_worker::{job::Job, retry::Schedule, worker::Limits};

use crate::{
    receiver::Receiver,
    world::{World, all_in_redis, job, until},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_refuses_what_is_new_and_counts_it() {
    let (mut world, endpoint) = (World::new().await, Receiver::answering(0).await);
    world.bounds.in_stream = 3;
    let node = world.node();
    let mut answers = Vec::new();
    for data in 0..5 {
        answers.push(node.push(&job(&endpoint.url(), "room", data)).await.is_ok());
    }
    assert_eq!(answers, [true, true, true, false, false]);
    assert_eq!(node.queue.figures().refused.total(), 2);
    endpoint.answer(200);
    assert_eq!(endpoint.delivered_in_order(3).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_delivered_is_a_dead_letter_with_its_cause() {
    let (mut world, endpoint) = (World::new().await, Receiver::answering(500).await);
    world.limits.schedule = Schedule { horizon: Duration::from_secs(1), ..world.limits.schedule };
    let nodes = world.nodes(2).await;
    let job = job(&endpoint.url(), "room", 0);
    nodes[0].push(&job).await.unwrap();
    until("dead", || async { nodes[0].queue.figures().dead_letters() == 1 }).await;
    let letter = world.entries("queue-dead", "room").await.remove(0);
    assert_eq!(Job::from_json(letter["job"].as_bytes()).unwrap(), job);
    assert!(letter["cause"].contains("500"), "{}", letter["cause"]);
    assert_eq!(letter["attempts"].parse::<usize>().unwrap(), endpoint.attempts().len());
    assert!(letter["dead_at_ms"].parse::<u64>().unwrap() >= job.time_ms);
    assert_eq!(world.length("queue", "room").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_node_understands_is_a_dead_letter_and_in_nobodys_way() {
    let (world, endpoint) = (World::new().await, Receiver::answering(200).await);
    let node = world.nodes(1).await.remove(0);
    let known = job(&endpoint.url(), "room", 0);
    let newer = known.to_json().replacen("\"v\":1", "\"v\":2", 1);
    let mut push = redis::cmd("XADD");
    push.arg(world.keys.of_shard(socket_node::cluster::redis::keys::Shard::of("1", "room")) + "queue");
    push.arg("*").arg("job").arg(&newer);
    push.exec_async(&mut crate::redis_server::link(world.redis.port()).connect().await.unwrap())
        .await
        .unwrap();
    node.push(&known).await.unwrap();
    assert_eq!(endpoint.delivered_in_order(1).await, 0);
    until("dead", || async { node.queue.figures().dead_letters() == 1 }).await;
    let letter = world.entries("queue-dead", "room").await.remove(0);
    assert_eq!(letter["job"], newer);
    assert!(letter["cause"].contains("version 2"), "{}", letter["cause"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_without_room_in_the_lanes_holds_up_no_other_one() {
    let mut world = World::new().await;
    world.limits = Limits { jobs_per_endpoint: 2, ..world.limits };
    let (dead, alive) = (Receiver::answering(0).await, Receiver::answering(200).await);
    let node = world.nodes(1).await.remove(0);
    all_in_redis((0..50).map(|data| node.queue.push(&job(&dead.url(), "room", data)).unwrap()).collect())
        .await;
    node.push(&job(&alive.url(), "room", 0)).await.unwrap();
    assert_eq!(alive.delivered_in_order(1).await, 0);
    dead.answer(200);
    assert_eq!(dead.delivered_in_order(50).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_reads_no_more_than_it_can_hold_and_reads_on_when_it_can() {
    let mut world = World::new().await;
    world.limits = Limits { jobs_per_endpoint: 2, ..world.limits };
    world.bounds.waiting = 10;
    let endpoint = Receiver::answering(0).await;
    let node = world.nodes(1).await.remove(0);
    all_in_redis(
        (0..500).map(|data| node.queue.push(&job(&endpoint.url(), "room", data)).unwrap()).collect(),
    )
    .await;
    endpoint.answer(200);
    assert_eq!(endpoint.delivered_in_order(500).await, 0);
    until("an empty queue", || async { node.queue.figures().depth() == 0 }).await;
}
