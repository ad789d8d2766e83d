//! Names of channels, events and users: which are taken, which are not, and that both doors agree on it.

use serde_json::{Value, json};

use crate::support::{api::Api, client::Client, node::Node};

/// As long as a channel's name may be.
const LONGEST: usize = 200;

/// Names that Pusher's rules allow.
fn good_names() -> Vec<String> {
    let mut names: Vec<String> = [
        "a",
        "0",
        "-",
        "_",
        "=",
        "@",
        ",",
        ".",
        ";",
        "a-b_c=d@e,f.g;h",
        "ABCxyz019",
        "..",
        "...",
        "-private",
        "private",
        "presence",
        "cache",
        "privateer",
        "presences-a",
        "mycache-x",
        "xprivate-a",
        "xpresence-a",
        "Private-a",
        "PRESENCE-a",
        "client-a",
        "pusher_internal",
        "null",
        "__proto__",
        "constructor",
    ]
    .map(ToOwned::to_owned)
    .into();
    names.extend([164, 165, LONGEST].map(|length| "c".repeat(length)));
    names
}

/// Names that Pusher's rules forbid, each with what is wrong with it.
fn bad_names() -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = vec![("empty".into(), String::new())];
    for forbidden in " !\"#$%&'()*+/:<>?[\\]^`{|}~\t\n\r\0\u{1b}\u{7f}".chars() {
        names.push((format!("{forbidden:?} within"), format!("a{forbidden}b")));
    }
    for forbidden in [' ', '\n', '\0', '#', ':', '/'] {
        names.push((format!("{forbidden:?} in front"), format!("{forbidden}a")));
        names.push((format!("{forbidden:?} behind"), format!("a{forbidden}")));
        names.push((format!("{forbidden:?} alone"), forbidden.to_string()));
    }
    for (what, name) in [
        ("a letter beyond ASCII", "é"),
        ("a full-width letter", "ａ"),
        ("a Cyrillic letter that looks like a", "а"),
        ("an emoji", "🍮"),
        ("a combining mark", "a\u{301}"),
        ("a zero-width space", "a\u{200b}"),
        ("a text direction mark", "\u{202e}a"),
        ("a byte order mark", "\u{feff}a"),
        ("a no-break space", "a\u{a0}b"),
        ("other digits", "١"),
        ("a header", "a\r\nSet-Cookie: b"),
        ("JSON", "a\",\"event\":\"forged"),
        ("a path", "../../etc/passwd"),
        ("a glob", "private-*"),
        ("a hash tag of Redis", "{a}b"),
        ("an escape", "a%20b"),
        ("a system channel", "#presence"),
        ("a system channel of users", "#server-to-users"),
        ("a system channel behind a prefix", "private-#server-to-user-u1"),
        ("two system marks", "##server-to-user-u1"),
        ("a system channel in upper case", "#SERVER-TO-USER-u1"),
        ("a system mark alone behind a prefix", "presence-#"),
        ("a wide comma", "a，b"),
        ("a ligature", "ﬁ"),
        ("a private-use character", "\u{e000}"),
        ("the last character", "\u{10ffff}"),
        ("a replacement character", "\u{fffd}"),
        ("a line separator", "a\u{2028}b"),
        ("a next-line control", "a\u{85}b"),
        ("a tag of HTML", "<script>"),
    ] {
        names.push((what.into(), name.into()));
    }
    for (prefix, length) in [("", 201), ("", 1_000), ("", 8_000), ("cache-", LONGEST), ("#", LONGEST)] {
        names.push((format!("{prefix}, {length} more characters"), prefix.to_owned() + &"c".repeat(length)));
    }
    names
}

/// The messages with which a subscription is refused for its name: the event for the channel, then the error.
async fn was_refused(client: &mut Client, channel: &str) -> Result<(), String> {
    client.ask(json!({"channel": channel, "auth": ""})).await;
    let frame = client.frame().await;
    if frame.event != "pusher:subscription_error" {
        return Err(frame.text);
    }
    let data = frame.json();
    let error = client.frame().await;
    let is_invalid = data["status"] == 400 && data["type"] == "InvalidChannel";
    // The system's channels are also those that exist and belong to somebody else.
    let is_anothers = channel.starts_with('#') && data["status"] == 403 && data["type"] == "AuthError";
    let is_told = frame.channel.as_deref() == Some(channel) && (is_invalid || is_anothers);
    if is_told && error.event == "pusher:error" { Ok(()) } else { Err(frame.text + &error.text) }
}

#[tokio::test]
async fn every_bad_name_is_refused_to_subscribers_who_stay_connected() {
    let node = Node::start();
    let mut client = node.connect().await;
    let names = bad_names();
    assert!(names.len() >= 80, "the table has lost cases: {}", names.len());
    let mut complaints = Vec::new();
    for (what, name) in names {
        if let Err(answer) = was_refused(&mut client, &name).await {
            complaints.push(format!("{what}: {answer}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    client.expect_quiet().await;
    assert_eq!(Api::on(&node).get("/channels").await.text(), r#"{"channels":{}}"#);
}

#[tokio::test]
async fn every_bad_name_is_refused_to_publishers() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut complaints = Vec::new();
    for (what, name) in bad_names() {
        for (form, channel) in [("channel", json!(name)), ("channels", json!([name]))] {
            let response = api.post("/events", json!({"name": "e", "data": "d", form: channel})).await;
            if response.status != 400 {
                complaints.push(format!("{what} in {form}: {} {}", response.status, response.text()));
            }
        }
        let batch = json!({"batch": [{"name": "e", "data": "d", "channel": name}]});
        let response = api.post("/batch_events", batch).await;
        if response.status != 400 {
            complaints.push(format!("{what} in a batch: {} {}", response.status, response.text()));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn every_good_name_can_be_subscribed_published_to_and_left() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = node.connect().await;
    for name in good_names() {
        client.subscribe(&name).await;
        api.publish(&name, "e", &name).await;
        let frame = client.expect_on(&name, "e").await;
        assert_eq!(frame.data, name);
        client.unsubscribe(&name).await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn the_longest_name_counts_its_prefix() {
    let node = Node::start();
    let mut client = node.connect().await;
    for prefix in ["private-", "private-cache-", "private-encrypted-", "private-encrypted-cache-"] {
        let longest = prefix.to_owned() + &"c".repeat(LONGEST - prefix.len());
        client.ask_private(&longest).await;
        client.expect_subscribed(&longest).await;
        if prefix.contains("cache") {
            client.expect_on(&longest, "pusher:cache_miss").await;
        }
        client.ask_private(&format!("{longest}c")).await;
        assert_eq!(client.expect_refused(format!("{longest}c")).await.status, 400);
    }
}

#[tokio::test]
async fn another_length_may_be_configured() {
    let node = Node::with(["--app-max-channel-name-length", "164"]);
    let api = Api::on(&node);
    let mut client = node.connect().await;
    client.subscribe(&"c".repeat(164)).await;
    assert_eq!(was_refused(&mut client, &"c".repeat(165)).await, Ok(()));
    api.publish(&"c".repeat(164), "e", "d").await;
    client.expect("e").await;
    assert_eq!(
        api.post("/events", json!({"name": "e", "data": "d", "channel": "c".repeat(165)})).await.status,
        400
    );
}

#[tokio::test]
async fn a_prefix_is_only_one_at_the_start_and_with_its_hyphen() {
    let node = Node::start();
    let mut client = node.connect().await;
    // Without a signature, these are refused with 401 where they are private, and taken where they are not.
    for (name, is_private) in [
        ("private-", true),
        ("private-private-a", true),
        ("private-presence-a", true),
        ("private-encrypted-", true),
        ("private-encrypted-private-encrypted-a", true),
        ("private-cache-cache-a", true),
        ("presence-", true),
        ("presence-presence-a", true),
        ("presence-cache-a", true),
        ("privateer", false),
        ("private", false),
        ("presence_a", false),
        ("a-private-a", false),
        ("PRIVATE-a", false),
        ("encrypted-a", false),
        ("-presence-a", false),
    ] {
        client.ask(json!({"channel": name, "auth": ""})).await;
        if is_private {
            assert_eq!(client.expect_refused(name).await.status, 401, "{name}");
        } else {
            client.expect_subscribed(name).await;
        }
    }
}

#[tokio::test]
async fn only_the_channel_of_the_user_who_is_signed_in_may_be_subscribed_among_those_of_the_system() {
    let node = Node::start();
    let mut client = node.connect().await;
    for stranger in ["#server-to-user-u1", "#server-to-user-", "#server-to-user-*", "#SERVER-TO-USER-u1"] {
        client.ask(json!({"channel": stranger, "auth": ""})).await;
        client.expect_refused(stranger).await;
    }
    client.sign_in(json!({"id": "u1"})).await;
    for stranger in [
        "#server-to-user-u2",
        "#server-to-user-",
        "#server-to-user-u",
        "#server-to-user-u11",
        "#server-to-user-U1",
    ] {
        client.ask(json!({"channel": stranger, "auth": ""})).await;
        client.expect_refused(stranger).await;
    }
    client.ask(json!({"channel": "#server-to-user-u1", "auth": ""})).await;
    client.expect_subscribed("#server-to-user-u1").await;
}

#[tokio::test]
async fn a_channel_that_is_no_text_is_refused_without_ending_the_connection() {
    let node = Node::start();
    let mut client = node.connect().await;
    for channel in [
        json!(null),
        json!(1),
        json!(true),
        json!([]),
        json!(["c"]),
        json!({}),
        json!({"name": "c"}),
        json!(1.5),
    ] {
        client.ask(json!({"channel": channel, "auth": ""})).await;
        client.expect_error(None).await;
        client.expect_quiet().await;
    }
    client.ask(json!({"auth": ""})).await;
    client.expect_error(None).await;
    client.expect_quiet().await;
}

/// The answer to a client event on a private channel: an error, or nothing, which a ping shows.
async fn answer_to(client: &mut Client, event: Value) -> Option<String> {
    client.send(event).await;
    client.send(json!({"event": "pusher:ping", "data": {}})).await;
    let first = client.frame().await;
    if first.event == "pusher:pong" {
        return None;
    }
    client.expect("pusher:pong").await;
    Some(first.text)
}

#[tokio::test]
async fn names_of_client_events_have_their_prefix_and_their_bound() {
    let node = Node::start();
    let (mut sender, mut reader) = (node.connect().await, node.connect().await);
    for client in [&mut sender, &mut reader] {
        client.subscribe_private("private-a").await;
    }
    for name in ["client-a".to_owned(), "client-é🍮 \"".to_owned(), "client-".to_owned() + &"e".repeat(193)]
    {
        let answer =
            answer_to(&mut sender, json!({"event": name, "channel": "private-a", "data": "d"})).await;
        assert_eq!(answer, None, "{name}");
        assert_eq!(reader.frame().await.event, name);
    }
    let long = "client-".to_owned() + &"e".repeat(194);
    for name in [
        "client",
        "Client-a",
        "a",
        "xclient-a",
        "client_a",
        "",
        &long,
        "pusher:a",
        "pusher_internal:member_added",
    ] {
        let answer =
            answer_to(&mut sender, json!({"event": name, "channel": "private-a", "data": "d"})).await;
        assert!(answer.is_some_and(|text| text.contains("pusher:error")), "{name}");
    }
    reader.expect_quiet().await;
}

#[tokio::test]
async fn ids_of_users_have_a_bound_and_an_alphabet() {
    let node = Node::start();
    for id in [
        json!(""),
        json!(1),
        json!(null),
        json!([]),
        json!("a b"),
        json!("a/b"),
        json!("#a"),
        json!("é"),
        json!("u".repeat(1_000)),
    ] {
        let mut client = node.connect().await;
        client.ask_sign_in(&json!({"id": id}).to_string()).await;
        client.expect_error(None).await;
        client.expect_quiet().await;
    }
    for id in ["a", "0", "u@1;=,._-", &"u".repeat(128)] {
        node.connect().await.sign_in(json!({"id": id})).await;
    }
}
