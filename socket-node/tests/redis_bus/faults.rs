//! When Redis dies, stands still, or is away for long.

use std::time::Duration;

use socket_node::cluster::redis::{
    bus::{Away, BusState},
    keys::Shard,
};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::{
    node::{Node, topic},
    proxy::Proxy,
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
async fn a_node_that_is_late_to_hear_does_not_take_that_for_silence() {
    // Six seconds of work, longer than it takes to notice a silent Redis.
    const MESSAGES: u64 = 600;
    let redis = Redis::start();
    let (from, to) =
        (Node::start_alone(redis.port()), Node::start_busy(redis.port(), Duration::from_millis(10)));
    for node in [&from, &to] {
        node.wait_for(|state| *state == BusState::Listening(1)).await;
    }
    to.listen("room").await;
    (0..MESSAGES).for_each(|number| from.publish("room", number).unwrap());
    to.hears(usize::try_from(MESSAGES).unwrap()).await;
    assert_eq!(to.numbers(), (0..MESSAGES).collect::<Vec<_>>());
    assert_eq!(*to.bus.state(Shard::FIRST).borrow(), BusState::Listening(1), "it has kept its connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_outbox_refuses_and_loses_nothing_that_it_accepted() {
    let mut redis = Redis::start();
    let (from, to) = two_nodes(&redis).await;
    redis.kill();
    let accepted = (1..20_000).take_while(|number| from.publish("room", *number).is_ok()).count() as u64;
    let figures = from.bus.figures();
    assert_eq!((accepted, figures.outbox_messages), (10_000, 10_000));
    assert!(figures.outbox_bytes <= 12 << 20);
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

/// What it hears last tells how much there was before: it has to come after the last cut.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_misses_that_alone_loses_its_connection_is_counted_to_the_event() {
    let redis = Redis::start();
    let way = Proxy::start(redis.port()).await;
    let (from, to) = tokio::join!(Node::start(redis.port()), Node::start(way.port));
    to.listen("room").await;
    from.publish("room", 0).unwrap();
    to.hears(1).await;
    assert_eq!(to.bus.figures().missed, 0);
    let cuts = async {
        for connection in 1..=5 {
            sleep(Duration::from_millis(200)).await;
            way.cut();
            to.wait_for(|state| *state == BusState::Listening(connection + 1)).await;
        }
    };
    let ((), next) = tokio::join!(cuts, publish_for(&from, 1, Duration::from_secs(3)));
    to.wait_for(|state| *state == BusState::Listening(6)).await;
    // What was not there for long enough to be heard of is no gap.
    to.listen("other").await;
    (0..10).for_each(|number| from.publish("other", 100_000 + number).unwrap());
    from.publish("room", next).unwrap();
    while to.numbers().last() != Some(&next) {
        to.hears(to.numbers().len() + 1).await;
    }
    let heard = to.numbers().iter().filter(|number| **number <= next).count() as u64;
    let missed = next + 1 - heard;
    assert!(missed > 0, "each cut costs something");
    assert_eq!(to.bus.figures().missed, missed);
    assert_eq!(from.bus.figures().missed, 0);
}

/// A topic that is listened to anew begins anew, and what is said again after a lost connection is said already.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_missed_of_what_a_node_did_not_listen_to_or_has_heard() {
    let mut redis = Redis::start();
    let (from, to) = two_nodes(&redis).await;
    for round in 0..3 {
        to.bus.unlisten(&topic("room"));
        // The quiet second that a topic stays.
        while to.bus.figures().topics > 0 {
            sleep(Duration::from_millis(10)).await;
        }
        (0..100).for_each(|number| from.publish("room", number).unwrap());
        from.bus.flush(Duration::from_secs(5)).await;
        to.listen("room").await;
        from.publish("room", 1_000 + round).unwrap();
        to.hears(usize::try_from(2 + round).unwrap()).await;
    }
    redis.kill();
    redis.restart();
    from.publish("room", 2_000).unwrap();
    to.hears(5).await;
    assert_eq!(to.numbers(), [0, 1_000, 1_001, 1_002, 2_000]);
    assert_eq!(to.bus.figures().missed, 0);
}
