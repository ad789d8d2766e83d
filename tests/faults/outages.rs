//! Redis is gone, or does not answer.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{join, time::sleep};

use super::{
    RECOVERY, ROOM, come_and_go, expect_ready, expect_users, launch_with_webhooks, members, told_until,
    traffic::{Audience, publish, publish_surely, publish_the_end},
    users,
};
use crate::support::{
    cluster::Cluster,
    node::{METRICS, Node},
    receiver::Receiver,
};

/// How long the fault lasts.
const OUTAGE: Duration = Duration::from_secs(2);

const BEAT: Duration = Duration::from_millis(50);

/// So long after Redis answers again, every node hears the others.
const HEARING: Duration = Duration::from_secs(3);

/// So long after Redis answers again, everybody is in it again.
const FILLED: Duration = Duration::from_secs(5);

/// Messages that may not have reached every node, as all nodes count them.
async fn unconfirmed(nodes: &[Node]) -> u64 {
    let mut sum = 0;
    for node in nodes {
        sum += node.metric("bus_messages_unconfirmed_total").await;
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_empty_costs_no_event() {
    let mut cluster = Cluster::start(2, &METRICS);
    let audience = Audience::of(&cluster, 100).await;
    let mut published = publish(&cluster, 0..20, BEAT).await;
    cluster.redis.kill();
    published.extend(publish(&cluster, 20..60, BEAT).await);
    cluster.redis.restart();
    let (after, hearing) = join!(publish(&cluster, 60..100, BEAT), cluster.all_hear(HEARING));
    published.extend(after);
    publish_the_end(&cluster).await;
    let acknowledged = published.iter().filter(|event| event.acknowledged).count();
    let unconfirmed = unconfirmed(cluster.nodes()).await;
    println!(
        "{acknowledged} of {} acknowledged; all hear after {hearing:?}; {unconfirmed} unconfirmed",
        published.len()
    );
    audience.verdicts(&published).await.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_filled_again_and_nobody_is_told_to_have_left() {
    let mut receiver = Receiver::start().await;
    let kinds = ["channel_vacated", "member_removed"];
    let mut cluster = Cluster::of(2, || launch_with_webhooks(&receiver, &kinds));
    let mut here = members(cluster.node(0), users(0..20)).await;
    let mut there = members(cluster.node(1), users(10..30)).await;
    let everybody: BTreeSet<_> = users(0..30).collect();
    expect_users(cluster.node(0), RECOVERY, &everybody).await;
    cluster.redis.kill();
    sleep(OUTAGE).await;
    cluster.redis.restart();
    let answering = Instant::now();
    for node in cluster.nodes() {
        expect_ready(node, FILLED).await;
        expect_users(node, FILLED, &everybody).await;
    }
    let filled = answering.elapsed();
    println!("filled again after {filled:?}");
    assert!(filled <= FILLED, "{filled:?}");
    // They are heard again, too: the last one goes, and everybody is told of nobody else.
    there.pop().expect("there are some").close().await;
    for client in here.iter_mut().chain(&mut there) {
        loop {
            let frame = client.frame().await;
            assert_ne!(frame.event, "pusher:error", "{}", frame.text);
            if frame.event == "pusher_internal:member_removed" {
                assert_eq!(frame.json(), json!({"user_id": "u29"}));
                break;
            }
        }
    }
    come_and_go(cluster.node(1), "last").await;
    let told = told_until(&mut receiver, 2, "last").await;
    let expected = ["channel_vacated last".to_owned(), format!("member_removed {ROOM} u29")];
    assert_eq!(told.into_keys().collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_for_three_seconds_costs_no_event_and_no_connection() {
    let cluster = Cluster::start(2, &[]);
    let audience = Audience::of(&cluster, 100).await;
    let mut published = publish(&cluster, 0..20, BEAT).await;
    cluster.redis.freeze();
    published.extend(publish(&cluster, 20..80, BEAT).await);
    cluster.redis.thaw();
    published.extend(publish(&cluster, 80..120, BEAT).await);
    publish_the_end(&cluster).await;
    audience.verdicts(&published).await.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_redis_that_are_reset_all_the_time_come_back_at_a_measured_pace() {
    const STORM: u32 = 20;
    const GUST: Duration = Duration::from_millis(500);
    let cluster = Cluster::behind_proxies(2, &[]).await;
    let mut local = cluster.node(0).connect().await;
    local.subscribe("room").await;
    let before: Vec<_> = (0..2).map(|node| cluster.proxy(node).accepted()).collect();
    for number in 0..STORM {
        (0..2).for_each(|node| cluster.proxy(node).reset_all());
        sleep(GUST).await;
        let event = json!({"name": "gust", "channel": "room", "data": number.to_string()});
        publish_surely(cluster.node(0), &event).await;
        assert_eq!(local.expect("gust").await.data, number.to_string());
    }
    let at_the_most = (GUST * STORM).as_millis() / 100 * 3;
    for (node, before) in before.into_iter().enumerate() {
        let attempts = cluster.proxy(node).accepted() - before;
        println!("node {node} connected {attempts} times");
        assert!(attempts as u128 <= at_the_most, "{attempts} are more than one each 100 ms");
    }
    let audience = Audience::of(&cluster, 80).await;
    let published = publish(&cluster, 0..20, BEAT).await;
    publish_the_end(&cluster).await;
    audience.verdicts(&published).await.assert_sound();
}
