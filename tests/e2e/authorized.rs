//! Apps that keep only connections which have shown who they are.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::node::Node;

/// A node that gives connections a second to be authorised.
fn strict_node() -> Node {
    Node::with(["--app-require-channel-authorization", "--app-authorization-timeout-seconds", "1"])
}

/// Waits for the end of a connection that was opened after those that the test watches, so that their time is up too.
async fn outwait_the_timeout(node: &Node) {
    node.connect().await.expect_end(4009).await;
}

#[tokio::test]
async fn a_connection_that_never_shows_who_it_is_is_closed_with_4009() {
    let node = strict_node();
    let message = node.connect().await.expect_end(4009).await;
    assert_eq!(message, "Connection not authorized within timeout");
}

#[tokio::test]
async fn nobody_is_closed_before_its_time_is_up() {
    for seconds in [1, 2] {
        let node = Node::with([
            "--app-require-channel-authorization",
            &format!("--app-authorization-timeout-seconds={seconds}"),
        ]);
        let mut client = node.connect().await;
        let connected = Instant::now();
        client.expect_end(4009).await;
        assert!(
            connected.elapsed() >= Duration::from_millis(seconds * 1000 - 50),
            "{:?}",
            connected.elapsed()
        );
    }
}

#[tokio::test]
async fn a_public_channel_and_a_refused_private_one_show_nothing() {
    let node = strict_node();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    client.ask(json!({"channel": "private-room", "auth": "app-key:00"})).await;
    client.expect_refused("private-room").await;
    client.expect_end(4009).await;
}

#[tokio::test]
async fn a_private_or_presence_channel_or_a_sign_in_is_enough() {
    let node = strict_node();
    let (mut private, mut presence, mut user) =
        (node.connect().await, node.connect().await, node.connect().await);
    private.subscribe_private("private-room").await;
    presence.subscribe_presence("presence-room", "1", json!({})).await;
    user.sign_in(json!({"id": "u1"})).await;
    outwait_the_timeout(&node).await;
    for client in [&mut private, &mut presence, &mut user] {
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn one_who_was_authorised_stays_so_after_leaving_the_channel() {
    let node = strict_node();
    let mut client = node.connect().await;
    client.subscribe_private("private-room").await;
    client.unsubscribe("private-room").await;
    outwait_the_timeout(&node).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn connections_that_are_not_authorised_yet_take_no_place_of_others() {
    let node = Node::with([
        "--app-require-channel-authorization",
        "--app-authorization-timeout-seconds",
        "60",
        "--app-max-connections",
        "1",
    ]);
    let (_first, mut second) = (node.connect().await, node.connect().await);
    second.subscribe_private("private-room").await;
}
