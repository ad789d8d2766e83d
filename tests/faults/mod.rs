//! What users notice, and what they do not, when nodes are killed, frozen or cut off, and when their Redis is.
//!
//! The figures are those that operators are promised. Durations that a test waits for are those of the fault itself.

pub(crate) mod traffic;

mod bystanders;
mod cache;
mod calm;
mod crashes;
mod gaps;
mod half_open;
mod kills;
mod long;
mod outages;
mod partitions;
mod queue;
mod sentinels;
mod slots;
mod stops;
mod versions;
mod webhooks;
mod zombies;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::timeout;

use crate::support::{
    client::Client,
    node::{Launch, Node},
    receiver::{Delivery, Receiver},
};

/// After so long nothing is left of a node that was killed: its lease of ten seconds, and the time to notice.
const GONE: Duration = Duration::from_secs(15);

/// How long it may take until a node that could not reach Redis is as it was before.
const RECOVERY: Duration = Duration::from_secs(10);

/// The presence channel of tests that have one.
const ROOM: &str = "presence-room";

/// The usual app, with these kinds of webhooks to the receiver and with room for many members.
fn launch_with_webhooks(receiver: &Receiver, kinds: &[&str]) -> Launch {
    launch_with_webhooks_to(&receiver.url, kinds)
}

/// The same, to any endpoint.
fn launch_with_webhooks_to(url: &str, kinds: &[&str]) -> Launch {
    Launch::bare().config(&json!({"applications": [{
        "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_enable_client_messages": true,
        "app_max_presence_members_per_channel": 1000, "app_webhooks_enabled": true,
        "webhooks": [{"url": url, "event_types": kinds}],
    }]}))
}

/// Waits until a node says that it is one of several again. Until then it answers by what it knows itself.
async fn expect_ready(node: &Node, deadline: Duration) {
    let asking = async {
        while node.api().request_at("GET", "/ready").send().await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(deadline, asking).await.unwrap_or_else(|_| panic!("not ready within {deadline:?}"));
}

/// Waits until a node says that it is cut off, and says how long that took.
async fn until_unready(node: &Node) -> Duration {
    let began = Instant::now();
    let asking = async {
        while node.api().request_at("GET", "/ready").send().await.status != 503 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(RECOVERY, asking).await.unwrap_or_else(|_| panic!("still ready after {RECOVERY:?}"));
    began.elapsed()
}

/// Clients of a node, of which each is one of these users in the room.
async fn members(node: &Node, users: impl IntoIterator<Item = String>) -> Vec<Client> {
    let mut members = Vec::new();
    for user in users {
        let mut client = node.connect().await;
        client.subscribe_presence(ROOM, user, json!({})).await;
        members.push(client);
    }
    members
}

/// Users with these numbers.
fn users(numbers: std::ops::Range<usize>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("u{number}"))
}

/// How often each user was told of, by the event that told of it.
type Notices = BTreeMap<String, BTreeMap<String, usize>>;

/// Reads what a member of the room is told of others, until that is enough.
async fn notices_until(
    watcher: &mut Client,
    deadline: Duration,
    mut enough: impl FnMut(&Notices) -> bool,
) -> Notices {
    let mut notices = Notices::new();
    let reading = async {
        while !enough(&notices) {
            let frame = watcher.frame_within(deadline).await;
            if let Some(user) = frame.event.contains("member_").then(|| frame.json()["user_id"].clone()) {
                let user = user.as_str().expect("ids are text").to_owned();
                *notices.entry(frame.event).or_default().entry(user).or_default() += 1;
            }
        }
    };
    if timeout(deadline, reading).await.is_err() {
        let told: BTreeMap<_, _> = notices.iter().map(|(event, users)| (event, users.len())).collect();
        panic!("within {deadline:?} the watcher was told only of {told:?}");
    }
    notices
}

/// How many users an event told of.
fn told_of(notices: &Notices, event: &str) -> usize {
    notices.get(&format!("pusher_internal:{event}")).map_or(0, BTreeMap::len)
}

/// Nobody was told of more than once.
fn assert_once_each(notices: &Notices) {
    for (event, users) in notices {
        let repeated: Vec<_> = users.iter().filter(|(_, times)| **times > 1).collect();
        assert!(repeated.is_empty(), "{event} came more than once: {repeated:?}");
    }
}

/// Who is in the room, by a node's HTTP API.
async fn users_in_the_room(node: &Node) -> BTreeSet<String> {
    let told = node.api().get(&format!("/channels/{ROOM}/users")).await.expect_status(200).json();
    let users = told["users"].as_array().expect("a list of users").iter();
    users.map(|user| user["id"].as_str().expect("ids are text").to_owned()).collect()
}

/// Asks until these are in the room.
async fn expect_users(node: &Node, deadline: Duration, expected: &BTreeSet<String>) {
    let asking = async {
        while users_in_the_room(node).await != *expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(deadline, asking).await.is_err() {
        let told = users_in_the_room(node).await;
        let (missing, surplus) = (expected.difference(&told), told.difference(expected));
        panic!("missing: {:?}, too many: {:?}", missing.collect::<Vec<_>>(), surplus.collect::<Vec<_>>());
    }
}

/// Webhooks until they have told of so many things, one of them that this channel was vacated, which the test has brought
/// about last; how often each was told. A repetition of the same delivery is none.
async fn told_until(receiver: &mut Receiver, count: usize, channel: &str) -> BTreeMap<String, usize> {
    let (mut told, mut ids) = (BTreeMap::new(), BTreeSet::new());
    let last = format!("channel_vacated {channel}");
    while told.len() < count || !told.contains_key(&last) {
        let delivery = receiver.next_within(3 * GONE).await;
        let id = delivery.header("x-socket-rush-delivery").expect("every delivery has an id");
        if ids.insert(id.to_owned()) {
            for told_of in told_by(&delivery) {
                *told.entry(told_of).or_default() += 1;
            }
        }
    }
    told
}

/// What a webhook tells: the event, the channel, and the user if there is one.
fn told_by(delivery: &Delivery) -> Vec<String> {
    let words = |event: &serde_json::Value| {
        let words = ["name", "channel", "user_id"].map(|key| event[key].as_str().unwrap_or_default());
        words.join(" ").trim_end().to_owned()
    };
    delivery.events().iter().map(words).collect()
}

/// Occupies a channel and vacates it, so that a webhook tells of it after all that happened before.
async fn come_and_go(node: &Node, channel: &str) {
    let mut client = node.connect().await;
    client.subscribe(channel).await;
    client.close().await;
}
