//! Connections to Redis that are reset every half a second, for half a minute.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    faults::{
        RECOVERY, expect_ready,
        traffic::{Audience, publish, publish_surely, publish_the_end},
    },
    support::{
        cluster::Cluster,
        node::{METRICS, Node},
    },
};

const STORM: Duration = Duration::from_secs(30);

const GUST: Duration = Duration::from_millis(500);

/// Memory that a node may have got and kept meanwhile, in bytes.
const GROWTH: u64 = 8 << 20;

/// What a node has of what could be left over.
#[derive(Clone, Copy, Debug)]
struct Parts {
    tasks: u64,
    descriptors: usize,
    bytes: u64,
}

impl Parts {
    async fn of(node: &Node) -> Self {
        Self {
            tasks: node.metric("tasks").await,
            descriptors: node.descriptors(),
            bytes: node.resident_bytes(),
        }
    }

    /// Whether there is as much of it as before, but for what comes and goes.
    fn is_back_at(self, base: Self) -> bool {
        self.tasks.abs_diff(base.tasks) <= 5 && self.descriptors.abs_diff(base.descriptors) <= 5
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes 40 s: tests/faults-long"]
async fn half_a_minute_of_resets_leaves_no_task_no_descriptor_and_no_haste() {
    let cluster = Cluster::behind_proxies(2, &METRICS).await;
    let mut local = cluster.node(0).connect().await;
    local.subscribe("room").await;
    let mut base = Vec::new();
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
        base.push(Parts::of(node).await);
    }
    let before: Vec<_> = (0..2).map(|node| cluster.proxy(node).accepted()).collect();
    let (over, mut number) = (Instant::now() + STORM, 0);
    while Instant::now() < over {
        (0..2).for_each(|node| cluster.proxy(node).reset_all());
        sleep(GUST).await;
        let event = json!({"name": "gust", "channel": "room", "data": number.to_string()});
        publish_surely(cluster.node(0), &event).await;
        assert_eq!(local.expect("gust").await.data, number.to_string());
        number += 1;
    }
    // A node has three parts that are each connected to Redis, and each tries again at its own pace.
    let at_the_most = usize::try_from(STORM.as_millis() / 100 * 3).expect("it is small");
    for (index, node) in cluster.nodes().iter().enumerate() {
        expect_ready(node, RECOVERY).await;
        let attempts = cluster.proxy(index).accepted() - before[index];
        let settling = Instant::now() + RECOVERY;
        let mut now = Parts::of(node).await;
        while !now.is_back_at(base[index]) && Instant::now() < settling {
            sleep(Duration::from_millis(50)).await;
            now = Parts::of(node).await;
        }
        println!(
            "node {index} connected {attempts} times in {number} resets; {:?}, then {now:?}",
            base[index]
        );
        assert!(attempts <= at_the_most, "{attempts} are more than one each 100 ms");
        assert!(now.bytes <= base[index].bytes + GROWTH, "{now:?} instead of {:?}", base[index]);
        assert!(now.is_back_at(base[index]), "{now:?} instead of {:?}", base[index]);
        assert_eq!(node.metric("panics_total").await, 0);
    }
    let audience = Audience::of(&cluster, 80).await;
    let published = publish(&cluster, 0..20, Duration::from_millis(50)).await;
    publish_the_end(&cluster).await;
    audience.verdicts(&published).await.assert_sound();
}
