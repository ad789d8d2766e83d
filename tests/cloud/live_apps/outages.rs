//! A table that is away, slow, or has enough of the node.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{DEADLINE, TTL, World, answer, path};
use crate::support::{aws_faults::Fault, node::Node};

/// Waits until this metric of a node is more than nought.
async fn moved(node: &Node, metric: &str) {
    let moving = async {
        while node.metric(metric).await == 0 {
            answer(node, &node.credentials.secret).await.expect_status(200);
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, moving).await.unwrap_or_else(|_| panic!("{metric} does not move"));
}

/// What goes on and what waits while the table answers like this, and that all is well when it is back.
async fn survives(fault: Fault) {
    let seconds = TTL.as_secs().to_string();
    let world = World::start(1, &["--app-cache-ttl-seconds", &seconds]).await;
    let node = world.node(0);
    let mut client = node.connect().await;
    client.subscribe("room").await;
    world.faults.set(&[fault]);

    moved(node, "app_cache_stale_total").await;
    moved(node, "app_lookup_errors_total").await;
    for number in 0..20 {
        node.api().publish("room", "e", number).await;
        client.expect("e").await;
        node.connect().await.expect_quiet().await;
    }
    // Nobody knows whether there are such apps, so nobody is told to stay away.
    node.connect_to(&path("nobody")).await.expect_end(4100).await;
    let stranger = crate::support::api::Api::new(node.address, "77", "nobody", "x");
    let refused = stranger.post("/events", json!({})).await.expect_status(503);
    assert_eq!(refused.header("retry-after"), Some("1"));

    world.faults.set(&[]);
    let settled = async {
        loop {
            let mut client = node.connect_to(&path("nobody")).await;
            if client.frame().await.whole()["data"]["code"] == 4001 {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(DEADLINE, settled).await.expect("it is back");
    client.expect_quiet().await;
    let log = node.log();
    let lines = log.lines().filter(|line| line.contains("apps that are known go on as they are")).count();
    assert_eq!(lines, 1, "once for each time that it is away: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_that_are_known_go_on_while_the_table_is_away() {
    survives(Fault::Refuse(500, "InternalServerError")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_that_are_known_go_on_while_the_table_has_enough_of_requests() {
    survives(Fault::Refuse(400, "ProvisionedThroughputExceededException")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_that_are_known_go_on_while_the_table_does_not_answer() {
    survives(Fault::Stall(Duration::from_secs(60))).await;
}
