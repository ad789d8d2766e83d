//! Cache channels: the last event of the API is kept for those who come later.

use serde_json::json;

use crate::support::node::Node;

#[tokio::test]
async fn an_empty_cache_channel_says_so_to_the_byte() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe("cache-room").await;
    client.expect_text(r#"{"event":"pusher:cache_miss","channel":"cache-room","data":"{}"}"#).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn the_last_event_is_replayed_to_the_byte_though_nobody_had_subscribed() {
    let node = Node::start();
    let api = node.api();
    api.publish("cache-room", "first", "1").await;
    api.publish("cache-room", "last", r#"{"a": "b"}"#).await;
    let mut client = node.connect().await;
    client.subscribe("cache-room").await;
    client.expect_text(r#"{"event":"last","channel":"cache-room","data":"{\"a\": \"b\"}"}"#).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn only_the_newcomer_gets_the_replay() {
    let node = Node::start();
    let (mut early, mut late) = (node.connect().await, node.connect().await);
    early.subscribe("cache-room").await;
    early.expect("pusher:cache_miss").await;
    node.api().publish("cache-room", "news", "1").await;
    early.expect_on("cache-room", "news").await;
    late.subscribe("cache-room").await;
    late.expect_on("cache-room", "news").await;
    early.expect_quiet().await;
}

#[tokio::test]
async fn every_kind_of_channel_has_a_cached_form() {
    let node = Node::start();
    for channel in ["cache-x", "private-cache-x", "private-encrypted-cache-x", "presence-cache-x"] {
        node.api().publish(channel, "kept", "1").await;
        let mut client = node.connect().await;
        client.ask_presence(channel, r#"{"user_id":"1"}"#).await;
        client.expect_subscribed(channel).await;
        client.expect_on(channel, "kept").await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn other_channels_keep_nothing() {
    let node = Node::start();
    for channel in ["room", "mycache-x", "private-x", "private-encrypted-x"] {
        node.api().publish(channel, "gone", "1").await;
        let mut client = node.connect().await;
        client.ask_private(channel).await;
        client.expect_subscribed(channel).await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn client_events_are_delivered_and_not_kept() {
    let node = Node::start();
    let (mut sender, mut receiver, mut late) =
        (node.connect().await, node.connect().await, node.connect().await);
    for client in [&mut sender, &mut receiver] {
        client.subscribe_private("private-cache-room").await;
        client.expect("pusher:cache_miss").await;
    }
    sender.trigger("private-cache-room", "client-x", 1).await;
    receiver.expect("client-x").await;
    late.subscribe_private("private-cache-room").await;
    late.expect_on("private-cache-room", "pusher:cache_miss").await;
}

#[tokio::test]
async fn a_client_event_does_not_replace_what_is_kept() {
    let node = Node::start();
    let (mut sender, mut late) = (node.connect().await, node.connect().await);
    node.api().publish("private-cache-room", "kept", "1").await;
    sender.subscribe_private("private-cache-room").await;
    sender.expect("kept").await;
    sender.trigger("private-cache-room", "client-x", 1).await;
    sender.expect_quiet().await;
    late.subscribe_private("private-cache-room").await;
    late.expect("kept").await;
}

#[tokio::test]
async fn a_replay_ignores_whom_the_publisher_excluded() {
    let node = Node::start();
    let mut author = node.connect().await;
    let event = json!({"name": "e", "channel": "cache-room", "data": "1", "socket_id": author.socket_id});
    node.api().post("/events", event).await.expect_status(200);
    author.subscribe("cache-room").await;
    author.expect_text(r#"{"event":"e","channel":"cache-room","data":"1"}"#).await;
}

#[tokio::test]
async fn one_who_comes_back_gets_the_replay_again() {
    let node = Node::start();
    let mut client = node.connect().await;
    node.api().publish("cache-room", "kept", "1").await;
    for _ in 0..2 {
        client.subscribe("cache-room").await;
        client.expect("kept").await;
        client.unsubscribe("cache-room").await;
    }
}

#[tokio::test]
async fn a_member_hears_of_itself_first_and_of_the_kept_event_next() {
    let node = Node::start();
    let (mut ann, mut bob) = (node.connect().await, node.connect().await);
    node.api().publish("presence-cache-room", "kept", "1").await;
    ann.subscribe_presence("presence-cache-room", "ann", json!({})).await;
    ann.expect("kept").await;
    bob.subscribe_presence("presence-cache-room", "bob", json!({})).await;
    bob.expect("kept").await;
    ann.expect("pusher_internal:member_added").await;
    ann.expect_quiet().await;
}

#[tokio::test]
async fn a_replay_is_never_older_than_what_came_before_and_nothing_is_lost_after_it() {
    let node = Node::start();
    let api = node.api();
    api.publish("cache-room", "tick", "0").await;
    let publishing = async {
        for number in 1..=u64::MAX {
            api.publish("cache-room", "tick", number).await;
        }
    };
    let watching = async {
        for _ in 0..50 {
            let mut client = node.connect().await;
            client.subscribe("cache-room").await;
            let mut last: u64 = client.expect("tick").await.data.parse().expect("a number");
            for _ in 0..5 {
                let next: u64 = client.expect("tick").await.data.parse().expect("a number");
                assert_eq!(next, last + 1);
                last = next;
            }
        }
    };
    tokio::select! {
        () = publishing => {}
        () = watching => {}
    }
}
