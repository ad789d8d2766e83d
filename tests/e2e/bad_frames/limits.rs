//! Just within what is legal, and just beyond it: messages at the limit, every code of a close, text that cannot become
//! UTF-8 any more, frames whose other half never comes.

use std::time::Duration;

use futures_util::future::join_all;
use rustls::version::{TLS12, TLS13};

use super::{
    SLACK, check, expect_alive, expect_end, expect_released,
    table::{Answer, PING_MESSAGE, cases},
};
use crate::support::{
    node::{Launch, Node},
    raw::{Raw, RawFrame, frame, frame_with_first_byte, opcode},
    tls::Identity,
};

/// What any client may send, whatever the app's limits are.
const LEAST_LIMIT: usize = 128 << 10;

/// A message of exactly so many bytes that is answered with a pong.
fn message_of(length: usize) -> Vec<u8> {
    let mut message = PING_MESSAGE.to_vec();
    // JSON may end in any number of spaces.
    message.resize(length, b' ');
    message
}

/// The frames of a message in fragments of at most `size` bytes, each followed by a pong that nobody asked for.
fn in_fragments(message: &[u8], size: usize) -> Vec<u8> {
    let last = message.len().div_ceil(size) - 1;
    let fragment = |(index, part)| {
        let opcode = if index == 0 { opcode::TEXT } else { opcode::CONTINUATION };
        let fragment = if index == last { frame(opcode, part) } else { frame_with_first_byte(opcode, part) };
        [fragment, frame(opcode::PONG, b"")].concat()
    };
    message.chunks(size).enumerate().flat_map(fragment).collect()
}

/// Whether the limit is exactly this, however a message comes.
async fn expect_limit(node: &Node, limit: usize) {
    let (most, too_much) = (message_of(limit), message_of(limit + 1));
    let cases = [
        ("whole", frame(opcode::TEXT, &most), Answer::Pongs(1)),
        ("twice", frame(opcode::TEXT, &most).repeat(2), Answer::Pongs(2)),
        ("in large fragments", in_fragments(&most, 60_000), Answer::Pongs(1)),
        ("in small fragments", in_fragments(&most, 1000), Answer::Pongs(1)),
        ("as bytes", frame(opcode::BINARY, &most), Answer::Error),
        ("whole, too large", frame(opcode::TEXT, &too_much), Answer::Close(1009)),
        ("announced, too large", frame(opcode::TEXT, &too_much)[..14].to_vec(), Answer::Close(1009)),
        ("in large fragments, too large", in_fragments(&too_much, 60_000), Answer::Close(1009)),
        ("in small fragments, too large", in_fragments(&too_much, 1000), Answer::Close(1009)),
        ("as bytes, too large", frame(opcode::BINARY, &too_much), Answer::Close(1009)),
    ];
    for (what, bytes, answer) in cases {
        let mut raw = Raw::established(node).await;
        raw.send(&bytes).await;
        check(&mut raw, answer).await.unwrap_or_else(|complaint| panic!("{limit} bytes {what}: {complaint}"));
    }
}

#[tokio::test]
async fn a_message_may_have_128_kib_where_payloads_are_small() {
    expect_limit(&Node::with(["--app-max-event-payload-in-kb", "1"]), LEAST_LIMIT).await;
    expect_limit(&Node::with(["--app-max-event-payload-in-kb", "21"]), LEAST_LIMIT).await;
}

#[tokio::test]
async fn a_message_may_have_six_times_the_apps_payload_limit_where_that_is_more() {
    expect_limit(&Node::with(["--app-max-event-payload-in-kb", "22"]), 6 * (22 << 10)).await;
    expect_limit(&Node::with(["--app-max-event-payload-in-kb", "100"]), 6 * (100 << 10)).await;
}

#[tokio::test]
async fn every_close_code_is_echoed_if_a_client_may_send_it_and_refused_otherwise() {
    let node = Node::start();
    let around = |code: u16| code - 20..=code + 20;
    let codes = [1000, 3000, 4000, 5000].into_iter().flat_map(around).chain([0, 1, 2000, 65_535]);
    let complaints = join_all(codes.map(async |code| {
        let mut raw = Raw::established(&node).await;
        let payload = [&code.to_be_bytes(), b"going away".as_slice()].concat();
        raw.send(&frame(opcode::CLOSE, &payload)).await;
        let is_legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let expected = if is_legal { code } else { 1002 };
        let answer = raw.frame().await;
        if answer.as_ref().and_then(RawFrame::close_code) != Some(expected) {
            return Some(format!("{code} is answered with {answer:?}"));
        }
        expect_end(&mut raw, expected).await.err().map(|complaint| format!("{code}: {complaint}"))
    }))
    .await;
    let complaints: Vec<_> = complaints.into_iter().flatten().collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[tokio::test]
async fn a_reason_may_fill_the_frame_and_not_be_longer() {
    let node = Node::start();
    for (length, answer) in [(123, 1000), (124, 1002)] {
        let mut raw = Raw::established(&node).await;
        let payload = [&1000_u16.to_be_bytes(), vec![b'x'; length].as_slice()].concat();
        raw.send(&frame(opcode::CLOSE, &payload)).await;
        check(&mut raw, Answer::Close(answer)).await.unwrap();
    }
}

#[tokio::test]
async fn text_is_refused_with_the_first_fragment_that_cannot_become_utf_8() {
    let node = Node::start();
    let (half, no_other_half) = (b"\xF4", b"\x90");
    let mut raw = Raw::established(&node).await;
    raw.send(&frame_with_first_byte(opcode::TEXT, half)).await;
    expect_alive(&mut raw).await.expect("it may still become a character");
    raw.send(&frame_with_first_byte(opcode::CONTINUATION, no_other_half)).await;
    check(&mut raw, Answer::Close(1007)).await.expect("the message need not end for that");
}

#[tokio::test]
async fn whoever_falls_silent_within_a_frame_costs_what_it_sent_and_is_closed() {
    const CONNECTIONS: u64 = 100;
    let node = Node::with(["--app-activity-timeout", "1"]);
    let whole = frame(opcode::TEXT, &message_of(LEAST_LIMIT));
    let half = &whole[..whole.len() / 2];
    let before = node.resident_bytes();
    let silent = join_all((0..CONNECTIONS).map(async |_| {
        let mut raw = Raw::established(&node).await;
        raw.send(half).await;
        raw
    }));
    let mut silent = silent.await;
    for raw in &mut silent {
        let probe = raw.frame().await.expect("a probe");
        assert_eq!(probe.opcode, opcode::PING, "{probe:?}");
    }
    let grown = node.resident_bytes().saturating_sub(before);
    // A buffer that grows by doubling holds up to twice of what is in it.
    assert!(grown < CONNECTIONS * LEAST_LIMIT as u64 + SLACK, "{CONNECTIONS} halves cost {grown} bytes");
    let ends = silent.iter_mut().map(|raw| raw.frame_within(Duration::from_secs(45)));
    for error in join_all(ends).await {
        assert!(error.is_some_and(|error| error.text().contains("4201")));
    }
    drop(silent);
    expect_released(&node, before).await;
}

#[tokio::test]
async fn every_frame_is_answered_over_tls_as_it_is_without() {
    let identity = Identity::new();
    let launch = Launch::new().file("cert.pem", &identity.certificate).file("key.pem", &identity.key);
    let node = launch.flags(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).start();
    let mut complaints = Vec::new();
    for (number, case) in cases().into_iter().enumerate() {
        let version = if number % 2 == 0 { &TLS12 } else { &TLS13 };
        let stream = identity.connect(node.address, version).await.expect("the node shows this certificate");
        let mut raw = Raw::established_over(stream, &node).await;
        raw.send(&case.bytes).await;
        if let Err(complaint) = check(&mut raw, case.answer).await {
            complaints.push(format!("{}: {complaint}", case.what));
        }
    }
    assert!(complaints.is_empty(), "{} cases:\n{}", complaints.len(), complaints.join("\n"));
}
