//! Frames that no client library would send, over a raw socket: each is answered as RFC 6455 says, and none of them
//! costs the node more than its connection.

mod limits;
mod table;

use std::time::{Duration, Instant};

use serde_json::Value;
use table::{Answer, PING_MESSAGE, cases};
use tokio::time::{sleep, timeout};

use crate::support::{
    node::Node,
    raw::{Raw, RawFrame, frame, frame_with_first_byte, opcode},
};

/// What the process may have grown by after a flood has gone: allocators keep a little for the next one.
const SLACK: u64 = 12 << 20;

#[tokio::test]
async fn every_frame_is_answered_as_the_rfc_says() {
    let node = Node::start();
    let cases = cases();
    assert!(cases.len() >= 200, "the table has lost cases: {}", cases.len());
    let mut complaints = Vec::new();
    for case in cases {
        let mut raw = Raw::established(&node).await;
        raw.send(&case.bytes).await;
        if let Err(complaint) = check(&mut raw, case.answer).await {
            complaints.push(format!("{}: {complaint}", case.what));
        }
    }
    assert!(complaints.is_empty(), "{} cases:\n{}", complaints.len(), complaints.join("\n"));
}

/// Reads what must come, and proves that the connection still works where it should.
async fn check(raw: &mut Raw, answer: Answer) -> Result<(), String> {
    match answer {
        Answer::Close(code) => match first_other_than_pongs(raw).await? {
            Some(frame) if frame.close_code() == Some(code) => expect_end(raw, code).await,
            other => Err(format!("instead of a close with {code}: {other:?}")),
        },
        Answer::Agreement => match next(raw).await? {
            Some(frame) if frame.opcode == opcode::CLOSE && frame.close_code() != Some(1002) => {
                expect_end(raw, 1000).await
            }
            other => Err(format!("instead of a close that agrees: {other:?}")),
        },
        Answer::Pongs(count) => expect_pongs(raw, count).await,
        Answer::Error => {
            expect_error(raw).await?;
            expect_alive(raw).await
        }
        Answer::CloseOrPong => match next(raw).await? {
            Some(frame) if frame.close_code() == Some(1002) => expect_end(raw, 1002).await,
            Some(frame) if is_pong_event(&frame) => expect_alive(raw).await,
            other => Err(format!("instead of a pong or a close with 1002: {other:?}")),
        },
    }
}

async fn next(raw: &mut Raw) -> Result<Option<RawFrame>, String> {
    timeout(Duration::from_secs(4), raw.frame()).await.map_err(|_| "no answer".to_owned())
}

/// Pings that were sent in front of what is bad may have been answered, or not.
async fn first_other_than_pongs(raw: &mut Raw) -> Result<Option<RawFrame>, String> {
    loop {
        match next(raw).await? {
            Some(frame) if frame.opcode == opcode::PONG => {}
            other => return Ok(other),
        }
    }
}

/// Agrees to the server's close, after which nothing may come but the end.
async fn expect_end(raw: &mut Raw, code: u16) -> Result<(), String> {
    raw.send(&frame(opcode::CLOSE, &code.to_be_bytes())).await;
    match next(raw).await? {
        None => Ok(()),
        Some(frame) => Err(format!("after the close: {frame:?}")),
    }
}

async fn expect_pongs(raw: &mut Raw, count: usize) -> Result<(), String> {
    for number in 1..=count {
        match next(raw).await? {
            Some(frame) if is_pong_event(&frame) => {}
            other => return Err(format!("instead of pong {number} of {count}: {other:?}")),
        }
    }
    expect_alive(raw).await
}

async fn expect_error(raw: &mut Raw) -> Result<(), String> {
    let frame = next(raw).await?.ok_or("the connection was ended instead of told of an error")?;
    let event: Value =
        serde_json::from_slice(&frame.payload).map_err(|error| format!("{error} in {frame:?}"))?;
    let is_error = event["event"] == "pusher:error" && event["data"]["code"].is_null();
    if is_error { Ok(()) } else { Err(format!("instead of an error without a code: {event}")) }
}

/// A ping of WebSocket's must be answered by the very next frame, with what it held.
async fn expect_alive(raw: &mut Raw) -> Result<(), String> {
    raw.send(&frame(opcode::PING, b"alive")).await;
    match next(raw).await? {
        Some(frame) if frame.opcode == opcode::PONG && frame.payload == b"alive" => Ok(()),
        other => Err(format!("the connection no longer works: {other:?}")),
    }
}

fn is_pong_event(frame: &RawFrame) -> bool {
    frame.opcode == opcode::TEXT && frame.payload.starts_with(br#"{"event":"pusher:pong""#)
}

#[tokio::test]
async fn a_ping_is_answered_with_what_it_holds_also_between_fragments() {
    let node = Node::start();
    let mut raw = Raw::established(&node).await;
    for payload in [b"".as_slice(), b"x", &[0xFF; 125], &[0; 125]] {
        raw.send(&frame(opcode::PING, payload)).await;
        let pong = raw.frame().await.expect("a pong");
        assert_eq!((pong.opcode, pong.payload.as_slice()), (opcode::PONG, payload));
    }
    let (start, end) = PING_MESSAGE.split_at(10);
    raw.send(&frame_with_first_byte(opcode::TEXT, start)).await;
    expect_alive(&mut raw).await.unwrap();
    raw.send(&frame(opcode::CONTINUATION, end)).await;
    expect_pongs(&mut raw, 1).await.unwrap();
}

#[tokio::test]
async fn frames_may_come_one_byte_at_a_time() {
    let node = Node::start();
    let mut raw = Raw::established(&node).await;
    for byte in frame(opcode::TEXT, PING_MESSAGE) {
        raw.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    expect_pongs(&mut raw, 1).await.unwrap();
}

#[tokio::test]
async fn every_frame_of_the_server_is_whole_unmasked_and_without_reserved_bits() {
    let node = Node::start();
    let mut raw = Raw::established(&node).await;
    raw.send(&frame(opcode::TEXT, PING_MESSAGE)).await;
    raw.send(&frame(opcode::PING, b"")).await;
    raw.send(&frame(opcode::TEXT, b"nonsense")).await;
    raw.send(&frame(opcode::CLOSE, b"")).await;
    let frames = raw.frames().await;
    assert_eq!(frames.len(), 4, "{frames:?}");
    assert!(frames.iter().all(|frame| frame.flags == 0x80), "{frames:?}");
}

#[tokio::test]
async fn connections_that_end_within_a_frame_leave_nothing_behind() {
    let node = Node::start();
    let whole = frame(opcode::TEXT, PING_MESSAGE);
    for length in 0..whole.len() {
        let mut raw = Raw::established(&node).await;
        raw.send(&whole[..length]).await;
        if length % 2 == 0 {
            raw.finish_sending().await;
            assert!(raw.frames().await.iter().all(|frame| frame.opcode == opcode::CLOSE), "{length} bytes");
        }
    }
    expect_alive(&mut Raw::established(&node).await).await.unwrap();
}

/// What a flood ends in: answers, a close, or a server that reads no further. All of them are right as long as the node
/// neither suffers nor keeps anything.
async fn flood(node: &Node, start: &[u8], burst: &[u8], times: usize) {
    let before = node.resident_bytes();
    let mut raw = Raw::established(node).await;
    raw.send(start).await;
    let sent = timeout(Duration::from_secs(3), async {
        for _ in 0..times {
            raw.send(burst).await;
        }
    });
    // A server that no longer reads until its answers are read is a bound, too.
    let _elapsed = sent.await;
    let during = node.resident_bytes().saturating_sub(before);
    assert!(during < 64 << 20, "the flood was held in memory: {during} bytes");
    expect_alive(&mut Raw::established(node).await).await.expect("others are served");
    drop(raw);
    expect_released(node, before).await;
}

/// Waits until the node's memory is near what it was.
async fn expect_released(node: &Node, before: u64) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while node.resident_bytes() > before + SLACK {
        assert!(Instant::now() < deadline, "{} bytes before, {} after", before, node.resident_bytes());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_flood_of_empty_fragments_is_bounded() {
    let node = Node::start();
    let start = frame_with_first_byte(opcode::TEXT, b"");
    flood(&node, &start, &frame_with_first_byte(opcode::CONTINUATION, b"").repeat(1000), 1000).await;
}

#[tokio::test]
async fn a_hundred_thousand_fragments_of_one_byte_are_bounded() {
    let node = Node::start();
    let mut raw = Raw::established(&node).await;
    raw.send(&frame_with_first_byte(opcode::TEXT, b"")).await;
    let burst = frame_with_first_byte(opcode::CONTINUATION, b" ").repeat(1000);
    for _ in 0..100 {
        raw.send(&burst).await;
    }
    // A hundred kilobytes of spaces: either more than a message may be, or no JSON.
    raw.send(&frame(opcode::CONTINUATION, b"")).await;
    let answer = next(&mut raw).await.unwrap().expect("an answer");
    assert!(answer.close_code() == Some(1009) || answer.text().contains("pusher:error"), "{answer:?}");
    expect_alive(&mut Raw::established(&node).await).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_pings_whose_answers_nobody_reads_is_bounded() {
    let node = Node::start();
    flood(&node, b"", &frame(opcode::PING, &[0; 125]).repeat(500), 600).await;
    flood(&node, b"", &frame(opcode::TEXT, PING_MESSAGE).repeat(500), 600).await;
    flood(&node, b"", &frame(opcode::TEXT, b"nonsense").repeat(500), 600).await;
}

#[tokio::test]
async fn many_connections_that_wait_within_large_frames_cost_little() {
    let node = Node::start();
    let before = node.resident_bytes();
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::established(&node).await;
        // Announces a hundred kilobytes and sends none of them.
        raw.send(&[0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0x86, 0xA0, 0, 0, 0, 0]).await;
        waiting.push(raw);
    }
    expect_alive(&mut Raw::established(&node).await).await.unwrap();
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "memory was given for bytes that never came: {grown}");
    drop(waiting);
    expect_released(&node, before).await;
}
