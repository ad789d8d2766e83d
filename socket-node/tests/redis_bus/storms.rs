//! When connections break again and again.

use std::time::Duration;

use socket_node::cluster::redis::bus::BusState;
use tokio::time::{Instant, interval, sleep};

use crate::{node::Node, proxy::Proxy, redis_server::Redis};

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_all_the_time_are_opened_again_without_haste() {
    const STORM: Duration = Duration::from_secs(10);
    let redis = Redis::start();
    let (one_way, other_way) = tokio::join!(Proxy::start(redis.port()), Proxy::start(redis.port()));
    let (from, to) = tokio::join!(Node::start(one_way.port), Node::start(other_way.port));
    to.listen("room").await;
    let end = Instant::now() + STORM;
    let resets = async {
        let mut ticks = interval(Duration::from_millis(500));
        while Instant::now() < end {
            ticks.tick().await;
            one_way.cut();
            other_way.cut();
        }
    };
    let publishing = async {
        let mut next = 0;
        while Instant::now() < end {
            next += u64::from(from.publish("room", next).is_ok());
            sleep(Duration::from_millis(1)).await;
        }
        next
    };
    let ((), next) = tokio::join!(resets, publishing);
    for way in [&one_way, &other_way] {
        // A connection each to publish and to hear.
        let most = STORM.as_millis() / 100;
        assert!((10..=most as usize).contains(&way.accepted()), "{} connections", way.accepted());
    }
    assert_eq!(from.bus.flush(Duration::from_secs(20)).await, 0);
    to.wait_for(|state| matches!(state, BusState::Listening(_))).await;
    (next..next + 1_000).for_each(|number| from.publish("room", number).unwrap());
    while to.numbers().last() != Some(&(next + 999)) {
        to.hears(to.numbers().len() + 1).await;
    }
    let numbers = to.numbers();
    assert!(numbers.is_sorted_by(|one, next| one < next), "in order, and none twice");
    assert!(numbers.ends_with(&(next..next + 1_000).collect::<Vec<_>>()), "afterwards, all");
}
