//! Presence channels: users are counted, not connections, and each comes and goes once.

use serde_json::{Value, json};

use crate::support::{client::Client, node::Node};

const ROOM: &str = "presence-room";

/// A client that is in the room as this user.
async fn member(node: &Node, user_id: &str) -> Client {
    let mut client = node.connect().await;
    client.subscribe_presence(ROOM, user_id, json!({"name": user_id})).await;
    client
}

/// The users of the room as its subscribers were told: count, sorted ids, and the table of their infos.
fn roster(frame: &crate::support::client::Frame) -> (u64, Vec<String>, Value) {
    let presence = &frame.json()["presence"];
    let ids = presence["ids"].as_array().expect("a list of ids").iter();
    let mut ids: Vec<_> = ids.map(|id| id.as_str().expect("ids are strings").to_owned()).collect();
    ids.sort();
    (presence["count"].as_u64().expect("a count"), ids, presence["hash"].clone())
}

#[tokio::test]
async fn the_first_member_is_told_of_itself_to_the_byte() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.ask_presence(ROOM, r#"{"user_id":"1","user_info":{"name":"A"}}"#).await;
    client
        .expect_text(concat!(
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","#,
            r#""data":"{\"presence\":{\"count\":1,\"ids\":[\"1\"],\"hash\":{\"1\":{\"name\":\"A\"}}}}"}"#,
        ))
        .await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_newcomer_is_told_of_everybody_and_everybody_of_the_newcomer() {
    let node = Node::start();
    let (mut ann, mut bob) = (member(&node, "ann").await, node.connect().await);
    bob.ask_presence(ROOM, r#"{"user_id":"bob","user_info":{"name":"Bob"}}"#).await;
    let (count, ids, hash) = roster(&bob.expect_subscribed(ROOM).await);
    assert_eq!((count, ids), (2, vec!["ann".into(), "bob".into()]));
    assert_eq!(hash, json!({"ann": {"name": "ann"}, "bob": {"name": "Bob"}}));
    ann.expect_text(concat!(
        r#"{"event":"pusher_internal:member_added","channel":"presence-room","#,
        r#""data":"{\"user_id\":\"bob\",\"user_info\":{\"name\":\"Bob\"}}"}"#,
    ))
    .await;
    bob.expect_quiet().await;
}

#[tokio::test]
async fn a_member_who_leaves_is_announced_to_the_byte() {
    let node = Node::start();
    let (mut ann, mut bob) = (member(&node, "ann").await, member(&node, "bob").await);
    ann.expect_on(ROOM, "pusher_internal:member_added").await;
    bob.unsubscribe(ROOM).await;
    ann.expect_text(concat!(
        r#"{"event":"pusher_internal:member_removed","channel":"presence-room","#,
        r#""data":"{\"user_id\":\"bob\"}"}"#,
    ))
    .await;
    bob.expect_quiet().await;
}

#[tokio::test]
async fn a_member_who_disconnects_is_announced_with_or_without_a_goodbye() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    for polite in [true, false] {
        let bob = member(&node, "bob").await;
        ann.expect_on(ROOM, "pusher_internal:member_added").await;
        if polite {
            bob.close().await
        } else {
            drop(bob)
        }
        let removed = ann.expect_on(ROOM, "pusher_internal:member_removed").await;
        assert_eq!(removed.json(), json!({"user_id": "bob"}));
    }
    ann.expect_quiet().await;
}

#[tokio::test]
async fn a_member_joins_from_two_tabs_and_is_announced_once() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    let mut first = member(&node, "bob").await;
    ann.expect_on(ROOM, "pusher_internal:member_added").await;
    let mut second = node.connect().await;
    let frame = second.subscribe_presence(ROOM, "bob", json!({"name": "bob"})).await;
    assert_eq!(roster(&frame).0, 2, "two users, three connections");
    ann.expect_quiet().await;
    first.expect_quiet().await;
    second.expect_quiet().await;
}

#[tokio::test]
async fn a_member_with_two_tabs_is_gone_when_both_are() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    let (mut first, second) = (member(&node, "bob").await, member(&node, "bob").await);
    ann.expect_on(ROOM, "pusher_internal:member_added").await;
    first.unsubscribe(ROOM).await;
    first.expect_quiet().await;
    ann.expect_quiet().await;
    second.close().await;
    ann.expect_on(ROOM, "pusher_internal:member_removed").await;
    ann.expect_quiet().await;
}

#[tokio::test]
async fn a_member_who_comes_back_is_new_again() {
    let node = Node::start();
    let (mut ann, mut bob) = (member(&node, "ann").await, member(&node, "bob").await);
    bob.unsubscribe(ROOM).await;
    bob.subscribe_presence(ROOM, "bob", json!({})).await;
    for event in ["member_added", "member_removed", "member_added"] {
        ann.expect_on(ROOM, &format!("pusher_internal:{event}")).await;
    }
    ann.expect_quiet().await;
}

#[tokio::test]
async fn a_numeric_user_id_is_a_string_everywhere_and_loses_no_digit() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    for (written, id) in [("10", "10"), ("9007199254740993", "9007199254740993"), ("-0", "-0")] {
        let mut client = node.connect().await;
        client.ask_presence(ROOM, &format!(r#"{{"user_id":{written},"user_info":{{}}}}"#)).await;
        let (_, ids, hash) = roster(&client.expect_subscribed(ROOM).await);
        assert!(ids.contains(&id.to_owned()), "{ids:?}");
        assert_eq!(hash[id], json!({}));
        let added = ann.expect_on(ROOM, "pusher_internal:member_added").await;
        assert_eq!(added.json()["user_id"], id);
        client.close().await;
        let removed = ann.expect_on(ROOM, "pusher_internal:member_removed").await;
        assert_eq!(removed.json(), json!({"user_id": id}));
    }
}

#[tokio::test]
async fn a_number_and_its_text_are_the_same_user() {
    let node = Node::start();
    let mut ann = member(&node, "7").await;
    let mut tab = node.connect().await;
    let frame = tab.subscribe_presence(ROOM, 7, json!({})).await;
    assert_eq!(roster(&frame).0, 1);
    ann.expect_quiet().await;
}

#[tokio::test]
async fn a_member_without_user_info_still_has_a_place_in_the_table() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    let mut client = node.connect().await;
    client.ask_presence(ROOM, r#"{"user_id":"0"}"#).await;
    let (_, ids, hash) = roster(&client.expect_subscribed(ROOM).await);
    assert_eq!(ids, ["0", "ann"]);
    assert_eq!(hash["0"], json!({}));
    let added = ann.expect_on(ROOM, "pusher_internal:member_added").await;
    assert_eq!(added.json(), json!({"user_id": "0", "user_info": {}}));
}

#[tokio::test]
async fn the_info_of_a_members_first_connection_stands() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    let mut tab = node.connect().await;
    let frame = tab.subscribe_presence(ROOM, "ann", json!({"name": "another"})).await;
    assert_eq!(roster(&frame).2, json!({"ann": {"name": "ann"}}));
    ann.expect_quiet().await;
}

#[tokio::test]
async fn user_info_may_be_nested_and_keeps_its_text() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    let mut client = node.connect().await;
    let info = r#"{"z":{"b":[1,2,{"c":null}],"a":1.50},"name":"Zoë \u00e9 \/","n":12345678901234567890}"#;
    client.ask_presence(ROOM, &format!(r#"{{"user_info":{info},"user_id":"1"}}"#)).await;
    client.expect_subscribed(ROOM).await;
    let added = ann.expect_on(ROOM, "pusher_internal:member_added").await;
    let expected: Value = serde_json::from_str(info).expect("valid JSON");
    assert_eq!(added.json()["user_info"], expected);
}

#[tokio::test]
async fn channel_data_that_names_no_user_is_refused() {
    let node = Node::start();
    let mut client = node.connect().await;
    for channel_data in [
        "{}",
        r#"{"user_id":null}"#,
        r#"{"user_id":""}"#,
        r#"{"user_id":{}}"#,
        r#"{"user_id":["1"]}"#,
        r#"{"user_id":true}"#,
        r#"{"user_info":{}}"#,
        "[]",
        "1",
        r#""1""#,
        "null",
        "{",
        "nonsense",
    ] {
        client.ask_presence(ROOM, channel_data).await;
        client.expect_refused(ROOM).await;
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn user_info_that_is_no_object_is_refused() {
    let node = Node::start();
    let mut client = node.connect().await;
    let expected =
        "user_info supplied to presence subscription is invalid - if supplied it must be a type of hash";
    for info in ["[]", "1", r#""name""#, "true"] {
        client.ask_presence(ROOM, &format!(r#"{{"user_id":"1","user_info":{info}}}"#)).await;
        assert_eq!(client.expect_refused(ROOM).await.message, expected, "{info}");
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_signature_covers_the_channel_data_to_the_byte() {
    let node = Node::start();
    let mut client = node.connect().await;
    let signed = client.channel_auth(ROOM, Some(r#"{"user_id":"1"}"#));
    for channel_data in [r#"{"user_id":"2"}"#, r#"{"user_id": "1"}"#, r#"{"user_id":"1"} "#, ""] {
        client.ask(json!({"channel": ROOM, "auth": signed, "channel_data": channel_data})).await;
        client.expect_refused(ROOM).await;
    }
    client.ask_presence(ROOM, r#" { "user_id" : "\u0031" } "#).await;
    let frame = client.expect_subscribed(ROOM).await;
    assert_eq!(roster(&frame).1, ["1"]);
}

#[tokio::test]
async fn the_two_part_signature_is_not_enough_for_someone_who_is_not_signed_in() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.ask_private(ROOM).await;
    client.expect_refused(ROOM).await;
    node.api().publish(ROOM, "secret", "1").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_signed_in_user_needs_no_channel_data() {
    let node = Node::start();
    let (mut ann, mut bob) = (member(&node, "ann").await, node.connect().await);
    bob.sign_in(json!({"id": "bob", "user_info": {"name": "Bob"}, "secret": "kept"})).await;
    bob.ask_private(ROOM).await;
    let (count, _, hash) = roster(&bob.expect_subscribed(ROOM).await);
    assert_eq!((count, &hash["bob"]), (2, &json!({"name": "Bob"})));
    let added = ann.expect_on(ROOM, "pusher_internal:member_added").await;
    assert_eq!(added.json(), json!({"user_id": "bob", "user_info": {"name": "Bob"}}));
}

#[tokio::test]
async fn channel_data_wins_over_being_signed_in() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.sign_in(json!({"id": "bob"})).await;
    let frame = client.subscribe_presence(ROOM, "robert", json!({})).await;
    assert_eq!(roster(&frame).1, ["robert"]);
}

#[tokio::test]
async fn the_limit_is_on_members_and_not_on_their_tabs() {
    let node = Node::with(["--app-max-presence-members-per-channel", "1"]);
    let (mut ann, mut bob) = (member(&node, "ann").await, node.connect().await);
    bob.ask_presence(ROOM, r#"{"user_id":"bob"}"#).await;
    let refusal = bob.expect_refused(ROOM).await;
    assert_eq!((refusal.kind.as_str(), refusal.status), ("LimitReached", 4100));
    let tab = member(&node, "ann").await;
    ann.expect_quiet().await;
    ann.unsubscribe(ROOM).await;
    ann.expect_quiet().await;
    bob.ask_presence(ROOM, r#"{"user_id":"bob"}"#).await;
    bob.expect_refused(ROOM).await;
    tab.close().await;
    bob.subscribe_presence("presence-other", "bob", json!({})).await;
}

#[tokio::test]
async fn a_place_that_was_left_can_be_taken() {
    let node = Node::with(["--app-max-presence-members-per-channel", "1"]);
    let (mut ann, mut bob) = (member(&node, "ann").await, node.connect().await);
    ann.unsubscribe(ROOM).await;
    ann.expect_quiet().await;
    bob.subscribe_presence(ROOM, "bob", json!({})).await;
}

#[tokio::test]
async fn a_member_may_be_as_large_as_the_limit_and_no_larger() {
    let node = Node::with(["--app-max-presence-member-size-in-kb", "1"]);
    let mut client = node.connect().await;
    let frame_of = |length: usize| {
        let empty = r#"{"user_id":"1","user_info":{"a":""}}"#.len();
        json!({"user_id": "1", "user_info": {"a": "x".repeat(length - empty)}}).to_string()
    };
    assert_eq!(frame_of(1025).len(), 1025);
    client.ask_presence(ROOM, &frame_of(1025)).await;
    client.expect_refused(ROOM).await;
    client.ask_presence(ROOM, &frame_of(1024)).await;
    client.expect_subscribed(ROOM).await;
}

#[tokio::test]
async fn a_user_id_may_have_128_characters() {
    let node = Node::start();
    let mut client = node.connect().await;
    let channel_data = |length: usize| json!({"user_id": "ü".repeat(length)}).to_string();
    client.ask_presence(ROOM, &channel_data(129)).await;
    client.expect_refused(ROOM).await;
    client.ask_presence(ROOM, &channel_data(128)).await;
    client.expect_subscribed(ROOM).await;
}

#[tokio::test]
async fn events_of_the_api_reach_members_and_cause_no_member_events() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    node.api().publish(ROOM, "news", r#"{"a":1}"#).await;
    ann.expect_text(r#"{"event":"news","channel":"presence-room","data":"{\"a\":1}"}"#).await;
    ann.expect_quiet().await;
}

#[tokio::test]
async fn rooms_of_the_same_user_are_apart() {
    let node = Node::start();
    let (mut ann, mut bob) = (member(&node, "ann").await, member(&node, "bob").await);
    ann.expect_on(ROOM, "pusher_internal:member_added").await;
    bob.subscribe_presence("presence-hall", "bob", json!({})).await;
    bob.unsubscribe("presence-hall").await;
    bob.expect_quiet().await;
    ann.expect_quiet().await;
}

#[tokio::test]
async fn fifty_users_who_join_at_once_are_each_announced_once() {
    let node = Node::start();
    let mut ann = member(&node, "ann").await;
    let joining = (0..50).map(|number| {
        let node = &node;
        async move { member(node, &format!("user-{number}")).await }
    });
    let joined = futures_util::future::join_all(joining).await;
    let mut announced = Vec::new();
    for _ in &joined {
        let added = ann.expect_on(ROOM, "pusher_internal:member_added").await.json();
        announced.push(added["user_id"].as_str().expect("a string").to_owned());
    }
    announced.sort();
    announced.dedup();
    assert_eq!(announced.len(), 50);
    ann.expect_quiet().await;
}
