//! A server that has no descriptor left: it waits for better times, and whoever is connected does not notice.

use std::{net::TcpStream, time::Duration};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::node::Node;

/// Descriptors that the server may have: enough for itself and a few dozen connections.
const DESCRIPTORS: u64 = 128;

/// Connections that come all the same.
const STRANGERS: usize = 200;

/// How long the server is watched while it is full.
const WATCH: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_descriptors_neither_spins_nor_loses_anybody() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    limit_descriptors(&node, DESCRIPTORS);
    // The kernel accepts them on the server's behalf; the server has no descriptor to take them over with.
    let strangers: Vec<_> = (0..STRANGERS).map(|_| TcpStream::connect(node.address).unwrap()).collect();
    let before = node.cpu_time();
    // Nothing is waited for: this is how long the server has to show that it does not spin.
    tokio::time::sleep(WATCH).await;
    let spent = node.cpu_time() - before;
    println!("{spent:?} of CPU time in {WATCH:?} without descriptors");
    assert!(spent < WATCH / 10, "{spent:?}");
    client.expect_quiet().await;

    drop(strangers);
    let mut latecomer = node.connect().await;
    latecomer.subscribe("room").await;
    node.api().publish("room", "after", "{}").await;
    client.expect("after").await;
    latecomer.expect("after").await;
}

fn limit_descriptors(node: &Node, count: u64) {
    let pid = Pid::from_raw(node.pid().cast_signed()).expect("a process has a number");
    let limit = Rlimit { current: Some(count), maximum: Some(count) };
    prlimit(Some(pid), Resource::Nofile, limit).expect("limits may be lowered");
}
