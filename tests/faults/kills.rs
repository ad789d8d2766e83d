//! A node that is killed again and again, at any moment, while webhooks are under way.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::{GONE, launch_with_webhooks_to, told_by};
use crate::support::{
    client::Client,
    cluster::Cluster,
    random::Random,
    receiver::{Delivery, Receiver},
};

/// Within this time after it has asked for its channels, a node is killed.
const LIFE: Duration = Duration::from_millis(2_500);

/// How long it may take until everything is told, once nobody is killed any more.
const TOLD: Duration = Duration::from_secs(300);

/// Deliveries that a node may have under way when it is killed: so many it sends to one endpoint at a time, and for as many
/// more it may not have said yet that they are through.
const UNDER_WAY: usize = 2 * 8;

/// What the endpoint was told.
#[derive(Debug, Default)]
struct Told {
    /// The delivery that told of a thing first.
    ids: BTreeMap<String, String>,
    /// Things that were told again.
    repeats: usize,
}

impl Told {
    /// Takes down all webhooks, until those of all these things have come, once these are known.
    async fn of(mut receiver: Receiver, mut expected: watch::Receiver<Option<BTreeSet<String>>>) -> Self {
        let mut told = Self::default();
        while !expected.borrow().as_ref().is_some_and(|things| told.has_all(things)) {
            tokio::select! {
                delivery = receiver.next_within(4 * GONE) => told.add(&delivery),
                changed = expected.changed() => changed.expect("the test goes on"),
            }
        }
        // What repeats there are has come by now: it was under way before what came last.
        receiver.arrived().iter().for_each(|delivery| told.add(delivery));
        told
    }

    fn add(&mut self, delivery: &Delivery) {
        let id = delivery.header("x-socket-rush-delivery").expect("every delivery has an id");
        for thing in told_by(delivery) {
            match self.ids.get(&thing) {
                None => drop(self.ids.insert(thing, id.to_owned())),
                Some(first) => {
                    assert_eq!(first, id, "a repeat of {thing} has the id of the first");
                    self.repeats += 1;
                }
            }
        }
    }

    fn has_all(&self, things: &BTreeSet<String>) -> bool {
        self.ids.len() >= things.len() && things.iter().all(|thing| self.ids.contains_key(thing))
    }
}

/// Takes down the channels that a client is subscribed to, until its node is gone.
async fn subscribed(mut client: Client) -> Vec<String> {
    let mut channels = Vec::new();
    while let Some(message) = client.message_within(GONE).await {
        let Message::Text(text) = message else { continue };
        let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        if frame["event"] == "pusher_internal:subscription_succeeded" {
            channels.push(frame["channel"].as_str().expect("a channel").to_owned());
        }
    }
    channels
}

/// In each round a client occupies so many channels on one of two nodes, which is killed at any moment. Whatever a client
/// was told to be subscribed to is told to the endpoint, and what comes twice has the same id.
pub(super) async fn kill_again_and_again(rounds: usize, channels: usize) {
    let receiver = Receiver::start().await;
    let launch = {
        let url = receiver.url.clone();
        move || launch_with_webhooks_to(&url, &["channel_occupied"])
    };
    let mut cluster = Cluster::of(2, &launch);
    let mut random = Random::seeded();
    let (expect, expected) = watch::channel(None);
    let telling = tokio::spawn(Told::of(receiver, expected));
    let (began, mut things) = (Instant::now(), BTreeSet::new());
    for round in 0..rounds {
        let mut client = cluster.node(0).connect().await;
        let subscribe =
            |number| json!({"event": "pusher:subscribe", "data": {"channel": format!("{round}-{number}")}});
        client.send_at_once((0..channels).map(subscribe)).await;
        let hearing = tokio::spawn(subscribed(client));
        // A moment that only the seed knows: this is what the test is about.
        sleep(random.part_of(LIFE)).await;
        cluster.kill(0);
        let heard = hearing.await.expect("it hears until the end");
        things.extend(heard.into_iter().map(|channel| format!("channel_occupied {channel}")));
        cluster.replace(0, launch());
    }
    println!("{} of {} subscribed in {:?}", things.len(), rounds * channels, began.elapsed());
    assert!(things.len() >= rounds, "in most rounds there is time for something");
    let count = things.len();
    expect.send_replace(Some(things));
    let told = timeout(TOLD, telling).await.expect("everything is told in time").expect("all ids are right");
    println!(
        "{} told, {count} of them surely, {} repeats, in {:?}",
        told.ids.len(),
        told.repeats,
        began.elapsed()
    );
    assert!(told.repeats <= rounds * UNDER_WAY, "{} repeats in {rounds} rounds", told.repeats);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_outlive_their_node_five_times() {
    kill_again_and_again(5, 200).await;
}
