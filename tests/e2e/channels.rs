//! Who may subscribe to what, what they are told, and in which order.

use serde_json::json;

use crate::support::{client::Client, node::Node, signing::Credentials};

/// The name of the longest channel that is allowed by default.
fn longest_name() -> String {
    "c".repeat(200)
}

#[tokio::test]
async fn a_public_channel_is_for_everyone() {
    let node = Node::start();
    let mut client = node.connect().await;
    for auth in [json!({"channel": "room"}), json!({"channel": "hall", "auth": ""})] {
        let channel = auth["channel"].as_str().expect("a name").to_owned();
        client.ask(auth).await;
        let event = "pusher_internal:subscription_succeeded";
        client.expect_text(&format!(r#"{{"event":"{event}","channel":"{channel}","data":"{{}}"}}"#)).await;
    }
}

#[tokio::test]
async fn an_event_reaches_every_subscriber_to_the_byte_and_nobody_else() {
    let node = Node::start();
    let (mut first, mut second, mut stranger) =
        (node.connect().await, node.connect().await, node.connect().await);
    first.subscribe("room").await;
    second.subscribe("room").await;
    stranger.subscribe("hall").await;
    node.api().publish("room", "greeting", r#"{"to": "you",  "é":"\u00e9 / \/"}"#).await;
    let data = r#""{\"to\": \"you\",  \"é\":\"\\u00e9 / \\/\"}""#;
    for client in [&mut first, &mut second] {
        let frame = client.expect_on("room", "greeting").await;
        assert_eq!(frame.text, format!(r#"{{"event":"greeting","channel":"room","data":{data}}}"#));
    }
    stranger.expect_quiet().await;
}

#[tokio::test]
async fn a_private_channel_is_for_those_with_a_signature() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.ask_private("private-room").await;
    client
        .expect_text(
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"private-room","data":"{}"}"#,
        )
        .await;
    node.api().publish("private-room", "hello", "1").await;
    client.expect_on("private-room", "hello").await;
}

#[tokio::test]
async fn a_wrong_signature_is_told_to_the_channel_and_to_the_connection() {
    let node = Node::start();
    let mut client = node.connect().await;
    let signature = "0".repeat(64);
    client.ask(json!({"channel": "private-room", "auth": format!("app-key:{signature}")})).await;
    let refusal = client.expect_refused("private-room").await;
    assert_eq!((refusal.kind.as_str(), refusal.status), ("AuthError", 401));
    assert_eq!(
        refusal.message,
        format!(
            "Invalid signature: Expected HMAC SHA256 hex digest of {}:private-room, but got {signature}",
            client.socket_id
        )
    );
    client.subscribe_private("private-room").await;
}

#[tokio::test]
async fn a_refused_subscription_is_two_frames_to_the_byte() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.ask(json!({"channel": "private-room", "auth": "other-key:abc"})).await;
    client
        .expect_text(concat!(
            r#"{"event":"pusher:subscription_error","channel":"private-room","data":"{\"type\":\"AuthError\","#,
            r#"\"error\":\"Invalid key in subscription auth data: 'other-key'\",\"status\":401}"}"#,
        ))
        .await;
    client
        .expect_text(concat!(
            r#"{"event":"pusher:error","data":{"code":null,"#,
            r#""message":"Invalid key in subscription auth data: 'other-key'"}}"#,
        ))
        .await;
}

#[tokio::test]
async fn an_auth_without_key_and_signature_is_called_invalid() {
    let node = Node::start();
    let mut client = node.connect().await;
    let expected =
        "Auth value for subscription to private-room is invalid: should be of format 'key:signature'";
    for subscription in [
        json!({"channel": "private-room"}),
        json!({"channel": "private-room", "auth": ""}),
        json!({"channel": "private-room", "auth": "nonsense"}),
    ] {
        client.ask(subscription).await;
        let refusal = client.expect_refused("private-room").await;
        assert_eq!((refusal.kind.as_str(), refusal.status), ("AuthError", 401));
        assert_eq!(refusal.message, expected);
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_signature_is_good_for_its_own_socket_channel_and_secret_only() {
    let node = Node::start();
    let (mut client, other) = (node.connect().await, node.connect().await);
    let forger = Credentials::new("1", "app-key", "another secret");
    for auth in [
        other.channel_auth("private-room", None),
        client.channel_auth("private-hall", None),
        client.channel_auth("private-room", Some("{}")),
        forger.channel_auth(&client.socket_id, "private-room", None),
        client.channel_auth("private-room", None).to_uppercase(),
        format!("{}0", client.channel_auth("private-room", None)),
    ] {
        client.ask(json!({"channel": "private-room", "auth": auth})).await;
        client.expect_refused("private-room").await;
    }
    node.api().publish("private-room", "secret", "1").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn channel_data_on_a_private_channel_is_part_of_what_is_signed() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.ask_presence("private-room", r#"{"user_id":"1"}"#).await;
    client.expect_subscribed("private-room").await;
}

#[tokio::test]
async fn a_second_subscription_is_an_error_and_changes_nothing() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    client.ask(json!({"channel": "room"})).await;
    assert_eq!(client.expect_error(None).await, "Existing subscription to channel room");
    node.api().publish("room", "once", "1").await;
    client.expect_on("room", "once").await;
    client.unsubscribe("room").await;
    client.expect_quiet().await;
    node.api().publish("room", "gone", "1").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn leaving_needs_no_answer_and_ends_the_events() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    client.unsubscribe("room").await;
    client.expect_quiet().await;
    node.api().publish("room", "gone", "1").await;
    client.expect_quiet().await;
    client.subscribe("room").await;
}

#[tokio::test]
async fn leaving_a_channel_that_one_is_not_in_is_an_error() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.unsubscribe("room").await;
    let message = client.expect_error(None).await;
    assert_eq!(message, "No current subscription to channel room, or subscription in progress");
    client.expect_quiet().await;
}

#[tokio::test]
async fn leaving_and_coming_back_in_one_breath_is_done_in_that_order() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    let subscribe = json!({"event": "pusher:subscribe", "data": {"channel": "room", "auth": ""}});
    let unsubscribe = json!({"event": "pusher:unsubscribe", "data": {"channel": "room"}});
    for _ in 0..50 {
        client.send_at_once([unsubscribe.clone(), subscribe.clone()]).await;
        client.expect_subscribed("room").await;
    }
    node.api().publish("room", "still here", "1").await;
    client.expect_on("room", "still here").await;
}

#[tokio::test]
async fn many_channels_asked_for_at_once_are_answered_in_that_order() {
    let node = Node::start();
    let mut client = node.connect().await;
    let channels: Vec<_> = (0..100).map(|number| format!("room-{number}")).collect();
    let asks =
        channels.iter().map(|channel| json!({"event": "pusher:subscribe", "data": {"channel": channel}}));
    client.send_at_once(asks).await;
    for channel in &channels {
        client.expect_subscribed(channel).await;
    }
}

#[tokio::test]
async fn the_answer_to_a_subscription_comes_before_any_event() {
    let node = Node::start();
    let api = node.api();
    let publishing = async {
        loop {
            api.publish("room", "tick", "{}").await;
        }
    };
    let subscribing = async {
        for _ in 0..100 {
            let mut client = node.connect().await;
            client.subscribe("room").await;
            client.expect_on("room", "tick").await;
        }
    };
    tokio::select! {
        () = publishing => {}
        () = subscribing => {}
    }
}

/// Asserts that a client may subscribe to this channel without any signature, and is told nothing more.
async fn assert_public(client: &mut Client, channel: &str) {
    client.subscribe(channel).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_prefix_counts_only_at_the_start_and_with_its_hyphen() {
    let node = Node::start();
    let mut client = node.connect().await;
    for channel in [
        "privateer",
        "private",
        "private_room",
        "Private-room",
        "my-private-room",
        "presences",
        "presence",
        "presence_room",
        "mycache-x",
        "cache",
        "cached-x",
        "Cache-x",
        "a-cache-x",
        "privatecache-x",
        "-",
        "encrypted-room",
        "client-room",
    ] {
        assert_public(&mut client, channel).await;
    }
}

#[tokio::test]
async fn every_private_prefix_needs_a_signature_and_every_cache_prefix_replays() {
    let node = Node::start();
    let mut client = node.connect().await;
    for (channel, caches) in [
        ("private-x", false),
        ("private-", false),
        ("private-encrypted-x", false),
        ("private-cache-x", true),
        ("private-encrypted-cache-x", true),
        ("private-cacheless", false),
        ("private-presence-x", false),
    ] {
        client.ask(json!({"channel": channel})).await;
        client.expect_refused(channel).await;
        client.subscribe_private(channel).await;
        if caches {
            client.expect_on(channel, "pusher:cache_miss").await;
        }
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn every_presence_prefix_tells_who_is_there() {
    let node = Node::start();
    let mut client = node.connect().await;
    for (channel, caches) in [
        ("presence-x", false),
        ("presence-cache-x", true),
        ("presence-private-x", false),
        ("presence-", false),
    ] {
        client.ask_private(channel).await;
        client.expect_refused(channel).await;
        let frame = client.subscribe_presence(channel, "1", json!({})).await;
        assert_eq!(frame.json()["presence"]["count"], 1, "{}", frame.text);
        if caches {
            client.expect_on(channel, "pusher:cache_miss").await;
        }
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_name_of_forbidden_characters_or_length_is_refused_and_the_connection_stays() {
    let node = Node::start();
    let mut client = node.connect().await;
    let too_long = longest_name() + "c";
    for channel in ["a room", "a:b", "a/b", "größe", "room\n", "a#b", "room!", "🦀", "a\u{0}b", &too_long]
    {
        client.ask(json!({"channel": channel})).await;
        let refusal = client.expect_refused(channel).await;
        assert_eq!((refusal.kind.as_str(), refusal.status), ("InvalidChannel", 400), "{channel:?}");
    }
    client.subscribe("room").await;
}

#[tokio::test]
async fn a_name_may_use_every_allowed_character_and_the_whole_length() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe("ABCXYZabcxyz0189_-=@,.;").await;
    client.subscribe(&longest_name()).await;
}

#[tokio::test]
async fn an_app_may_set_the_length_of_names() {
    let node = Node::with(["--app-max-channel-name-length", "10"]);
    let mut client = node.connect().await;
    client.subscribe("0123456789").await;
    client.ask(json!({"channel": "0123456789a"})).await;
    client.expect_refused("0123456789a").await;
}

#[tokio::test]
async fn a_refusal_is_told_on_the_channel_that_was_asked_for_however_long_its_name() {
    let node = Node::with(["--app-max-channel-name-length", "1000"]);
    let mut client = node.connect().await;
    let channel = format!("private-{}", "c".repeat(900));
    client.ask(json!({"channel": channel, "auth": "app-key:00"})).await;
    client.expect_refused(&channel).await;
    client.subscribe_private(&channel).await;
}

#[tokio::test]
async fn an_event_is_not_sent_to_the_socket_that_its_publisher_excludes() {
    let node = Node::start();
    let (mut author, mut reader) = (node.connect().await, node.connect().await);
    author.subscribe("room").await;
    reader.subscribe("room").await;
    let event = json!({"name": "e", "channels": ["room"], "data": "1", "socket_id": author.socket_id});
    node.api().post("/events", event).await.expect_status(200);
    reader.expect_text(r#"{"event":"e","channel":"room","data":"1"}"#).await;
    author.expect_quiet().await;
}

#[tokio::test]
async fn encrypted_events_pass_through_untouched() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe_private("private-encrypted-room").await;
    let data = r#"{"nonce":"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9","ciphertext":"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx"}"#;
    node.api().publish("private-encrypted-room", "secret", data).await;
    assert_eq!(client.expect_on("private-encrypted-room", "secret").await.data, data);
}
