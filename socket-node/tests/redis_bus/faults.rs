//! When Redis dies, stands still, or is away for long.

use std::time::Duration;

use socket_node::cluster::redis::{
    bus::{Away, BusState},
    keys::Shard,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    node::{Node, topic},
    redis_server::Redis,
};

/// Publishes two events a millisecond, numbered from `first`, for as long as it takes, and says which number is next.
async fn publish_for(from: &Node, first: u64, duration: Duration) -> u64 {
    let end = Instant::now() + duration;
    let mut ticks = interval(Duration::from_millis(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = first;
    while Instant::now() < end {
        ticks.tick().await;
        for _ in 0..2 {
            // What is refused was never accepted: its number is given to the next.
            next += u64::from(from.publish("room", next).is_ok());
        }
    }
    next
}

async fn two_nodes(redis: &Redis) -> (Node, Node) {
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(redis.port()));
    to.listen("room").await;
    from.publish("room", 0).expect("room in the outbox");
    to.hears(1).await;
    // A node that is not known would not be waited for.
    from.knows(2).await;
    (from, to)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_accepted_is_lost_when_redis_is_killed_and_comes_back_empty() {
    let mut redis = Redis::start();
    let (from, to) = two_nodes(&redis).await;
    let mut next = 1;
    for round in 2..5 {
        let faults = async {
            sleep(Duration::from_millis(1_100)).await;
            redis.kill();
            sleep(Duration::from_millis(500)).await;
            redis.restart();
        };
        let ((), published) = tokio::join!(faults, publish_for(&from, next, Duration::from_secs(3)));
        next = published;
        to.hears(usize::try_from(next).unwrap()).await;
        to.wait_for(|state| *state == BusState::Listening(round)).await;
    }
    assert!(next > 10_000, "{next} were accepted");
    assert_eq!(to.numbers(), (0..next).collect::<Vec<_>>());
    let figures = from.bus.figures();
    assert_eq!((figures.unconfirmed, figures.reconnects), (0, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_redis_stands_still_for_three_seconds() {
    let redis = Redis::start();
    let (from, to) = two_nodes(&redis).await;
    let faults = async {
        sleep(Duration::from_millis(500)).await;
        redis.freeze();
        sleep(Duration::from_secs(3)).await;
        redis.thaw();
    };
    let ((), next) = tokio::join!(faults, publish_for(&from, 1, Duration::from_secs(4)));
    to.hears(usize::try_from(next).unwrap()).await;
    assert_eq!(to.numbers(), (0..next).collect::<Vec<_>>());
    assert_eq!(*to.bus.state(Shard::FIRST).borrow(), BusState::Listening(1), "the ear is patient");
    assert_eq!(from.bus.figures().unconfirmed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_redis_is_noticed_within_five_seconds_and_callers_do_not_wait_for_it() {
    let redis = Redis::start();
    let (from, to) = two_nodes(&redis).await;
    redis.freeze();
    let noticed = to.wait_for(|state| *state == BusState::Away).await;
    assert!(noticed <= Duration::from_secs(5), "{noticed:?}");
    let begin = Instant::now();
    assert_eq!(to.bus.listen(&topic("noted")).await, Err(Away));
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
    redis.thaw();
    to.wait_for(|state| *state == BusState::Listening(2)).await;
    from.publish("noted", 1).unwrap();
    to.hears(2).await;
    assert_eq!(to.numbers(), [0, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_outbox_refuses_and_loses_nothing_that_it_accepted() {
    let mut redis = Redis::start();
    let (from, to) = two_nodes(&redis).await;
    redis.kill();
    let accepted = (1..20_000).take_while(|number| from.publish("room", *number).is_ok()).count() as u64;
    let figures = from.bus.figures();
    assert_eq!((accepted, figures.outbox_messages), (10_000, 10_000));
    assert!(figures.outbox_bytes <= 16 << 20);
    assert_eq!(from.bus.flush(Duration::from_millis(10)).await, 10_000);
    assert_eq!(from.bus.figures().unconfirmed, 10_000);
    redis.restart();
    to.hears(10_001).await;
    assert_eq!(to.numbers(), (0..=10_000).collect::<Vec<_>>());
    from.publish("room", 10_001).unwrap();
    to.hears(10_002).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_before_redis_hears_as_soon_as_redis_is_there() {
    let mut redis = Redis::start();
    redis.kill();
    let (from, to) = (Node::start_alone(redis.port()), Node::start_alone(redis.port()));
    assert_eq!(to.bus.listen(&topic("room")).await, Err(Away));
    redis.restart();
    to.wait_for(|state| *state == BusState::Listening(1)).await;
    from.publish("room", 1).unwrap();
    to.hears(1).await;
}
