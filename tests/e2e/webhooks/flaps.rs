//! Departures are held for three seconds, and vanish together with a return.
//!
//! What is *not* sent is shown by stopping the node at the end: it tells all that it knows, and everything that had
//! not vanished would be there.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{all_that_arrives, node_that_tells, told};
use crate::support::receiver::Receiver;

const BOTH_SIDES: [&str; 4] = ["channel_occupied", "channel_vacated", "member_added", "member_removed"];

#[tokio::test]
async fn a_page_that_is_loaded_anew_is_told_neither_as_gone_nor_as_new() {
    let mut receiver = Receiver::start().await;
    let mut node = node_that_tells(&receiver, &BOTH_SIDES);
    let mut before = node.connect().await;
    before.subscribe_presence("presence-room", "ann", json!({})).await;
    before.subscribe("other").await;
    receiver.next_some(3).await;
    before.close().await;
    let mut after = node.connect().await;
    after.subscribe_presence("presence-room", "ann", json!({})).await;
    // The departure from the other channel is final after the same time, and is all that is heard.
    assert_eq!(told(&[receiver.next().await]), ["channel_vacated other"]);
    after.close().await;
    assert_eq!(
        told(&all_that_arrives(&mut node, &mut receiver).await),
        ["member_removed presence-room ann", "channel_vacated presence-room"]
    );
}

#[tokio::test]
async fn arrivals_are_told_at_once_and_departures_three_seconds_later() {
    let mut receiver = Receiver::start().await;
    let node = node_that_tells(&receiver, &BOTH_SIDES);
    let mut client = node.connect().await;
    let arrived = Instant::now();
    client.subscribe("room").await;
    let occupied = receiver.next().await;
    assert_eq!(told(&[occupied]), ["channel_occupied room"]);
    assert!(arrived.elapsed() < Duration::from_secs(2), "{:?}", arrived.elapsed());
    let left = Instant::now();
    client.unsubscribe("room").await;
    let vacated = receiver.next().await;
    let took = vacated.at - left;
    assert_eq!(told(&[vacated]), ["channel_vacated room"]);
    assert!((Duration::from_secs(3)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn who_comes_back_too_late_is_told_as_gone_and_then_as_new() {
    let mut receiver = Receiver::start().await;
    let node = node_that_tells(&receiver, &BOTH_SIDES);
    let mut client = node.connect().await;
    for _ in 0..2 {
        client.subscribe_presence("presence-room", "ann", json!({})).await;
        let arrival = ["channel_occupied presence-room", "member_added presence-room ann"];
        assert_eq!(told(&receiver.next_some(2).await), arrival);
        client.unsubscribe("presence-room").await;
        let departure = ["member_removed presence-room ann", "channel_vacated presence-room"];
        assert_eq!(told(&receiver.next_some(2).await), departure);
    }
}

#[tokio::test]
async fn a_channel_that_another_user_fills_again_stays_occupied_while_the_first_is_told_as_gone() {
    let mut receiver = Receiver::start().await;
    let node = node_that_tells(&receiver, &BOTH_SIDES);
    let (mut ann, mut bob) = (node.connect().await, node.connect().await);
    ann.subscribe_presence("presence-room", "ann", json!({})).await;
    receiver.next_some(2).await;
    ann.unsubscribe("presence-room").await;
    ann.expect_quiet().await;
    bob.subscribe_presence("presence-room", "bob", json!({})).await;
    assert_eq!(
        told(&receiver.next_some(2).await),
        ["member_added presence-room bob", "member_removed presence-room ann"]
    );
}

#[tokio::test]
async fn who_only_wants_to_hear_of_departures_hears_of_those_that_last() {
    let mut receiver = Receiver::start().await;
    let mut node = node_that_tells(&receiver, &["channel_vacated"]);
    let mut client = node.connect().await;
    for _ in 0..3 {
        client.subscribe("room").await;
        client.unsubscribe("room").await;
    }
    client.close().await;
    assert_eq!(told(&all_that_arrives(&mut node, &mut receiver).await), ["channel_vacated room"]);
}
