//! How many subscribers a channel has, told to them where the app wants it.

use std::time::Duration;

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{client::Client, node::Node};

/// The event that tells the count.
const EVENT: &str = "pusher_internal:subscription_count";

fn node() -> Node {
    Node::with(["--app-enable-subscription-count"])
}

/// The count that the client is told next.
async fn count(client: &mut Client, channel: &str) -> u64 {
    let frame = client.expect_on(channel, EVENT).await;
    frame.json()["subscription_count"].as_u64().expect("a whole number")
}

#[tokio::test]
async fn a_subscriber_is_told_the_count_after_its_subscription_to_the_byte() {
    let node = node();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    client
        .expect_text(&format!(
            r#"{{"event":"{EVENT}","channel":"room","data":"{{\"subscription_count\":1}}"}}"#
        ))
        .await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn everyone_is_told_when_somebody_comes_or_goes() {
    let node = node();
    let (mut first, mut second, mut third) =
        (node.connect().await, node.connect().await, node.connect().await);
    first.subscribe("room").await;
    assert_eq!(count(&mut first, "room").await, 1);
    second.subscribe("room").await;
    third.subscribe("other").await;
    for client in [&mut first, &mut second] {
        assert_eq!(count(client, "room").await, 2);
    }
    assert_eq!(count(&mut third, "other").await, 1);
    second.unsubscribe("room").await;
    assert_eq!(count(&mut first, "room").await, 1);
    second.expect_quiet().await;
    third.expect_quiet().await;
}

#[tokio::test]
async fn one_who_disconnects_is_no_longer_counted() {
    let node = node();
    let (mut stays, mut goes) = (node.connect().await, node.connect().await);
    stays.subscribe("room").await;
    assert_eq!(count(&mut stays, "room").await, 1);
    goes.subscribe("room").await;
    assert_eq!(count(&mut stays, "room").await, 2);
    goes.close().await;
    assert_eq!(count(&mut stays, "room").await, 1);
}

#[tokio::test]
async fn private_and_encrypted_channels_are_counted_and_presence_channels_are_not() {
    let node = node();
    let mut client = node.connect().await;
    for channel in ["private-room", "private-encrypted-room"] {
        client.subscribe_private(channel).await;
        assert_eq!(count(&mut client, channel).await, 1);
    }
    client.subscribe_presence("presence-room", "1", json!({})).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn on_a_cache_channel_the_kept_event_and_the_count_both_come() {
    let node = node();
    let mut client = node.connect().await;
    client.subscribe("cache-room").await;
    let mut events = [client.frame().await.event, client.frame().await.event];
    events.sort();
    assert_eq!(events, ["pusher:cache_miss", EVENT]);
}

#[tokio::test]
async fn a_refused_second_subscription_is_not_counted() {
    let node = node();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    assert_eq!(count(&mut client, "room").await, 1);
    client.ask(json!({"channel": "room"})).await;
    client.expect_error(None).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn an_app_that_does_not_want_it_gets_no_counts() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn beyond_a_hundred_subscribers_the_count_is_told_seldom_but_ends_right() {
    let node = node();
    let mut watcher = node.connect().await;
    watcher.subscribe("room").await;
    let mut crowd = Vec::new();
    for _ in 0..150 {
        let mut client = node.connect().await;
        client.subscribe("room").await;
        crowd.push(client);
    }
    let mut told = Vec::new();
    while told.last() != Some(&151) {
        let Some(Message::Text(text)) = watcher.message_within(Duration::from_secs(8)).await else {
            continue;
        };
        let (_, rest) = text.split_once(r#"\"subscription_count\":"#).unwrap_or_else(|| panic!("{text}"));
        told.push(rest.trim_end_matches(|end: char| !end.is_ascii_digit()).parse::<u32>().expect("a number"));
    }
    let beyond = told.iter().filter(|count| **count > 101).count();
    assert!(beyond <= 5, "{told:?}");
}
