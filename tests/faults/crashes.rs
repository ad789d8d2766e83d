//! A node is killed without warning.

use std::{collections::BTreeSet, time::Instant};

use serde_json::json;

use super::{
    GONE, ROOM, assert_once_each, come_and_go, expect_users, launch_with_webhooks, members, notices_until,
    told_of, told_until, users,
};
use crate::support::{cluster::Cluster, receiver::Receiver};

/// Members on the node that is killed, of which some are on another one too.
const MEMBERS: usize = 500;
const ELSEWHERE: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_node_that_was_killed_leave_once_and_those_who_are_elsewhere_stay() {
    let mut receiver = Receiver::start().await;
    let kinds = ["channel_vacated", "member_removed"];
    let mut cluster = Cluster::of(3, || launch_with_webhooks(&receiver, &kinds));
    let mut watcher = cluster.node(1).connect().await;
    watcher.subscribe_presence(ROOM, "watcher", json!({})).await;
    let _elsewhere = members(cluster.node(2), users(0..ELSEWHERE)).await;
    let doomed = members(cluster.node(0), users(0..MEMBERS)).await;
    let mut alone = cluster.node(0).connect().await;
    alone.subscribe("only-there").await;

    let killed = Instant::now();
    cluster.kill(0);
    cluster.node(1).api().get(&format!("/channels/{ROOM}?info=user_count")).await.expect_status(200);
    let answered = killed.elapsed();
    drop((doomed, alone));
    let left = MEMBERS - ELSEWHERE;
    let notices =
        notices_until(&mut watcher, GONE, |notices| told_of(notices, "member_removed") == left).await;
    println!("first answer after {answered:?}, the last member had left after {:?}", killed.elapsed());
    assert_once_each(&notices);
    let staying: BTreeSet<_> = users(0..ELSEWHERE).chain(["watcher".to_owned()]).collect();
    for node in &cluster.nodes()[1..] {
        expect_users(node, GONE, &staying).await;
    }
    watcher.expect_quiet().await;

    come_and_go(cluster.node(1), "last").await;
    let told = told_until(&mut receiver, left + 2, "last").await;
    let removed: Vec<_> = told.keys().filter(|told| told.starts_with("member_removed")).collect();
    assert_eq!(removed.len(), left);
    assert!(users(0..ELSEWHERE).all(|user| !told.contains_key(&format!("member_removed {ROOM} {user}"))));
    assert_eq!(told.get("channel_vacated only-there"), Some(&1));
    assert!(told.values().all(|times| *times == 1), "{told:?}");
    assert_eq!(told.len(), left + 2, "nothing else was vacated");
}

/// Both nodes that are left find the lease expired; two hundred channels on all shards, several times over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_that_clear_away_after_a_third_tell_of_everything_once() {
    const CHANNELS: usize = 200;
    for round in 0..3 {
        let mut receiver = Receiver::start().await;
        let mut cluster = Cluster::of(3, || launch_with_webhooks(&receiver, &["channel_vacated"]));
        let mut doomed = cluster.node(0).connect().await;
        for channel in 0..CHANNELS {
            doomed.subscribe(&format!("channel-{channel}")).await;
        }
        cluster.kill(0);
        let mut told = Vec::new();
        while told.len() < CHANNELS {
            told.extend(receiver.next_within(3 * GONE).await.events());
        }
        come_and_go(cluster.node(1), "last").await;
        told.push(receiver.next_within(GONE).await.events().remove(0));
        assert_eq!(told.last().map(|event| &event["channel"]), Some(&json!("last")), "round {round}");
        let channels: BTreeSet<_> = told.iter().map(|event| event["channel"].to_string()).collect();
        assert_eq!((told.len(), channels.len()), (CHANNELS + 1, CHANNELS + 1), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_of_what_a_killed_node_has_answered_are_sent_by_the_others() {
    const CHANNELS: usize = 300;
    for round in 0..3 {
        let mut receiver = Receiver::start().await;
        let kinds = ["channel_occupied", "channel_vacated"];
        let mut cluster = Cluster::of(2, || launch_with_webhooks(&receiver, &kinds));
        let mut doomed = cluster.node(0).connect().await;
        for channel in 0..CHANNELS {
            doomed.ask(json!({"channel": format!("channel-{channel}")})).await;
        }
        for channel in 0..CHANNELS {
            doomed.expect_subscribed(&format!("channel-{channel}")).await;
        }
        cluster.kill(0);
        // The occupied channels have to be told of before they are found to be vacated.
        let mut ids = std::collections::BTreeMap::new();
        let mut vacated = BTreeSet::new();
        while vacated.len() < CHANNELS {
            let delivery = receiver.next_within(3 * GONE).await;
            let id = delivery.header("x-socket-rush-delivery").expect("every delivery has an id").to_owned();
            for told in super::told_by(&delivery) {
                if told.starts_with("channel_vacated") {
                    vacated.insert(told.clone());
                }
                let earlier = ids.insert(told.clone(), id.clone());
                assert!(
                    earlier.is_none_or(|earlier| earlier == id),
                    "round {round}: two deliveries of {told}"
                );
            }
        }
        let occupied = ids.keys().filter(|told| told.starts_with("channel_occupied")).count();
        assert_eq!(occupied, CHANNELS, "round {round}");
    }
}
