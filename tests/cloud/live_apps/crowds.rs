//! Many who come at once.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use tokio_tungstenite::tungstenite::Message;

use super::{World, path};
use crate::support::{aws_faults::Fault, client::Client, node::Node};

/// How many come.
const CROWD: usize = 10_000;

/// How many of them shake hands at one time.
const AT_ONCE: usize = 500;

/// Requests that one lookup costs at most: of the index, and of two items of the table.
const REQUESTS: u64 = 3;

/// Connects with these keys and gives the clients.
async fn crowd(node: &Node, key: impl Fn(usize) -> String) -> Vec<Client> {
    let connecting = (0..CROWD).map(|number| {
        let path = path(&key(number));
        async move { node.connect_to(&path).await }
    });
    stream::iter(connecting).buffer_unordered(AT_ONCE).collect().await
}

/// Both ends of every connection are files.
fn raise_the_limit_of_open_files() {
    let wanted = CROWD as u64 + 1_000;
    let limit = rlimit::increase_nofile_limit(wanted).expect("the limit may be read");
    assert!(limit >= wanted, "{wanted} open files are needed and {limit} are allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_with_the_same_key_cost_one_lookup() {
    raise_the_limit_of_open_files();
    let world = World::start(1, &[]).await;
    let (node, before) = (world.node(0), world.faults.requests() as u64);
    // Most of them come while it is under way.
    world.faults.set(&[Fault::Stall(Duration::from_secs(1))]);
    let clients = crowd(node, |_| "app-key".to_owned()).await;
    for mut client in clients {
        assert_eq!(client.frame_within(super::DEADLINE).await.event, "pusher:connection_established");
    }
    let (lookups, requests) =
        (node.metric("app_lookups_total").await, world.faults.requests() as u64 - before);
    println!("{CROWD} connections: {lookups} lookup, {requests} requests");
    // Time may have come meanwhile to look at the app again.
    assert!(lookups <= 2 && requests <= REQUESTS * lookups, "{lookups} lookups, {requests} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_with_unknown_keys_cost_no_more_than_the_bound() {
    raise_the_limit_of_open_files();
    let world = World::start(1, &[]).await;
    let (node, began) = (world.node(0), Instant::now());
    node.connect().await.expect_quiet().await;
    let before = node.metric("app_lookups_total").await;
    let (mut unknown, mut later) = (0, 0);
    for mut client in crowd(node, |number| format!("nobody-{number}")).await {
        match code(&mut client).await {
            4001 => unknown += 1,
            4100 => later += 1,
            other => panic!("closed with {other}"),
        }
    }
    let (lookups, seconds) = (node.metric("app_lookups_total").await - before, began.elapsed().as_secs() + 1);
    println!(
        "{CROWD} unknown keys in {seconds} s: {lookups} lookups, {unknown} unknown, {later} told to come again"
    );
    assert!(lookups <= 200 + 100 * seconds, "{lookups} lookups in {seconds} s");
    assert!(node.metric("app_lookups_refused_total").await > 0);
    node.connect().await.expect_quiet().await;
}

/// The code with which a connection is closed.
async fn code(client: &mut Client) -> u16 {
    loop {
        match client.message_within(super::DEADLINE).await {
            Some(Message::Close(Some(close))) => return close.code.into(),
            Some(_) => {}
            None => panic!("the end without a close"),
        }
    }
}
