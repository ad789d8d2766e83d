//! Nodes that do whatever comes to their minds, at the same time, against what a plain model says.

use std::collections::{BTreeMap, BTreeSet};

use socket_node::cluster::{census::Occupancy, redis::census::RedisCensus};
use tokio::task::JoinSet;

use crate::world::{ALL, Node, World, app, member, topic, until};

const NODES: usize = 3;
const CHANNELS: u64 = 3;
const USERS: u64 = 3;
const STEPS: usize = 300;

/// What one node has.
#[derive(Default)]
struct Model {
    subscriptions: BTreeMap<String, u32>,
    members: BTreeSet<(String, String)>,
    users: BTreeSet<String>,
    /// Answers that said that Redis is away.
    aways: usize,
}

/// Numbers that a seed repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_races_every_edge_is_told_once_and_the_end_is_right() {
    for seed in 1..=12_u64 {
        let world = World::new().await;
        let nodes = [world.node().await, world.node().await, world.node().await];
        let mut walks = JoinSet::new();
        for (number, node) in nodes.iter().enumerate() {
            walks.spawn(walk(
                node.census.clone(),
                Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + number as u64),
            ));
        }
        let models = walks.join_all().await;
        assert_eq!(models.iter().map(|model| model.aways).sum::<usize>(), 0, "seed {seed}");
        check(&world, &nodes, &models, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_freeze_meanwhile_make_no_difference() {
    for seed in 1..=4_u64 {
        let world = World::new().await;
        let nodes = [world.node().await, world.node().await, world.node().await];
        let mut walks = JoinSet::new();
        for (number, node) in nodes.iter().enumerate() {
            let seed = seed.wrapping_mul(0xd134_2543_de82_ef95) + number as u64;
            walks.spawn(walk(node.census.clone(), Random(seed)));
        }
        // Two of them lose their leases in the middle of it.
        nodes[..2].iter().for_each(Node::freeze);
        let swept = || nodes[2].census.figures().leases_swept.total();
        until("swept", || async { swept() == 32 }).await;
        nodes[..2].iter().for_each(Node::thaw);
        let models = walks.join_all().await;
        check(&world, &nodes, &models, seed).await;
        assert!(nodes[..2].iter().all(|node| node.census.figures().entered.total() > 1), "seed {seed}");
    }
}

/// Does something, waits now and then, and says in the end what should be there.
async fn walk(census: RedisCensus, mut random: Random) -> Model {
    let mut model = Model::default();
    for _ in 0..STEPS {
        let channel = format!("presence-{}", random.below(CHANNELS));
        let user_id = format!("u{}", random.below(USERS));
        let waits = random.below(4) == 0;
        match random.below(4) {
            0 => subscribe(&census, &mut model, channel, waits).await,
            1 => unsubscribe(&census, &mut model, &channel),
            2 => toggle_member(&census, &mut model, (channel, user_id), waits).await,
            _ => toggle_user(&census, &mut model, user_id, waits).await,
        }
    }
    while census.enter(&topic("2", "end"), ALL).await.is_err() {
        tokio::task::yield_now().await;
    }
    model
}

async fn subscribe(census: &RedisCensus, model: &mut Model, channel: String, waits: bool) {
    let room = topic("1", &channel);
    let subscriptions = model.subscriptions.entry(channel).or_default();
    *subscriptions += 1;
    if *subscriptions > 1 {
        return census.count(&room, *subscriptions);
    }
    let entered = census.enter(&room, ALL);
    if waits {
        model.aways += usize::from(entered.await.is_err());
    }
}

fn unsubscribe(census: &RedisCensus, model: &mut Model, channel: &str) {
    let Some(subscriptions) = model.subscriptions.get_mut(channel) else { return };
    *subscriptions -= 1;
    if *subscriptions > 0 {
        return census.count(&topic("1", channel), *subscriptions);
    }
    model.subscriptions.remove(channel);
    census.leave(&topic("1", channel));
}

async fn toggle_member(census: &RedisCensus, model: &mut Model, who: (String, String), waits: bool) {
    let room = topic("1", &who.0);
    if model.members.remove(&who) {
        return census.part(&room, &who.1);
    }
    let joined = census.join(&room, &member(&who.1), 100, ALL, false);
    if waits {
        model.aways += usize::from(joined.await.is_err());
    }
    model.members.insert(who);
}

async fn toggle_user(census: &RedisCensus, model: &mut Model, user_id: String, waits: bool) {
    if model.users.remove(&user_id) {
        return census.sign_out(&app("1"), &user_id);
    }
    let signed_in = census.sign_in(&app("1"), &user_id);
    if waits {
        model.aways += usize::from(signed_in.await.is_err());
    }
    model.users.insert(user_id);
}

async fn check(world: &World, nodes: &[Node; NODES], models: &[Model], seed: u64) {
    let census = &nodes[0].census;
    for number in 0..CHANNELS {
        let channel = format!("presence-{number}");
        let room = topic("1", &channel);
        let subscriptions = models.iter().filter_map(|model| model.subscriptions.get(&channel)).sum();
        let members: BTreeSet<_> = models.iter().flat_map(|model| &model.members).collect();
        let members: Vec<Box<str>> =
            members.into_iter().filter(|who| who.0 == channel).map(|who| who.1.as_str().into()).collect();
        let expected = Occupancy { subscriptions, users: u32::try_from(members.len()).unwrap() };
        until(&format!("seed {seed}: {channel} has {expected:?}"), || async {
            census.occupancy(&room).await.unwrap() == expected
        })
        .await;
        assert_eq!(census.members(&room).await.unwrap(), members, "seed {seed}: {channel}");
    }
    let users: Vec<Box<str>> = (0..USERS).map(|number| format!("u{number}").into()).collect();
    let expected: Vec<_> =
        users.iter().map(|user| models.iter().any(|model| model.users.contains(&**user))).collect();
    assert_eq!(census.online(&app("1"), &users).await.unwrap(), expected, "seed {seed}");
    check_notices(world, seed).await;
}

/// Of each user on each topic, coming and going alternate, and versions grow.
async fn check_notices(world: &World, seed: u64) {
    let mut told: BTreeMap<_, (u8, u64)> = BTreeMap::new();
    for notice in world.heard() {
        let kind = notice.kind % 2;
        let (last, version) = told
            .insert((notice.topic.clone(), notice.user_id.clone()), (kind, notice.version))
            .unwrap_or_default();
        assert!(kind != last && notice.version > version, "seed {seed}: {notice:?}");
    }
    assert!(!told.is_empty(), "seed {seed}: nobody was told anything");
}
