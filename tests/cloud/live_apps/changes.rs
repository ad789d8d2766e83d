//! Apps that change while clients are connected to two nodes.

use std::time::Instant;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{DEADLINE, TTL, World, answer, path};
use crate::support::{client::Client, node::Node, receiver::Receiver, signing::Credentials};

/// A client on each of the nodes, in a channel of its own.
async fn clients(world: &World) -> [Client; 2] {
    let mut clients = [world.node(0).connect().await, world.node(1).connect().await];
    for (index, client) in clients.iter_mut().enumerate() {
        client.subscribe_private(&format!("private-{index}")).await;
    }
    clients
}

/// Waits until it is so, and tells how long after `began` that was.
async fn until(began: Instant, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
    println!("{what}: {} ms after the command", began.elapsed().as_millis());
}

/// Whether a client is refused to send events in its channel, where it is alone.
async fn is_refused_to_speak(client: &mut Client, index: usize) -> bool {
    client.trigger(&format!("private-{index}"), "client-x", "1").await;
    client.send(json!({"event": "pusher:ping", "data": {}})).await;
    let is_refused = match client.frame().await.event.as_str() {
        "pusher:pong" => return false,
        answer => answer == "pusher:error",
    };
    client.expect("pusher:pong").await;
    is_refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_feature_applies_to_those_who_are_connected() {
    let world = World::start(2, &["--app-cache-ttl-seconds", "3600"]).await;
    let mut clients = clients(&world).await;
    for (index, client) in clients.iter_mut().enumerate() {
        assert!(!is_refused_to_speak(client, index).await);
    }
    world.tell("update 1 --app-enable-client-messages=false").await;
    let began = Instant::now();
    for (index, client) in clients.iter_mut().enumerate() {
        let is_refused = async || is_refused_to_speak(client, index).await;
        until(began, &format!("updated on node {index}"), is_refused).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_is_switched_off_lets_nobody_stay_and_works_at_once_when_it_is_on_again() {
    let world = World::start(2, &["--app-cache-ttl-seconds", "3600"]).await;
    let mut clients = clients(&world).await;
    world.tell("disable 1").await;
    let began = Instant::now();
    for (index, client) in clients.iter_mut().enumerate() {
        client.expect_end(4003).await;
        println!("closed on node {index}: {} ms after the command", began.elapsed().as_millis());
        let node = world.node(index);
        answer(node, &node.credentials.secret).await.expect_status(403);
        node.connect_to(&path("app-key")).await.expect_end(4003).await;
    }
    world.tell("enable 1").await;
    let began = Instant::now();
    for index in 0..2 {
        let node = world.node(index);
        let answers = async || answer(node, &node.credentials.secret).await.status == 200;
        until(began, &format!("switched on on node {index}"), answers).await;
        node.connect().await.expect_quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_of_an_app_that_is_deleted_are_told_that_it_is_unknown() {
    let world = World::start(2, &["--app-cache-ttl-seconds", "3600"]).await;
    let mut clients = clients(&world).await;
    world.tell("delete 1").await;
    let began = Instant::now();
    for (index, client) in clients.iter_mut().enumerate() {
        client.expect_end(4001).await;
        println!("closed on node {index}: {} ms after the command", began.elapsed().as_millis());
        let node = world.node(index);
        answer(node, &node.credentials.secret).await.expect_status(404);
        node.connect_to(&path("app-key")).await.expect_end(4001).await;
    }
}

/// The secret that the table has.
async fn secret(world: &World) -> String {
    let shown: Value =
        serde_json::from_str(&world.change("show 1 --show-secret --as-json").await).expect("JSON");
    shown["app"]["app_secret"].as_str().expect("a secret").to_owned()
}

async fn takes(node: &Node, secret: &str) -> bool {
    answer(node, secret).await.status == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_can_be_replaced_while_both_count() {
    let world = World::start(2, &["--app-cache-ttl-seconds", "3600"]).await;
    let mut clients = clients(&world).await;
    let first = Credentials::default().secret;
    world.tell("rotate 1 --overlap 3600").await;
    let began = Instant::now();
    let second = secret(&world).await;
    for (index, client) in clients.iter_mut().enumerate() {
        let node = world.node(index);
        until(began, &format!("rotated on node {index}"), async || takes(node, &second).await).await;
        assert!(takes(node, &first).await, "the old one counts still");
        // The backend of this client has the old one.
        client.subscribe_private("private-hall").await;
    }
    world.tell("rotate 1 --overlap 0").await;
    let began = Instant::now();
    for index in 0..2 {
        let node = world.node(index);
        let is_over = async || !takes(node, &second).await && !takes(node, &first).await;
        until(began, &format!("rotated at once on node {index}"), is_over).await;
        assert!(takes(node, &secret(&world).await).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_are_switched_on_tell_of_those_who_were_there_before() {
    let world = World::start(2, &["--app-cache-ttl-seconds", "3600"]).await;
    let mut receiver = Receiver::start().await;
    let mut clients = clients(&world).await;
    clients[0].subscribe_presence("presence-room", "ann", json!({})).await;
    let webhooks = format!("update 1 --app-webhooks-enabled=true --app-webhook-url {}", receiver.url);
    world.tell(&webhooks).await;
    let began = Instant::now();
    // A node that wants them tells of whoever comes, so it is known by then that it does.
    for index in 0..2 {
        let node = world.node(index);
        let is_told = async || {
            let mut client = node.connect().await;
            client.subscribe(&format!("probe-{index}-{}", client.socket_id.replace('.', "-"))).await;
            !receiver.arrived().is_empty()
        };
        until(began, &format!("webhooks on node {index}"), is_told).await;
    }
    clients[0].unsubscribe("presence-room").await;
    clients[1].unsubscribe("private-1").await;
    let mut awaited =
        vec!["member_removed presence-room", "channel_vacated presence-room", "channel_vacated private-1"];
    while !awaited.is_empty() {
        let delivery = receiver.next_within(DEADLINE).await;
        for event in delivery.events() {
            let told =
                [&event["name"], &event["channel"]].map(|text| text.as_str().unwrap_or_default().to_owned());
            awaited.retain(|awaited| *awaited != told.join(" "));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_for_connections_counts_those_who_were_there_before() {
    let world = World::start(2, &["--app-cache-ttl-seconds", "3600"]).await;
    let clients = clients(&world).await;
    world.tell("update 1 --app-max-connections 2").await;
    let began = Instant::now();
    for index in 0..2 {
        let node = world.node(index);
        let is_full = async || {
            let mut client = node.connect_to(&path("app-key")).await;
            client.frame().await.whole()["data"]["code"] == 4004
        };
        until(began, &format!("bounded on node {index}"), is_full).await;
    }
    drop(clients);
    for index in 0..2 {
        let node = world.node(index);
        let has_room = async || {
            let mut client = node.connect_to(&path("app-key")).await;
            client.frame().await.event == "pusher:connection_established"
        };
        until(began, &format!("room on node {index}"), has_room).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_app_is_found_at_once_although_somebody_has_asked_for_it_before() {
    let world = World::start(2, &["--app-cache-negative-ttl-seconds", "3600"]).await;
    for index in 0..2 {
        world.node(index).connect_to(&path("another")).await.expect_end(4001).await;
    }
    let credentials = Credentials::new("2", "another", "its secret");
    world.tell("create --app-id 2 --app-key another --app-secret s").await;
    let began = Instant::now();
    for index in 0..2 {
        let node = world.node(index);
        let is_there = async || {
            let mut client = node.connect_to(&path("another")).await;
            client.frame().await.event == "pusher:connection_established"
        };
        until(began, &format!("created on node {index}"), is_there).await;
        node.connect_as(&credentials).await.expect_quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_is_told_is_noticed_within_the_time() {
    let seconds = TTL.as_secs().to_string();
    let world = World::start(2, &["--app-cache-ttl-seconds", &seconds]).await;
    let mut clients = clients(&world).await;
    // Whoever is idle is looked after all the same.
    sleep(2 * TTL).await;
    world.change("disable 1").await;
    let began = Instant::now();
    for (index, client) in clients.iter_mut().enumerate() {
        client.expect_end(4003).await;
        println!("noticed on node {index}: {} ms after the command", began.elapsed().as_millis());
    }
    assert!(began.elapsed() < 5 * TTL, "{:?}", began.elapsed());
}
