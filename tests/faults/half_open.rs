//! Clients that vanish without a word.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use super::{ROOM, assert_once_each, notices_until, told_of, users};
use crate::support::{
    client::Client,
    cluster::Cluster,
    proxy::{Line, Proxy},
};

const VANISHING: usize = 95;

/// One second of silence, thirty to answer a probe, and some time for all of it.
const NOTICED: Duration = Duration::from_secs(45);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_vanish_without_a_word_have_left_once_their_probe_is_unanswered() {
    let cluster = Cluster::start(2, &["--app-activity-timeout", "1"]);
    let mut watcher = cluster.node(1).connect().await;
    watcher.subscribe_presence(ROOM, "watcher", json!({})).await;
    let line = Proxy::to(cluster.node(0).address).await;
    let vanishing = users(0..VANISHING).map(|user| async {
        let mut client = Client::connect(line.address, &cluster.node(0).credentials).await;
        client.subscribe_presence(ROOM, user, json!({})).await;
        client
    });
    // They answer probes for as long as the line is sound.
    let answer =
        |mut client: Client| async move { while client.message_within(2 * NOTICED).await.is_some() {} };
    let vanishing: Vec<_> =
        join_all(vanishing).await.into_iter().map(|client| tokio::spawn(answer(client))).collect();
    notices_until(&mut watcher, NOTICED, |notices| told_of(notices, "member_added") == VANISHING).await;

    line.set(Line::BlackHole);
    let notices =
        notices_until(&mut watcher, NOTICED, |notices| told_of(notices, "member_removed") == VANISHING).await;
    assert_once_each(&notices);
    let told = cluster.node(1).api().get(&format!("/channels/{ROOM}?info=user_count")).await.json();
    assert_eq!(told, json!({"occupied": true, "user_count": 1}));
    vanishing.iter().for_each(tokio::task::JoinHandle::abort);
}
