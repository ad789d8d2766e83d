//! Real SDKs against a real node. What their own code makes of our answers is what users will see, so these suites
//! are written in the SDKs' languages; here each is given a node with the features that it is about.

mod readme;
pub(crate) mod suite;

use std::net::SocketAddr;

use suite::{Suite, endpoint, node};

use crate::support::{
    cluster::Cluster,
    node::{Launch, Node},
    tls::Identity,
};

#[tokio::test]
async fn pusher_js_connects_pings_and_is_turned_away() {
    Suite::javascript("connection.mjs").run(&node(&[])).await;
}

#[tokio::test]
async fn pusher_js_uses_public_and_private_channels() {
    Suite::javascript("channels.mjs").run(&node(&[])).await;
}

#[tokio::test]
async fn pusher_js_clients_speak_to_each_other() {
    Suite::javascript("client_events.mjs").run(&node(&["--app-enable-client-messages"])).await;
}

#[tokio::test]
async fn pusher_js_sees_who_is_in_a_room() {
    Suite::javascript("presence.mjs").run(&node(&[])).await;
}

#[tokio::test]
async fn pusher_js_decrypts_what_the_server_cannot_read() {
    Suite::javascript("encryption.mjs").run(&node(&["--app-enable-client-messages"])).await;
}

#[tokio::test]
async fn pusher_js_is_given_what_a_cache_channel_remembers() {
    Suite::javascript("cache.mjs").run(&node(&[])).await;
}

#[tokio::test]
async fn pusher_js_is_told_how_many_are_subscribed() {
    Suite::javascript("counts.mjs").run(&node(&["--app-enable-subscription-count"])).await;
}

#[tokio::test]
async fn pusher_js_signs_users_in_and_is_sent_away() {
    Suite::javascript("users.mjs").run(&node(&[])).await;
}

#[tokio::test]
async fn pusher_js_watches_who_is_online() {
    Suite::javascript("watchlist.mjs").run(&node(&["--app-enable-watchlist-events"])).await;
}

#[tokio::test]
async fn pusher_js_moves_to_another_node_when_its_own_is_drained() {
    let (leaving, next) = (node(&[]), node(&[]));
    Suite::javascript("drain.mjs")
        .with("SOCKET_RUSH_PID", &leaving.pid())
        .with("SOCKET_RUSH_NEXT_PORT", &next.address.port())
        .run(&leaving)
        .await;
}

#[tokio::test]
async fn pusher_js_and_the_node_server_sdk_speak_tls() {
    let identity = Identity::new();
    let launch = Launch::new().file("cert.pem", &identity.certificate).file("key.pem", &identity.key);
    let node = launch.flags(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).start();
    let trusted = node.home().join("cert.pem");
    Suite::javascript("tls.mjs").with("NODE_EXTRA_CA_CERTS", &trusted.display()).run(&node).await;
}

#[tokio::test]
async fn laravel_echo_works_as_on_a_laravel_page() {
    Suite::javascript("echo.mjs").run(&node(&["--app-enable-client-messages"])).await;
}

#[tokio::test]
async fn the_node_server_sdk_publishes_and_asks() {
    Suite::javascript("server_api.mjs").run(&node(&[])).await;
}

#[tokio::test]
async fn the_python_server_sdk_publishes_asks_and_signs() {
    Suite::python("python_server.py").run(&node(&[])).await;
}

/// A node whose webhooks go to an endpoint that a suite will open, and where.
fn node_with_endpoint(address: &str) -> (Node, SocketAddr) {
    let free = endpoint(address);
    let features =
        ["--app-enable-client-messages", "--app-enable-subscription-count", "--app-webhooks-enabled"];
    let url = format!("--app-webhook-url=http://{free}/hook");
    (node(&[&features[..], &[&url]].concat()), free)
}

#[tokio::test]
async fn the_node_server_sdk_finds_webhooks_valid() {
    let (node, endpoint) = node_with_endpoint("127.0.0.71");
    Suite::javascript("webhooks.mjs").with("SOCKET_RUSH_WEBHOOK_ENDPOINT", &endpoint).run(&node).await;
}

#[tokio::test]
async fn the_python_server_sdk_finds_webhooks_valid() {
    let (node, endpoint) = node_with_endpoint("127.0.0.72");
    Suite::python("python_webhooks.py").with("SOCKET_RUSH_WEBHOOK_ENDPOINT", &endpoint).run(&node).await;
}

#[tokio::test]
async fn the_prometheus_parser_reads_the_metrics() {
    // One that shares a Redis has all metrics that there are.
    let cluster = Cluster::start(1, &["--metrics-enabled", "--metrics-port", "0"]);
    let node = cluster.node(0);
    let address = node.metrics.expect("metrics were asked for");
    let mut client = node.connect().await;
    client.subscribe("room").await;
    node.api().publish("room", "news", 1).await;
    Suite::python("metrics.py").with("SOCKET_RUSH_METRICS", &address).run(node).await;
}
