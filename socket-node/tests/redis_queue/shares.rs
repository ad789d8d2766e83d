//! Who does what.

use std::time::Duration;

use socket_node::cluster::redis::{keys::Shard, line::Lines, share::Share};

use crate::{
    redis_server::link,
    world::{World, until},
};

const LEASE: Duration = Duration::from_secs(2);

/// That of a node of its own.
fn share(world: &World, lease: Duration) -> Share {
    let lines = Lines::to_server(link(world.redis.port()), world.keys.clone());
    Share::on_each(&lines, "work", lease).remove(0)
}

fn count(share: &Share) -> usize {
    Shard::all().filter(|shard| share.owns(*shard)).count()
}

#[tokio::test]
async fn a_shard_is_never_that_of_two_nodes_and_all_have_their_part() {
    let world = World::new().await;
    let connection = crate::redis_server::link(world.redis.port()).connect().await.unwrap();
    let mut shares: Vec<_> = (0..3).map(|_| share(&world, LEASE)).collect();
    for _ in 0..6 {
        for share in &mut shares {
            share.renew(&connection).await.unwrap();
            let surplus = Shard::all().filter(|shard| share.owns(*shard)).take(share.surplus());
            for shard in surplus.collect::<Vec<_>>() {
                share.give_up(shard, &connection).await.unwrap();
            }
        }
        for shard in Shard::all() {
            assert!(shares.iter().filter(|share| share.owns(shard)).count() <= 1);
        }
    }
    assert_eq!(shares.iter().map(count).sum::<usize>(), 16);
    assert!(shares.iter().all(|share| (4..=6).contains(&count(share))), "{shares:?}");
}

#[tokio::test]
async fn a_lease_ends_for_its_node_no_later_than_for_others() {
    let world = World::new().await;
    let connection = crate::redis_server::link(world.redis.port()).connect().await.unwrap();
    let [mut one, mut other] = [(); 2].map(|()| share(&world, LEASE));
    one.renew(&connection).await.unwrap();
    assert_eq!(count(&one), 16);
    let deadline = tokio::time::Instant::now() + LEASE * 5;
    while count(&other) < 16 {
        other.renew(&connection).await.unwrap();
        assert!(!Shard::all().any(|shard| one.owns(shard) && other.owns(shard)));
        assert!(tokio::time::Instant::now() < deadline, "{other:?}");
    }
}

#[tokio::test]
async fn who_takes_leave_is_followed_at_once_and_takes_nothing_more() {
    let world = World::new().await;
    let connection = crate::redis_server::link(world.redis.port()).connect().await.unwrap();
    let [mut one, mut other] = [(); 2].map(|()| share(&world, LEASE * 100));
    one.renew(&connection).await.unwrap();
    one.leave(&connection).await.unwrap();
    one.renew(&connection).await.unwrap();
    assert_eq!(count(&one), 0);
    other.renew(&connection).await.unwrap();
    assert_eq!(count(&other), 16);
    until("all of it", || async { other.surplus() == 0 }).await;
}
