//! What moves the metrics of apps that are looked up.

use std::time::Duration;

use super::Values;
use crate::{
    cloud::apps::{World, path},
    support::aws_faults::Fault,
};

pub(super) const BY_LOOKING_UP: &[&str] = &[
    "apps_known",
    "app_lookups_total",
    "app_cache_hits_total",
    "app_lookup_errors_total",
    "app_cache_stale_total",
    "app_lookups_refused_total",
];

#[tokio::test(flavor = "multi_thread")]
async fn looking_for_apps_moves_the_metrics() {
    let world = World::start(1, &["--app-cache-ttl-seconds", "1"]).await;
    let node = world.node(0);
    let before = Values::of(node).await;
    let _client = node.connect().await;
    node.api().get("/channels").await.expect_status(200);
    // More than may be asked for in vain at once.
    for number in 0..1_000 {
        node.connect_to(&path(&format!("nobody-{number}"))).await;
        if Values::of(node).await.get("app_lookups_refused_total") > 0.0 {
            break;
        }
    }
    world.faults.set(&[Fault::Refuse(500, "InternalServerError")]);
    let is_stale = async {
        while Values::of(node).await.get("app_cache_stale_total") == 0.0 {
            node.api().get("/channels").await.expect_status(200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(super::DEADLINE, is_stale).await.expect("what is known is too old");
    Values::of(node).await.assert_grown(&before, BY_LOOKING_UP);
}
