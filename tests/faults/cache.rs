//! The last event of a cache channel, kept in a Redis that nodes share: what they know of it, and what becomes of it when
//! Redis or all of them end.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{RECOVERY, expect_ready};
use crate::support::{
    client::Client,
    cluster::Cluster,
    node::{Launch, Node, unique_prefix},
    receiver::Receiver,
    redis::Redis,
};

const CACHE: [&str; 2] = ["--cache-driver", "redis"];

/// What `GET /channels/cache-room?info=cache` tells of the last event's data.
async fn kept_data(node: &Node) -> Value {
    let told = node.api().get("/channels/cache-room?info=cache").await.expect_status(200).json();
    told["cache"]["data"].clone()
}

/// A newcomer of the channel, and the event that follows its success.
async fn newcomer(node: &Node) -> (Client, String) {
    let mut client = node.connect().await;
    client.subscribe("cache-room").await;
    let replay = client.frame().await;
    (client, replay.event)
}

/// The keys of the last events.
fn keys(redis: &Redis, prefix: &str) -> Vec<String> {
    redis.ask(&["KEYS", &format!("{prefix}:*:cache:*")])
}

#[tokio::test]
async fn what_one_node_has_published_is_replayed_by_another_that_had_no_subscribers() {
    let cluster = Cluster::start(2, &CACHE);
    let [here, there] = [0, 1].map(|index| cluster.node(index));
    for number in 1..=3 {
        here.api().publish("cache-room", "tick", number).await;
    }
    assert_eq!(kept_data(there).await, "3");
    let mut client = there.connect().await;
    client.subscribe("cache-room").await;
    client.expect_text(r#"{"event":"tick","channel":"cache-room","data":"3"}"#).await;
    here.api().publish("cache-room", "tick", 4).await;
    client.expect_text(r#"{"event":"tick","channel":"cache-room","data":"4"}"#).await;
    client.expect_quiet().await;
    // A node that listened for a while, and did not hear the last one.
    client.unsubscribe("cache-room").await;
    sleep(Duration::from_millis(1_500)).await;
    here.api().publish("cache-room", "tick", 5).await;
    client.subscribe("cache-room").await;
    assert_eq!(client.expect("tick").await.data, "5");
}

#[tokio::test]
async fn an_event_is_forgotten_half_an_hour_after_it_was_published() {
    let cluster = Cluster::start(2, &CACHE);
    cluster.node(0).api().publish("cache-room", "kept", 1).await;
    let keys = keys(&cluster.redis, &cluster.prefix);
    assert_eq!(keys.len(), 1, "{keys:?}");
    let left: u64 = cluster.redis.ask(&["PTTL", &keys[0]]);
    assert!((1_790_000..=1_800_000).contains(&left), "{left}");
    cluster.redis.ask::<()>(&["PEXPIRE", &keys[0], "900000"]);
    let told = cluster.node(1).api().get("/channels/cache-room?info=cache").await.json();
    assert!(told["cache"]["ttl"].as_u64().is_some_and(|seconds| (880..=900).contains(&seconds)), "{told}");
    cluster.redis.ask::<()>(&["PEXPIRE", &keys[0], "1"]);
    while cluster.redis.ask::<u64>(&["EXISTS", &keys[0]]) == 1 {
        sleep(Duration::from_millis(1)).await;
    }
    for node in cluster.nodes() {
        assert_eq!(kept_data(node).await, Value::Null);
        assert_eq!(newcomer(node).await.1, "pusher:cache_miss");
    }
}

#[tokio::test]
async fn the_last_event_outlives_every_node() {
    let mut cluster = Cluster::start(2, &CACHE);
    cluster.node(0).api().publish("cache-room", "kept", 1).await;
    for index in 0..2 {
        cluster.node_mut(index).stop().await;
    }
    let node = Launch::new().flags(CACHE).on_redis(cluster.redis.address, &cluster.prefix).start_alone();
    assert_eq!(kept_data(&node).await, "1");
    assert_eq!(newcomer(&node).await.1, "kept");
}

#[tokio::test]
async fn while_redis_is_away_nodes_replay_what_they_know_and_an_empty_one_is_given_it_back() {
    let mut cluster = Cluster::start(2, &CACHE);
    let (mut early, _) = newcomer(cluster.node(1)).await;
    cluster.node(0).api().publish("cache-room", "first", 1).await;
    early.expect("first").await;

    cluster.redis.kill();
    // Both know it: one has taken it, the other has heard it.
    for node in cluster.nodes() {
        assert_eq!(newcomer(node).await.1, "first");
        assert_eq!(kept_data(node).await, "1");
    }
    cluster.redis.restart();
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
    }
    let filled = async {
        while keys(&cluster.redis, &cluster.prefix).is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(RECOVERY, filled).await.expect("whoever has subscribers of the channel gives it back");
    let third = Launch::new().flags(CACHE).on_redis(cluster.redis.address, &cluster.prefix).start_alone();
    assert_eq!(newcomer(&third).await.1, "first");
}

#[tokio::test]
async fn what_was_published_while_redis_was_away_is_the_last_event_everywhere_afterwards() {
    let mut cluster = Cluster::start(2, &CACHE);
    let (mut early, _) = newcomer(cluster.node(1)).await;
    // A node waits for others that it knows of, and it counts them every second.
    for number in 0..30 {
        cluster.node(0).api().publish("cache-room", "before", number).await;
        early.expect("before").await;
        sleep(Duration::from_millis(50)).await;
    }
    cluster.redis.kill();
    cluster.node(0).api().publish("cache-room", "meanwhile", 2).await;
    assert_eq!(newcomer(cluster.node(0)).await.1, "meanwhile");
    cluster.redis.restart();
    assert_eq!(early.frame_within(RECOVERY).await.event, "meanwhile");
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
        assert_eq!(newcomer(node).await.1, "meanwhile");
        assert_eq!(kept_data(node).await, "2");
    }
}

#[tokio::test]
async fn a_redis_that_stands_still_keeps_no_newcomer_waiting_for_long() {
    /// What listening to a channel may take, what its last event may, and some time.
    const ANSWER: Duration = Duration::from_secs(5);
    let cluster = Cluster::start(2, &CACHE);
    let [here, there] = [0, 1].map(|index| cluster.node(index));
    let _early = newcomer(there).await;
    here.api().publish("cache-room", "kept", 1).await;
    here.api().publish("cache-other", "kept", 1).await;
    assert_eq!(newcomer(there).await.1, "kept");
    cluster.redis.freeze();
    let at = Instant::now();
    assert_eq!(newcomer(there).await.1, "kept", "it has subscribers, and knows");
    assert!(at.elapsed() < Duration::from_secs(1), "{:?}", at.elapsed());
    let mut client = here.connect().await;
    client.ask(json!({"channel": "cache-other"})).await;
    client.frame_within(ANSWER).await;
    assert_eq!(client.frame().await.event, "kept", "it has taken it itself");
    let at = Instant::now();
    here.api().publish("cache-other", "another", 2).await;
    client.expect("another").await;
    assert!(at.elapsed() < Duration::from_millis(1_500), "{:?}", at.elapsed());
    cluster.redis.thaw();
}

/// Of each channel, newcomers on all nodes, one after the other, hear the last event and then all that follow.
async fn watch(cluster: &Cluster, channel: &str, rounds: usize) {
    for round in 0..rounds {
        let mut client = cluster.nodes()[round % cluster.nodes().len()].connect().await;
        client.subscribe(channel).await;
        let mut last: u64 = client.expect("tick").await.data.parse().expect("a number");
        for _ in 0..8 {
            let next: u64 = client.expect("tick").await.data.parse().expect("a number");
            assert_eq!(next, last + 1, "on {channel}, in round {round}");
            last = next;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newcomers_on_all_nodes_get_the_last_event_and_exactly_what_follows_in_a_storm() {
    let cluster = Cluster::start(2, &CACHE);
    let channels: Vec<_> = (0..6).map(|number| format!("cache-storm-{number}")).collect();
    for channel in &channels {
        cluster.node(0).api().publish(channel, "tick", 0).await;
    }
    let publishing = channels.iter().enumerate().map(|(number, channel)| {
        let api = cluster.node(number % 2).api();
        async move {
            for number in 1..u64::MAX {
                api.publish(channel, "tick", number).await;
            }
        }
    });
    let watching = channels.iter().flat_map(|channel| (0..4).map(|_| watch(&cluster, channel, 15)));
    tokio::select! {
        _ = join_all(publishing) => unreachable!("they never end"),
        _ = join_all(watching) => {}
    }
}

#[tokio::test]
async fn a_miss_is_told_once_by_all_nodes_together_until_the_channel_was_filled() {
    let mut receiver = Receiver::start().await;
    let cluster = Cluster::of(2, || super::launch_with_webhooks(&receiver, &["cache_miss"]).flags(CACHE));
    for _ in 0..3 {
        for node in cluster.nodes() {
            assert_eq!(newcomer(node).await.1, "pusher:cache_miss");
        }
    }
    assert_eq!(super::told_by(&receiver.next().await), ["cache_miss cache-room"]);
    cluster.node(0).api().publish("cache-room", "kept", 1).await;
    assert_eq!(newcomer(cluster.node(1)).await.1, "kept");
    let keys = keys(&cluster.redis, &cluster.prefix);
    cluster.redis.ask::<()>(&["DEL", &keys[0]]);
    // Nobody is left who would know better.
    let third = super::launch_with_webhooks(&receiver, &["cache_miss"]).flags(CACHE);
    let third = third.on_redis(cluster.redis.address, &cluster.prefix).start_alone();
    for node in [&third, cluster.node(0), &third] {
        assert_eq!(newcomer(node).await.1, "pusher:cache_miss");
    }
    assert_eq!(super::told_by(&receiver.next().await), ["cache_miss cache-room"]);
    let mut last = third.connect().await;
    last.subscribe("cache-last").await;
    last.expect("pusher:cache_miss").await;
    assert_eq!(super::told_by(&receiver.next().await), ["cache_miss cache-last"]);
}

/// Nodes that share nothing but the cache.
fn apart(redis: &Redis, prefix: &str) -> Node {
    let url = redis.address.to_string();
    Launch::new().flags(CACHE).flags(["--redis-url", &url, "--redis-prefix", prefix]).start_alone()
}

#[tokio::test]
async fn nodes_that_do_not_hear_each_other_may_share_the_cache() {
    let (redis, prefix) = (Redis::start(), unique_prefix());
    let (mut here, there) = (apart(&redis, &prefix), apart(&redis, &prefix));
    let (mut watcher, miss) = newcomer(&there).await;
    assert_eq!(miss, "pusher:cache_miss");
    here.api().publish("cache-room", "kept", 1).await;
    assert_eq!(newcomer(&there).await.1, "kept");
    assert_eq!(kept_data(&there).await, "1");
    there.api().publish("cache-room", "newer", 2).await;
    assert_eq!(newcomer(&here).await.1, "newer");
    watcher.expect("newer").await;
    watcher.expect_quiet().await;
    here.stop().await;
    assert_eq!(newcomer(&apart(&redis, &prefix)).await.1, "newer");
}

#[tokio::test]
async fn a_node_that_is_alone_goes_on_without_its_cache_and_gives_back_what_redis_has_lost() {
    let (mut redis, prefix) = (Redis::start(), unique_prefix());
    let node = apart(&redis, &prefix);
    node.api().publish("cache-room", "kept", 1).await;
    redis.kill();
    assert_eq!(newcomer(&node).await.1, "kept");
    let at = Instant::now();
    node.api().publish("cache-room", "newer", 2).await;
    assert!(at.elapsed() < Duration::from_secs(1), "{:?}", at.elapsed());
    assert_eq!(newcomer(&node).await.1, "newer");
    redis.restart();
    let kept = async {
        while keys(&redis, &prefix).is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(RECOVERY, kept).await.expect("what was published meanwhile");
    assert_eq!(newcomer(&apart(&redis, &prefix)).await.1, "newer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_alone_replays_the_last_event_and_exactly_what_follows_in_a_storm() {
    let (redis, prefix) = (Redis::start(), unique_prefix());
    let node = apart(&redis, &prefix);
    let api = node.api();
    api.publish("cache-room", "tick", 0).await;
    let publishing = async {
        for number in 1..=u64::MAX {
            api.publish("cache-room", "tick", number).await;
        }
    };
    let watching = (0..4).map(|_| async {
        for _ in 0..25 {
            let mut client = node.connect().await;
            client.subscribe("cache-room").await;
            let mut last: u64 = client.expect("tick").await.data.parse().expect("a number");
            for _ in 0..5 {
                let next: u64 = client.expect("tick").await.data.parse().expect("a number");
                assert_eq!(next, last + 1);
                last = next;
            }
        }
    });
    tokio::select! {
        () = publishing => {}
        _ = join_all(watching) => {}
    }
}
