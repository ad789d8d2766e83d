//! Events that clients send to each other.

use serde_json::json;

use crate::support::{
    client::Client,
    node::{Launch, Node},
};

const ROOM: &str = "private-room";

/// Two clients in the private room.
async fn two_in_the_room(node: &Node) -> (Client, Client) {
    let (mut sender, mut receiver) = (node.connect().await, node.connect().await);
    sender.subscribe_private(ROOM).await;
    receiver.subscribe_private(ROOM).await;
    (sender, receiver)
}

#[tokio::test]
async fn a_client_event_reaches_all_others_to_the_byte_and_not_its_sender() {
    let node = Node::start();
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    sender.trigger(ROOM, "client-wave", json!({"k": "v"})).await;
    receiver.expect_text(r#"{"event":"client-wave","channel":"private-room","data":"{\"k\":\"v\"}"}"#).await;
    sender.expect_quiet().await;
}

#[tokio::test]
async fn data_that_is_text_passes_through_and_any_other_becomes_text() {
    let node = Node::start();
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    for (data, text) in [
        (json!("plain"), "plain"),
        (json!(""), ""),
        (json!(r#"{"k": 1}"#), r#"{"k": 1}"#),
        (json!({"k": [1, null]}), r#"{"k":[1,null]}"#),
        (json!([1, 2]), "[1,2]"),
        (json!(12), "12"),
        (json!(true), "true"),
        (json!("é \u{1F980} \"\\/"), "é \u{1F980} \"\\/"),
    ] {
        sender.trigger(ROOM, "client-x", data).await;
        let frame = receiver.expect_on(ROOM, "client-x").await;
        assert!(frame.whole()["data"].is_string(), "{}", frame.text);
        assert_eq!(frame.data, text);
    }
}

#[tokio::test]
async fn a_member_is_named_from_its_signed_data_and_never_from_the_frame() {
    let node = Node::start();
    let (mut ann, mut bob) = (node.connect().await, node.connect().await);
    ann.subscribe_presence("presence-room", "ann", json!({})).await;
    bob.subscribe_presence("presence-room", "bob", json!({})).await;
    ann.expect("pusher_internal:member_added").await;
    ann.send(json!({
        "event": "client-x", "channel": "presence-room", "data": {}, "user_id": "bob", "socket_id": "1.1",
    }))
    .await;
    bob.expect_text(r#"{"event":"client-x","channel":"presence-room","data":"{}","user_id":"ann"}"#).await;
}

#[tokio::test]
async fn every_key_that_a_client_adds_is_dropped() {
    let node = Node::start();
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    sender
        .send(json!({
            "user_id": "boss", "data": "d", "channel": ROOM, "event": "client-x", "id": 1, "name": "pusher:error",
        }))
        .await;
    receiver.expect_text(r#"{"event":"client-x","channel":"private-room","data":"d"}"#).await;
}

#[tokio::test]
async fn cache_channels_of_the_private_kinds_carry_client_events() {
    let node = Node::start();
    for channel in ["private-cache-room", "presence-cache-room"] {
        let (mut sender, mut receiver) = (node.connect().await, node.connect().await);
        for (client, user_id) in [(&mut receiver, "1"), (&mut sender, "2")] {
            client.ask_presence(channel, &json!({"user_id": user_id}).to_string()).await;
            client.expect_subscribed(channel).await;
            client.expect_on(channel, "pusher:cache_miss").await;
        }
        sender.trigger(channel, "client-x", 1).await;
        if channel.starts_with("presence-") {
            receiver.expect_on(channel, "pusher_internal:member_added").await;
        }
        receiver.expect_on(channel, "client-x").await;
    }
}

#[tokio::test]
async fn an_app_without_client_events_says_so() {
    let node =
        Launch::bare().flags(["--app-id", "1", "--app-key", "app-key", "--app-secret", "app-secret"]).start();
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    sender.trigger(ROOM, "client-x", 1).await;
    assert_eq!(
        sender.expect_error(None).await,
        "To send client events, you must enable this feature in the Settings page of your dashboard."
    );
    receiver.expect_quiet().await;
}

#[tokio::test]
async fn public_channels_carry_no_client_events() {
    let node = Node::start();
    for channel in ["room", "cache-room", "privateer"] {
        let (mut sender, mut receiver) = (node.connect().await, node.connect().await);
        for client in [&mut sender, &mut receiver] {
            client.subscribe(channel).await;
            if channel.starts_with("cache-") {
                client.expect("pusher:cache_miss").await;
            }
        }
        sender.trigger(channel, "client-x", 1).await;
        sender.expect_error(None).await;
        receiver.expect_quiet().await;
    }
}

#[tokio::test]
async fn encrypted_channels_carry_no_client_events() {
    let node = Node::start();
    let (mut sender, mut receiver) = (node.connect().await, node.connect().await);
    for client in [&mut sender, &mut receiver] {
        client.subscribe_private("private-encrypted-room").await;
    }
    sender.trigger("private-encrypted-room", "client-x", 1).await;
    sender.expect_error(None).await;
    receiver.expect_quiet().await;
}

#[tokio::test]
async fn only_a_subscriber_may_send_to_a_channel() {
    let node = Node::start();
    let (mut stranger, mut receiver) = (node.connect().await, node.connect().await);
    receiver.subscribe_private(ROOM).await;
    stranger.trigger(ROOM, "client-x", 1).await;
    assert_eq!(
        stranger.expect_error(None).await,
        format!("Cannot broadcast client event (connection not subscribed to channel {ROOM})")
    );
    receiver.expect_quiet().await;
}

#[tokio::test]
async fn one_who_has_left_may_no_longer_send() {
    let node = Node::start();
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    sender.unsubscribe(ROOM).await;
    sender.trigger(ROOM, "client-x", 1).await;
    sender.expect_error(None).await;
    receiver.expect_quiet().await;
}

#[tokio::test]
async fn a_client_event_needs_its_channel_and_its_data() {
    let node = Node::start();
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    for event in [
        json!({"event": "client-x", "channel": ROOM}),
        json!({"event": "client-x", "data": {}}),
        json!({"event": "client-x"}),
    ] {
        sender.send(event).await;
        let message = sender.expect_error(None).await;
        assert_eq!(message, "Invalid client event (must contain channel and data)");
    }
    receiver.expect_quiet().await;
}

#[tokio::test]
async fn a_name_that_only_contains_the_prefix_is_an_unknown_event() {
    let node = Node::start();
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    for event in ["my-client-x", "client_x", "Client-x", "client"] {
        sender.trigger(ROOM, event, 1).await;
        let message = sender.expect_error(None).await;
        assert_eq!(message, format!("Unsupported event received on socket: {event}"));
    }
    receiver.expect_quiet().await;
}

#[tokio::test]
async fn a_name_may_be_as_long_as_the_limit_and_no_longer() {
    let node = Node::with(["--app-max-event-name-length", "20"]);
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    sender.trigger(ROOM, "client-45678901234567890", 1).await;
    sender.expect_error(None).await;
    sender.trigger(ROOM, "client-4567890123456", 1).await;
    receiver.expect_on(ROOM, "client-4567890123456").await;
    sender.expect_quiet().await;
}

#[tokio::test]
async fn data_may_be_as_large_as_the_limit_and_no_larger() {
    let node = Node::with(["--app-max-event-payload-in-kb", "1"]);
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    sender.trigger(ROOM, "client-x", "x".repeat(1025)).await;
    sender.expect_error(None).await;
    sender.trigger(ROOM, "client-x", "x".repeat(1024)).await;
    assert_eq!(receiver.expect_on(ROOM, "client-x").await.data.len(), 1024);
    sender.expect_quiet().await;
}

#[tokio::test]
async fn a_sender_that_is_too_fast_loses_the_excess_and_stays_connected() {
    let node = Node::with(["--app-max-client-events-per-second", "3"]);
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    let events = (0..40).map(|_| json!({"event": "client-x", "channel": ROOM, "data": "1"}));
    sender.send_at_once(events.chain([json!({"event": "pusher:ping", "data": {}})])).await;
    let mut rejected = 0;
    loop {
        let frame = sender.frame().await;
        if frame.event == "pusher:pong" {
            break;
        }
        assert_eq!((frame.event.as_str(), &frame.json()["code"]), ("pusher:error", &json!(4301)));
        rejected += 1;
    }
    let delivered = 40 - rejected;
    assert!((3..40).contains(&delivered), "{delivered} of 40 were delivered at 3 per second");
    for _ in 0..delivered {
        receiver.expect_on(ROOM, "client-x").await;
    }
    receiver.expect_quiet().await;
}

#[tokio::test]
async fn one_fast_sender_leaves_the_others_their_rate() {
    let node = Node::with(["--app-max-client-events-per-second", "1"]);
    let (mut sender, mut other) = two_in_the_room(&node).await;
    let event = json!({"event": "client-x", "channel": ROOM, "data": "1"});
    sender.send_at_once((0..20).map(|_| event.clone())).await;
    sender.expect_error(4301).await;
    other.trigger(ROOM, "client-other", 1).await;
    while sender.frame().await.event != "client-other" {}
}

#[tokio::test]
async fn a_burst_keeps_its_order() {
    let node = Node::start();
    let (mut sender, mut receiver) = two_in_the_room(&node).await;
    let events = (0..500).map(|number| json!({"event": "client-x", "channel": ROOM, "data": number}));
    sender.send_at_once(events).await;
    for number in 0..500 {
        assert_eq!(receiver.expect_on(ROOM, "client-x").await.data, number.to_string());
    }
}
