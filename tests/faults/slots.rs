//! Nodes on a Redis Cluster: while all is well, when one of its primaries is killed, and when slots move from one to
//! another.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    RECOVERY, ROOM, come_and_go, expect_ready, expect_users, launch_with_webhooks, members, told_until,
    traffic::{Audience, publish, publish_the_end},
    users,
};
use crate::support::{cluster::Cluster, node::Launch, receiver::Receiver, redis_cluster::RedisCluster};

/// Time between two events of a channel.
const BEAT: Duration = Duration::from_millis(50);

/// By how much events that cross Redis are later than the latest that do not, at most, on channels whose slots are not
/// concerned: one event of a hundred may be later. What the machine does besides delays both.
const NO_STALL: Duration = Duration::from_millis(100);

/// How long a channel is silent at most whose slot moves.
const GAP: Duration = Duration::from_secs(1);

/// Two nodes that share everything that they can share.
fn two_nodes(redis: RedisCluster, receiver: &Receiver, kinds: &[&str]) -> Cluster<RedisCluster> {
    Cluster::on(redis, 2, || launch_with_webhooks(receiver, kinds).flags(["--queue-driver", "redis"]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_a_redis_cluster_are_one_server() {
    let mut receiver = Receiver::start().await;
    let kinds = ["channel_occupied", "channel_vacated", "member_added", "member_removed"];
    let cluster = two_nodes(RedisCluster::start(), &receiver, &kinds);
    let _here = members(cluster.node(0), users(0..4)).await;
    let mut there = members(cluster.node(1), users(2..6)).await;
    for node in cluster.nodes() {
        expect_users(node, RECOVERY, &users(0..6).collect()).await;
    }
    there.pop().expect("there are some").close().await;
    let mut occupants = Vec::new();
    for number in 0..20 {
        let mut client = cluster.node(number % 2).connect().await;
        client.subscribe(&format!("hall-{number}")).await;
        occupants.push(client);
    }
    for node in cluster.nodes() {
        let told = node.api().get("/channels?filter_by_prefix=hall-").await.expect_status(200).json();
        assert_eq!(told["channels"].as_object().expect("channels").len(), 20);
    }
    come_and_go(cluster.node(1), "last").await;
    let mut expected: BTreeSet<_> = users(0..6).map(|user| format!("member_added {ROOM} {user}")).collect();
    expected.extend((0..20).map(|number| format!("channel_occupied hall-{number}")));
    expected.extend(["channel_occupied last", "channel_vacated last"].map(String::from));
    expected.extend([format!("channel_occupied {ROOM}"), format!("member_removed {ROOM} u5")]);
    let told = told_until(&mut receiver, expected.len(), "last").await;
    assert_eq!(told, expected.into_iter().map(|told| (told, 1)).collect::<BTreeMap<_, _>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_cross_a_redis_cluster_in_order_and_once() {
    let cluster = Cluster::on(RedisCluster::start(), 2, Launch::new);
    let audience = Audience::of(&cluster, 80).await;
    let published = publish(&cluster, 0..100, BEAT / 5).await;
    publish_the_end(&cluster).await;
    audience.verdicts(&published).await.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: tests/faults-long"]
async fn a_primary_that_is_killed_stalls_only_its_own_slots_and_costs_no_event() {
    let mut cluster = Cluster::on(RedisCluster::with_replicas(), 2, Launch::new);
    let audience = Audience::of(&cluster, 80).await;
    let mut published = publish(&cluster, 0..20, BEAT).await;
    let concerned = cluster.redis.topics_at(0);
    cluster.redis.kill(0);
    published.extend(publish(&cluster, 20..300, BEAT).await);
    publish_the_end(&cluster).await;
    let is_concerned = |channel: &str| concerned.iter().any(|topic| topic.ends_with(&format!(":{channel}")));
    let [others, concerned] =
        audience.verdicts_by(&published, |channel| usize::from(is_concerned(channel))).await;
    others.assert_sound();
    assert!(others.remote.p99 <= others.local.slowest + NO_STALL, "{}", others.remote);
    concerned.assert_sound();
    assert!(concerned.remote.slowest <= RECOVERY, "{}", concerned.remote);
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: tests/faults-long"]
async fn who_is_where_outlives_a_primary_and_webhooks_tell_it_once() {
    let mut receiver = Receiver::start().await;
    let kinds = ["channel_vacated", "member_added", "member_removed"];
    let mut cluster = two_nodes(RedisCluster::with_replicas(), &receiver, &kinds);
    let mut here = members(cluster.node(0), users(0..20)).await;
    let _there = members(cluster.node(1), users(10..30)).await;
    let everybody: BTreeSet<_> = users(0..30).collect();
    expect_users(cluster.node(0), RECOVERY, &everybody).await;
    let room = |topic: &String| topic.ends_with(&format!(":{ROOM}"));
    let primary = (0..3).find(|server| cluster.redis.topics_at(*server).iter().any(room));
    cluster.redis.kill(primary.expect("somebody hears the room"));
    let killed = Instant::now();
    // Nobody is told to have left, and who leaves now is told of later.
    here.remove(0).close().await;
    while killed.elapsed() < RECOVERY {
        sleep(BEAT).await;
        cluster.node(1).api().get("/channels").await.expect_status(200);
    }
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
        expect_users(node, 2 * RECOVERY, &users(1..30).collect()).await;
    }
    come_and_go(cluster.node(1), "last").await;
    let mut expected: BTreeSet<_> = users(0..30).map(|user| format!("member_added {ROOM} {user}")).collect();
    expected.extend([format!("member_removed {ROOM} u0"), "channel_vacated last".to_owned()]);
    let told = told_until(&mut receiver, expected.len(), "last").await;
    assert_eq!(told, expected.into_iter().map(|told| (told, 1)).collect::<BTreeMap<_, _>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: tests/faults-long"]
async fn a_primary_that_stands_still_until_it_is_one_no_more_costs_no_event() {
    let cluster = Cluster::on(RedisCluster::with_replicas(), 2, Launch::new);
    let audience = Audience::of(&cluster, 80).await;
    let mut published = publish(&cluster, 0..20, BEAT).await;
    cluster.redis.freeze(0);
    published.extend(publish(&cluster, 20..320, BEAT).await);
    cluster.redis.thaw(0);
    published.extend(publish(&cluster, 320..360, BEAT).await);
    publish_the_end(&cluster).await;
    let verdicts = audience.verdicts(&published).await;
    verdicts.assert_sound();
    assert!(verdicts.remote.slowest <= 2 * RECOVERY, "{}", verdicts.remote);
    cluster.redis.until_replica(0);
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: tests/faults-long"]
async fn a_planned_failover_costs_no_event_and_is_soon_over() {
    let cluster = Cluster::on(RedisCluster::with_replicas(), 2, Launch::new);
    let _room = members(cluster.node(0), users(0..20)).await;
    let audience = Audience::of(&cluster, 80).await;
    let handing_over = async {
        for primary in 0..3 {
            sleep(2 * GAP).await;
            tokio::task::block_in_place(|| cluster.redis.hand_over(primary));
        }
    };
    let (published, ()) = tokio::join!(publish(&cluster, 0..200, BEAT), handing_over);
    publish_the_end(&cluster).await;
    let verdicts = audience.verdicts(&published).await;
    verdicts.assert_sound();
    assert!(verdicts.remote.slowest <= verdicts.local.slowest + GAP, "{}", verdicts.remote);
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
        expect_users(node, RECOVERY, &users(0..20).collect()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: tests/faults-long"]
async fn a_primary_that_comes_back_empty_is_filled_again_and_nobody_is_told_to_have_left() {
    let mut receiver = Receiver::start().await;
    let mut cluster = two_nodes(RedisCluster::start(), &receiver, &["channel_vacated", "member_removed"]);
    let mut here = members(cluster.node(0), users(0..20)).await;
    let _there = members(cluster.node(1), users(10..30)).await;
    expect_users(cluster.node(0), RECOVERY, &users(0..30).collect()).await;
    for primary in 0..3 {
        cluster.redis.kill(primary);
        sleep(GAP).await;
        cluster.redis.restart(primary);
    }
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
        expect_users(node, RECOVERY, &users(0..30).collect()).await;
    }
    here.remove(0).close().await;
    come_and_go(cluster.node(1), "last").await;
    let told = told_until(&mut receiver, 2, "last").await;
    let expected = ["channel_vacated last".to_owned(), format!("member_removed {ROOM} u0")];
    assert_eq!(told.into_keys().collect::<Vec<_>>(), expected);
}

/// Users come and go, each of them once, while the slot of their room is moved to and fro. They stay for longer than Redis
/// cannot be told of them: who comes and goes meanwhile was never there for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: tests/faults-long"]
async fn who_comes_and_goes_while_a_slot_moves_is_told_of_once() {
    const USERS: usize = 150;
    const AT_A_TIME: usize = 50;
    let mut receiver = Receiver::start().await;
    let kinds = ["channel_vacated", "member_added", "member_removed"];
    let cluster = two_nodes(RedisCluster::start(), &receiver, &kinds);
    let _watcher = members(cluster.node(0), ["watcher".to_owned()]).await;
    let is_room = |topic: &String| topic.ends_with(&format!(":{ROOM}"));
    let home = (0..3).find(|server| cluster.redis.topics_at(*server).iter().any(is_room));
    let home = home.expect("somebody hears the room");
    let moving = async {
        for round in 0..4 {
            sleep(3 * GAP).await;
            let away = (home + 1) % 3;
            let (from, to) = if round % 2 == 0 { (home, away) } else { (away, home) };
            let topics = cluster.redis.topics_at(from);
            let topic = topics.iter().find(|topic| is_room(topic)).expect("it is heard again by now");
            tokio::task::block_in_place(|| cluster.redis.move_slot_of(topic, from, to));
        }
    };
    let coming = async {
        let mut there = VecDeque::new();
        for (number, user) in users(0..USERS).enumerate() {
            there.extend(members(cluster.node(number % 2), [user]).await);
            sleep(2 * BEAT).await;
            if there.len() > AT_A_TIME
                && let Some(first) = there.pop_front()
            {
                first.close().await;
            }
        }
        there
    };
    let (there, ()) = tokio::join!(coming, moving);
    for client in there {
        client.close().await;
    }
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
        expect_users(node, 2 * RECOVERY, &["watcher".to_owned()].into()).await;
    }
    come_and_go(cluster.node(1), "last").await;
    let told_of = |event: &'static str| users(0..USERS).map(move |user| format!("{event} {ROOM} {user}"));
    let mut expected: BTreeSet<_> = told_of("member_added").chain(told_of("member_removed")).collect();
    expected.extend([format!("member_added {ROOM} watcher"), "channel_vacated last".to_owned()]);
    let told = told_until(&mut receiver, expected.len(), "last").await;
    assert_eq!(told, expected.into_iter().map(|told| (told, 1)).collect::<BTreeMap<_, _>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes half a minute: tests/faults-long"]
async fn slots_that_move_take_their_channels_with_them() {
    let cluster = Cluster::on(RedisCluster::start(), 2, Launch::new);
    let _room = members(cluster.node(0), users(0..20)).await;
    let audience = Audience::of(&cluster, 80).await;
    let moving = async {
        for (_, slot) in cluster.redis.shards_of(0) {
            sleep(GAP).await;
            tokio::task::block_in_place(|| cluster.redis.move_slot(slot, 0, 1));
        }
    };
    let (published, ()) = tokio::join!(publish(&cluster, 0..240, BEAT), moving);
    publish_the_end(&cluster).await;
    let verdicts = audience.verdicts(&published).await;
    verdicts.assert_sound();
    assert!(verdicts.remote.slowest <= verdicts.local.slowest + GAP, "{}", verdicts.remote);
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
        expect_users(node, RECOVERY, &users(0..20).collect()).await;
    }
    assert!(cluster.redis.topics_at(0).is_empty(), "{:?}", cluster.redis.topics_at(0));
}
