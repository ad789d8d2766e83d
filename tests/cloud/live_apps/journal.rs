//! Webhooks of channels that a node is to tell of while it cannot look their app up.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{DEADLINE, World};
use crate::support::{aws_faults::Fault, client::Client, receiver::Receiver};

/// Channels that are occupied at once: more than there are shards, of which each node reads half.
const CHANNELS: usize = 32;

/// Two nodes, of which the second has never heard of the app, and cannot look it up. The first has a client.
struct Scene {
    world: World,
    receiver: Receiver,
    client: Client,
    /// How many channels the client is in.
    channels: usize,
}

impl Scene {
    /// Channels were occupied and are vacated, and the second node has to tell of both.
    async fn new() -> Self {
        let receiver = Receiver::start().await;
        let world = World::start(2, &["--app-cache-ttl-seconds", "3600"]).await;
        let webhooks = format!("update 1 --app-webhooks-enabled=true --app-webhook-url {}", receiver.url);
        world.change(&webhooks).await;
        let client = world.node(0).connect().await;
        world.faults.set(&[Fault::Refuse(500, "InternalServerError")]);
        let mut scene = Self { world, receiver, client, channels: 0 };
        scene.occupy().await;
        scene.vacate().await;
        scene
    }

    /// Occupies channels until the second node had to tell of one.
    async fn occupy(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        while self.world.node(1).metric("app_lookup_errors_total").await == 0 {
            assert!(Instant::now() < deadline, "the second node tells of nothing");
            for _ in 0..CHANNELS {
                self.client.subscribe(&format!("channel-{}", self.channels)).await;
                self.channels += 1;
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Vacates all of them, which is final in three seconds.
    async fn vacate(&mut self) {
        for channel in 0..self.channels {
            self.client.unsubscribe(&format!("channel-{channel}")).await;
        }
        self.client.send(json!({"event": "pusher:ping", "data": {}})).await;
        self.client.expect("pusher:pong").await;
    }

    /// Waits until each channel was told of as often as it has changed: that it was occupied, and then that it was vacated.
    async fn told_in_order(mut self) {
        let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for _ in 0..2 * self.channels {
            for event in self.receiver.next_within(DEADLINE).await.events() {
                let text = |key: &str| event[key].as_str().expect("a text").to_owned();
                told.entry(text("channel")).or_default().push(text("name"));
            }
        }
        assert_eq!(told.len(), self.channels);
        for (channel, names) in told {
            assert_eq!(names, ["channel_occupied", "channel_vacated"], "{channel}");
        }
        assert!(self.receiver.arrived().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_whose_app_cannot_be_looked_up_for_a_while_keep_their_order() {
    let scene = Scene::new().await;
    scene.world.faults.set(&[]);
    scene.told_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_if_the_node_that_cannot_look_it_up_is_stopped() {
    let mut scene = Scene::new().await;
    scene.world.cluster.node_mut(1).stop().await;
    scene.told_in_order().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_they_do_if_it_is_killed() {
    let mut scene = Scene::new().await;
    scene.world.cluster.kill(1);
    scene.told_in_order().await;
}
