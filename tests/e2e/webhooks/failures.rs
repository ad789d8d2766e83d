//! Endpoints that fail: what is tried again, and what is not.

use std::time::Duration;

use serde_json::{Value, json};

use super::{all_that_arrives, app, events, node, node_that_tells, told};
use crate::support::{
    node::Launch,
    receiver::{Answer, Delivery, Receiver},
};

/// The first gap of the back-off, at its shortest.
const FIRST_GAP: Duration = Duration::from_millis(800);

/// A target for each of these paths.
fn targets(receiver: &Receiver, paths: &[&str]) -> Value {
    let target = |path: &&str| json!({"url": receiver.url_of(path), "event_types": ["channel_occupied"]});
    json!({"webhooks": paths.iter().map(target).collect::<Vec<_>>()})
}

/// Asserts that these are attempts of one delivery: the first, the second and so on.
fn assert_attempts_of_one_delivery(attempts: &[Delivery]) {
    let first = &attempts[0];
    for (index, attempt) in attempts.iter().enumerate() {
        let number = (index + 1).to_string();
        assert_eq!(attempt.header("x-socket-rush-attempt"), Some(number.as_str()), "{}", attempt.head);
        assert_eq!(attempt.body, first.body);
        for header in ["x-socket-rush-delivery", "x-pusher-signature", "x-pusher-key"] {
            assert_eq!(attempt.header(header), first.header(header));
        }
    }
    for pair in attempts.windows(2) {
        assert!(pair[1].at - pair[0].at >= FIRST_GAP, "{:?}", pair[1].at - pair[0].at);
    }
}

#[tokio::test]
async fn whatever_an_endpoint_does_instead_of_taking_it_the_same_webhook_comes_again() {
    let mut receiver = Receiver::start().await;
    let faults = [
        ("/error", Answer::Status(500)),
        ("/not-found", Answer::Status(404)),
        ("/hang", Answer::Hang),
        ("/reset", Answer::Reset),
        ("/redirect", Answer::Redirect(307, receiver.url_of("/elsewhere"))),
    ];
    let paths: Vec<_> = faults.iter().map(|(path, _)| *path).collect();
    for (path, answer) in faults {
        receiver.answer(path, [answer]);
    }
    let node = node(&receiver, targets(&receiver, &paths));
    node.connect().await.subscribe("room").await;

    let deliveries = receiver.next_some(2 * paths.len()).await;
    let mut by_path: Vec<Vec<Delivery>> = paths.iter().map(|_| Vec::new()).collect();
    for delivery in deliveries {
        let index = paths.iter().position(|path| *path == delivery.path());
        by_path[index.unwrap_or_else(|| panic!("a redirect was followed: {delivery:?}"))].push(delivery);
    }
    for attempts in by_path {
        assert_eq!(attempts.len(), 2, "{attempts:#?}");
        assert_attempts_of_one_delivery(&attempts);
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_gets_the_webhook_when_it_is_back() {
    let mut receiver = Receiver::start().await;
    let target = json!({"url": receiver.url, "event_types": ["channel_occupied", "member_added"]});
    let app = app(&receiver, json!({"webhooks": [target]}));
    let node = Launch::bare().config(&json!({"applications": [app], "log_level": "debug"})).start();
    receiver.refuse().await;
    node.connect().await.subscribe_presence("presence-room", "ann", json!({})).await;
    // From the first refusal on there is most of a second until the next attempt.
    let refused = async {
        while !node.log().contains("Connection refused") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("the node tries at once");
    receiver.accept_again().await;
    let deliveries = receiver.next_some(2).await;
    assert_eq!(deliveries[0].header("x-socket-rush-attempt"), Some("2"));
    assert_eq!(told(&deliveries), ["channel_occupied presence-room", "member_added presence-room ann"]);
}

#[tokio::test]
async fn a_failure_repeats_the_whole_back_off_with_growing_gaps() {
    let mut receiver = Receiver::start().await;
    receiver.answer("/hook", [Answer::Status(500), Answer::Status(503), Answer::Status(302)]);
    let node = node_that_tells(&receiver, &["channel_occupied"]);
    node.connect().await.subscribe("room").await;
    let attempts = receiver.next_some(4).await;
    assert_attempts_of_one_delivery(&attempts);
    let gaps: Vec<_> = attempts.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(gaps.is_sorted(), "{gaps:?}");
}

#[tokio::test]
async fn a_webhook_that_was_taken_is_not_repeated_whatever_becomes_of_the_answers_body() {
    let mut receiver = Receiver::start().await;
    let answers = [
        ("/created", Answer::Status(201)),
        ("/empty", Answer::Status(204)),
        ("/slow", Answer::Slow(Duration::from_secs(2))),
        ("/reset-in-body", Answer::ResetInBody),
        ("/huge-body", Answer::HugeBody),
    ];
    let paths: Vec<_> = answers.iter().map(|(path, _)| *path).collect();
    for (path, answer) in answers {
        receiver.always_answer(path, answer);
    }
    let mut node = node(&receiver, targets(&receiver, &paths));
    node.connect().await.subscribe("room").await;
    receiver.next_some(paths.len()).await;
    // It ends once everything is through, retries included.
    let more = all_that_arrives(&mut node, &mut receiver).await;
    assert!(more.is_empty(), "{more:#?}");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_for_good_is_left_alone() {
    let mut receiver = Receiver::start().await;
    receiver.always_answer("/hook", Answer::Status(410));
    let mut node = node_that_tells(&receiver, &["channel_occupied"]);
    node.connect().await.subscribe("room").await;
    assert_eq!(all_that_arrives(&mut node, &mut receiver).await.len(), 1);
}

#[tokio::test]
async fn the_events_of_a_channel_wait_for_the_one_before_them_and_other_channels_do_not() {
    let mut receiver = Receiver::start().await;
    // Good standing is earned by the first success; until then an endpoint gets one request at a time.
    let node = node_that_tells(&receiver, &["channel_occupied", "client_event"]);
    let mut client = node.connect().await;
    client.subscribe_private("private-a").await;
    receiver.next().await;
    client.subscribe_private("private-b").await;
    receiver.next().await;
    receiver.answer("/hook", [Answer::Status(500)]);
    client.trigger("private-a", "client-x", "first").await;
    let mut deliveries = vec![receiver.next().await];
    client.trigger("private-a", "client-x", "second").await;
    client.trigger("private-b", "client-x", "other").await;
    deliveries.extend(receiver.next_some(3).await);
    let data: Vec<_> = events(&deliveries).iter().map(|event| event["data"].to_string()).collect();
    assert_eq!(data, ["first", "other", "first", "second"].map(|data| format!("{data:?}")));
}
