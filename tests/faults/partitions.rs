//! A node that reaches nobody but its clients, and a peer that stands still.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::{sleep, sleep_until, timeout};

use super::{GONE, RECOVERY, ROOM, expect_users, members, users};
use crate::support::{api::Api, client::Client, cluster::Cluster, node::Node, proxy::Line};

/// Longer than a lease.
const PARTITION: Duration = Duration::from_secs(20);

/// How long any local event may take meanwhile.
const PROMPT: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_redis_serves_its_own_clients_and_comes_back() {
    let cluster = Cluster::behind_proxies(2, &[]).await;
    let _here = members(cluster.node(0), users(0..10)).await;
    let _there = members(cluster.node(1), users(5..15)).await;
    let (mut local, mut remote) = (cluster.node(1).connect().await, cluster.node(0).connect().await);
    for client in [&mut local, &mut remote] {
        client.subscribe("room").await;
    }

    cluster.proxy(1).set(Line::BlackHole);
    let over = tokio::time::Instant::now() + PARTITION;
    let api = cluster.node(1).api();
    let mut taken = 0;
    while tokio::time::Instant::now() < over {
        let at = Instant::now();
        if api.post("/events", json!({"name": "local", "channel": "room", "data": ""})).await.status == 200 {
            local.expect("local").await;
            taken += 1;
        }
        assert!(at.elapsed() < PROMPT, "{:?}", at.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    sleep_until(over).await;
    assert!(taken > 0, "its own clients are served");
    let without: BTreeSet<_> = users(0..10).collect();
    expect_users(cluster.node(0), GONE, &without).await;

    cluster.proxy(1).set(Line::Sound);
    let everybody: BTreeSet<_> = users(0..15).collect();
    for node in cluster.nodes() {
        expect_users(node, GONE, &everybody).await;
    }
    timeout(RECOVERY, heard_again(&cluster.node(0).api(), &mut local)).await.expect("it hears others again");
    timeout(RECOVERY, heard_again(&api, &mut remote)).await.expect("others hear it again");
}

/// Publishes until the client has heard it.
async fn heard_again(api: &Api, client: &mut Client) {
    let publishing = async {
        loop {
            api.post("/events", json!({"name": "again", "channel": "room", "data": ""})).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let hearing = async { while client.frame().await.event != "again" {} };
    tokio::select! {
        () = publishing => {}
        () = hearing => {}
    }
}

/// How long this takes: the median of some tries, since the machine has other work too.
async fn median(mut action: impl AsyncFnMut(usize)) -> Duration {
    let mut times = Vec::new();
    for number in 0..9 {
        let before = Instant::now();
        action(number).await;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    times[times.len() / 2]
}

async fn subscribe_another(node: &Node, number: usize, clients: &mut [Client]) {
    let client = clients.get_mut(number).expect("there is one for each try");
    client.subscribe_presence(ROOM, format!("late-{number}-{}", node.pid()), json!({})).await;
}

#[tokio::test]
async fn a_peer_that_stands_still_delays_nothing_on_a_healthy_node() {
    const AT_ONCE: Duration = Duration::from_millis(50);
    let cluster = Cluster::start(2, &[]);
    let _frozen = members(cluster.node(0), users(0..10)).await;
    let healthy = cluster.node(1);
    let mut clients = Vec::new();
    for _ in 0..9 {
        clients.push(healthy.connect().await);
    }
    let api = healthy.api();
    api.get("/channels").await.expect_status(200);

    cluster.freeze(0);
    let connect = median(async |_| drop(healthy.connect().await)).await;
    let subscribe = median(async |number| subscribe_another(healthy, number, &mut clients).await).await;
    let path = format!("/channels/{ROOM}?info=user_count");
    let read = median(async |_| drop(api.get(&path).await.expect_status(200))).await;
    let list = median(async |_| {
        let path = format!("/channels/{ROOM}/users");
        drop(api.get(&path).await.expect_status(200));
    })
    .await;
    println!("connect {connect:?}, subscribe {subscribe:?}, read {read:?}, list {list:?}");
    for (what, time) in [("connect", connect), ("subscribe", subscribe), ("read", read), ("list", list)] {
        assert!(time < AT_ONCE, "{what} took {time:?}");
    }
    cluster.thaw(0);
}
