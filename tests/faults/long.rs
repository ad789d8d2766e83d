//! Outages of half a minute. `tests/faults-long` runs them; everything else is run without them.

use std::time::{Duration, Instant};

use super::traffic::publish;
use crate::support::cluster::Cluster;

/// Within this time every publisher has an answer.
const ANSWER: Duration = Duration::from_millis(1_500);

/// What a node may keep for later, in bytes.
const GROWTH: u64 = 32 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes a minute: tests/faults-long"]
async fn while_redis_stands_still_for_half_a_minute_every_request_is_answered() {
    let cluster = Cluster::start(2, &[]);
    publish(&cluster, 0..20, Duration::from_millis(50)).await;
    let before: Vec<_> = cluster.nodes().iter().map(|node| node.resident_bytes()).collect();
    cluster.redis.freeze();
    let frozen = Instant::now();
    let publishing = publish(&cluster, 20..320, Duration::from_millis(100));
    let unready = async {
        for node in cluster.nodes() {
            while node.api().request_at("GET", "/ready").send().await.status != 503 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        frozen.elapsed()
    };
    let (published, unready) = tokio::join!(publishing, unready);
    assert!(unready <= Duration::from_secs(5), "both are unready only after {unready:?}");
    for (node, before) in cluster.nodes().iter().zip(before) {
        assert_eq!(node.api().request_at("GET", "/live").send().await.status, 200);
        let grown = node.resident_bytes().saturating_sub(before);
        assert!(grown <= GROWTH, "{grown} bytes more than before");
    }
    let slowest = published.iter().map(|event| event.took).max().expect("some were published");
    assert!(slowest <= ANSWER, "{slowest:?}");
    cluster.redis.thaw();
    for node in cluster.nodes() {
        super::expect_ready(node, super::RECOVERY).await;
    }
}
