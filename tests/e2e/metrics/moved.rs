//! What moves which metric.
//!
//! Each test names what it moves in a list; [`ALL`] of them are what the page may have.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{DEADLINE, Values, clustered, launch};
use crate::support::{
    node::{Launch, Node},
    raw::{Raw, frame, opcode},
    receiver::{Answer, Receiver},
};

/// Everything that a test moves.
pub(super) const ALL: [&[&str]; 15] = [
    BY_COMING,
    BY_LEAVING,
    BY_NOT_READING,
    BY_DELIVERY,
    BY_LOSS,
    BY_A_FAULT,
    clustered::BY_NODES,
    clustered::BY_STRANGERS,
    clustered::BY_SILENCE,
    clustered::BY_LOSING_REDIS,
    clustered::BY_A_DEATH,
    clustered::BY_FORGETTING,
    clustered::BY_JOURNALS,
    super::queue::BY_QUEUEING,
    super::apps::BY_LOOKING_UP,
];

const BY_COMING: &[&str] = &[
    r#"connections_total{app_id="1"}"#,
    r#"active_connections{app_id="1"}"#,
    r#"channels{kind="presence",cache="false"}"#,
    r#"channels{kind="public",cache="true"}"#,
    "tasks",
    "ws_messages_received_total",
    "ws_messages_sent_total",
    r#"events_total{app_id="1",type="api"}"#,
    r#"events_total{app_id="1",type="client"}"#,
    r#"errors_total{code="401"}"#,
    r#"errors_total{code="4001"}"#,
    r#"errors_total{code="none"}"#,
    r#"api_messages_total{endpoint="events",status="2xx"}"#,
    r#"api_messages_total{endpoint="channels",status="2xx"}"#,
    r#"api_messages_total{endpoint="channel",status="4xx"}"#,
    "api_message_duration_seconds_count",
    "publish_duration_seconds_count",
    "fan_out_duration_seconds_count",
];

const BY_LEAVING: &[&str] = &[r#"disconnections_total{app_id="1"}"#];

const BY_NOT_READING: &[&str] = &[
    "sockets_behind",
    "backlog_bytes",
    "process_resident_memory_bytes",
    "slow_consumers_cut_total",
    r#"errors_total{code="4100"}"#,
];

const BY_DELIVERY: &[&str] = &[
    "webhook_attempts_total",
    "webhooks_delivered_total",
    "webhook_retries_total",
    "webhooks_dead_total",
    "webhooks_queued",
    "webhook_endpoints",
];

const BY_LOSS: &[&str] = &["webhook_events_dropped_total"];

/// From outside nothing makes the server panic; its own test of panics reads the page too.
const BY_A_FAULT: &[&str] = &["panics_total"];

#[tokio::test]
async fn what_clients_and_backends_do_moves_the_metrics() {
    let node = launch().start();
    let before = Values::of(&node).await;
    let mut alice = node.connect().await;
    let mut bob = node.connect().await;
    for client in [&mut alice, &mut bob] {
        client.subscribe_presence("presence-room", "1", json!({})).await;
        client.subscribe("cache-room").await;
        client.expect("pusher:cache_miss").await;
    }
    alice.trigger("presence-room", "client-x", 1).await;
    bob.expect("client-x").await;
    node.api().publish("cache-room", "news", 1).await;
    bob.expect("news").await;
    node.api().get("/channels").await.expect_status(200);
    node.api()
        .request("GET", "/channels/room")
        .sign()
        .set("auth_key", "nobodys")
        .send()
        .await
        .expect_status(400);
    bob.ask(json!({"channel": "private-room"})).await;
    bob.expect_refused("private-room").await;
    bob.send_text("{").await;
    bob.expect_error(None).await;
    node.connect_to("/app/nobody?protocol=7").await.expect_end(4001).await;
    let after = Values::of(&node).await;
    after.assert_grown(&before, BY_COMING);
    after.assert_same_series(&before);
}

#[tokio::test]
async fn what_came_and_left_is_no_longer_there() {
    let node = launch().start();
    let before = Values::of(&node).await;
    let (mut staying, mut leaving) = (node.connect().await, node.connect().await);
    staying.subscribe("room").await;
    leaving.subscribe_private("private-room").await;
    assert_eq!(Values::of(&node).await.get(r#"channels{kind="private",cache="false"}"#), 1.0);
    leaving.close().await;
    let left = |values: &Values| values.get(r#"disconnections_total{app_id="1"}"#) > 0.0;
    let after = Values::once(&node, left).await;
    after.assert_grown(&before, BY_LEAVING);
    for (name, value) in [
        (r#"connections_total{app_id="1"}"#, 2.0),
        (r#"disconnections_total{app_id="1"}"#, 1.0),
        (r#"active_connections{app_id="1"}"#, 1.0),
        (r#"channels{kind="private",cache="false"}"#, 0.0),
        (r#"channels{kind="public",cache="false"}"#, 1.0),
    ] {
        assert_eq!(after.get(name), value, "{name}");
    }
}

/// Asserts how much has been sent and received since, and how many events were published, by backends and by clients.
fn assert_counted(before: &Values, after: &Values, counted: [f64; 4]) {
    let names = [
        "ws_messages_sent_total",
        "ws_messages_received_total",
        r#"events_total{app_id="1",type="api"}"#,
        r#"events_total{app_id="1",type="client"}"#,
    ];
    assert_eq!(names.map(|name| after.growth(before, name)), counted, "{names:?}");
}

#[tokio::test]
async fn an_event_is_counted_once_a_channel_and_once_for_everybody_who_gets_it() {
    let node = launch().start();
    let api = node.api();
    let (mut alice, mut bob, mut carol) = (node.connect().await, node.connect().await, node.connect().await);
    for client in [&mut alice, &mut bob, &mut carol] {
        client.subscribe_private("private-a").await;
        client.subscribe_private("private-b").await;
    }
    // A greeting and two subscriptions each; the last is counted a moment after it was read.
    let is_counted = |values: &Values| values.get("ws_messages_sent_total") >= 9.0;
    let subscribed = Values::once(&node, is_counted).await;
    api.publish("private-a", "e", 1).await;
    let published = Values::of(&node).await;
    assert_counted(&subscribed, &published, [3.0, 0.0, 1.0, 0.0]);
    let event = json!({"name": "e", "channels": ["private-a", "private-b"], "data": "1", "socket_id": alice.socket_id});
    api.post("/events", event).await.expect_status(200);
    let excluding = Values::of(&node).await;
    assert_counted(&published, &excluding, [4.0, 0.0, 2.0, 0.0]);
    let batch = json!({"batch": [
        {"name": "e", "channel": "private-a", "data": "1"},
        {"name": "e", "channel": "private-b", "data": "1", "socket_id": bob.socket_id},
        {"name": "e", "channel": "nobody-is-here", "data": "1"},
    ]});
    api.post("/batch_events", batch).await.expect_status(200);
    let batched = Values::of(&node).await;
    assert_counted(&excluding, &batched, [5.0, 0.0, 3.0, 0.0]);
    carol.trigger("private-a", "client-e", 1).await;
    let is_counted = |values: &Values| values.growth(&batched, "ws_messages_sent_total") >= 2.0;
    assert_counted(&batched, &Values::once(&node, is_counted).await, [2.0, 1.0, 0.0, 1.0]);
}

/// Publishes large events until the values are like this.
async fn publish_until(node: &Node, is_reached: impl Fn(&Values) -> bool) -> Values {
    let (api, data) = (node.api(), "x".repeat(90_000));
    let reached = timeout(DEADLINE, async {
        loop {
            api.publish("room", "news", &data).await;
            let values = Values::of(node).await;
            if is_reached(&values) {
                return values;
            }
        }
    });
    reached.await.expect("nobody can take so much without reading")
}

#[tokio::test]
async fn a_client_that_does_not_read_moves_the_metrics_until_it_is_cut_off_and_gone() {
    const BACKLOG: f64 = 4096.0 * 1024.0;
    let flags = ["--app-max-event-payload-in-kb", "100", "--max-socket-backlog-in-kb", "4096"];
    let node = launch().flags(flags).start();
    let mut slow = Raw::established(&node).await;
    slow.send(&frame(opcode::TEXT, br#"{"event":"pusher:subscribe","data":{"channel":"room"}}"#)).await;
    slow.frame().await.expect("the subscription");
    let before = Values::of(&node).await;
    let behind = publish_until(&node, |values| values.get("backlog_bytes") > BACKLOG / 2.0).await;
    let (waiting, cut_off) = BY_NOT_READING.split_at(3);
    behind.assert_grown(&before, waiting);
    assert_eq!(behind.get("sockets_behind"), 1.0);
    assert!(behind.get("backlog_bytes") <= BACKLOG, "{behind:#?}");
    let cut = publish_until(&node, |values| values.get("slow_consumers_cut_total") > 0.0).await;
    cut.assert_grown(&behind, cut_off);
    drop(slow);
    let gone = Values::once(&node, |values| values.get(r#"disconnections_total{app_id="1"}"#) > 0.0).await;
    assert_eq!(["sockets_behind", "backlog_bytes"].map(|name| gone.get(name)), [0.0, 0.0]);
    assert_eq!(gone.get("slow_consumers_cut_total"), 1.0, "one client is cut off once");
}

#[tokio::test]
async fn what_webhooks_come_to_moves_the_metrics() {
    let receiver = Receiver::start().await;
    receiver.answer("/flaky", [Answer::Status(500)]);
    receiver.always_answer("/gone", Answer::Status(410));
    receiver.always_answer("/hangs", Answer::Hang);
    let targets = ["/flaky", "/gone", "/hangs"]
        .map(|path| json!({"url": receiver.url_of(path), "event_types": ["channel_occupied"]}));
    let app = json!({
        "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_webhooks_enabled": true,
        "webhooks": targets,
    });
    let node = launch_with(&app).start();
    let before = Values::of(&node).await;
    let mut client = node.connect().await;
    client.subscribe("room").await;
    let is_settled = |values: &Values| {
        ["webhooks_delivered_total", "webhooks_dead_total"].iter().all(|name| values.get(name) > 0.0)
    };
    let after = Values::once(&node, is_settled).await;
    after.assert_grown(&before, BY_DELIVERY);
    for (name, value) in [
        ("webhooks_delivered_total", 1.0),
        ("webhooks_dead_total", 1.0),
        ("webhooks_queued", 1.0),
        ("webhook_endpoints", 3.0),
    ] {
        assert_eq!(after.get(name), value, "{name}");
    }
}

#[tokio::test]
async fn events_that_find_an_endpoints_lane_full_are_counted_as_lost() {
    const LANE: usize = 10_000;
    const LOST: usize = 100;
    let receiver = Receiver::start().await;
    receiver.always_answer("/hook", Answer::Hang);
    let app = json!({
        "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_webhooks_enabled": true,
        "app_enable_client_messages": true,
        "webhooks": [{"url": receiver.url, "event_types": ["client_event"]}],
    });
    let node = launch_with(&app).start();
    let before = Values::of(&node).await;
    let mut client = node.connect().await;
    client.subscribe_private("private-room").await;
    let event = json!({"event": "client-e", "channel": "private-room", "data": "1"});
    client.send_at_once(std::iter::repeat_n(event, LANE + LOST)).await;
    let lost = |values: &Values| values.get("webhook_events_dropped_total") >= LOST as f64;
    let after = Values::once(&node, lost).await;
    after.assert_grown(&before, BY_LOSS);
    assert_eq!(after.get("webhook_events_dropped_total"), LOST as f64);
    assert_eq!(after.get("webhooks_queued"), LANE as f64);
    node.wait_for_log("webhooks are lost").await;
}

/// A node that serves metrics and has this app alone. It does not wait long for what it cannot deliver.
pub(super) fn launch_with(app: &Value) -> Launch {
    let config = json!({"applications": [app], "metrics_enabled": true, "metrics_port": 0});
    Launch::bare().config(&config).flags(["--shutdown-grace-seconds", "2"])
}
