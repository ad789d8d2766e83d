//! Who may do what: every credential against every kind of channel and every operation, and two apps on one node that
//! must never see anything of each other.

use serde_json::{Value, json};

use crate::support::{
    api::{Api, Response},
    client::{Client, Frame},
    node::Node,
    signing::Credentials,
};

/// The app that is attacked.
fn ours() -> Credentials {
    Credentials::new("1", "our-key", "our-secret-canary")
}

/// The app of somebody who knows its secret and wants more.
fn theirs() -> Credentials {
    Credentials::new("2", "their-key", "their-secret-canary")
}

/// A node with both apps, which are alike in all else.
fn node() -> Node {
    let app = |app: &Credentials| {
        json!({
            "app_id": app.id, "app_key": app.key, "app_secret": app.secret,
            "app_enable_client_messages": true,
        })
    };
    Node::from_config(&json!({"applications": [app(&ours()), app(&theirs())]}))
}

/// No secret may be in anything that the server says.
#[track_caller]
fn assert_no_secret(text: &str) {
    assert!(!text.contains("secret-canary"), "a secret is told: {text}");
}

/// A channel of each kind.
const CHANNELS: [&str; 9] = [
    "public-room",
    "cache-room",
    "private-room",
    "private-cache-room",
    "private-encrypted-room",
    "private-encrypted-cache-room",
    "presence-room",
    "presence-cache-room",
    "#server-to-user-ann",
];

fn is_public(channel: &str) -> bool {
    channel.starts_with("public-") || channel.starts_with("cache-")
}

fn has_members(channel: &str) -> bool {
    channel.starts_with("presence-")
}

/// Who a member says to be.
const MEMBER: &str = r#"{"user_id":"ann"}"#;

/// Everything by which one might try to get into a channel without being allowed to.
fn false_auths(client: &Client, channel: &str) -> Vec<(&'static str, Value)> {
    let (ours, theirs) = (ours(), theirs());
    let (socket_id, data) = (client.socket_id.as_str(), has_members(channel).then_some(MEMBER));
    let wrong_secret = Credentials::new("1", "our-key", "guessed");
    let right = ours.channel_auth(socket_id, channel, data);
    let signature = |auth: String| {
        auth.split_once(':').map(|(_, signature)| signature.to_owned()).expect("key:signature")
    };
    let their_signature = signature(theirs.channel_auth(socket_id, channel, data));
    vec![
        ("none", Value::Null),
        ("an empty one", json!("")),
        ("a wrong secret", json!(wrong_secret.channel_auth(socket_id, channel, data))),
        ("the other app's", json!(theirs.channel_auth(socket_id, channel, data))),
        ("the other app's signature under this key", json!(format!("{}:{their_signature}", ours.key))),
        ("this signature under the other key", json!(format!("{}:{}", theirs.key, signature(right.clone())))),
        ("for another channel", json!(ours.channel_auth(socket_id, &format!("{channel}2"), data))),
        ("for another socket", json!(ours.channel_auth("1.1", channel, data))),
        ("for another member", json!(ours.channel_auth(socket_id, channel, Some(r#"{"user_id":"ann "}"#)))),
        ("for a sign-in", json!(ours.user_auth(socket_id, MEMBER))),
        ("half of the right one", json!(right[..right.len() - 1])),
        ("more than the right one", json!(format!("{right}0"))),
        ("only the signature", json!(signature(right))),
    ]
}

/// The two frames of a refusal; anything else is a way in.
async fn refused(client: &mut Client, channel: &str) -> Result<(), String> {
    let frame = client.frame().await;
    assert_no_secret(&frame.text);
    if frame.event != "pusher:subscription_error" || frame.channel.as_deref() != Some(channel) {
        return Err(frame.text);
    }
    let error = client.frame().await;
    assert_no_secret(&error.text);
    if error.event == "pusher:error" { Ok(()) } else { Err(error.text) }
}

#[tokio::test]
async fn no_false_signature_opens_any_kind_of_channel() {
    let node = node();
    let mut client = node.connect().await;
    let mut complaints = Vec::new();
    for channel in CHANNELS.into_iter().filter(|channel| !is_public(channel)) {
        for (what, auth) in false_auths(&client, channel) {
            let mut subscription = json!({"channel": channel, "auth": auth});
            if has_members(channel) {
                subscription["channel_data"] = json!(MEMBER);
            }
            client.ask(subscription).await;
            if let Err(answer) = refused(&mut client, channel).await {
                complaints.push(format!("{what} on {channel}: {answer}"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(Api::on(&node).get("/channels").await.text(), r#"{"channels":{}}"#);
}

#[tokio::test]
async fn a_right_signature_opens_each_kind_of_channel_and_public_ones_need_none() {
    let node = node();
    let mut client = node.connect().await;
    client.sign_in(json!({"id": "ann"})).await;
    for channel in CHANNELS {
        match channel {
            channel if is_public(channel) => client.ask(json!({"channel": channel})).await,
            channel if has_members(channel) => client.ask_presence(channel, MEMBER).await,
            channel => client.ask_private(channel).await,
        }
        client.expect_subscribed(channel).await;
        if channel.contains("cache-") {
            client.expect_on(channel, "pusher:cache_miss").await;
        }
    }
}

#[tokio::test]
async fn data_of_a_member_that_is_not_what_was_signed_is_refused() {
    let node = node();
    let mut client = node.connect().await;
    let auth = client.channel_auth("presence-room", Some(MEMBER));
    let without_data = client.channel_auth("presence-room", None);
    for (auth, data) in [
        (&auth, json!(r#"{"user_id":"anm"}"#)),
        (&auth, json!(r#"{"user_id": "ann"}"#)),
        (&auth, json!(r#"{"user_id":"ann"} "#)),
        (&auth, json!("")),
        (&auth, Value::Null),
        (&without_data, json!(MEMBER)),
        // Nobody is signed in here, so there is no member whom the shorter signature could mean.
        (&without_data, Value::Null),
        (&without_data, json!("")),
    ] {
        client.ask(json!({"channel": "presence-room", "auth": auth, "channel_data": data})).await;
        assert_eq!(refused(&mut client, "presence-room").await, Ok(()), "{data}");
    }
    client.ask(json!({"channel": "presence-room", "auth": auth})).await;
    assert_eq!(refused(&mut client, "presence-room").await, Ok(()), "without any data");
}

#[tokio::test]
async fn no_false_signature_signs_anybody_in() {
    let node = node();
    let mut client = node.connect().await;
    let user = r#"{"id":"ann"}"#;
    let socket_id = client.socket_id.clone();
    let guessed = Credentials::new("1", "our-key", "guessed");
    for auth in [
        String::new(),
        "our-key".into(),
        "our-key:".into(),
        guessed.user_auth(&socket_id, user),
        theirs().user_auth(&socket_id, user),
        theirs().user_auth(&socket_id, user).replace("their-key", "our-key"),
        ours().user_auth(&socket_id, user).replace("our-key", "their-key"),
        ours().user_auth("1.1", user),
        ours().user_auth(&socket_id, r#"{"id":"bob"}"#),
        ours().channel_auth(&socket_id, user, None),
        ours().channel_auth(&socket_id, "private-room", None),
    ] {
        client.send(json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": user}})).await;
        assert_no_secret(&client.expect_error(None).await);
    }
    Api::on(&node).publish("#server-to-user-ann", "for-ann", "d").await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_signature_for_a_channel_is_none_for_one_whose_name_and_data_join_to_the_same_text() {
    let node = node();
    let mut client = node.connect().await;
    // `socket:channel:data` does not say where the channel ends, so the alphabet of channels must.
    let auth = client.channel_auth("private-room", Some("x"));
    client.ask(json!({"channel": "private-room:x", "auth": auth})).await;
    assert_eq!(refused(&mut client, "private-room:x").await, Ok(()));
}

/// Every operation of the HTTP API.
fn operations() -> Vec<(&'static str, String, Value)> {
    let event = json!({"name": "e", "data": "d", "channel": "public-room"});
    vec![
        ("POST", "/apps/1/events".into(), event.clone()),
        ("POST", "/apps/1/batch_events".into(), json!({"batch": [event]})),
        ("GET", "/apps/1/channels".into(), Value::Null),
        ("GET", "/apps/1/channels/public-room".into(), Value::Null),
        ("GET", "/apps/1/channels/presence-room/users".into(), Value::Null),
        ("POST", "/apps/1/users/ann/terminate_connections".into(), json!({})),
    ]
}

async fn call(api: &Api, (method, path, body): &(&'static str, String, Value)) -> Response {
    let request = api.request_at(method, path);
    let response = if body.is_null() { request.send().await } else { request.json(body).send().await };
    assert_no_secret(response.text());
    response
}

#[tokio::test]
async fn no_false_credentials_carry_out_any_operation() {
    let node = node();
    let mut ann = node.connect().await;
    ann.sign_in(json!({"id": "ann"})).await;
    ann.subscribe("public-room").await;
    for (what, credentials) in [
        ("a wrong secret", Credentials::new("1", "our-key", "guessed")),
        ("no secret", Credentials::new("1", "our-key", "")),
        ("the key as the secret", Credentials::new("1", "our-key", "our-key")),
        ("the other app's key and secret", Credentials::new("1", "their-key", "their-secret-canary")),
        ("the other app's secret", Credentials::new("1", "our-key", "their-secret-canary")),
        ("the other app's key", Credentials::new("1", "their-key", "our-secret-canary")),
        ("nobody's key", Credentials::new("1", "nobodys-key", "our-secret-canary")),
        ("no key", Credentials::new("1", "", "our-secret-canary")),
    ] {
        let api = Api::of(&node, &credentials);
        for operation in operations() {
            let response = call(&api, &operation).await;
            assert!(matches!(response.status, 400 | 401), "{what} {operation:?}: {}", response.text());
        }
    }
    ann.expect_quiet().await;
}

#[tokio::test]
async fn a_request_without_a_signature_carries_out_no_operation() {
    let node = node();
    let api = Api::on(&node);
    let mut ann = node.connect().await;
    ann.sign_in(json!({"id": "ann"})).await;
    ann.subscribe("public-room").await;
    for (method, path, body) in operations() {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let signed = api.request_at(method, &path).body(body).sign();
        for request in [
            signed.clone().map_query(|_| Vec::new()),
            signed.clone().remove("auth_signature"),
            signed.clone().set("auth_timestamp", "1"),
            api.request_at(method, &path).param("auth_timestamp", "1").sign(),
        ] {
            assert!(matches!(request.send().await.status, 400 | 401), "{method} {path}");
        }
    }
    ann.expect_quiet().await;
    for operation in operations() {
        assert_eq!(call(&api, &operation).await.status, 200, "the right credentials: {operation:?}");
    }
}

#[tokio::test]
async fn client_events_come_only_from_subscribers_of_channels_that_carry_them() {
    let node = node();
    let (mut member, mut stranger) = (node.connect().await, node.connect().await);
    member.subscribe("public-room").await;
    member.subscribe_private("private-room").await;
    member.subscribe_private("private-encrypted-room").await;
    member.subscribe_presence("presence-room", "ann", json!({})).await;
    for channel in
        ["public-room", "private-room", "private-encrypted-room", "presence-room", "#server-to-user-ann"]
    {
        stranger.trigger(channel, "client-e", "d").await;
        assert_no_secret(&stranger.expect_error(None).await);
    }
    stranger.subscribe("public-room").await;
    stranger.trigger("public-room", "client-e", "d").await;
    stranger.expect_error(None).await;
    member.expect_quiet().await;
}

/// One client of each app, on the same channels, with the same member and the same user.
async fn neighbours(node: &Node) -> (Client, Client) {
    let mut both = (node.connect_as(&ours()).await, node.connect_as(&theirs()).await);
    for client in [&mut both.0, &mut both.1] {
        client.sign_in(json!({"id": "ann"})).await;
        client.subscribe("public-room").await;
        client.subscribe_private("private-room").await;
        client.subscribe_private("private-encrypted-room").await;
        let members = client.subscribe_presence("presence-room", "ann", json!({})).await.json();
        assert_eq!(members["presence"]["count"], 1, "members are counted for each app alone");
    }
    both
}

#[tokio::test]
async fn two_thousand_events_of_one_app_are_none_of_the_others() {
    let node = node();
    let (mut our_client, mut their_client) = neighbours(&node).await;
    let api = Api::of(&node, &ours());
    let channels =
        ["public-room", "private-room", "private-encrypted-room", "presence-room", "#server-to-user-ann"];
    let publish = async {
        for number in 0..2000 {
            api.publish(channels[number % channels.len()], "ours", number).await;
        }
    };
    let read = async {
        for number in 0..2000 {
            assert_eq!(our_client.expect("ours").await.data, number.to_string());
        }
    };
    tokio::join!(publish, read);
    their_client.expect_quiet().await;
}

#[tokio::test]
async fn client_events_and_members_of_one_app_are_none_of_the_others() {
    let node = node();
    let (mut ours_first, mut their_client) = neighbours(&node).await;
    let mut ours_second = node.connect_as(&ours()).await;
    ours_second.subscribe_presence("presence-room", "bob", json!({})).await;
    ours_first.expect("pusher_internal:member_added").await;
    ours_second.trigger("presence-room", "client-e", "d").await;
    ours_first.expect("client-e").await;
    ours_second.close().await;
    ours_first.expect("pusher_internal:member_removed").await;
    their_client.expect_quiet().await;
}

#[tokio::test]
async fn a_cache_of_one_app_is_not_replayed_in_the_other() {
    let node = node();
    let (our_api, their_api) = (Api::of(&node, &ours()), Api::of(&node, &theirs()));
    our_api.publish("cache-room", "ours", "d").await;
    let mut their_client = node.connect_as(&theirs()).await;
    their_client.subscribe("cache-room").await;
    their_client.expect_on("cache-room", "pusher:cache_miss").await;
    assert_eq!(their_api.get("/channels/cache-room?info=cache").await.json()["cache"], Value::Null);
    their_api.publish("cache-room", "theirs", "d").await;
    let mut our_client = node.connect_as(&ours()).await;
    our_client.subscribe("cache-room").await;
    our_client.expect_on("cache-room", "ours").await;
}

#[tokio::test]
async fn the_api_of_one_app_tells_and_ends_nothing_of_the_other() {
    let node = node();
    let (our_api, their_api) = (Api::of(&node, &ours()), Api::of(&node, &theirs()));
    let mut our_client = node.connect_as(&ours()).await;
    our_client.sign_in(json!({"id": "ann"})).await;
    our_client.subscribe("public-room").await;
    our_client.subscribe_presence("presence-room", "ann", json!({})).await;
    let told = our_api.get("/channels").await.json();
    assert_eq!(told, json!({"channels": {"public-room": {}, "presence-room": {}}}));

    assert_eq!(their_api.get("/channels").await.text(), r#"{"channels":{}}"#);
    assert_eq!(their_api.get("/channels/public-room").await.json(), json!({"occupied": false}));
    assert_eq!(their_api.get("/channels/presence-room/users").await.json(), json!({"users": []}));
    assert_eq!(their_api.post("/users/ann/terminate_connections", "{}").await.text(), "{}");
    their_api.publish("#server-to-user-ann", "theirs", "d").await;
    our_client.expect_quiet().await;
}

#[tokio::test]
async fn a_socket_id_of_the_other_app_excludes_nobody() {
    let node = node();
    let (our_client, mut their_client) = neighbours(&node).await;
    let event = |client: &Client| json!({"name": "e", "data": "d", "channel": "public-room", "socket_id": client.socket_id});
    let excluding_ours = event(&our_client);
    assert_eq!(Api::of(&node, &theirs()).post("/events", excluding_ours).await.text(), "{}");
    their_client.expect("e").await;
}

#[tokio::test]
async fn one_apps_limits_are_not_used_up_by_the_other() {
    let app = |app: Credentials| {
        json!({
            "app_id": app.id, "app_key": app.key, "app_secret": app.secret,
            "app_max_connections": 1, "app_max_backend_events_per_second": 5, "app_max_read_requests_per_second": 5,
        })
    };
    let node = Node::from_config(&json!({"applications": [app(ours()), app(theirs())]}));
    let (our_api, their_api) = (Api::of(&node, &ours()), Api::of(&node, &theirs()));
    let _our_only_client = node.connect_as(&ours()).await;
    let event = json!({"name": "e", "data": "d", "channel": "c"});
    for _ in 0..20 {
        our_api.post("/events", &event).await;
        our_api.get("/channels").await;
    }
    assert_eq!(our_api.post("/events", &event).await.status, 429);
    assert_eq!(their_api.post("/events", &event).await.status, 200);
    assert_eq!(their_api.get("/channels").await.status, 200);
    node.connect_as(&theirs()).await.expect_quiet().await;
}

#[tokio::test]
async fn nothing_that_is_said_or_logged_holds_a_secret() {
    let node = node();
    let mut client = node.connect().await;
    let mut heard: Vec<Frame> = Vec::new();
    for message in [
        json!({"event": "pusher:subscribe", "data": {"channel": "private-room", "auth": "our-key:00"}}),
        json!({"event": "pusher:subscribe", "data": {"channel": "private-room", "auth": "nonsense"}}),
        json!({"event": "pusher:subscribe", "data": {"channel": "presence-room", "auth": "x:y", "channel_data": "{}"}}),
        json!({"event": "pusher:signin", "data": {"auth": "our-key:00", "user_data": "{\"id\":\"ann\"}"}}),
        json!({"event": "client-e", "channel": "private-room", "data": {}}),
    ] {
        client.send(message).await;
    }
    client.send(json!({"event": "pusher:ping"})).await;
    while heard.last().is_none_or(|frame| frame.event != "pusher:pong") {
        heard.push(client.frame().await);
    }
    assert!(heard.len() > 5, "each of them is answered: {heard:?}");
    let right_for_this_socket = client.channel_auth("private-room", None);
    let right_signature = right_for_this_socket.split(':').nth(1).expect("key:signature");
    for frame in &heard {
        assert_no_secret(&frame.text);
        assert!(!frame.text.contains(right_signature), "an oracle for signatures: {}", frame.text);
    }
    let log = node.log();
    assert_no_secret(&log);
    assert!(!log.contains(right_signature), "{log}");
}
