//! What an app's settings of webhooks do.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{app_set_everywhere, flags, server_launches};
use crate::support::{
    node::{Launch, Node},
    receiver::{Answer, Receiver},
};

/// The kinds that an app can ask for, each by its own setting.
const KINDS: [&str; 6] =
    ["channel_occupied", "channel_vacated", "member_added", "member_removed", "client_event", "cache_miss"];

/// The setting by which an app asks for a kind.
fn setting_of(kind: &str) -> String {
    format!("app_has_{kind}_webhooks")
}

/// Does on a node what causes an event of every kind.
async fn cause_every_kind(node: &Node) {
    let mut client = node.connect().await;
    client.subscribe_presence("presence-room", "1", json!({})).await;
    client.trigger("presence-room", "client-x", 1).await;
    client.subscribe("cache-room").await;
    client.expect("pusher:cache_miss").await;
    client.close().await;
}

/// The settings that send an app's webhooks to a receiver, with more.
fn webhooks_to(receiver: &Receiver, more: &[(&str, Value)]) -> Value {
    let mut settings = json!({"app_webhooks_enabled": true, "app_webhook_url": receiver.url});
    for (key, value) in more {
        settings[*key] = value.clone();
    }
    settings
}

/// Asserts that an app which asks for one kind gets that kind alone.
async fn assert_only(kind: &str) {
    let mut receiver = Receiver::start().await;
    let settings = webhooks_to(&receiver, &[(&setting_of(kind), json!(true))]);
    let mut node = Launch::new().flags(flags(&settings)).start();
    cause_every_kind(&node).await;
    assert_eq!(receiver.next().await.names(), [kind]);
    node.stop().await;
    for delivery in receiver.arrived() {
        assert_eq!(delivery.names(), [kind], "{}", delivery.body);
    }
}

#[tokio::test]
async fn each_kind_of_webhook_can_be_asked_for_by_itself() {
    join_all(KINDS.map(assert_only)).await;
}

#[tokio::test]
async fn an_app_that_asks_for_no_kind_in_particular_gets_them_all() {
    let mut receiver = Receiver::start().await;
    let node = Launch::new().flags(flags(&webhooks_to(&receiver, &[]))).start();
    cause_every_kind(&node).await;
    let mut missing = KINDS.to_vec();
    while !missing.is_empty() {
        let names = receiver.next().await.names();
        missing.retain(|kind| !names.iter().any(|name| name == kind));
    }
}

#[tokio::test]
async fn webhooks_are_sent_once_they_are_switched_on_under_either_name() {
    for name in ["app_webhooks_enabled", "app_webhook_enabled"] {
        let mut receiver = Receiver::start().await;
        let settings =
            json!({name: true, "app_webhook_url": receiver.url, "app_has_channel_occupied_webhooks": true});
        for node in app_set_everywhere(&settings) {
            node.connect().await.subscribe("room").await;
            let delivery = receiver.next().await;
            assert_eq!(delivery.header("x-pusher-key"), Some("app-key"));
            assert_eq!(delivery.header("content-type"), Some("application/json"));
            let signature = node.credentials.sign(&delivery.body);
            assert_eq!(delivery.header("x-pusher-signature"), Some(signature.as_str()));
        }
    }
}

#[tokio::test]
async fn webhooks_are_not_sent_while_they_are_switched_off() {
    let mut receiver = Receiver::start().await;
    for mut node in app_set_everywhere(&json!({"app_webhook_url": receiver.url})) {
        node.connect().await.subscribe("room").await;
        node.stop().await;
    }
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn events_of_one_app_travel_together_where_batching_is_switched_on() {
    let mut receiver = Receiver::start().await;
    let more = [
        ("app_has_webhook_batching_enabled", json!(true)),
        ("app_has_channel_occupied_webhooks", json!(true)),
    ];
    for node in app_set_everywhere(&webhooks_to(&receiver, &more)) {
        let mut client = node.connect().await;
        let asks =
            (0..50).map(|n| json!({"event": "pusher:subscribe", "data": {"channel": format!("room-{n}")}}));
        client.send_at_once(asks).await;
        let (mut deliveries, mut events) = (0, 0);
        while events < 50 {
            events += receiver.next().await.names().len();
            deliveries += 1;
        }
        assert!(deliveries < 50, "{deliveries} requests for 50 events");
    }
}

#[tokio::test]
async fn only_channels_of_the_prefix_are_told_of() {
    let mut receiver = Receiver::start().await;
    let more =
        [("app_webhook_filter_prefix", json!("shop-")), ("app_has_channel_occupied_webhooks", json!(true))];
    for node in app_set_everywhere(&webhooks_to(&receiver, &more)) {
        let mut client = node.connect().await;
        client.subscribe("room").await;
        client.subscribe("shop-1").await;
        let delivery = receiver.next().await;
        assert!(delivery.body.contains(r#""channel":"shop-1""#), "{}", delivery.body);
    }
}

/// The usual app as a customer would have it whose endpoint is the receiver, under this name.
fn launch_with_endpoint(url: &str) -> Launch {
    let more = json!({
        "app_webhooks_enabled": true, "app_webhook_url": url, "app_has_channel_occupied_webhooks": true,
    });
    Launch::new().flags(flags(&more))
}

#[tokio::test]
async fn endpoints_in_private_networks_can_be_blocked_by_address_and_by_name() {
    let mut receiver = Receiver::start().await;
    for url in [receiver.url.clone(), receiver.url.replace("127.0.0.1", "localhost")] {
        let mut node = launch_with_endpoint(&url).flags(["--webhook-block-private-addresses"]).start();
        node.connect().await.subscribe("room").await;
        node.stop().await;
        assert!(receiver.arrived().is_empty(), "{url}");
        assert!(node.log().contains("webhooks must not reach the address"), "{}", node.log());
        let mut neighbourly = launch_with_endpoint(&url).start();
        neighbourly.connect().await.subscribe("room").await;
        neighbourly.stop().await;
        assert_eq!(receiver.arrived().len(), 1, "{url}");
    }
}

#[tokio::test]
async fn private_networks_can_be_blocked_in_every_place_of_the_settings() {
    let mut receiver = Receiver::start().await;
    let app = [("APP_WEBHOOKS_ENABLED", "true"), ("APP_WEBHOOK_URL", receiver.url.as_str())];
    for launch in server_launches(&json!({"webhook_block_private_addresses": true})) {
        let mut node = app.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start();
        node.connect().await.subscribe("room").await;
        node.stop().await;
    }
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn a_private_network_can_be_allowed_in_every_place_of_the_settings() {
    let mut receiver = Receiver::start().await;
    let url = receiver.url.clone();
    let app = [("APP_WEBHOOKS_ENABLED", "true"), ("APP_WEBHOOK_URL", url.as_str())];
    let settings = json!({"webhook_block_private_addresses": true, "webhook_allow_networks": "127.0.0.0/24"});
    for launch in server_launches(&settings) {
        let mut node = app.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start();
        node.connect().await.subscribe("room").await;
        node.stop().await;
        assert!(!receiver.arrived().is_empty());
    }
}

#[tokio::test]
async fn a_network_can_be_denied_in_every_place_of_the_settings() {
    let mut receiver = Receiver::start().await;
    let url = receiver.url.clone();
    let app = [("APP_WEBHOOKS_ENABLED", "true"), ("APP_WEBHOOK_URL", url.as_str())];
    for launch in server_launches(&json!({"webhook_deny_networks": "10.0.0.0/8,127.0.0.1"})) {
        let mut node = app.iter().fold(launch, |launch, (name, value)| launch.env(name, value)).start();
        node.connect().await.subscribe("room").await;
        node.stop().await;
        assert!(node.log().contains("(denied by the settings)"), "{}", node.log());
    }
    assert!(receiver.arrived().is_empty());
}

#[tokio::test]
async fn how_long_webhooks_are_tried_can_be_set_in_every_place_of_the_settings() {
    let receiver = Receiver::start().await;
    receiver.always_answer("/hook", Answer::Status(500));
    let url = receiver.url.clone();
    let app = [("APP_WEBHOOKS_ENABLED", "true"), ("APP_WEBHOOK_URL", url.as_str())];
    join_all(server_launches(&json!({"webhook_retry_seconds": 15})).map(async |launch| {
        let launch = app.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        let mut node = launch.start_alone();
        let mut client = node.connect().await;
        client.subscribe("room").await;
        node.wait_for_log("gave up webhook").await;
        client.close().await;
        node.stop().await;
    }))
    .await;
}

#[tokio::test]
async fn how_far_apart_attempts_may_be_can_be_set_in_every_place_of_the_settings() {
    let mut receiver = Receiver::start().await;
    let url = receiver.url.clone();
    let app = [("APP_WEBHOOKS_ENABLED", "true"), ("APP_WEBHOOK_URL", url.as_str())];
    for launch in server_launches(&json!({"webhook_retry_max_gap_seconds": 1})) {
        receiver.answer("/hook", vec![Answer::Status(500); 5]);
        let launch = app.iter().fold(launch, |launch, (name, value)| launch.env(name, value));
        let mut node = launch.start_alone();
        let mut client = node.connect().await;
        client.subscribe("room").await;
        let attempts = receiver.next_some(6).await;
        let gap = attempts[5].at - attempts[4].at;
        // It would be 16 seconds, a fifth more or less.
        assert!(gap < std::time::Duration::from_secs(10), "{gap:?}");
        client.close().await;
        node.stop().await;
        receiver.arrived();
    }
}
