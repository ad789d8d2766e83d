//! A Redis that does not answer for half a minute, and backends that publish as much as they can meanwhile.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    faults::{RECOVERY, expect_ready, traffic::publish, until_unready},
    support::{cluster::Cluster, node::Node},
};

/// How long Redis stands still.
const OUTAGE: Duration = Duration::from_secs(30);

/// Within this time every publisher has an answer.
const ANSWER: Duration = Duration::from_millis(1_500);

/// What a node may keep for later, in bytes.
const GROWTH: u64 = 16 << 20;

/// Publishes large events until the node has no room left for what others are to hear, and goes on trying: the longest
/// time that an answer took, and how many events were taken.
async fn flood(node: &Node, until: Instant) -> (Duration, u32) {
    let (api, mut slowest, mut taken) = (node.api(), Duration::ZERO, 0);
    let event = json!({"name": "flood", "channel": "flood", "data": "x".repeat(9_000)});
    while Instant::now() < until {
        let at = Instant::now();
        let status = api.post("/events", &event).await.status;
        slowest = slowest.max(at.elapsed());
        match status {
            200 => taken += 1,
            503 => sleep(Duration::from_millis(100)).await,
            other => panic!("status {other}"),
        }
    }
    (slowest, taken)
}

/// The most memory that a node has had.
async fn peak(node: &Node, until: Instant) -> u64 {
    let mut peak = 0;
    while Instant::now() < until {
        peak = peak.max(node.resident_bytes());
        sleep(Duration::from_millis(100)).await;
    }
    peak
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes 40 s: tests/faults-long"]
async fn while_redis_stands_still_for_half_a_minute_every_request_is_answered_and_little_is_kept() {
    let cluster = Cluster::start(2, &[]);
    publish(&cluster, 0..20, Duration::from_millis(50)).await;
    let before: Vec<_> = cluster.nodes().iter().map(Node::resident_bytes).collect();
    cluster.redis.freeze();
    let over = Instant::now() + OUTAGE;
    let publishing = publish(&cluster, 20..320, OUTAGE / 300);
    let flooding = join_all(cluster.nodes().iter().map(|node| flood(node, over)));
    let growing = join_all(cluster.nodes().iter().map(|node| peak(node, over)));
    let noticing = join_all(cluster.nodes().iter().map(until_unready));
    let ((published, floods), (peaks, noticed)) =
        join(join(publishing, flooding), join(growing, noticing)).await;
    for node in cluster.nodes() {
        assert_eq!(node.api().request_at("GET", "/live").send().await.status, 200);
    }
    assert!(noticed.iter().all(|noticed| *noticed <= Duration::from_secs(5)), "{noticed:?}");
    let slowest = published.iter().map(|event| event.took).chain(floods.iter().map(|flood| flood.0)).max();
    let slowest = slowest.expect("some were published");
    let grown: Vec<_> = peaks.iter().zip(before).map(|(peak, before)| peak.saturating_sub(before)).collect();
    println!("floods {floods:?}; slowest answer {slowest:?}; noticed after {noticed:?}; grown {grown:?}");
    assert!(floods.iter().all(|(_, taken)| *taken > 1_000), "{floods:?}");
    assert!(slowest <= ANSWER, "{slowest:?}");
    assert!(grown.iter().all(|grown| *grown <= GROWTH), "bytes more than before: {grown:?}");
    cluster.redis.thaw();
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
    }
}
