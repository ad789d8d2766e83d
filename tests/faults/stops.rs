//! A node is stopped in good order while others go on.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{ROOM, come_and_go, launch_with_webhooks, told_until, users};
use crate::support::{client::Client, cluster::Cluster, receiver::Receiver};

/// Reads on until the node says goodbye.
async fn goodbye(mut client: Client) {
    loop {
        match client.message().await {
            Some(Message::Close(Some(close))) => return assert_eq!(u16::from(close.code), 4200),
            Some(Message::Text(_) | Message::Ping(_)) => {}
            other => panic!("instead of a goodbye: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_is_unready_first_and_all_of_its_webhooks_are_sent_once() {
    let mut receiver = Receiver::start().await;
    let kinds = ["channel_vacated", "member_removed"];
    let mut cluster = Cluster::of(2, || launch_with_webhooks(&receiver, &kinds));
    let mut clients = Vec::new();
    for user in users(0..20) {
        let mut client = cluster.node(0).connect().await;
        client.subscribe_private(&format!("private-{user}")).await;
        client.subscribe_presence(ROOM, user, json!({})).await;
        clients.push(client);
    }
    let goodbyes: Vec<_> = clients.into_iter().map(|client| tokio::spawn(goodbye(client))).collect();
    let node = cluster.node(0);
    node.terminate();
    node.wait_for_log("going away").await;
    assert_eq!(node.api().request_at("GET", "/ready").send().await.status, 503);
    for goodbye in goodbyes {
        goodbye.await.expect("a goodbye");
    }
    cluster.node_mut(0).stop().await;
    come_and_go(cluster.node(1), "last").await;
    let told = told_until(&mut receiver, 42, "last").await;
    assert_eq!(told.len(), 20 + 20 + 1 + 1, "members, their channels, the room, the last: {told:?}");
    assert!(told.values().all(|times| *times == 1), "{told:?}");
    let left = cluster.node(1).api().get("/channels").await.json();
    assert_eq!(left, json!({"channels": {}}));
}
