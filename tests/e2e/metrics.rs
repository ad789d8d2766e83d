//! The page for Prometheus: off unless it is asked for, complete, and moved by what happens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::json;

use crate::support::{
    api::{Response, raw_request},
    node::{Launch, Node},
    receiver::Receiver,
};

/// A node that serves metrics on a free port.
fn launch() -> Launch {
    Launch::new().flags(["--metrics-enabled", "--metrics-port", "0"])
}

async fn ask(node: &Node, method: &str, path: &str) -> Response {
    let address = node.metrics.expect("metrics were asked for");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n");
    raw_request(address, request).await.expect("an answer")
}

async fn page(node: &Node) -> String {
    ask(node, "GET", "/metrics").await.expect_status(200).text().to_owned()
}

/// The page's values, by name and labels.
async fn values(node: &Node) -> BTreeMap<String, f64> {
    let page = page(node).await;
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &str| {
        let (name, value) = line.rsplit_once(' ').expect("a name and a value");
        (name.to_owned(), value.parse().unwrap_or_else(|error| panic!("{error}: {line}")))
    };
    lines.map(read).collect()
}

/// Asserts that each of these has grown, and tells how far it had come if not.
fn assert_grown(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>, names: &[&str]) {
    for name in names {
        let name = format!("socket_rush_{name}");
        let [before, after] = [before, after].map(|values| values.get(&name).copied().expect(&name));
        assert!(after > before, "{name} went from {before} to {after}");
    }
}

#[tokio::test]
async fn what_clients_and_backends_do_moves_the_metrics() {
    let node = launch().start();
    let before = values(&node).await;
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
    bob.ask(json!({"channel": "private-room"})).await;
    bob.expect("pusher:subscription_error").await;
    node.connect_to("/app/nobody?protocol=7").await.expect_end(4001).await;
    let after = values(&node).await;
    let moved = [
        r#"connections_total{app_id="1"}"#,
        r#"active_connections{app_id="1"}"#,
        r#"channels{kind="presence",cache="false"}"#,
        r#"channels{kind="public",cache="true"}"#,
        "ws_messages_received_total",
        "ws_messages_sent_total",
        r#"events_total{app_id="1",type="api"}"#,
        r#"events_total{app_id="1",type="client"}"#,
        r#"errors_total{code="401"}"#,
        r#"errors_total{code="4001"}"#,
        r#"api_messages_total{endpoint="events",status="2xx"}"#,
        r#"api_messages_total{endpoint="channels",status="2xx"}"#,
        "api_message_duration_seconds_count",
        "publish_duration_seconds_count",
        "fan_out_duration_seconds_count",
    ];
    assert_grown(&before, &after, &moved);
    assert_eq!(before.len(), after.len(), "what happens makes no new labels");
}

#[tokio::test]
async fn what_webhooks_come_to_moves_the_metrics() {
    let mut receiver = Receiver::start().await;
    let node = launch().flags(["--app-webhooks-enabled", "--app-webhook-url", &receiver.url]).start();
    let before = values(&node).await;
    let mut client = node.connect().await;
    client.subscribe("room").await;
    receiver.next().await;
    let moved = ["webhook_attempts_total", "webhooks_delivered_total", "webhook_endpoints"];
    let mut after = values(&node).await;
    // The receiver has the request before the node has its answer.
    while after["socket_rush_webhooks_delivered_total"] < 1.0 {
        after = values(&node).await;
    }
    assert_grown(&before, &after, &moved);
}

#[tokio::test]
async fn metrics_are_not_served_unless_they_are_asked_for() {
    let node = Node::start();
    assert_eq!(node.metrics, None);
    node.api().request_at("GET", "/metrics").send().await.expect_status(404);
}

#[tokio::test]
async fn the_port_of_the_metrics_serves_nothing_else() {
    let node = launch().start();
    ask(&node, "GET", "/apps/1/channels").await.expect_status(404);
    ask(&node, "POST", "/metrics").await.expect_status(405);
}

#[tokio::test]
async fn the_readme_names_every_metric_and_no_other() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).expect("there is a README");
    let named = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let named = named.filter(|(name, _)| name.starts_with("socket_rush_"));
    let named: BTreeSet<_> = named
        .map(|(name, rest)| (name.to_owned(), rest.split(' ').next().unwrap_or_default().to_owned()))
        .collect();
    let page = page(&launch().start()).await;
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let served: BTreeSet<_> = types
        .map(|(name, kind)| {
            (if kind == "counter" { format!("{name}_total") } else { name.into() }, kind.to_owned())
        })
        .collect();
    assert_eq!(named, served);
}
