//! What a client is told that says what the server does not understand. None of it costs the connection.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    node::Node,
    raw::{Raw, RawFrame, opcode},
};

#[tokio::test]
async fn an_unknown_event_is_named_in_the_answer() {
    let node = Node::start();
    let mut client = node.connect().await;
    for event in ["nonsense", "pusher:nonsense", "pusher_internal:nonsense", "pusher:", ""] {
        client.send(json!({"event": event, "data": {}})).await;
        let message = client.expect_error(None).await;
        assert_eq!(message, format!("Unsupported event received on socket: {event}"));
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn what_only_the_server_may_say_is_an_unknown_event_from_a_client() {
    let node = Node::start();
    let (mut forger, mut member) = (node.connect().await, node.connect().await);
    for client in [&mut member, &mut forger] {
        client.subscribe_presence("presence-room", "1", json!({})).await;
    }
    for event in [
        "pusher:connection_established",
        "pusher:error",
        "pusher:cache_miss",
        "pusher:signin_success",
        "pusher_internal:subscription_succeeded",
        "pusher_internal:member_added",
        "pusher_internal:member_removed",
        "pusher_internal:watchlist_events",
    ] {
        forger.trigger("presence-room", event, json!({"user_id": "2"})).await;
        forger.expect_error(None).await;
    }
    member.expect_quiet().await;
}

#[tokio::test]
async fn text_that_is_no_json_object_with_an_event_is_invalid_json() {
    let node = Node::start();
    let mut client = node.connect().await;
    for text in
        ["", "{", "nonsense", "{\"event\":\"pusher:ping\"} {}", "{'event':'pusher:ping'}", "\u{feff}{}"]
    {
        client.send_text(text).await;
        assert_eq!(client.expect_error(None).await, "Invalid JSON", "{text:?}");
    }
    for text in ["[]", "null", "12", "{}", r#"{"data":{}}"#, r#"{"event":1}"#, r#"{"event":null,"data":{}}"#]
    {
        client.send_text(text).await;
        client.expect_error(None).await;
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn binary_messages_are_not_understood() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.send_message(Message::binary(br#"{"event":"pusher:ping"}"#.as_slice())).await;
    client.expect_error(None).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn data_of_the_clients_own_verbs_may_be_json_in_a_string() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.send(json!({"event": "pusher:subscribe", "data": r#"{"channel":"room"}"#})).await;
    client.expect_subscribed("room").await;
    client.send(json!({"event": "pusher:unsubscribe", "data": r#"{"channel":"room"}"#})).await;
    client.expect_quiet().await;
    let user_data = r#"{"id":"u1"}"#;
    let auth = node.credentials.user_auth(&client.socket_id, user_data);
    let data = json!({"auth": auth, "user_data": user_data}).to_string();
    client.send(json!({"event": "pusher:signin", "data": data})).await;
    client.expect("pusher:signin_success").await;
}

#[tokio::test]
async fn a_subscription_that_names_no_channel_is_an_error() {
    let node = Node::start();
    let mut client = node.connect().await;
    for data in
        [json!({}), json!(null), json!([]), json!({"channel": 1}), json!({"channel": null}), json!("{")]
    {
        for event in ["pusher:subscribe", "pusher:unsubscribe"] {
            client.send(json!({"event": event, "data": data})).await;
            client.expect_error(None).await;
        }
    }
    client.send(json!({"event": "pusher:subscribe"})).await;
    client.expect_error(None).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn channel_data_that_is_no_string_subscribes_nobody() {
    let node = Node::start();
    let mut client = node.connect().await;
    let auth = client.channel_auth("presence-room", Some(r#"{"user_id":"1"}"#));
    client.ask(json!({"channel": "presence-room", "auth": auth, "channel_data": {"user_id": "1"}})).await;
    if client.frame().await.event == "pusher:subscription_error" {
        client.expect_error(None).await;
    }
    node.api().publish("presence-room", "secret", "1").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn unknown_keys_and_any_order_of_keys_are_fine() {
    let node = Node::start();
    let mut client = node.connect().await;
    client
        .send_text(
            r#"{"id":1,"data":{"filter":{},"auth":"","channel":"room","delta":true},"event":"pusher:subscribe"}"#,
        )
        .await;
    client.expect_subscribed("room").await;
}

#[tokio::test]
async fn a_message_that_is_announced_too_large_is_closed_with_1009() {
    let node = Node::start();
    let mut raw = Raw::established(&node).await;
    let mut header = vec![0x80 | opcode::TEXT, 0x80 | 127];
    header.extend((64_u64 << 20).to_be_bytes());
    header.extend([1, 2, 3, 4]);
    raw.send(&header).await;
    let frames = raw.frames().await;
    assert_eq!(frames.last().and_then(RawFrame::close_code), Some(1009), "{frames:?}");
}

#[tokio::test]
async fn a_close_is_answered_with_the_same_code() {
    let node = Node::start();
    for code in [1000_u16, 1001, 3000, 4999] {
        let mut raw = Raw::established(&node).await;
        raw.send(&crate::support::raw::frame(opcode::CLOSE, &code.to_be_bytes())).await;
        let frames = raw.frames().await;
        assert_eq!(frames.last().and_then(RawFrame::close_code), Some(code), "{frames:?}");
    }
}
