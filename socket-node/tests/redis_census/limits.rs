//! Limits that hold for all nodes together.

use std::num::NonZeroU32;

use socket_node::cluster::redis::{
    census::{Away, JoinError},
    keys::Shard,
};
use tokio::task::JoinSet;

use crate::world::{ALL, NONE, World, app, member, topic, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_races_a_channel_never_has_more_members_than_it_may() {
    let world = World::new().await;
    let nodes = [world.node().await, world.node().await, world.node().await];
    let room = topic("1", "presence-room");
    let mut joins = JoinSet::new();
    for number in 0..150 {
        let node = &nodes[number % 3];
        joins.spawn(node.census.join(&room, &member(&format!("u{number}")), 40, ALL, false));
    }
    let outcomes = joins.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 40);
    let full = |outcome: &&Result<_, JoinError>| matches!(outcome, Err(JoinError::Full { limit: 40 }));
    assert_eq!(outcomes.iter().filter(full).count(), 110);
    assert_eq!(nodes[0].census.members(&room).await.unwrap().len(), 40);
    assert_eq!(nodes.iter().map(|node| node.census.held()).sum::<usize>(), 40);
    until("announced", || async { world.heard().len() == 40 }).await;
}

#[tokio::test]
async fn a_member_who_is_refused_leaves_nothing_behind() {
    let world = World::new().await;
    let (a, room) = (world.node().await, topic("1", "presence-room"));
    let before = world.keys_of_somebody().await;
    let refused = a.census.join(&room, &member("u"), 0, ALL, true).await;
    assert_eq!(refused.unwrap_err(), JoinError::Full { limit: 0 });
    assert_eq!(world.keys_of_somebody().await, before);
    assert_eq!((a.census.held(), world.heard().len()), (0, 0));
}

#[tokio::test]
async fn a_member_of_a_full_channel_comes_in_from_another_node() {
    let world = World::new().await;
    let (a, b, room) = (world.node().await, world.node().await, topic("1", "presence-room"));
    assert!(a.census.join(&room, &member("u"), 1, ALL, false).await.is_ok());
    assert!(b.census.join(&room, &member("u"), 1, ALL, false).await.is_ok());
    assert!(b.census.join(&room, &member("v"), 1, ALL, false).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_never_has_more_connections_than_it_may() {
    let world = World::new().await;
    let nodes = [world.node().await, world.node().await];
    let limit = NonZeroU32::new(70);
    assert_eq!(nodes[1].census.connect(&app("1"), limit).await, Ok(true));
    let mut connects = JoinSet::new();
    for number in 0..200 {
        connects.spawn(nodes[number % 2].census.connect(&app("1"), limit));
    }
    let accepted = connects.join_all().await.into_iter().filter(|outcome| *outcome == Ok(true)).count();
    assert_eq!(accepted, 69);
    assert_eq!(nodes[0].census.connect(&app("2"), limit).await, Ok(true));
    assert_eq!(nodes[0].census.connect(&app("1"), limit).await, Ok(false));
    nodes[1].census.disconnect(&app("1"));
    nodes[1].settles().await;
    assert_eq!(nodes[0].census.connect(&app("1"), limit).await, Ok(true));
    assert_eq!(nodes[1].census.connect(&app("1"), limit).await, Ok(false));
}

#[tokio::test]
async fn a_connection_for_which_nobody_waits_is_counted_out() {
    let world = World::new().await;
    let a = world.node().await;
    let limit = NonZeroU32::new(3);
    for _ in 0..100 {
        drop(a.census.connect(&app("1"), limit));
        let mut waiting = Box::pin(a.census.connect(&app("1"), limit));
        tokio::select! {
            biased;
            _ = &mut waiting => panic!("an answer cannot be here at once"),
            () = tokio::task::yield_now() => {}
        }
    }
    until("counted out", || async { a.census.held() == 0 }).await;
    a.settles().await;
    for is_accepted in [true, true, true, false] {
        assert_eq!(a.census.connect(&app("1"), limit).await, Ok(is_accepted));
    }
    assert!(a.census.enter(&topic("1", "room"), NONE).await.is_ok());
}

#[tokio::test]
async fn connections_that_come_while_redis_is_away_count_when_it_is_back() {
    let mut world = World::new().await;
    let a = world.node().await;
    let limit = NonZeroU32::new(2);
    world.redis.kill();
    until("away", || async { a.census.online(&app("1"), &["u".into()]).await.is_err() }).await;
    assert_eq!(a.census.connect(&app("1"), limit).await, Err(Away));
    drop(a.census.connect(&app("1"), limit));
    world.redis.restart();
    a.enters(2).await;
    for is_accepted in [true, false] {
        assert_eq!(a.census.connect(&app("1"), limit).await, Ok(is_accepted));
    }
}

#[tokio::test]
async fn what_is_entered_again_never_counts_twice() {
    let world = World::new().await;
    let a = world.node().await;
    assert_eq!(a.census.connect(&app("1"), None).await, Ok(true));
    // So much in the same shard that sweeping the former holder would take a while.
    let rooms = (0..).map(|number| topic("1", &format!("presence-{number}")));
    let room = rooms.into_iter().find(|room| Shard::of_topic(room) == Shard::of_app(&room.app)).unwrap();
    let joins: Vec<_> = (0..3000)
        .map(|number| a.census.join(&room, &member(&format!("u{number}")), 3000, NONE, false))
        .collect();
    for join in joins {
        join.await.unwrap();
    }
    let () = world.ask(redis::cmd("SCRIPT").arg("FLUSH")).await;
    a.enters(2).await;
    for is_accepted in [true, false] {
        assert_eq!(a.census.connect(&app("1"), NonZeroU32::new(2)).await, Ok(is_accepted));
    }
}
