//! Messages that no client library sends: each is answered, or ignored where nothing is to be said, and the connection
//! lives on. What is too big ends it, and only it.

mod table;

use serde_json::json;
use table::{Answer, cases};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    client::{Client, Frame},
    node::Node,
    raw::{Raw, frame_with_first_byte},
};

#[tokio::test]
async fn every_message_is_answered_from_a_small_set_and_none_costs_the_connection() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.subscribe_private("private-mine").await;
    let cases = cases();
    assert!(cases.len() >= 250, "the table has lost cases: {}", cases.len());
    let mut complaints = Vec::new();
    for case in cases {
        let answers = answers_to(&mut client, &case.text).await;
        if !is_allowed(case.answer, &answers) {
            let texts: Vec<_> = answers.iter().map(|frame| shortened(&frame.text)).collect();
            complaints.push(format!("{}: instead of {:?}: {texts:?}", case.what, case.answer));
        }
    }
    assert!(complaints.is_empty(), "{} cases:\n{}", complaints.len(), complaints.join("\n"));
}

/// What is answered to a message, which is all that comes before the pong to a ping that is sent after it. Events of
/// the message's own are told from that pong by a second ping.
async fn answers_to(client: &mut Client, text: &str) -> Vec<Frame> {
    client.send_text(text).await;
    client.send(json!({"event": "pusher:ping"})).await;
    client.send_text("the end of this case").await;
    let mut answers = Vec::new();
    loop {
        let frame = client.frame().await;
        let is_end = frame.event == "pusher:error"
            && answers.last().is_some_and(|last: &Frame| last.event == "pusher:pong");
        if is_end {
            answers.pop();
            return answers;
        }
        answers.push(frame);
    }
}

fn is_allowed(answer: Answer, frames: &[Frame]) -> bool {
    let events: Vec<_> = frames.iter().map(|frame| frame.event.as_str()).collect();
    let is_error = events == ["pusher:error"];
    let is_pong = events == ["pusher:pong"];
    let is_refused = is_error || events == ["pusher:subscription_error", "pusher:error"];
    let is_subscribed = events == ["pusher_internal:subscription_succeeded"];
    let has_codes =
        frames.iter().any(|frame| frame.event == "pusher:error" && !frame.json()["code"].is_null());
    let is_right = match answer {
        Answer::Error => is_error && !has_codes,
        Answer::Refused => is_refused,
        Answer::Subscribed => is_subscribed,
        Answer::Pong => is_pong,
        Answer::Silence => events.is_empty(),
        Answer::ErrorOrPong => is_error && !has_codes || is_pong,
        Answer::SubscribedOrRefused => is_subscribed || is_refused,
    };
    // An answer that is longer than any text of ours would make the server a mirror for floods.
    is_right && frames.iter().all(|frame| frame.text.len() < 64 << 10)
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(200)]
}

#[tokio::test]
async fn members_that_are_none_are_refused_though_rightly_signed() {
    let node = Node::start();
    let mut client = node.connect().await;
    let large = json!({"user_id": "1", "user_info": {"a": "b".repeat(11_000)}}).to_string();
    let long = json!({"user_id": "u".repeat(1_000)}).to_string();
    for channel_data in [
        "nonsense",
        "null",
        "[]",
        "1",
        "\"1\"",
        "{}",
        "{\"user_id\":null}",
        "{\"user_id\":true}",
        "{\"user_id\":[]}",
        "{\"user_id\":{}}",
        "{\"user_id\":\"\"}",
        "{\"User_id\":\"1\"}",
        "{\"user_id\":\"1\"}x",
        "{\"user_id\":\"1\",\"user_info\":\"text\"}",
        "{\"user_id\":\"1\",\"user_info\":[]}",
        "{\"user_id\":\"1\",\"user_info\":1}",
        "{\"user_id\":\"\\ud800\"}",
        &large,
        &long,
    ] {
        client.ask_presence("presence-a", channel_data).await;
        client.expect_refused("presence-a").await;
        client.expect_quiet().await;
    }
    client.subscribe_presence("presence-a", "1", json!({})).await;
}

#[tokio::test]
async fn users_that_are_none_are_refused_though_rightly_signed() {
    let node = Node::start();
    let mut client = node.connect().await;
    for user_data in [
        "nonsense",
        "null",
        "[]",
        "\"u1\"",
        "{}",
        "{\"id\":null}",
        "{\"id\":1}",
        "{\"id\":[]}",
        "{\"id\":\"\"}",
        "{\"ID\":\"u1\"}",
        "{\"user_id\":\"u1\"}",
        "{\"id\":\"u1\"}x",
        "{\"id\":\"\\ud800\"}",
    ] {
        client.ask_sign_in(user_data).await;
        client.expect_error(None).await;
        client.expect_quiet().await;
    }
    client.sign_in(json!({"id": "u1"})).await;
}

#[tokio::test]
async fn a_message_of_four_megabytes_ends_its_connection_with_1009_and_nobody_elses() {
    let node = Node::start();
    let before = node.resident_bytes();
    let mut other = node.connect().await;
    let text = format!(r#"{{"event":"pusher:ping","data":"{}"}}"#, "a".repeat(4 << 20));
    for _ in 0..10 {
        let mut raw = Raw::established(&node).await;
        raw.send(&frame_with_first_byte(0x81, text.as_bytes())).await;
        let close = raw.frame().await.expect("a Close frame");
        assert_eq!(close.close_code(), Some(1009), "{close:?}");
    }
    other.expect_quiet().await;
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "large messages were held in memory: {grown} bytes");
}

#[tokio::test]
async fn a_thousand_messages_at_once_are_answered_one_by_one() {
    let node = Node::start();
    let mut client = node.connect().await;
    let unsupported = (0..1000).map(|number| json!({"event": format!("nothing-{number}")}));
    client.send_at_once(unsupported).await;
    for number in 0..1000 {
        let message = client.expect_error(None).await;
        assert!(message.ends_with(&format!("nothing-{number}")), "{number}: {message}");
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn nothing_that_a_client_sends_is_shown_to_another_unless_it_is_a_client_event() {
    let node = Node::start();
    let (mut sender, mut reader) = (node.connect().await, node.connect().await);
    for client in [&mut sender, &mut reader] {
        client.subscribe("c").await;
        client.subscribe_private("private-mine").await;
    }
    for channel in ["c", "private-mine"] {
        for event in [
            "pusher_internal:member_added",
            "pusher_internal:subscription_succeeded",
            "pusher:error",
            "message",
            "App\\Events\\Forged",
        ] {
            sender.trigger(channel, event, "{}").await;
            sender.expect_error(None).await;
        }
    }
    reader.expect_quiet().await;
}

#[tokio::test]
async fn a_client_that_is_gone_while_it_is_answered_harms_nobody() {
    let node = Node::start();
    for _ in 0..50 {
        let mut client = node.connect().await;
        for _ in 0..20 {
            client.send_message(Message::text("nonsense")).await;
        }
        drop(client);
    }
    node.connect().await.expect_quiet().await;
}
