//! Signed-in users: who they are, events for them alone, and their end.

use serde_json::json;

use crate::support::{client::Client, node::Node, signing::Credentials};

/// A client that is signed in as this user.
async fn signed_in(node: &Node, user_id: &str) -> Client {
    let mut client = node.connect().await;
    client.sign_in(json!({"id": user_id})).await;
    client
}

/// Ends all connections of a user.
async fn terminate(node: &Node, user_id: &str) {
    let response = node.api().post(&format!("/users/{user_id}/terminate_connections"), "{}").await;
    assert_eq!(response.expect_status(200).text(), "{}");
}

#[tokio::test]
async fn a_sign_in_is_answered_to_the_byte_with_the_user_and_without_the_signature() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.ask_sign_in(r#"{"id":"u1"}"#).await;
    client
        .expect_text(
            r#"{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"u1\\\"}\"}"}"#,
        )
        .await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn user_data_comes_back_as_the_text_that_was_signed() {
    let node = Node::start();
    let mut client = node.connect().await;
    let user_data = r#"{ "user_info": {"name":"Zoë \u00e9 \/"},  "id":"u1", "more": 1.0 }"#;
    client.ask_sign_in(user_data).await;
    let data = client.expect("pusher:signin_success").await.json();
    assert_eq!(data, json!({"user_data": user_data}));
}

#[tokio::test]
async fn a_bad_signature_signs_nobody_in_and_the_connection_stays() {
    let node = Node::start();
    let mut client = node.connect().await;
    let user_data = r#"{"id":"u1"}"#;
    let forger = Credentials::new("1", "app-key", "another secret");
    for auth in [
        forger.user_auth(&client.socket_id, user_data),
        node.credentials.user_auth("1.1", user_data),
        node.credentials.user_auth(&client.socket_id, r#"{"id":"u2"}"#),
        Credentials::new("1", "other-key", "app-secret").user_auth(&client.socket_id, user_data),
        client.channel_auth(":user:", Some(user_data)).to_uppercase(),
    ] {
        client.send(json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}})).await;
        client.expect_error(None).await;
    }
    node.api().publish("#server-to-user-u1", "secret", "1").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn an_auth_without_key_and_signature_is_named_as_such() {
    let node = Node::start();
    let mut client = node.connect().await;
    for data in
        [json!({"auth": "nonsense", "user_data": "{\"id\":\"u1\"}"}), json!({"auth": "", "user_data": ""})]
    {
        client.send(json!({"event": "pusher:signin", "data": data})).await;
        let message = client.expect_error(None).await;
        assert_eq!(message, "Invalid format: auth must have the format key:signature");
    }
}

#[tokio::test]
async fn user_data_must_name_the_user_by_a_text() {
    let node = Node::start();
    let mut client = node.connect().await;
    for user_data in [
        "{}",
        r#"{"id":""}"#,
        r#"{"id":1}"#,
        r#"{"id":null}"#,
        r#"{"id":["u1"]}"#,
        "[]",
        "\"u1\"",
        "nonsense",
        "",
    ] {
        client.ask_sign_in(user_data).await;
        client.expect_error(None).await;
    }
    client.sign_in(json!({"id": "u1"})).await;
}

#[tokio::test]
async fn a_connection_stays_with_its_first_user() {
    let node = Node::start();
    let mut client = signed_in(&node, "u1").await;
    client.ask_sign_in(r#"{"id":"u2"}"#).await;
    client.expect_error(None).await;
    node.api().publish("#server-to-user-u2", "secret", "1").await;
    node.api().publish("#server-to-user-u1", "mine", "1").await;
    client.expect_on("#server-to-user-u1", "mine").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn to_sign_in_again_as_the_same_user_is_fine() {
    let node = Node::start();
    let mut client = signed_in(&node, "u1").await;
    client.sign_in(json!({"id": "u1"})).await;
    node.api().publish("#server-to-user-u1", "once", "1").await;
    client.expect_on("#server-to-user-u1", "once").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn an_event_for_a_user_comes_once_with_and_without_the_subscription_of_the_sdks() {
    let node = Node::start();
    let mut client = signed_in(&node, "u1").await;
    node.api().publish("#server-to-user-u1", "early", "1").await;
    client.expect_text(r##"{"event":"early","channel":"#server-to-user-u1","data":"1"}"##).await;
    client.subscribe("#server-to-user-u1").await;
    node.api().publish("#server-to-user-u1", "late", "1").await;
    client.expect_on("#server-to-user-u1", "late").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn an_event_for_a_user_reaches_all_connections_of_the_user_and_no_other() {
    let node = Node::start();
    let (mut first, mut second) = (signed_in(&node, "u1").await, signed_in(&node, "u1").await);
    let (mut other, mut nobody) = (signed_in(&node, "u11").await, node.connect().await);
    node.api().publish("#server-to-user-u1", "hello", "1").await;
    first.expect_on("#server-to-user-u1", "hello").await;
    second.expect_on("#server-to-user-u1", "hello").await;
    other.expect_quiet().await;
    nobody.expect_quiet().await;
}

#[tokio::test]
async fn the_channel_of_another_user_is_refused() {
    let node = Node::start();
    let mut client = signed_in(&node, "u1").await;
    for channel in ["#server-to-user-u2", "#server-to-user-", "#server-to-user-u11", "#other", "#"] {
        client.ask(json!({"channel": channel})).await;
        client.expect_refused(channel).await;
        client.ask_private(channel).await;
        client.expect_refused(channel).await;
    }
    node.api().publish("#server-to-user-u2", "secret", "1").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_user_channel_is_refused_to_one_who_is_not_signed_in() {
    let node = Node::start();
    let mut client = node.connect().await;
    client.ask(json!({"channel": "#server-to-user-u1", "auth": ""})).await;
    client.expect_refused("#server-to-user-u1").await;
    node.api().publish("#server-to-user-u1", "secret", "1").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_user_of_one_app_is_nobody_in_another() {
    let app = |id: &str| json!({"app_id": id, "app_key": format!("key-{id}"), "app_secret": "same"});
    let node = Node::from_config(&json!({"applications": [app("1"), app("2")]}));
    let mut mine = signed_in(&node, "u1").await;
    let mut theirs = node.connect_as(&Credentials::new("2", "key-2", "same")).await;
    theirs.sign_in(json!({"id": "u1"})).await;
    node.api().publish("#server-to-user-u1", "hello", "1").await;
    mine.expect("hello").await;
    theirs.expect_quiet().await;
}

#[tokio::test]
async fn terminating_a_user_closes_all_connections_that_are_signed_in_as_that_user() {
    let node = Node::start();
    let (mut first, mut second) = (signed_in(&node, "u1").await, signed_in(&node, "u1").await);
    let mut other = signed_in(&node, "u2").await;
    terminate(&node, "u1").await;
    for client in [&mut first, &mut second] {
        client.expect_end(4009).await;
    }
    other.expect_quiet().await;
}

#[tokio::test]
async fn terminating_a_user_spares_one_who_is_only_a_member_of_that_name() {
    let node = Node::start();
    let (mut user, mut member) = (signed_in(&node, "u1").await, node.connect().await);
    member.subscribe_presence("presence-room", "u1", json!({})).await;
    terminate(&node, "u1").await;
    user.expect_end(4009).await;
    member.expect_quiet().await;
}

#[tokio::test]
async fn a_terminated_user_leaves_its_channels_and_may_come_back() {
    let node = Node::start();
    let (mut user, mut watcher) = (signed_in(&node, "u1").await, node.connect().await);
    watcher.subscribe_presence("presence-room", "w", json!({})).await;
    user.ask_private("presence-room").await;
    user.expect_subscribed("presence-room").await;
    watcher.expect("pusher_internal:member_added").await;
    terminate(&node, "u1").await;
    user.expect_end(4009).await;
    drop(user);
    watcher.expect("pusher_internal:member_removed").await;
    signed_in(&node, "u1").await.expect_quiet().await;
}

#[tokio::test]
async fn terminating_nobody_is_fine() {
    let node = Node::start();
    terminate(&node, "nobody").await;
}

#[tokio::test]
async fn a_terminated_user_may_be_told_to_reconnect_instead() {
    let node = Node::with(["--terminate-close-code", "4200"]);
    let mut user = signed_in(&node, "u1").await;
    terminate(&node, "u1").await;
    user.expect_end(4200).await;
}

#[tokio::test]
async fn a_user_id_of_every_allowed_character_can_be_reached() {
    let node = Node::start();
    let mut client = signed_in(&node, "u_-=@,.;1").await;
    node.api().publish("#server-to-user-u_-=@,.;1", "hello", "1").await;
    client.expect("hello").await;
    terminate(&node, "u_-=@,.;1").await;
    client.expect_end(4009).await;
}
