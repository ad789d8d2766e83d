//! What the settings of an app do, wherever they are given.

use serde_json::json;

use super::app_set_everywhere;
use crate::support::{
    api::{Api, unix_seconds},
    client::QUERY,
    node::{Launch, Node},
    signing::Credentials,
};

/// The statuses of ten requests in a row.
async fn ten_statuses(node: &Node, publish: bool) -> Vec<u16> {
    let api = node.api();
    let mut statuses = Vec::new();
    for _ in 0..10 {
        let answer = match publish {
            true => api.post("/events", json!({"name": "e", "channel": "room", "data": "1"})).await,
            false => api.get("/channels").await,
        };
        statuses.push(answer.status);
    }
    statuses
}

/// The status of publishing this.
async fn publish(node: &Node, path: &str, body: serde_json::Value) -> u16 {
    node.api().post(path, body).await.status
}

#[tokio::test]
async fn id_key_and_secret_are_those_of_the_app() {
    let credentials = Credentials::new("123", "another-key", "another-secret");
    let app = json!({"app_id": "123", "app_key": "another-key", "app_secret": "another-secret"});
    for launch in [
        Launch::bare().flags(super::flags(&app)),
        super::with_environment(Launch::bare(), &app),
        Launch::bare().config(&json!({"applications": [app]})),
    ] {
        let node = launch.credentials(credentials.clone()).start();
        let mut client = node.connect().await;
        client.subscribe_private("private-room").await;
        node.api().publish("private-room", "hello", "1").await;
        client.expect("hello").await;
    }
}

/// What the API answers to somebody with this secret, and whether a channel is open to them.
async fn trusts(node: &Node, secret: &str) -> (u16, bool) {
    let credentials = Credentials::new("1", "app-key", secret);
    let status = Api::of(node, &credentials).get("/channels").await.status;
    let mut client = node.connect_as(&credentials).await;
    client.ask_private("private-room").await;
    (status, client.frame().await.event == "pusher_internal:subscription_succeeded")
}

#[tokio::test]
async fn the_previous_secret_counts_until_its_time_is_over() {
    let now_ms = u64::try_from(unix_seconds()).expect("it is after 1970") * 1_000;
    for (until, old) in [(now_ms + 3_600_000, (200, true)), (now_ms - 1, (401, false))] {
        let settings = json!({"app_previous_secret": "the old one", "app_previous_secret_until": until});
        for node in app_set_everywhere(&settings) {
            assert_eq!(trusts(&node, "app-secret").await, (200, true));
            assert_eq!(trusts(&node, "the old one").await, old);
            assert_eq!(trusts(&node, "neither").await, (401, false));
        }
    }
}

#[tokio::test]
async fn an_app_can_be_disabled() {
    for node in app_set_everywhere(&json!({"app_enabled": false})) {
        node.connect_to(&format!("/app/app-key?{QUERY}")).await.expect_end(4003).await;
        assert_eq!(node.api().get("/channels").await.status, 403);
    }
}

#[tokio::test]
async fn the_activity_timeout_is_told_to_clients() {
    for node in app_set_everywhere(&json!({"app_activity_timeout": 77})) {
        assert_eq!(node.connect().await.activity_timeout, 77);
    }
}

#[tokio::test]
async fn authorization_is_required_in_time_under_either_name() {
    for name in ["app_require_channel_authorization", "app_require_authorization"] {
        for node in app_set_everywhere(&json!({name: true, "app_authorization_timeout_seconds": 1})) {
            node.connect().await.expect_end(4009).await;
        }
    }
}

#[tokio::test]
async fn client_events_can_be_switched_off() {
    let launch = Launch::bare().flags(["--app-id=1", "--app-key=app-key", "--app-secret=app-secret"]);
    let node = launch.flags(["--app-enable-client-messages=false"]).start();
    let mut client = node.connect().await;
    client.subscribe_private("private-room").await;
    client.trigger("private-room", "client-x", 1).await;
    client.expect_error(None).await;
}

#[tokio::test]
async fn client_events_can_be_switched_on() {
    for node in app_set_everywhere(&json!({"app_activity_timeout": 60})) {
        let (mut sender, mut receiver) = (node.connect().await, node.connect().await);
        sender.subscribe_private("private-room").await;
        receiver.subscribe_private("private-room").await;
        sender.trigger("private-room", "client-x", 1).await;
        receiver.expect("client-x").await;
    }
}

#[tokio::test]
async fn signing_in_can_be_switched_off() {
    for node in app_set_everywhere(&json!({"app_enable_user_authentication": false})) {
        let mut client = node.connect().await;
        client.ask_sign_in(r#"{"id":"u1"}"#).await;
        client.expect_error(None).await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn watchlists_can_be_switched_on() {
    for node in app_set_everywhere(&json!({"app_enable_watchlist_events": true})) {
        let mut client = node.connect().await;
        client.sign_in(json!({"id": "u1", "watchlist": ["u2"]})).await;
        client.expect("pusher_internal:watchlist_events").await;
    }
}

#[tokio::test]
async fn counts_can_be_switched_on() {
    for node in app_set_everywhere(&json!({"app_enable_subscription_count": true})) {
        let mut client = node.connect().await;
        client.subscribe("room").await;
        client.expect("pusher_internal:subscription_count").await;
    }
}

#[tokio::test]
async fn connections_are_limited() {
    for node in app_set_everywhere(&json!({"app_max_connections": 1})) {
        let _first = node.connect().await;
        node.connect_to(&format!("/app/app-key?{QUERY}")).await.expect_end(4004).await;
    }
}

#[tokio::test]
async fn events_of_the_api_are_limited_per_second() {
    for node in app_set_everywhere(&json!({"app_max_backend_events_per_second": 1})) {
        let statuses = ten_statuses(&node, true).await;
        assert!(statuses[0] == 200 && statuses.contains(&429), "{statuses:?}");
        assert!(!ten_statuses(&node, false).await.contains(&429), "reading is limited by another setting");
    }
}

#[tokio::test]
async fn reading_requests_are_limited_per_second() {
    for node in app_set_everywhere(&json!({"app_max_read_requests_per_second": 1})) {
        let statuses = ten_statuses(&node, false).await;
        assert!(statuses[0] == 200 && statuses.contains(&429), "{statuses:?}");
        assert!(!ten_statuses(&node, true).await.contains(&429), "publishing is limited by another setting");
    }
}

#[tokio::test]
async fn client_events_are_limited_per_second() {
    for node in app_set_everywhere(&json!({"app_max_client_events_per_second": 1})) {
        let mut client = node.connect().await;
        client.subscribe_private("private-room").await;
        let event = json!({"event": "client-x", "channel": "private-room", "data": 1});
        client.send_at_once((0..10).map(|_| event.clone())).await;
        client.expect_error(4301).await;
    }
}

#[tokio::test]
async fn members_of_a_channel_are_limited_under_either_name() {
    for name in ["app_max_presence_members_per_channel", "app_max_presence_users"] {
        for node in app_set_everywhere(&json!({name: 1})) {
            let (mut first, mut second) = (node.connect().await, node.connect().await);
            first.subscribe_presence("presence-room", "1", json!({})).await;
            second.ask_presence("presence-room", r#"{"user_id":"2"}"#).await;
            second.expect_refused("presence-room").await;
        }
    }
}

#[tokio::test]
async fn the_size_of_a_member_is_limited() {
    for node in app_set_everywhere(&json!({"app_max_presence_member_size_in_kb": 1})) {
        let mut client = node.connect().await;
        let large = json!({"user_id": "1", "user_info": {"a": "x".repeat(1024)}}).to_string();
        client.ask_presence("presence-room", &large).await;
        client.expect_refused("presence-room").await;
    }
}

#[tokio::test]
async fn the_length_of_a_channels_name_is_limited() {
    for node in app_set_everywhere(&json!({"app_max_channel_name_length": 5})) {
        let mut client = node.connect().await;
        client.subscribe("12345").await;
        client.ask(json!({"channel": "123456"})).await;
        client.expect_refused("123456").await;
        assert_eq!(
            publish(&node, "/events", json!({"name": "e", "channel": "123456", "data": "1"})).await,
            400
        );
    }
}

#[tokio::test]
async fn the_channels_of_one_event_are_limited() {
    for node in app_set_everywhere(&json!({"app_max_event_channels_at_once": 2})) {
        let event = |channels: &[&str]| json!({"name": "e", "channels": channels, "data": "1"});
        assert_eq!(publish(&node, "/events", event(&["a", "b"])).await, 200);
        assert_eq!(publish(&node, "/events", event(&["a", "b", "c"])).await, 400);
    }
}

#[tokio::test]
async fn the_length_of_an_events_name_is_limited() {
    for node in app_set_everywhere(&json!({"app_max_event_name_length": 5})) {
        let event = |name: &str| json!({"name": name, "channel": "room", "data": "1"});
        assert_eq!(publish(&node, "/events", event("12345")).await, 200);
        assert_eq!(publish(&node, "/events", event("123456")).await, 400);
    }
}

#[tokio::test]
async fn the_size_of_an_event_is_limited() {
    for node in app_set_everywhere(&json!({"app_max_event_payload_in_kb": 1})) {
        let event = |size: usize| json!({"name": "e", "channel": "room", "data": "x".repeat(size)});
        assert_eq!(publish(&node, "/events", event(1024)).await, 200);
        assert_eq!(publish(&node, "/events", event(1025)).await, 413);
    }
}

#[tokio::test]
async fn the_events_of_one_batch_are_limited() {
    for node in app_set_everywhere(&json!({"app_max_event_batch_size": 2})) {
        let event = json!({"name": "e", "channel": "room", "data": "1"});
        let batch = |size: usize| json!({"batch": vec![event.clone(); size]});
        assert_eq!(publish(&node, "/batch_events", batch(2)).await, 200);
        assert_eq!(publish(&node, "/batch_events", batch(3)).await, 400);
    }
}
