//! Nodes behind the proxy of the compose file: the real program, with the configuration that it has there.

use std::{fs, net::SocketAddr, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::home;
use crate::support::{
    api::Api,
    client::Client,
    cluster::Cluster,
    haproxy::Haproxy,
    node::{Launch, METRICS, Node},
    raw::Raw,
    signing::Credentials,
};

/// How long a node may take to know who is connected to it.
const DEADLINE: Duration = Duration::from_secs(20);

/// How many clients each test has, an even number.
const CLIENTS: usize = 8;

/// What the file says.
pub(super) fn configuration() -> String {
    fs::read_to_string(home("localstack/haproxy.cfg")).expect("it is there")
}

/// Two nodes, and the proxy in front of them.
async fn start(flags: &[&str]) -> (Cluster, Haproxy) {
    let cluster = Cluster::of(2, || Launch::new().flags(METRICS).flags(flags.iter().copied()));
    let nodes = [cluster.node(0).address, cluster.node(1).address];
    let proxy = Haproxy::start(|front| configured_for(front, nodes)).await;
    (cluster, proxy)
}

/// The configuration with other places, and nothing else changed.
fn configured_for(front: SocketAddr, [a, b]: [SocketAddr; 2]) -> String {
    let places = [
        ("bind :6001", format!("bind {front}")),
        (" node-a:6001", format!(" {a}")),
        (" node-b:6001", format!(" {b}")),
    ];
    places.into_iter().fold(configuration(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
        text.replace(from, &to)
    })
}

/// So many clients, one after the other, each subscribed to the channel `news`.
async fn connect(proxy: &Haproxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(proxy.address, &Credentials::default()).await;
        client.subscribe("news").await;
        clients.push(client);
    }
    clients
}

/// Waits until this many are connected to a node.
async fn expect_connections(node: &Node, count: u64) {
    let counting = async {
        while node.metric(r#"active_connections{app_id="1"}"#).await != count {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, counting)
        .await
        .unwrap_or_else(|_| panic!("not {count} are connected to {}", node.address));
}

/// The backend's way to the nodes.
fn backend(proxy: &Haproxy) -> Api {
    let Credentials { id, key, secret } = Credentials::default();
    Api::new(proxy.address, &id, &key, &secret)
}

#[tokio::test]
async fn clients_are_spread_over_both_nodes_and_hear_what_a_backend_says() {
    let (cluster, proxy) = start(&[]).await;
    let mut clients = connect(&proxy, CLIENTS).await;
    for node in cluster.nodes() {
        expect_connections(node, CLIENTS as u64 / 2).await;
    }
    cluster.all_hear(DEADLINE).await;
    for headline in [json!(1), json!(2)] {
        backend(&proxy).publish("news", "headline", &headline).await;
        for client in &mut clients {
            assert_eq!(client.expect_on("news", "headline").await.json(), headline);
        }
    }
    drop(clients);
    for node in cluster.nodes() {
        expect_connections(node, 0).await;
    }
}

#[tokio::test]
async fn whose_node_dies_is_on_the_other_one_with_the_next_connection() {
    let (mut cluster, proxy) = start(&[]).await;
    let clients = connect(&proxy, CLIENTS).await;
    expect_connections(cluster.node(0), CLIENTS as u64 / 2).await;
    cluster.kill(0);
    // Before the proxy has asked the node whether it is ready.
    let again = connect(&proxy, CLIENTS / 2).await;
    expect_connections(cluster.node(1), CLIENTS as u64).await;
    backend(&proxy).publish("news", "headline", "one").await;
    let mut ended = 0;
    for mut client in clients {
        ended += usize::from(client.message().await.is_none());
    }
    assert_eq!(ended, CLIENTS / 2, "those of the other node stay");
    drop(again);
}

#[tokio::test]
async fn a_node_that_is_told_to_end_gets_nobody_any_more() {
    let (cluster, mut proxy) = start(&[]).await;
    // It never hangs up, so that the node has something to wait for.
    let _deaf = Raw::established(cluster.node(0)).await;
    let clients = connect(&proxy, CLIENTS).await;
    cluster.node(0).terminate();
    cluster.node(0).wait_for_log("going away").await;
    proxy.wait_for_log("Server nodes/node-a is DOWN, reason: Layer7 wrong status, code: 503").await;
    let late = connect(&proxy, CLIENTS).await;
    expect_connections(cluster.node(1), (CLIENTS / 2 + CLIENTS) as u64).await;
    // The node sends its own away itself, and the proxy lets them hear why.
    let mut goodbyes: FuturesUnordered<_> = clients.into_iter().map(goodbye).collect();
    for _ in 0..CLIENTS / 2 {
        goodbyes.next().await.expect("another one");
    }
    drop(late);
}

/// Waits until the node sends this client away.
async fn goodbye(mut client: Client) {
    assert_eq!(client.frame_within(DEADLINE).await.event, "pusher:error");
    client.expect_close(4200).await;
}

/// The value of a setting of time, in seconds.
fn seconds(setting: &str) -> u64 {
    let text = configuration();
    let value = text.lines().find_map(|line| line.trim().strip_prefix(setting)).expect("it is set").trim();
    let (number, factor) = match value.strip_suffix('h') {
        Some(hours) => (hours, 3_600),
        None => (value.strip_suffix('s').expect("hours or seconds"), 1),
    };
    number.parse::<u64>().expect("a number") * factor
}

#[tokio::test]
async fn a_websocket_on_which_nothing_is_said_stays_open() {
    let requests = seconds("timeout client ").max(seconds("timeout server "));
    // An app may probe its clients as rarely as every half hour.
    assert!(seconds("timeout tunnel ") >= 3_600 && requests <= 40, "{requests}");
    // Nobody is probed while this test waits.
    let (_cluster, proxy) = start(&["--app-activity-timeout", "600"]).await;
    let mut client = connect(&proxy, 1).await.pop().expect("one");
    let silence = Duration::from_secs(requests + 5);
    assert!(
        timeout(silence, client.message_within(2 * silence)).await.is_err(),
        "something was said, or it is closed"
    );
    backend(&proxy).publish("news", "headline", "at last").await;
    let message = client.message().await;
    assert!(matches!(&message, Some(Message::Text(text)) if text.contains("at last")), "{message:?}");
}
