//! The hub with real sockets: in what order events come, who gets them, and what becomes of those who do not read.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Hub, Socket, SocketOptions, Topic, Transport};
use crate::{
    protocol::{ChannelName, Close, Event, Frame, NodeId, SocketId, event},
    tally::Tally,
};

/// How long anything may take that is bound to happen.
const DEADLINE: Duration = Duration::from_secs(20);

fn topic(name: &str) -> Topic {
    Topic { app: "1".into(), channel: ChannelName::parse(name, 200).unwrap() }
}

/// An event that carries a number and is `size` bytes long at least.
fn numbered(topic: &Topic, number: usize, size: usize) -> Frame {
    let data = format!("\"{number}:{}\"", "x".repeat(size));
    event::published(&topic.channel, Event { name: "\"e\"", data: &data })
}

/// The server's side of a connection and the client's. `serial` tells it from others.
async fn connect(serial: u64, max_backlog: u32) -> (Arc<Socket>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, client) = tokio::join!(listener.accept(), TcpStream::connect(address));
    let (server, _) = accepted.unwrap();
    server.writable().await.unwrap();
    let options = SocketOptions { max_backlog, activity_timeout_seconds: 60 };
    let id = SocketId::new(NodeId::from_random(1 << 11), serial);
    (Socket::new(id, Transport::plain(server), options, Arc::default()), client.unwrap())
}

fn publish(hub: &Hub, topic: &Topic, frame: &Frame, except: Option<SocketId>) {
    if let Some(flush) = hub.enqueue(topic, frame, except).unwrap() {
        flush.run();
    }
}

/// The numbers of the events that a client gets, until it has got `last`.
async fn read_numbers(client: &mut TcpStream, last: usize) -> Vec<usize> {
    let (mut numbers, mut bytes) = (Vec::new(), Vec::new());
    while numbers.last() != Some(&last) {
        let mut chunk = vec![0; 64 * 1024];
        let count = timeout(DEADLINE, client.read(&mut chunk)).await.expect("an event in time").unwrap();
        assert!(count > 0, "the connection ended after {numbers:?}");
        bytes.extend_from_slice(&chunk[..count]);
        let mut start = 0;
        while let Some(length) = frame_length(&bytes[start..]) {
            let text = String::from_utf8_lossy(&bytes[start..start + length]).into_owned();
            let (_, data) = text.split_once("\"data\":\"").expect("an event");
            numbers.push(data.split(':').next().unwrap().parse().unwrap());
            start += length;
        }
        bytes.drain(..start);
    }
    numbers
}

/// The length of the frame that the bytes begin with, if it is whole.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let (head, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        length => (2, usize::from(length)),
    };
    (bytes.len() >= head + length).then_some(head + length)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_subscribers_get_all_events_in_the_same_order_whoever_publishes() {
    const EVENTS: usize = 2_000;
    let (hub, topic) = (Arc::new(Hub::new(Arc::default())), topic("room"));
    let mut clients = Vec::new();
    for serial in 0..50 {
        let (socket, client) = connect(serial, 16 << 20).await;
        hub.subscribe(&topic, &socket, &[]);
        clients.push(client);
    }
    let publishers = (0..4).map(|publisher| {
        let (hub, topic) = (Arc::clone(&hub), topic.clone());
        tokio::spawn(async move {
            for number in (publisher..EVENTS).step_by(4) {
                publish(&hub, &topic, &numbered(&topic, number, 50), None);
                tokio::task::yield_now().await;
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    publish(&hub, &topic, &numbered(&topic, EVENTS, 0), None);
    let first = read_numbers(&mut clients[0], EVENTS).await;
    let mut sorted = first.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(0..=EVENTS));
    for client in &mut clients[1..] {
        assert_eq!(read_numbers(client, EVENTS).await, first);
    }
}

#[tokio::test]
async fn one_who_is_excepted_gets_all_but_that() {
    let (hub, topic) = (Hub::new(Arc::default()), topic("room"));
    let (alice, mut alice_client) = connect(1, 1 << 20).await;
    let (bob, mut bob_client) = connect(2, 1 << 20).await;
    hub.subscribe(&topic, &alice, &[]);
    hub.subscribe(&topic, &bob, &[]);
    // Put in without a flush in between, so that they leave in one batch.
    let flush = hub.enqueue(&topic, &numbered(&topic, 1, 0), None).unwrap().expect("the channel is idle");
    assert!(hub.enqueue(&topic, &numbered(&topic, 2, 0), Some(alice.id())).unwrap().is_none());
    assert!(hub.enqueue(&topic, &numbered(&topic, 3, 0), None).unwrap().is_none());
    flush.run();
    assert_eq!(read_numbers(&mut alice_client, 3).await, [1, 3]);
    assert_eq!(read_numbers(&mut bob_client, 3).await, [1, 2, 3]);
}

#[tokio::test]
async fn what_was_published_before_somebody_came_is_not_for_them() {
    let (hub, topic) = (Hub::new(Arc::default()), topic("room"));
    let (alice, mut alice_client) = connect(1, 1 << 20).await;
    let (bob, mut bob_client) = connect(2, 1 << 20).await;
    hub.subscribe(&topic, &alice, &[]);
    let flush = hub.enqueue(&topic, &numbered(&topic, 1, 0), None).unwrap().expect("the channel is idle");
    hub.subscribe(&topic, &bob, &[]);
    assert!(hub.enqueue(&topic, &numbered(&topic, 2, 0), None).unwrap().is_none());
    flush.run();
    assert_eq!(read_numbers(&mut alice_client, 2).await, [1, 2]);
    assert_eq!(read_numbers(&mut bob_client, 2).await, [2]);
}

#[tokio::test]
async fn one_who_left_gets_nothing_more_and_the_last_one_takes_the_channel_along() {
    let (hub, topic) = (Hub::new(Arc::default()), topic("room"));
    let (alice, mut alice_client) = connect(1, 1 << 20).await;
    hub.subscribe(&topic, &alice, &[]);
    // To subscribe again changes nothing.
    hub.subscribe(&topic, &alice, &[]);
    assert_eq!(hub.subscribers(&topic).len(), 1);
    hub.unsubscribe(&topic, alice.id());
    publish(&hub, &topic, &numbered(&topic, 1, 0), None);
    alice.push(&numbered(&topic, 2, 0));
    assert_eq!(read_numbers(&mut alice_client, 2).await, [2]);
    assert!(hub.shards.iter().all(|shard| shard.read().is_empty()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_does_not_read_is_told_so_and_nobody_waits_for_it() {
    const EVENTS: usize = 2_000;
    let (hub, topic) = (Hub::new(Arc::default()), topic("room"));
    let (slow, mut slow_client) = connect(1, 256 * 1024).await;
    let (fast, mut fast_client) = connect(2, 64 << 20).await;
    hub.subscribe(&topic, &slow, &[]);
    hub.subscribe(&topic, &fast, &[]);
    let reader = tokio::spawn(async move { read_numbers(&mut fast_client, EVENTS).await });
    for number in 0..=EVENTS {
        publish(&hub, &topic, &numbered(&topic, number, 10_000), None);
        tokio::task::yield_now().await;
    }
    assert!(reader.await.unwrap().into_iter().eq(0..=EVENTS));
    assert!(slow.is_closing());
    let mut got = Vec::new();
    timeout(DEADLINE, slow_client.read_to_end(&mut got)).await.expect("an end in time").unwrap();
    let goodbye = Frame::goodbye(&Close::OVER_CAPACITY);
    assert!(got.ends_with(goodbye.bytes()), "{:?}", &got[got.len().saturating_sub(200)..]);
    // Whole frames all the way: none was torn by the cut.
    let mut rest = &got[..got.len() - goodbye.bytes().len()];
    while let Some(length) = frame_length(rest) {
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_full_channel_makes_publishers_wait_until_it_is_flushed() {
    let (hub, topic) = (Hub::new(Arc::default()), topic("room"));
    let (alice, mut alice_client) = connect(1, 64 << 20).await;
    hub.subscribe(&topic, &alice, &[]);
    let frame = numbered(&topic, 1, 60_000);
    let flush = hub.enqueue(&topic, &frame, None).unwrap().expect("the channel is idle");
    let full = loop {
        if let Err(full) = hub.enqueue(&topic, &frame, None) {
            break full;
        }
    };
    let waiting = tokio::spawn(full.room());
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    // What must not be refused is taken even now.
    assert!(hub.enqueue_always(&topic, &numbered(&topic, 2, 0), None).is_none());
    flush.run();
    timeout(DEADLINE, waiting).await.expect("room in time").unwrap();
    read_numbers(&mut alice_client, 2).await;
    assert!(hub.enqueue(&topic, &frame, None).is_ok());
}

#[tokio::test]
async fn what_comes_too_late_for_a_connection_is_not_counted_as_sent() {
    let tally = Arc::<Tally>::default();
    let (hub, topic) = (Hub::new(Arc::clone(&tally)), topic("room"));
    let ((alice, _alice_client), (bob, _bob_client)) = (connect(1, 1024).await, connect(2, 1024).await);
    for socket in [&alice, &bob] {
        hub.subscribe(&topic, socket, &[]);
    }
    publish(&hub, &topic, &numbered(&topic, 0, 0), None);
    assert_eq!(tally.sent.total(), 2);
    publish(&hub, &topic, &numbered(&topic, 1, 0), Some(alice.id()));
    assert_eq!(tally.sent.total(), 3, "the one who must not get it");
    bob.echo_close(None);
    publish(&hub, &topic, &numbered(&topic, 2, 0), None);
    publish(&hub, &topic, &numbered(&topic, 3, 0), Some(alice.id()));
    assert_eq!(tally.sent.total(), 4, "bob has gone");
    assert_eq!([alice.close_code(), bob.close_code()], [None, Some(1005)]);
}

#[tokio::test]
async fn what_other_nodes_publish_is_bounded_and_what_is_beyond_is_counted() {
    let tally = Arc::new(Tally::default());
    let (hub, topic) = (Hub::new(Arc::clone(&tally)), topic("room"));
    let (socket, _client) = connect(1, 1024).await;
    hub.subscribe(&topic, &socket, &[]);
    let frame = Frame::text(1 << 20, |buffer| buffer.resize(buffer.len() + (1 << 20), b'x'));
    // Nobody flushes as long as the duty is not done.
    let duty = hub.enqueue_heard(&topic, &frame, None).expect("the channel is idle");
    for _ in 0..100 {
        assert!(hub.enqueue_heard(&topic, &frame, None).is_none(), "somebody has the duty");
    }
    assert!((30..=40).contains(&tally.unheard.total()), "{}", tally.unheard.total());
    duty.run();
}
