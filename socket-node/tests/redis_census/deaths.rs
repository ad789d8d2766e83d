//! Nodes that die or freeze, and a Redis that does.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use socket_node::cluster::{
    census::Occupancy,
    redis::census::{
        Timing,
        journal::{Record, Transition},
    },
};
use socket_node::hub::Topic;
use tokio::time::{Instant, sleep};

use crate::{
    slow_way::SlowWay,
    world::{ALL, DEPARTURES, NONE, Node, World, app, exactly, member, topic, until, watched},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_swept_exactly_once_whoever_races() {
    let world = World::new().await;
    let (dead, b, c) = (world.node().await, world.node().await, world.node().await);
    let (room, lobby) = (topic("1", "presence-room"), topic("1", "lobby"));
    dead.census.enter(&lobby, DEPARTURES).await.unwrap();
    dead.census.sign_in(&app("1"), "u").await.unwrap();
    assert_eq!(dead.census.connect(&app("1"), None).await, Ok(true));
    for number in 0..500 {
        dead.join(&room, &format!("u{number}"), DEPARTURES).await;
        if number < 50 {
            b.join(&room, &format!("u{number}"), DEPARTURES).await;
        }
    }
    dead.die();
    until("swept", || async { b.census.members(&room).await.unwrap().len() == 50 }).await;
    let mut journal = world.journal();
    let records = exactly(&mut journal, 451).await;
    journal.leave().await;
    let removed = |record: &&Record| matches!(record.event, Transition::MemberRemoved(_));
    assert_eq!(records.iter().filter(removed).count(), 450);
    let told: Vec<usize> = (0..500).map(|n| world.heard_of(&room, &format!("u{n}")).len()).collect();
    assert_eq!(told, [[1; 50].as_slice(), &[2; 450]].concat());
    assert_eq!(world.heard_of(&watched("1", "u"), "u"), [3, 4]);
    assert_eq!(c.census.occupancy(&lobby).await.unwrap(), Occupancy::default());
    let swept = b.census.figures().leases_swept.total() + c.census.figures().leases_swept.total();
    assert_eq!(swept, 16);
    b.census.leave_all(Duration::from_secs(5)).await;
    c.census.leave_all(Duration::from_secs(5)).await;
    let left = world.keys_of_somebody().await;
    assert!(left.iter().all(|key| key.ends_with(":due")), "{left:?}");
}

/// Leases that no busy machine makes anybody lose.
const PATIENT: Timing = Timing {
    lease: Duration::from_millis(3000),
    renewal: Duration::from_millis(300),
    sweep: Duration::from_millis(100),
};

/// Two hundred nodes die, twenty at a time, and two others find that at the same moment; what one of them says comes later, by
/// another while each time. One finds a lease over and the other has taken it, or has begun to: each departure is told once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_dead_nodes_each_departure_is_told_once_by_two_of_whom_one_is_slow() {
    const BATCHES: u64 = 10;
    const BATCH: u64 = 20;
    let world = World::new().await;
    let way = SlowWay::to(world.redis.port()).await;
    let (quick, slow) = (world.node_with(PATIENT).await, world.node_through(way.port, PATIENT).await);
    let swept = || [&quick, &slow].map(|node| node.census.figures().leases_swept.total());
    for batch in 0..BATCHES {
        way.delay_ms(batch * 4);
        let dying = (0..BATCH).map(|number| doomed(&world, batch * BATCH + number));
        join_all(dying).await.iter().for_each(Node::die);
        let until_now = (batch + 1) * BATCH * 16;
        until("swept", || async { swept().iter().sum::<u64>() >= until_now }).await;
    }
    let [by_quick, by_slow] = swept();
    println!("{by_quick} leases were swept by one, {by_slow} by the other");
    assert_eq!(by_quick + by_slow, BATCHES * BATCH * 16, "each lease once");
    assert!(by_quick > 0 && by_slow > 0, "neither was always first: {by_quick} and {by_slow}");
    let records = exactly(&mut world.journal(), usize::try_from(BATCHES * BATCH * 4).unwrap()).await;
    let things: BTreeSet<_> = records
        .iter()
        .map(|record| format!("{} {:?}", record.topic.channel.as_str(), record.event))
        .collect();
    assert_eq!(things.len(), records.len(), "nothing was told twice");
    for number in 0..BATCHES * BATCH {
        for user in 0..3 {
            assert_eq!(world.heard_of(&room_of(number), &format!("u{user}")), [1, 2], "{number}");
        }
    }
}

/// A node with a room of its own, in which three members are.
async fn doomed(world: &World, number: u64) -> Node {
    let node = world.node_with(PATIENT).await;
    node.census.enter(&room_of(number), DEPARTURES).await.unwrap();
    for user in 0..3 {
        node.join(&room_of(number), &format!("u{user}"), DEPARTURES).await;
    }
    node
}

fn room_of(number: u64) -> Topic {
    topic("1", &format!("presence-{number}"))
}

#[tokio::test]
async fn a_frozen_node_that_wakes_enters_what_it_has_again() {
    let world = World::new().await;
    let (frozen, b) = (world.node().await, world.node().await);
    let (room, left) = (topic("1", "presence-room"), topic("1", "left"));
    for channel in [&room, &left] {
        frozen.census.enter(channel, NONE).await.unwrap();
    }
    frozen.census.count(&room, 2);
    frozen.join(&room, "u", NONE).await;
    frozen.settles().await;
    frozen.freeze();
    until("swept", || async { world.heard_of(&room, "u") == [1, 2] }).await;
    frozen.census.leave(&left);
    frozen.census.count(&room, 3);
    frozen.thaw();
    frozen.enters(2).await;
    assert_eq!(world.heard_of(&room, "u"), [1, 2, 1]);
    let found = b.occupied(&app("1"), "").await;
    assert_eq!(found, [(room.channel.clone(), Occupancy { subscriptions: 3, users: 1 })]);
    assert!(frozen.census.figures().leases_lost.total() > 0);
}

#[tokio::test]
async fn an_emptied_redis_is_filled_again_and_nobody_is_told_anything_false() {
    let mut world = World::new().await;
    let (a, b, room) = (world.node().await, world.node().await, topic("1", "presence-room"));
    let (left, new) = (topic("1", "left"), topic("1", "new"));
    for channel in [&room, &left] {
        a.census.enter(channel, ALL).await.unwrap();
    }
    b.census.enter(&room, ALL).await.unwrap();
    for user_id in ["u", "v"] {
        a.join(&room, user_id, ALL).await;
    }
    b.join(&room, "v", ALL).await;
    b.census.sign_in(&app("1"), "u").await.unwrap();
    let last_version = world.heard().iter().map(|notice| notice.version).max().unwrap();
    world.redis.kill();
    until("away", || async { a.census.occupancy(&room).await.is_err() }).await;
    a.census.leave(&left);
    assert!(a.census.enter(&new, ALL).await.is_err());
    let already = world.heard().len();
    world.redis.restart();
    world.hear().await;
    a.enters(2).await;
    b.enters(2).await;
    assert_eq!(a.census.members(&room).await.unwrap(), [Box::from("u"), Box::from("v")]);
    assert_eq!(b.census.occupancy(&room).await.unwrap(), Occupancy { subscriptions: 2, users: 2 });
    assert_eq!(b.occupied(&app("1"), "").await.len(), 2);
    assert_eq!(a.census.online(&app("1"), &["u".into()]).await.unwrap(), [true]);
    let records = exactly(&mut world.journal(), 1).await;
    assert_eq!((&records[0].topic, &records[0].event), (&new, &Transition::Occupied));
    let told = world.heard().split_off(already);
    assert!(told.iter().all(|notice| notice.kind % 2 == 1 && notice.version > last_version), "{told:?}");
}

#[tokio::test]
async fn a_redis_that_is_flushed_or_forgets_the_scripts_is_as_good_as_new() {
    let world = World::new().await;
    let (a, room) = (world.node().await, topic("1", "presence-room"));
    a.join(&room, "u", ALL).await;
    let () = world.ask(&redis::cmd("FLUSHALL")).await;
    a.enters(2).await;
    assert_eq!(a.census.members(&room).await.unwrap(), [Box::from("u")]);
    let () = world.ask(redis::cmd("SCRIPT").arg("FLUSH")).await;
    a.enters(3).await;
    a.join(&room, "v", NONE).await;
    assert_eq!(a.census.members(&room).await.unwrap().len(), 2);
    exactly(&mut world.journal(), 0).await;
}

#[tokio::test]
async fn after_redis_was_frozen_nobody_judges_those_who_are_on_their_way_back() {
    let lease = Duration::from_secs(5);
    let timing = Timing { lease, renewal: lease / 5, sweep: lease / 50 };
    let world = World::new().await;
    let room = topic("1", "presence-room");
    let nodes = [world.node_with(timing).await, world.node_with(timing).await, world.node_with(timing).await];
    for (number, node) in nodes.iter().enumerate() {
        node.join(&room, &format!("u{number}"), DEPARTURES).await;
    }
    world.redis.freeze();
    let began = Instant::now();
    let is_in = nodes[0].census.enter(&topic("1", "new"), NONE).await;
    assert!(is_in.is_err() && began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // The leases are over then: time is what this is about.
    sleep(lease + Duration::from_secs(1)).await;
    world.redis.thaw();
    for node in &nodes {
        node.enters(2).await;
    }
    assert_eq!(nodes[0].census.members(&room).await.unwrap().len(), 3);
    assert!(world.heard().iter().all(|notice| notice.kind == 1), "{:?}", world.heard());
}

#[tokio::test]
async fn ten_thousand_entries_are_entered_again_in_seconds() {
    let mut world = World::new().await;
    let a = world.node().await;
    let enters: Vec<_> =
        (0..10_000).map(|number| a.census.enter(&topic("1", &format!("room-{number}")), ALL)).collect();
    for enter in enters {
        enter.await.unwrap();
    }
    world.redis.kill();
    world.redis.restart();
    a.enters(2).await;
    let entering = a.census.figures().entering();
    assert_eq!(entering.entries, 10_000);
    assert!(entering.duration < Duration::from_secs(5), "{entering:?}");
    assert_eq!(a.occupied(&app("1"), "").await.len(), 10_000);
}

#[tokio::test]
async fn a_newcomer_judges_nobody_before_a_lease_is_over() {
    let world = World::new().await;
    let dead = world.node().await;
    let room = topic("1", "presence-room");
    dead.join(&room, "u", NONE).await;
    dead.die();
    let over: String = format!("{}leases", world.keys.topic(&room).trim_end_matches("1:presence-room"));
    until("the lease is over", || async {
        let holders: Vec<(String, f64)> =
            world.ask(redis::cmd("ZRANGE").arg(&over).arg(0).arg(-1).arg("WITHSCORES")).await;
        let (seconds, _): (f64, u64) = world.ask(&redis::cmd("TIME")).await;
        holders.iter().all(|(_, deadline)| *deadline < seconds * 1000.0)
    })
    .await;
    let b = world.node().await;
    let began = Instant::now();
    until("swept", || async { b.census.members(&room).await.unwrap().is_empty() }).await;
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn more_changes_than_there_is_room_for_are_entered_all_the_same() {
    let world = World::new().await;
    let a = world.node_with(Timing::default()).await;
    a.freeze();
    let enters: Vec<_> =
        (0..70_000).map(|number| a.census.enter(&topic("1", &format!("room-{number}")), NONE)).collect();
    a.thaw();
    let mut away = 0;
    for enter in enters {
        away += usize::from(enter.await.is_err());
    }
    assert_eq!(away, 70_000 - 65_536);
    a.enters(2).await;
    // So long a list may take a busy machine longer than an answer may.
    let is_in = async || a.census.occupied(&app("1"), "").await.channels.len() == 70_000;
    until("all are in", is_in).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_again_and_again_make_no_edges() {
    let world = World::new().await;
    let (a, room) = (world.node().await, topic("1", "presence-room"));
    let joins: Vec<_> = (0..3000)
        .map(|number| a.census.join(&room, &member(&format!("u{number}")), u32::MAX, DEPARTURES, false))
        .collect();
    for join in joins {
        join.await.unwrap();
    }
    a.census.enter(&room, DEPARTURES).await.unwrap();
    for _ in 0..20 {
        let _killed: u32 = world.ask(redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("normal")).await;
        // Sooner or later in what follows: time is what this is about.
        sleep(Duration::from_millis(60)).await;
    }
    until("entered", || async { a.census.members(&room).await.is_ok_and(|members| members.len() == 3000) })
        .await;
    let held = format!("{}held:*", world.keys.topic(&room).trim_end_matches("1:presence-room"));
    until("one holder is left", || async {
        world.ask::<Vec<String>>(redis::cmd("KEYS").arg(held.replace(['{', '}'], "?"))).await.len() == 1
    })
    .await;
    let occupancy = a.census.occupancy(&room).await.unwrap();
    assert_eq!(occupancy, Occupancy { subscriptions: 1, users: 3000 });
    assert!(world.heard().iter().all(|notice| notice.kind == 1) && world.heard().len() == 3000);
}
