//! What moves the metrics of apps that are looked up.

use std::time::Duration;

use futures_util::future::join_all;

use super::Values;
use crate::{
    cloud::live_apps::{World, path},
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

/// Who come for apps that there are not.
const CROWD: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn looking_for_apps_moves_the_metrics() {
    let world = World::start(1, &["--app-cache-ttl-seconds", "1"]).await;
    let node = world.node(0);
    let before = Values::of(node).await;
    let _client = node.connect().await;
    node.api().get("/channels").await.expect_status(200);
    // More than may be under way at once.
    rlimit::increase_nofile_limit(CROWD as u64 + 1_000).expect("the limit may be read");
    let paths: Vec<_> = (0..CROWD).map(|number| path(&format!("nobody-{number}"))).collect();
    let crowd = join_all(paths.iter().map(|path| node.connect_to(path))).await;
    Values::once(node, |values| values.get("app_lookups_refused_total") > 0.0).await;
    drop(crowd);
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
