//! What is written down for webhooks, and who reads it.

use std::{collections::BTreeSet, time::Duration};

use socket_node::cluster::redis::census::{
    Wants,
    journal::{Journal, RecordId, Transition},
};
use tokio::time::{Instant, timeout};

use crate::world::{ALL, DEADLINE, NONE, World, comes_within, exactly, topic, until};

#[tokio::test]
async fn a_departure_is_taken_back_by_a_return_on_another_node() {
    let world = World::new().await;
    let (a, b, room) = (world.node().await, world.node().await, topic("1", "presence-room"));
    a.census.enter(&room, ALL).await.unwrap();
    a.join(&room, "u", ALL).await;
    let mut journal = world.journal();
    exactly(&mut journal, 2).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        from.census.part(&room, "u");
        from.census.leave(&room);
        from.settles().await;
        to.census.enter(&room, ALL).await.unwrap();
        to.join(&room, "u", ALL).await;
    }
    exactly(&mut journal, 0).await;
    assert_eq!(world.heard_of(&room, "u"), [1, 2, 1, 2, 1]);
}

#[tokio::test]
async fn a_departure_is_told_once_when_it_is_final() {
    let world = World::new().await;
    let (a, _b, room) = (world.node().await, world.node().await, topic("1", "presence-room"));
    a.census.enter(&room, ALL).await.unwrap();
    a.join(&room, "u", ALL).await;
    a.census.part(&room, "u");
    a.census.leave(&room);
    let records = exactly(&mut world.journal(), 4).await;
    let events: Vec<_> = records.iter().map(|record| record.event.clone()).collect();
    let user_id = || Box::from("u");
    assert_eq!(events[..2], [Transition::Occupied, Transition::MemberAdded(user_id())]);
    let departures = [Transition::Vacated, Transition::MemberRemoved(user_id())];
    assert!(departures.iter().all(|departure| events[2..].contains(departure)), "{events:?}");
    assert!(records[2].time_ms - records[0].time_ms >= 3000);
    let ids: BTreeSet<_> = records.iter().map(|record| record.id.text()).collect();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn only_what_is_wanted_is_written_down() {
    let world = World::new().await;
    let a = world.node().await;
    for (arrival, departure) in [(false, false), (true, false), (false, true)] {
        let room = topic("1", &format!("room-{arrival}-{departure}"));
        a.census.enter(&room, Wants { arrival, departure }).await.unwrap();
        a.census.leave(&room);
    }
    let records = exactly(&mut world.journal(), 2).await;
    let told = records.iter().map(|record| (record.topic.channel.as_str(), &record.event));
    let expected = [("room-true-false", &Transition::Occupied), ("room-false-true", &Transition::Vacated)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_share_and_each_record_is_read_once() {
    let world = World::new().await;
    let a = world.node().await;
    let (read, mut records) = tokio::sync::mpsc::channel::<RecordId>(1000);
    for mut journal in [world.journal(), world.journal()] {
        let read = read.clone();
        tokio::spawn(async move {
            while !read.is_closed() {
                let ids: Vec<_> = journal.next().await.into_iter().map(|record| record.id).collect();
                journal.desk().done(&ids).await;
                for id in ids {
                    read.send(id).await.unwrap();
                }
            }
        });
    }
    for number in 0..500 {
        a.census.enter(&topic("1", &format!("room-{number}")), ALL).await.unwrap();
    }
    let mut ids = BTreeSet::new();
    while ids.len() < 500 {
        let id = timeout(DEADLINE, records.recv()).await.expect("all are read").unwrap();
        assert!(ids.insert(id.clone()), "read twice: {id:?}");
    }
    assert!(timeout(Duration::from_secs(2), records.recv()).await.is_err());
    until("taken off", || async { a.census.figures().journal_depth() == 0 }).await;
}

#[tokio::test]
async fn what_a_reader_has_abandoned_another_one_takes_over() {
    let world = World::new().await;
    let a = world.node().await;
    for number in 0..10 {
        a.census.enter(&topic("1", &format!("room-{number}")), ALL).await.unwrap();
    }
    let mut dead = world.journal();
    let mut lost = Vec::new();
    while lost.len() < 10 {
        let records = comes_within(&mut dead, DEADLINE).await;
        assert!(!records.is_empty(), "all are read");
        lost.extend(records);
    }
    drop(dead);
    let mut taken_over = exactly(&mut world.journal(), 10).await;
    taken_over.sort_by_key(|record| record.id.clone());
    lost.sort_by_key(|record| record.id.clone());
    assert_eq!(taken_over, lost);
}

/// The ids of the next so many records.
async fn read(journal: &mut Journal, count: usize) -> Vec<RecordId> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let records = comes_within(journal, DEADLINE).await;
        assert!(!records.is_empty(), "only {} of {count}", ids.len());
        ids.extend(records.into_iter().map(|record| record.id));
    }
    ids
}

/// The two numbers of which an id in a stream is made.
fn place(id: &RecordId) -> (u64, u64) {
    let text = id.text();
    let (time, number) = text.split_once('/').unwrap().1.split_once('-').unwrap();
    (time.parse().unwrap(), number.parse().unwrap())
}

#[tokio::test]
async fn everything_that_was_abandoned_is_read_before_what_is_new() {
    let (world, room) = (World::new().await, topic("1", "presence-room"));
    let a = world.node().await;
    let mut dead = world.journal();
    for users in [0..250, 250..300] {
        for user in users.clone() {
            a.join(&room, &format!("u{user}"), ALL).await;
        }
        if users.start == 0 {
            read(&mut dead, 250).await;
        }
    }
    drop(dead);
    let ids = read(&mut world.journal(), 300).await;
    assert!(ids.len() == 300 && ids.is_sorted_by_key(place), "{ids:?}");
}

#[tokio::test]
async fn what_a_reader_hands_on_when_it_leaves_is_read_at_once_and_first() {
    let (world, room) = (World::new().await, topic("1", "presence-room"));
    let a = world.node().await;
    // It would take a minute until they counted as abandoned.
    let reader = || Journal::with_abandoned_after(&world.lines(), Duration::from_secs(60)).remove(0);
    let mut leaving = reader();
    for user in ["u1", "u2"] {
        a.join(&room, user, ALL).await;
    }
    let handed_on = read(&mut leaving, 2).await;
    a.join(&room, "u3", ALL).await;
    leaving.desk().hand_on(&handed_on).await;
    leaving.leave().await;
    let ids = read(&mut reader(), 3).await;
    assert!(ids.len() == 3 && ids.is_sorted_by_key(place) && ids[..2] == handed_on, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_what_is_under_way_is_read_when_that_is_through() {
    let world = World::new().await;
    let a = world.node().await;
    // Its leases last for 0.6 seconds.
    let reader = || Journal::with_abandoned_after(&world.lines(), Duration::from_millis(400)).remove(0);
    let mut leaving = reader();
    let room = topic("1", "presence-room");
    a.join(&room, "u1", ALL).await;
    let under_way = read(&mut leaving, 1).await;
    let mut desk = leaving.desk();
    let withdrawing = tokio::spawn(async move { leaving.withdraw().await });
    a.join(&room, "u2", ALL).await;
    for number in 0..100 {
        a.census.enter(&topic("1", &format!("room-{number}")), ALL).await.unwrap();
    }
    // Shards of which nothing is under way are others' at once; the room's own is not, although leases would have ended.
    let mut next = reader();
    let shard = |id: &RecordId| id.text().split_once('/').unwrap().0.to_owned();
    let mut ids = BTreeSet::new();
    let deadline = Instant::now() + Duration::from_secs(3);
    while Instant::now() < deadline {
        let records = comes_within(&mut next, deadline - Instant::now()).await;
        let read: Vec<_> = records.into_iter().map(|record| record.id).collect();
        next.desk().done(&read).await;
        ids.extend(read);
    }
    let elsewhere = ids.iter().all(|id| shard(id) != shard(&under_way[0]));
    assert!(ids.len() > 50 && elsewhere, "{under_way:?}, {ids:?}");
    desk.done(&under_way).await;
    ids.extend(read(&mut next, 101 - ids.len()).await);
    assert_eq!(ids.len(), 101);
    withdrawing.abort();
}

#[tokio::test]
async fn a_reader_goes_on_with_a_redis_that_was_emptied() {
    let mut world = World::new().await;
    let a = world.node().await;
    let mut journal = world.journal();
    exactly(&mut journal, 0).await;
    world.redis.kill();
    world.redis.restart();
    a.enters(2).await;
    a.census.enter(&topic("1", "room"), ALL).await.unwrap();
    exactly(&mut journal, 1).await;
}

#[tokio::test]
async fn a_journal_that_nobody_reads_is_cut_and_that_is_counted() {
    let world = World::new().await;
    let (a, room) = (world.node().await, topic("1", "room"));
    let key = world.keys.topic(&room).replace("1:room", "journal");
    let mut many = redis::pipe();
    for _ in 0..100_500 {
        many.cmd("XADD").arg(&key).arg("*").arg("kind").arg("unknown").ignore();
    }
    let mut connection = world.link().connect().await.unwrap();
    many.exec_async(&mut connection).await.unwrap();
    a.census.enter(&room, ALL).await.unwrap();
    let figures = a.census.figures();
    until("counted", || async { figures.journal_cut() > 0 }).await;
    assert_eq!(figures.journal_cut() + figures.journal_depth(), 100_501);
    assert!((100_000..=100_100).contains(&figures.journal_depth()), "{}", figures.journal_depth());
    a.census.enter(&topic("1", "other"), NONE).await.unwrap();
}
