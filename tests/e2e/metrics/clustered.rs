//! What moves the metrics of nodes that share a Redis.

use futures_util::StreamExt as _;
use redis::{Client, aio::PubSub};
use serde_json::json;

use super::{Values, launch, moved::launch_with};
use crate::support::{cluster::Cluster, node::unique_prefix, receiver::Receiver, redis::Redis};

pub(super) const BY_NODES: &[&str] = &[
    "bus_topics",
    "bus_nodes",
    "bus_publish_duration_seconds_count",
    "census_script_duration_seconds_count",
    "census_entries",
    "census_sweeps_total",
];

pub(super) const BY_STRANGERS: &[&str] =
    &["bus_messages_unknown_total", "bus_messages_repeated_total", "bus_messages_missed_total"];

pub(super) const BY_SILENCE: &[&str] =
    &["bus_outbox_messages", "bus_outbox_bytes", "census_lease_age_seconds", "client_events_unheard_total"];

pub(super) const BY_LOSING_REDIS: &[&str] = &["bus_reconnects_total", "bus_messages_unconfirmed_total"];

pub(super) const BY_A_DEATH: &[&str] = &["census_leases_swept_total"];

pub(super) const BY_FORGETTING: &[&str] = &["census_leases_lost_total", "census_entered_total"];

pub(super) const BY_JOURNALS: &[&str] = &["journal_events", "journal_events_cut_total"];

/// Two nodes that serve metrics, with further flags.
fn two_nodes(flags: &[&str]) -> Cluster {
    Cluster::of(2, || launch().flags(flags.iter().copied()))
}

/// What a shard's keys and topics begin with: the one in which the channel `room` of the usual app always is.
fn shard_of_the_room(cluster: &Cluster) -> String {
    format!("{}:{{3}}:", cluster.prefix)
}

#[tokio::test]
async fn a_node_without_others_has_no_metrics_of_a_cluster() {
    let values = Values::of(&launch().start()).await;
    let beginnings = ["bus_", "census_", "journal_", "client_events_unheard"];
    let found: Vec<_> =
        values.0.keys().filter(|name| beginnings.iter().any(|with| name.starts_with(with))).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn what_is_shared_with_other_nodes_moves_the_metrics() {
    let (redis, prefix) = (Redis::start(), unique_prefix());
    let start = || launch().on_redis(redis.address, &prefix).start_alone();
    let node = start();
    // It may hear others before it has entered, and has a lease.
    let is_in = |values: &Values| values.get("bus_nodes") == 1.0 && values.get("census_entered_total") == 1.0;
    let before = Values::once(&node, is_in).await;
    let other = start();
    let mut client = node.connect().await;
    client.subscribe_presence("presence-room", "1", json!({})).await;
    client.subscribe("room").await;
    node.api().publish("room", "news", 1).await;
    client.expect("news").await;
    let seen = |values: &Values| BY_NODES.iter().all(|name| values.get(name) > before.get(name));
    let after = Values::once(&node, seen).await;
    for (name, value) in
        [("bus_nodes", 2.0), ("bus_topics", 2.0), ("census_entries", 3.0), ("census_entered_total", 1.0)]
    {
        assert_eq!(after.get(name), value, "{name}");
    }
    assert!(after.get("census_lease_age_seconds") < 10.0, "{after:#?}");
    after.assert_same_series(&before);
    assert_eq!(Values::of(&other).await.get("bus_topics"), 0.0, "it has no subscribers");
    client.close().await;
    let none = |values: &Values| ["bus_topics", "census_entries"].iter().all(|name| values.get(name) == 0.0);
    Values::once(&node, none).await;
}

/// Somebody who hears what nodes say of the channel `room`.
async fn ear(cluster: &Cluster) -> PubSub {
    let client = Client::open(format!("redis://{}", cluster.redis.address)).expect("a good address");
    let mut ear = client.get_async_pubsub().await.expect("Redis answers");
    ear.subscribe(format!("{}1:room", shard_of_the_room(cluster))).await.expect("Redis answers");
    ear
}

/// As what a node says, repeated, is dropped without anybody hearing it twice; and what it says later shows that
/// something is missing, if it has another place than the next one.
#[tokio::test]
async fn what_is_not_understood_or_was_heard_already_is_counted() {
    let cluster = two_nodes(&[]);
    let mut client = cluster.node(1).connect().await;
    client.subscribe("room").await;
    let before = Values::of(cluster.node(1)).await;
    let mut ear = ear(&cluster).await;
    cluster.node(0).api().publish("room", "news", 1).await;
    client.expect("news").await;
    let said = ear.on_message().next().await.expect("the ear hears it too");
    let mut later = said.get_payload_bytes().to_vec();
    // The last bytes of the number among all messages, and of the one among those of the channel.
    later[23] += 10;
    later[35] += 2;
    for message in [said.get_payload_bytes(), b"\x01\xff of a newer version", &later] {
        let mut publish = redis::cmd("PUBLISH");
        cluster.redis.query::<u32>(publish.arg(said.get_channel_name()).arg(message));
    }
    let counted = |values: &Values| BY_STRANGERS.iter().all(|name| values.growth(&before, name) == 1.0);
    Values::once(cluster.node(1), counted).await;
    client.expect("news").await;
    client.expect_quiet().await;
}

/// Twelve megabytes wait at the most: a hundred and forty of these events.
#[tokio::test]
async fn a_silent_redis_fills_the_outbox_until_other_nodes_hear_no_more() {
    const EVENTS: usize = 250;
    let cluster = two_nodes(&["--app-max-event-payload-in-kb", "100", "--max-socket-backlog-in-kb", "65536"]);
    let node = cluster.node(0);
    let mut client = node.connect().await;
    client.subscribe_private("private-room").await;
    let before = Values::of(node).await;
    cluster.redis.freeze();
    let event = json!({"event": "client-e", "channel": "private-room", "data": "x".repeat(90_000)});
    client.send_at_once(std::iter::repeat_n(event, EVENTS)).await;
    let all = |values: &Values| {
        values.growth(&before, r#"events_total{app_id="1",type="client"}"#) == EVENTS as f64
    };
    let full = Values::once(node, all).await;
    full.assert_grown(&before, BY_SILENCE);
    let [messages, unheard] =
        ["bus_outbox_messages", "client_events_unheard_total"].map(|name| full.get(name));
    assert_eq!(messages + unheard, EVENTS as f64);
    assert!(full.get("bus_outbox_bytes") <= f64::from(12 << 20), "{full:#?}");
    cluster.redis.thaw();
    Values::once(node, |values| values.get("bus_outbox_messages") == 0.0).await;
}

#[tokio::test]
async fn a_redis_that_is_lost_together_with_a_node_moves_the_metrics() {
    const EVENTS: u32 = 5;
    let mut cluster = two_nodes(&[]);
    let before = Values::once(cluster.node(0), |values| values.get("bus_nodes") == 2.0).await;
    cluster.redis.kill();
    cluster.kill(1);
    for number in 0..EVENTS {
        cluster.node(0).api().publish("room", "news", number).await;
    }
    cluster.redis.restart();
    let back = |values: &Values| BY_LOSING_REDIS.iter().all(|name| values.get(name) > before.get(name));
    let after = Values::once(cluster.node(0), back).await;
    assert_eq!(after.get("bus_messages_unconfirmed_total"), f64::from(EVENTS));
}

#[tokio::test]
async fn the_leases_of_a_node_that_was_killed_are_swept() {
    let mut cluster = two_nodes(&[]);
    cluster.kill(1);
    let swept = |values: &Values| BY_A_DEATH.iter().all(|name| values.get(name) == 16.0);
    Values::once(cluster.node(0), swept).await;
}

#[tokio::test]
async fn a_redis_that_forgets_everything_is_told_again() {
    let cluster = two_nodes(&[]);
    let before = Values::of(cluster.node(0)).await;
    cluster.redis.ask::<()>(&["FLUSHALL"]);
    let told = |values: &Values| BY_FORGETTING.iter().all(|name| values.growth(&before, name) == 1.0);
    Values::once(cluster.node(0), told).await;
}

/// As a journal is that nobody reads: with what no version of the server understands.
#[tokio::test]
async fn a_journal_that_is_too_long_is_cut() {
    const TOO_MANY: &str = "100500";
    const FILL: &str = "for _ = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'kind', 'none') end";
    let receiver = Receiver::start().await;
    let app = json!({
        "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_webhooks_enabled": true,
        "webhooks": [{"url": receiver.url, "event_types": ["channel_occupied"]}],
    });
    let cluster = Cluster::of(1, || launch_with(&app));
    let node = cluster.node(0);
    let before = Values::of(node).await;
    let journal = format!("{}journal", shard_of_the_room(&cluster));
    cluster.redis.ask::<()>(&["EVAL", FILL, "1", &journal, TOO_MANY]);
    let mut client = node.connect().await;
    client.subscribe("room").await;
    let cut = |values: &Values| BY_JOURNALS.iter().all(|name| values.get(name) > before.get(name));
    let after = Values::once(node, cut).await;
    assert!(after.get("journal_events") >= 100_000.0, "{after:#?}");
}
