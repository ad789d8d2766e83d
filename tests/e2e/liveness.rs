//! How either side finds out that the other is gone, and that it never takes a quiet one for a dead one.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    node::Node,
    raw::{Raw, RawFrame, frame, opcode},
};

const PONG: &str = r#"{"event":"pusher:pong","data":"{}"}"#;

#[tokio::test]
async fn a_ping_is_answered_by_a_pong_whatever_its_data() {
    let node = Node::start();
    let mut client = node.connect().await;
    for ping in [
        r#"{"event":"pusher:ping","data":{}}"#,
        r#"{"event":"pusher:ping","data":"{}"}"#,
        r#"{"event":"pusher:ping","data":null}"#,
        r#"{"event":"pusher:ping"}"#,
        r#" { "data" : {} , "extra" : [1], "event" : "pusher:ping" } "#,
    ] {
        client.send_text(ping).await;
        client.expect_text(PONG).await;
    }
}

#[tokio::test]
async fn a_pong_needs_no_answer() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.send(json!({"event": "pusher:pong", "data": {}})).await;
    client.send(json!({"event": "pusher:pong"})).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_websocket_ping_is_answered_with_what_it_carried() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.send_message(Message::Ping("are you there".into())).await;
    let answer = client.message().await;
    assert_eq!(answer, Some(Message::Pong("are you there".into())));
}

#[tokio::test]
async fn a_silent_client_is_probed_and_one_that_answers_stays() {
    let node = Node::with(["--app-activity-timeout", "1"]);
    let mut raw = Raw::established(&node).await;
    for _ in 0..3 {
        let probe = raw.frame().await.expect("a probe");
        assert_eq!(probe.opcode, opcode::PING, "{probe:?}");
        raw.send(&frame(opcode::PONG, &probe.payload)).await;
    }
    raw.send(&frame(opcode::TEXT, br#"{"event":"pusher:ping"}"#)).await;
    assert_eq!(raw.frame().await.map(|frame| frame.payload), Some(PONG.into()));
}

#[tokio::test]
async fn a_client_that_says_anything_needs_no_probe() {
    let node = Node::with(["--app-activity-timeout", "2"]);
    let mut raw = Raw::established(&node).await;
    let mut clock = interval(Duration::from_millis(250));
    for _ in 0..14 {
        clock.tick().await;
        raw.send(&frame(opcode::TEXT, br#"{"event":"pusher:ping"}"#)).await;
        let answer = raw.frame().await.expect("the connection is open");
        assert_eq!(answer.opcode, opcode::TEXT, "{answer:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_sent_events_is_still_probed() {
    let node = Node::with(["--app-activity-timeout", "1"]);
    let mut raw = Raw::established(&node).await;
    raw.send(&frame(opcode::TEXT, br#"{"event":"pusher:subscribe","data":{"channel":"room"}}"#)).await;
    raw.frame().await.expect("the subscription");
    let api = node.api();
    let publishing = async {
        loop {
            api.publish("room", "tick", "{}").await;
        }
    };
    let probe = async { while raw.frame().await.expect("an open connection").opcode != opcode::PING {} };
    tokio::select! {
        () = publishing => {}
        () = probe => {}
    }
}

#[tokio::test]
async fn a_client_that_leaves_its_probe_unanswered_is_closed_with_4201_after_thirty_seconds() {
    let node = Node::with(["--app-activity-timeout", "1"]);
    let mut raw = Raw::established(&node).await;
    let probe = raw.frame().await.expect("a probe");
    assert_eq!(probe.opcode, opcode::PING, "{probe:?}");
    let probed = Instant::now();
    let wait = Duration::from_secs(45);
    let error = raw.frame_within(wait).await.expect("an error");
    assert!(probed.elapsed() >= Duration::from_secs(29), "closed after {:?}", probed.elapsed());
    assert!(error.text().starts_with(r#"{"event":"pusher:error","data":{"code":4201,"#), "{error:?}");
    assert_eq!(raw.frame().await.as_ref().and_then(RawFrame::close_code), Some(4201));
}
