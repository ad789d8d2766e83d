//! Clients that vanish without a word.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future::join_all, stream};
use serde_json::json;

use super::{assert_once_each, notices_until, told_of, users};
use crate::support::{
    client::Client,
    cluster::Cluster,
    proxy::{Line, Proxy},
};

/// A tenth of a thousand in each of ten channels, so that not everybody is told of everybody.
const ROOMS: usize = 10;
const VANISHING: usize = 100;

/// Clients that connect at the same time.
const AT_ONCE: usize = 50;

/// One second of silence, thirty to answer a probe, two to read a goodbye, and some time for all of it.
const NOTICED: Duration = Duration::from_secs(40);

fn room(number: usize) -> String {
    format!("presence-{number}")
}

/// Somebody who hears who comes to a channel and leaves it.
async fn watcher(cluster: &Cluster, number: usize) -> Client {
    let mut watcher = cluster.node(1).connect().await;
    watcher.subscribe_presence(&room(number), "watcher", json!({})).await;
    watcher
}

/// Waits until each watcher was told of everybody, once, and gives the watchers back.
async fn told_of_all(watchers: Vec<Client>, event: &str) -> Vec<Client> {
    let telling = watchers.into_iter().map(|mut watcher| async move {
        let notices =
            notices_until(&mut watcher, NOTICED, |notices| told_of(notices, event) == VANISHING).await;
        assert_once_each(&notices);
        watcher
    });
    join_all(telling).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_members_that_vanish_without_a_word_have_left_once_their_probe_is_unanswered() {
    let flags = ["--app-activity-timeout", "1", "--app-max-presence-members-per-channel", "1000"];
    let cluster = Cluster::start(2, &flags);
    let watchers = join_all((0..ROOMS).map(|number| watcher(&cluster, number))).await;
    let line = Proxy::to(cluster.node(0).address).await;
    let vanishing = users(0..ROOMS * VANISHING).enumerate().map(|(number, user)| {
        let (address, credentials) = (line.address, &cluster.node(0).credentials);
        async move {
            let mut client = Client::connect(address, credentials).await;
            client.ask_presence(&room(number % ROOMS), &json!({"user_id": user}).to_string()).await;
            client
        }
    });
    // They answer probes for as long as the line is sound.
    let answer =
        |mut client: Client| async move { while client.message_within(2 * NOTICED).await.is_some() {} };
    let vanishing = stream::iter(vanishing).buffered(AT_ONCE);
    let vanishing: Vec<_> = vanishing.map(|client| tokio::spawn(answer(client))).collect().await;
    let watchers = told_of_all(watchers, "member_added").await;

    line.set(Line::BlackHole);
    let vanished = Instant::now();
    let watchers = told_of_all(watchers, "member_removed").await;
    println!("{} members were gone after {:?}", ROOMS * VANISHING, vanished.elapsed());
    assert!(vanished.elapsed() <= NOTICED, "{:?}", vanished.elapsed());
    for number in 0..ROOMS {
        let path = format!("/channels/{}?info=user_count", room(number));
        let told = cluster.node(1).api().get(&path).await.json();
        assert_eq!(told, json!({"occupied": true, "user_count": 1}));
    }
    drop(watchers);
    vanishing.iter().for_each(tokio::task::JoinHandle::abort);
}
