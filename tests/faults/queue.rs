//! Webhooks that wait in Redis, and nodes that are killed while they deliver them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{GONE, launch_with_webhooks};
use crate::support::{
    client::Client,
    cluster::Cluster,
    receiver::{Answer, Receiver},
};

/// Client events of each client.
const EACH: usize = 100;

/// Three nodes that share the queue, and a client of each in a channel of its own.
async fn three_nodes(receiver: &Receiver) -> (Cluster, Vec<Client>) {
    let launch = || launch_with_webhooks(receiver, &["client_event"]).flags(["--queue-driver", "redis"]);
    let cluster = Cluster::of(3, launch);
    let mut clients = Vec::new();
    for (index, node) in cluster.nodes().iter().enumerate() {
        let mut client = node.connect().await;
        client.subscribe_private(&format!("private-{index}")).await;
        clients.push(client);
    }
    (cluster, clients)
}

/// Lets a client say numbers in its channel.
async fn say(client: &mut Client, index: usize) {
    let channel = format!("private-{index}");
    let event = |number| json!({"event": "client-n", "channel": channel, "data": number});
    client.send_at_once((0..EACH).map(event)).await;
}

/// Waits until everything that was said in these channels was told, in order; how many deliveries were repeats.
async fn told_in_order(receiver: &mut Receiver, channels: &[usize]) -> usize {
    let (mut ids, mut next, mut repeats) = (BTreeSet::new(), BTreeMap::<_, usize>::new(), 0);
    let expected: BTreeMap<_, _> = channels.iter().map(|index| (format!("private-{index}"), EACH)).collect();
    while next != expected {
        let delivery = receiver.next_within(3 * GONE).await;
        if delivery.answer != Answer::Status(200) {
            continue;
        }
        let id = delivery.header("x-socket-rush-delivery").expect("every delivery has an id");
        if !ids.insert(id.to_owned()) {
            repeats += 1;
            continue;
        }
        let event = delivery.events().remove(0);
        let next = next.entry(event["channel"].as_str().expect("a channel").to_owned()).or_default();
        assert_eq!(event["data"], next.to_string(), "on {}", event["channel"]);
        *next += 1;
    }
    repeats
}

#[tokio::test]
async fn three_nodes_tell_everything_once_and_each_channel_in_order() {
    let mut receiver = Receiver::start().await;
    let (_cluster, mut clients) = three_nodes(&receiver).await;
    for (index, client) in clients.iter_mut().enumerate() {
        say(client, index).await;
    }
    assert_eq!(told_in_order(&mut receiver, &[0, 1, 2]).await, 0);
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn what_is_in_redis_is_told_in_order_although_two_of_three_nodes_are_killed() {
    let mut receiver = Receiver::start().await;
    receiver.always_answer("/hook", Answer::Status(500));
    let (mut cluster, mut clients) = three_nodes(&receiver).await;
    for (index, client) in clients.iter_mut().enumerate() {
        say(client, index).await;
    }
    let streams: Vec<String> = loop {
        let streams: Vec<String> = cluster.redis.ask(&["KEYS", "*:queue"]);
        let lengths = streams.iter().map(|stream| cluster.redis.ask::<usize>(&["XLEN", stream]));
        if lengths.sum::<usize>() == 3 * EACH {
            break streams;
        }
        tokio::task::yield_now().await;
    };
    cluster.kill(0);
    cluster.kill(1);
    receiver.always_answer("/hook", Answer::Status(200));
    told_in_order(&mut receiver, &[0, 1, 2]).await;
    while streams.iter().any(|stream| cluster.redis.ask::<usize>(&["XLEN", stream]) > 0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_node_that_ends_leaves_what_it_cannot_deliver_to_the_others() {
    let mut receiver = Receiver::start().await;
    receiver.always_answer("/hook", Answer::Status(500));
    let (mut cluster, mut clients) = three_nodes(&receiver).await;
    for (index, client) in clients.iter_mut().enumerate() {
        say(client, index).await;
    }
    receiver.next().await;
    cluster.node_mut(0).stop().await;
    receiver.always_answer("/hook", Answer::Status(200));
    told_in_order(&mut receiver, &[0, 1, 2]).await;
}
