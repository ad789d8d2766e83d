//! A primary that sentinels watch is killed.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    faults::{
        RECOVERY, ROOM, expect_ready, expect_users, members, sentinels,
        traffic::{Audience, publish, publish_the_end},
        users,
    },
    support::{cluster::Cluster, sentinels::start as start_watched},
};

/// After so long, nodes have found the successor of a primary that was killed: three seconds until sentinels believe it,
/// and the time to agree, to be promoted and to be found.
const SUCCESSION: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes a minute: tests/faults-long"]
async fn a_primary_that_is_killed_under_load_has_a_successor_and_costs_no_event_and_no_member() {
    const BEAT: Duration = Duration::from_millis(50);
    let (primary, watching) = start_watched();
    let mut cluster = Cluster::watched(2, &sentinels::flags(&watching), primary);
    let audience = Audience::of(&cluster, 100).await;
    let _here = members(cluster.node(0), users(0..10)).await;
    let _there = members(cluster.node(1), users(10..20)).await;
    let everybody: BTreeSet<_> = users(0..20).collect();
    let mut watcher = cluster.node(1).connect().await;
    watcher.subscribe_presence(ROOM, "watcher", json!({})).await;
    cluster.node(0).api().publish("cache-room", "kept", 1).await;
    let mut published = publish(&cluster, 0..40, BEAT).await;

    cluster.redis.kill();
    let killed = Instant::now();
    let successor = async {
        for node in cluster.nodes() {
            // It may not have noticed yet.
            while node.api().request_at("GET", "/ready").send().await.status == 200 {
                tokio::time::sleep(BEAT).await;
            }
        }
        for node in cluster.nodes() {
            expect_ready(node, SUCCESSION).await;
        }
        killed.elapsed()
    };
    let (more, ready) = tokio::join!(publish(&cluster, 40..300, BEAT), successor);
    println!("both are ready again after {ready:?}");
    assert!(ready <= SUCCESSION, "{ready:?}");
    published.extend(more);
    sentinels::expect_to_hear_each_other(cluster.nodes()).await;
    publish_the_end(&cluster).await;
    assert!(published.iter().all(|event| event.acknowledged), "there was room for all of them");
    audience.verdicts(&published).await.assert_sound();

    for node in cluster.nodes() {
        let with_watcher = everybody.iter().cloned().chain(["watcher".to_owned()]).collect();
        expect_users(node, RECOVERY, &with_watcher).await;
        let mut client = node.connect().await;
        client.subscribe("cache-room").await;
        client.expect("kept").await;
    }
    // Longer than members are believed in whom nobody has entered again.
    tokio::time::sleep(Duration::from_secs(15)).await;
    watcher.expect_quiet().await;
}
