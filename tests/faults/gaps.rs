//! What a node misses that alone was cut off from Redis, counted by itself.

use std::time::{Duration, Instant};

use tokio::join;

use super::{
    expect_ready,
    traffic::{Audience, CHANNELS, Published, publish, publish_the_end},
    until_unready,
};
use crate::support::{cluster::Cluster, node::METRICS, proxy::Line};

const BEAT: Duration = Duration::from_millis(50);

/// Within this time a node notices that Redis is silent, though its connections stand.
const NOTICED: Duration = Duration::from_secs(5);

/// Within this time it hears others again.
const HEARING: Duration = Duration::from_secs(3);

/// Two nodes that have ways of their own to Redis, with a client of every channel on each: an event that a node misses is
/// one that one client misses.
async fn two_nodes_with_a_client_of_each_channel() -> (Cluster, Audience, Vec<Published>) {
    let cluster = Cluster::behind_proxies(2, &METRICS).await;
    let audience = Audience::of(&cluster, 2 * CHANNELS).await;
    let published = publish(&cluster, 0..20, BEAT).await;
    (cluster, audience, published)
}

async fn missed(cluster: &Cluster, node: usize) -> u64 {
    cluster.node(node).metric("bus_messages_missed_total").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_misses_while_it_alone_is_cut_off_is_counted_to_the_event() {
    let (cluster, audience, mut published) = two_nodes_with_a_client_of_each_channel().await;
    cluster.proxy(1).set(Line::BlackHole);
    // Twenty seconds.
    let (during, noticed) =
        join!(publish(&cluster, 20..220, Duration::from_millis(100)), until_unready(cluster.node(1)));
    assert!(noticed <= NOTICED, "{noticed:?}");
    cluster.proxy(1).set(Line::Sound);
    let healed = Instant::now();
    cluster.node(1).wait_for_log("hearing from Redis generation=2").await;
    let hearing = healed.elapsed();
    assert!(hearing <= HEARING, "{hearing:?}");
    published.extend(during);
    published.extend(publish(&cluster, 220..240, BEAT).await);
    publish_the_end(&cluster).await;
    assert!(published.iter().all(|event| event.acknowledged), "there is room for all of it");
    let lost = audience.verdicts(&published).await.assert_sound_but_for_lost();
    println!("noticed after {noticed:?}, hearing again after {hearing:?}; {lost} events lost");
    assert!(lost > 1_000, "half of two thousand and more: {lost}");
    assert_eq!((missed(&cluster, 0).await, missed(&cluster, 1).await), (0, lost));
}

/// Its peer waits for it for three seconds, then says what it has to those who are there, and counts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_wait_for_a_node_that_stays_away_is_unconfirmed_and_missed() {
    let (mut cluster, audience, mut published) = two_nodes_with_a_client_of_each_channel().await;
    cluster.redis.kill();
    cluster.proxy(1).set(Line::Refusing);
    published.extend(publish(&cluster, 20..60, BEAT).await);
    cluster.redis.restart();
    published.extend(publish(&cluster, 60..160, BEAT).await);
    cluster.proxy(1).set(Line::Sound);
    expect_ready(cluster.node(1), super::RECOVERY).await;
    published.extend(publish(&cluster, 160..180, BEAT).await);
    publish_the_end(&cluster).await;
    let lost = audience.verdicts(&published).await.assert_sound_but_for_lost();
    let unconfirmed = cluster.node(0).metric("bus_messages_unconfirmed_total").await;
    println!("{lost} events lost, {unconfirmed} unconfirmed");
    assert!(lost > 0 && unconfirmed > 0, "it stayed away for longer than it is waited for");
    assert_eq!((missed(&cluster, 0).await, missed(&cluster, 1).await), (0, lost));
}
