//! No fault at all: what the others are measured by.

use serde_json::json;

use crate::support::cluster::Cluster;

/// Twenty thousand, in batches of ten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_published_on_one_node_come_in_order_on_the_other() {
    let cluster = Cluster::start(2, &[]);
    let mut client = cluster.node(1).connect().await;
    client.subscribe("room").await;
    let publishing = async {
        let api = cluster.node(0).api();
        for batch in 0..2_000 {
            let event = |number: u32| json!({"channel": "room", "name": "e", "data": (batch * 10 + number).to_string()});
            let events: Vec<_> = (0..10).map(event).collect();
            api.post("/batch_events", json!({"batch": events})).await.expect_status(200);
        }
    };
    let hearing = async {
        for number in 0..20_000 {
            assert_eq!(client.expect("e").await.data, number.to_string());
        }
    };
    tokio::join!(publishing, hearing);
    client.expect_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_events_of_one_socket_come_in_order_on_the_other_node() {
    let cluster = Cluster::start(2, &["--app-max-client-events-per-second", "100000"]);
    let (mut sender, mut hearer) = (cluster.node(0).connect().await, cluster.node(1).connect().await);
    for client in [&mut sender, &mut hearer] {
        client.subscribe_private("private-room").await;
    }
    let sending = async {
        for number in 0..3_000 {
            sender.trigger("private-room", "client-e", number.to_string()).await;
        }
    };
    let hearing = async {
        for number in 0..3_000 {
            assert_eq!(hearer.expect("client-e").await.data, number.to_string());
        }
    };
    tokio::join!(sending, hearing);
    sender.expect_quiet().await;
    hearer.expect_quiet().await;
}

#[tokio::test]
async fn a_user_of_two_nodes_is_one_user_and_comes_and_goes_once() {
    let cluster = Cluster::start(2, &[]);
    let (mut here, mut there) = (cluster.node(0).connect().await, cluster.node(1).connect().await);
    let mut watcher = cluster.node(1).connect().await;
    watcher.subscribe_presence(super::ROOM, "watcher", json!({})).await;
    here.subscribe_presence(super::ROOM, "ann", json!({})).await;
    watcher.expect("pusher_internal:member_added").await;
    there.subscribe_presence(super::ROOM, "ann", json!({})).await;
    for node in cluster.nodes() {
        let expected = json!({"occupied": true, "user_count": 2});
        assert_eq!(node.api().get("/channels/presence-room?info=user_count").await.json(), expected);
    }
    here.close().await;
    there.expect_quiet().await;
    watcher.expect_quiet().await;
    there.close().await;
    watcher.expect("pusher_internal:member_removed").await;
}

#[tokio::test]
async fn every_node_refuses_replayed_requests_and_client_events_on_public_channels() {
    let cluster = Cluster::start(2, &[]);
    for node in cluster.nodes() {
        let old = node.api().request("GET", "/channels").param("auth_timestamp", "1").send().await;
        assert_eq!(old.status, 401, "{}", old.text());
    }
    let (mut sender, mut hearer) = (cluster.node(0).connect().await, cluster.node(1).connect().await);
    for client in [&mut sender, &mut hearer] {
        client.subscribe("public").await;
    }
    sender.trigger("public", "client-e", "x").await;
    sender.expect_error(None).await;
    // What crossed over would have come before this.
    cluster.node(0).api().publish("public", "after", "x").await;
    hearer.expect("after").await;
}
