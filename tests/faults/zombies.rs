//! A node that stands still for longer than its lease, and then goes on as if nothing had happened.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::{GONE, RECOVERY, ROOM, assert_once_each, expect_users, members, notices_until, told_of, users};
use crate::support::cluster::Cluster;

const MEMBERS: usize = 90;

/// How long the node stands still: two leases.
const STANDSTILL: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_node_that_stood_still_leave_once_and_come_back_once() {
    let cluster = Cluster::start(2, &[]);
    let mut watcher = cluster.node(1).connect().await;
    watcher.subscribe_presence(ROOM, "watcher", json!({})).await;
    let _zombies = members(cluster.node(0), users(0..MEMBERS)).await;
    notices_until(&mut watcher, RECOVERY, |notices| told_of(notices, "member_added") == MEMBERS).await;

    cluster.freeze(0);
    let over = Instant::now() + STANDSTILL;
    let left =
        notices_until(&mut watcher, GONE, |notices| told_of(notices, "member_removed") == MEMBERS).await;
    assert_once_each(&left);
    assert_eq!(told_of(&left, "member_added"), 0);
    let watcher_alone = BTreeSet::from(["watcher".to_owned()]);
    expect_users(cluster.node(1), Duration::from_secs(1), &watcher_alone).await;

    sleep_until(over).await;
    watcher.expect_quiet().await;
    cluster.thaw(0);
    let back =
        notices_until(&mut watcher, RECOVERY, |notices| told_of(notices, "member_added") == MEMBERS).await;
    assert_once_each(&back);
    assert_eq!(told_of(&back, "member_removed"), 0);
    let everybody: BTreeSet<_> = users(0..MEMBERS).chain(["watcher".to_owned()]).collect();
    for node in cluster.nodes() {
        expect_users(node, RECOVERY, &everybody).await;
    }
    watcher.expect_quiet().await;
}
