//! What a webhook says.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{all_that_arrives, events, node, node_that_tells, told};
use crate::support::receiver::Receiver;

fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis()
}

/// The single event of a body, which must be a webhook to the byte, made after this time.
fn event_of(body: &str, after: u128) -> &str {
    let rest = body.strip_prefix(r#"{"time_ms":"#).unwrap_or_else(|| panic!("{body}"));
    let (time, rest) = rest.split_once(r#","events":["#).unwrap_or_else(|| panic!("{body}"));
    assert!((after..=now_ms()).contains(&time.parse().expect("a number")), "{body}");
    rest.strip_suffix("]}").unwrap_or_else(|| panic!("{body}"))
}

#[tokio::test]
async fn each_of_the_seven_events_has_its_documented_json_to_the_byte() {
    let (mut receiver, before) = (Receiver::start().await, now_ms());
    let mut node = node(&receiver, json!({"app_enable_subscription_count": true}));
    let mut client = node.connect().await;
    client.subscribe("cache-room").await;
    client.expect("pusher:cache_miss").await;
    client.expect("pusher_internal:subscription_count").await;
    client.subscribe_presence("presence-hall", "ann", json!({})).await;
    client.trigger("presence-hall", "client-wave", json!({"hand": "left"})).await;
    client.expect_quiet().await;
    let socket_id = client.socket_id.clone();
    client.close().await;

    let deliveries = all_that_arrives(&mut node, &mut receiver).await;
    let told = |channel: &str| -> Vec<&str> {
        let bodies = deliveries.iter().map(|delivery| event_of(&delivery.body, before));
        bodies.filter(|event| event.contains(&format!(r#""channel":"{channel}""#))).collect()
    };
    assert_eq!(
        told("cache-room"),
        [
            r#"{"name":"channel_occupied","channel":"cache-room"}"#,
            r#"{"name":"cache_miss","channel":"cache-room"}"#,
            r#"{"name":"subscription_count","channel":"cache-room","subscription_count":1}"#,
            r#"{"name":"channel_vacated","channel":"cache-room"}"#,
        ]
    );
    let wave = r#"{"name":"client_event","channel":"presence-hall","event":"client-wave","data":"{\"hand\":\"left\"}","socket_id":"SOCKET","user_id":"ann"}"#;
    assert_eq!(
        told("presence-hall"),
        [
            r#"{"name":"channel_occupied","channel":"presence-hall"}"#,
            r#"{"name":"member_added","channel":"presence-hall","user_id":"ann"}"#,
            &wave.replace("SOCKET", &socket_id),
            r#"{"name":"member_removed","channel":"presence-hall","user_id":"ann"}"#,
            r#"{"name":"channel_vacated","channel":"presence-hall"}"#,
        ]
    );
    assert_eq!(deliveries.len(), 9, "{deliveries:#?}");
}

#[tokio::test]
async fn every_webhook_has_the_headers_that_receivers_read_in_the_case_in_which_they_read_them() {
    let mut receiver = Receiver::start().await;
    let node = node_that_tells(&receiver, &["channel_occupied"]);
    node.connect().await.subscribe("room").await;
    let delivery = receiver.next().await;
    assert!(delivery.head.starts_with("POST /hook HTTP/1.1\r\n"), "{}", delivery.head);
    let signature = node.credentials.sign(&delivery.body);
    for line in [
        "Content-Type: application/json",
        "X-Pusher-Key: app-key",
        &format!("X-Pusher-Signature: {signature}"),
        "X-Socket-Rush-Attempt: 1",
    ] {
        assert!(delivery.head.lines().any(|found| found == line), "{line} is not in {}", delivery.head);
    }
    assert_eq!(delivery.header("x-socket-rush-delivery").map(str::len), Some(36), "{}", delivery.head);
}

#[tokio::test]
async fn the_data_of_a_client_event_is_a_string_whatever_the_client_sent() {
    let mut receiver = Receiver::start().await;
    let node = node_that_tells(&receiver, &["client_event"]);
    let mut client = node.connect().await;
    client.subscribe_private("private-room").await;
    for (sent, told) in [
        (json!("plain"), "plain"),
        (json!(""), ""),
        (json!("Gr\u{fc}\u{df}e \u{1f44b}\n\"quoted\""), "Gr\u{fc}\u{df}e \u{1f44b}\n\"quoted\""),
        (json!(r#"{"k": 1}"#), r#"{"k": 1}"#),
        (json!({"k": [1, null]}), r#"{"k":[1,null]}"#),
        (json!(12), "12"),
    ] {
        client.trigger("private-room", "client-\u{e9}", sent).await;
        let expected = json!({
            "name": "client_event", "channel": "private-room", "event": "client-\u{e9}", "data": told,
            "socket_id": client.socket_id,
        });
        assert_eq!(receiver.next().await.events(), [expected], "no user id outside of presence channels");
    }
}

#[tokio::test]
async fn a_client_event_that_was_refused_is_not_told_of() {
    let mut receiver = Receiver::start().await;
    let mut node = node_that_tells(&receiver, &["client_event"]);
    let mut client = node.connect().await;
    client.subscribe("room").await;
    client.subscribe_private("private-encrypted-room").await;
    for channel in ["room", "private-encrypted-room", "private-elsewhere"] {
        client.trigger(channel, "client-x", 1).await;
    }
    drop(client);
    assert!(all_that_arrives(&mut node, &mut receiver).await.is_empty());
}

#[tokio::test]
async fn a_cache_miss_is_told_once_however_many_find_the_channel_empty() {
    let mut receiver = Receiver::start().await;
    let mut node = node_that_tells(&receiver, &["cache_miss"]);
    for _ in 0..5 {
        let mut client = node.connect().await;
        client.subscribe("cache-room").await;
        client.expect("pusher:cache_miss").await;
        client.close().await;
    }
    assert_eq!(told(&all_that_arrives(&mut node, &mut receiver).await), ["cache_miss cache-room"]);
}

fn only_counts(receiver: &Receiver) -> Value {
    let target = json!({"url": receiver.url, "event_types": ["subscription_count"]});
    json!({"app_enable_subscription_count": true, "webhooks": [target]})
}

#[tokio::test]
async fn every_count_is_told_up_to_a_hundred_subscribers_and_then_one_in_five_seconds() {
    let mut receiver = Receiver::start().await;
    let node = node(&receiver, only_counts(&receiver));
    let mut clients = Vec::new();
    for _ in 0..130 {
        let mut client = node.connect().await;
        client.subscribe("room").await;
        clients.push(client);
    }
    let mut counts = Vec::new();
    while counts.last() != Some(&130) {
        let told = events(&[receiver.next().await]);
        counts.push(told[0]["subscription_count"].as_u64().expect("a number"));
    }
    let (each, seldom) = counts.split_at(100);
    assert!(each.iter().copied().eq(1..=100), "{each:?}");
    assert!(seldom.len() <= 2, "thirty more came within a second or two: {seldom:?}");
}

#[tokio::test]
async fn presence_channels_have_no_counts() {
    let mut receiver = Receiver::start().await;
    let mut node = node(&receiver, only_counts(&receiver));
    node.connect().await.subscribe_presence("presence-room", "ann", json!({})).await;
    assert!(all_that_arrives(&mut node, &mut receiver).await.is_empty());
}

#[tokio::test]
async fn a_user_with_two_connections_is_one_member_and_one_channel_is_occupied_once() {
    let mut receiver = Receiver::start().await;
    let kinds = ["channel_occupied", "channel_vacated", "member_added", "member_removed"];
    let mut node = node_that_tells(&receiver, &kinds);
    let (mut one, mut two) = (node.connect().await, node.connect().await);
    one.subscribe_presence("presence-room", "ann", json!({})).await;
    two.subscribe_presence("presence-room", "ann", json!({})).await;
    one.close().await;
    two.close().await;
    assert_eq!(
        told(&all_that_arrives(&mut node, &mut receiver).await),
        [
            "channel_occupied presence-room",
            "member_added presence-room ann",
            "member_removed presence-room ann",
            "channel_vacated presence-room",
        ]
    );
}

#[tokio::test]
async fn the_servers_own_channels_are_never_told_of() {
    let mut receiver = Receiver::start().await;
    let mut node = node(&receiver, json!({"app_enable_watchlist_events": true}));
    let mut client = node.connect().await;
    client.sign_in(json!({"id": "ann", "watchlist": ["bob"]})).await;
    node.api().publish("#server-to-user-ann", "hello", "1").await;
    drop(client);
    assert!(all_that_arrives(&mut node, &mut receiver).await.is_empty());
}
