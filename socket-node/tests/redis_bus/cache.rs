//! The last events of cache channels, written on the way that the bus takes.

use socket_node::{
    cluster::redis::{bus::BusState, cache::RedisCache},
    protocol::Frame,
};
use tokio::time::{Duration, timeout};

use crate::{
    node::{DEADLINE, Node, numbered, stranger, topic},
    proxy::Proxy,
    redis_server::Redis,
};

const CHANNEL: &str = "cache-room";

fn cache_of(node: &Node) -> RedisCache {
    RedisCache::beside(node.bus.clone(), node.lines.clone())
}

/// Has an event kept, and waits until it is.
async fn keep(cache: &RedisCache, number: u64) {
    cache.keep(&topic(CHANNEL), &numbered(CHANNEL, number), None).expect("room in the outbox");
    cache.settle(&topic(CHANNEL), DEADLINE).await;
}

async fn last(cache: &RedisCache) -> Option<Frame> {
    cache.recall(&topic(CHANNEL)).await.expect("Redis answers").kept.map(|kept| kept.frame)
}

#[tokio::test]
async fn what_is_said_again_after_a_lost_connection_does_not_take_the_place_of_what_came_later() {
    let redis = Redis::start();
    let way = Proxy::start(redis.port()).await;
    let (one, other) = tokio::join!(Node::start(way.port), Node::start(redis.port()));
    let (early, late) = (cache_of(&one), cache_of(&other));
    assert_eq!(last(&early).await, None);
    keep(&early, 1).await;
    keep(&late, 2).await;
    assert_eq!(last(&early).await, Some(numbered(CHANNEL, 2)));
    other.listen(CHANNEL).await;
    way.cut();
    // It says again what was answered a moment ago: the listener had not heard it.
    other.hears(1).await;
    assert_eq!(other.numbers(), [1]);
    assert_eq!(last(&late).await, Some(numbered(CHANNEL, 2)));
    one.wait_for(|state| *state == BusState::Listening(2)).await;
    keep(&early, 3).await;
    assert_eq!(last(&late).await, Some(numbered(CHANNEL, 3)));
}

#[tokio::test]
async fn a_miss_is_the_first_one_on_one_node_and_until_the_channel_was_filled() {
    let redis = Redis::start();
    let (one, other) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    let (here, there) = (cache_of(&one), cache_of(&other));
    let is_first = async |cache: &RedisCache| cache.is_first_miss(&topic(CHANNEL)).await;
    assert_eq!(is_first(&here).await, Ok(true));
    assert_eq!((is_first(&here).await, is_first(&there).await), (Ok(false), Ok(false)));
    keep(&here, 1).await;
    assert_eq!(is_first(&there).await, Ok(false), "it is filled");
    let mut stranger = stranger(redis.port()).await;
    let key: Vec<String> =
        redis::cmd("KEYS").arg("*:cache:*").query_async(&mut stranger).await.expect("an answer");
    redis::cmd("DEL").arg(key).exec_async(&mut stranger).await.expect("an answer");
    assert_eq!((is_first(&there).await, is_first(&here).await), (Ok(true), Ok(false)));
}

#[tokio::test]
async fn nobody_waits_long_for_a_silent_cache_and_not_at_all_for_one_that_is_known_to_be_away() {
    let redis = Redis::start();
    let node = Node::start(redis.port()).await;
    let cache = cache_of(&node);
    redis.freeze();
    timeout(Duration::from_millis(1_500), cache.recall(&topic(CHANNEL)))
        .await
        .expect("a second")
        .unwrap_err();
    node.wait_for(|state| *state == BusState::Away).await;
    cache.keep(&topic(CHANNEL), &numbered(CHANNEL, 1), None).expect("room in the outbox");
    timeout(Duration::from_millis(100), cache.kept(&topic(CHANNEL))).await.expect("no waiting");
    redis.thaw();
    node.wait_for(|state| matches!(state, BusState::Listening(_))).await;
    cache.settle(&topic(CHANNEL), DEADLINE).await;
    assert_eq!(last(&cache).await, Some(numbered(CHANNEL, 1)));
}
