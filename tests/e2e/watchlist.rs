//! Watchlists: a signed-in user is told when those it watches come online and go offline.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::{client::Client, node::Node};

/// The event that tells of others.
const EVENT: &str = "pusher_internal:watchlist_events";

fn node() -> Node {
    Node::with(["--app-enable-watchlist-events"])
}

/// A client that is signed in and watches nobody.
async fn signed_in(node: &Node, user_id: &str) -> Client {
    let mut client = node.connect().await;
    client.sign_in(json!({"id": user_id})).await;
    client
}

/// A client that is signed in and watches these users, who are offline.
async fn watcher(node: &Node, watched: &[&str]) -> Client {
    let mut client = node.connect().await;
    client.sign_in(json!({"id": "watcher", "watchlist": watched})).await;
    assert_eq!(told(&mut client).await, json!([{"name": "offline", "user_ids": watched}]));
    client
}

/// What the client is told next.
async fn told(client: &mut Client) -> Value {
    let frame = client.expect(EVENT).await;
    assert_eq!(frame.channel, None, "{}", frame.text);
    frame.json()["events"].clone()
}

#[tokio::test]
async fn who_is_there_is_told_right_after_the_sign_in_to_the_byte() {
    let node = node();
    let (_ann, mut client) = (signed_in(&node, "ann").await, node.connect().await);
    client.sign_in(json!({"id": "watcher", "watchlist": ["ann", "bob", "carl"]})).await;
    client
        .expect_text(concat!(
            r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":["#,
            r#"{\"name\":\"online\",\"user_ids\":[\"ann\"]},"#,
            r#"{\"name\":\"offline\",\"user_ids\":[\"bob\",\"carl\"]}]}"}"#,
        ))
        .await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn coming_and_going_is_told_once() {
    let node = node();
    let mut watcher = watcher(&node, &["ann"]).await;
    let ann = signed_in(&node, "ann").await;
    assert_eq!(told(&mut watcher).await, json!([{"name": "online", "user_ids": ["ann"]}]));
    watcher.expect_quiet().await;
    ann.close().await;
    assert_eq!(told(&mut watcher).await, json!([{"name": "offline", "user_ids": ["ann"]}]));
    watcher.expect_quiet().await;
}

#[tokio::test]
async fn a_user_is_online_while_one_of_its_connections_is() {
    let node = node();
    let mut watcher = watcher(&node, &["ann", "bob"]).await;
    let (first, second) = (signed_in(&node, "ann").await, signed_in(&node, "ann").await);
    assert_eq!(told(&mut watcher).await, json!([{"name": "online", "user_ids": ["ann"]}]));
    let bob = signed_in(&node, "bob").await;
    assert_eq!(told(&mut watcher).await, json!([{"name": "online", "user_ids": ["bob"]}]));
    first.close().await;
    bob.close().await;
    // Had the first tab counted, ann would have been told of before bob.
    assert_eq!(told(&mut watcher).await, json!([{"name": "offline", "user_ids": ["bob"]}]));
    second.close().await;
    assert_eq!(told(&mut watcher).await, json!([{"name": "offline", "user_ids": ["ann"]}]));
}

#[tokio::test]
async fn one_who_reloads_the_page_was_never_away() {
    let node = node();
    let mut watcher = watcher(&node, &["ann", "bob"]).await;
    let ann = signed_in(&node, "ann").await;
    told(&mut watcher).await;
    let bob = signed_in(&node, "bob").await;
    told(&mut watcher).await;
    ann.close().await;
    let _ann_again = signed_in(&node, "ann").await;
    bob.close().await;
    // Bob left after ann did, so ann would have been told of first.
    assert_eq!(told(&mut watcher).await, json!([{"name": "offline", "user_ids": ["bob"]}]));
    watcher.expect_quiet().await;
}

#[tokio::test]
async fn members_who_are_not_signed_in_are_not_online() {
    let node = node();
    let mut watcher = watcher(&node, &["ann"]).await;
    let mut member = node.connect().await;
    member.subscribe_presence("presence-room", "ann", json!({})).await;
    watcher.expect_quiet().await;
}

#[tokio::test]
async fn a_list_that_is_too_long_is_cut_at_a_hundred_and_the_sign_in_succeeds() {
    let node = node();
    let mut client = node.connect().await;
    let watched: Vec<_> = (0..150).map(|number| format!("user-{number}")).collect();
    client.ask_sign_in(&json!({"id": "watcher", "watchlist": watched}).to_string()).await;
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.push(client.frame().await);
    }
    frames.sort_by(|left, right| left.event.cmp(&right.event));
    let [error, success, watchlist] = <[_; 3]>::try_from(frames).expect("three frames");
    assert_eq!((error.event.as_str(), &error.json()["code"]), ("pusher:error", &json!(4302)));
    assert_eq!(success.event, "pusher:signin_success");
    assert_eq!(watchlist.event, EVENT);
    let told_of = &watchlist.json()["events"][0]["user_ids"];
    let told_of: HashSet<_> =
        told_of.as_array().expect("a list of ids").iter().filter_map(Value::as_str).collect();
    assert_eq!(told_of, watched[..100].iter().map(String::as_str).collect());
    let _beyond = signed_in(&node, "user-100").await;
    client.expect_quiet().await;
    let _within = signed_in(&node, "user-99").await;
    assert_eq!(told(&mut client).await, json!([{"name": "online", "user_ids": ["user-99"]}]));
}

#[tokio::test]
async fn a_watchlist_that_is_no_list_of_ids_signs_nobody_in() {
    let node = node();
    let mut client = node.connect().await;
    for watchlist in [json!("ann"), json!({"ann": true}), json!([1]), json!([["ann"]])] {
        client.ask_sign_in(&json!({"id": "watcher", "watchlist": watchlist}).to_string()).await;
        client.expect_error(None).await;
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn an_app_without_watchlists_ignores_them() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.sign_in(json!({"id": "watcher", "watchlist": ["ann"]})).await;
    let _ann = signed_in(&node, "ann").await;
    client.expect_quiet().await;
}
