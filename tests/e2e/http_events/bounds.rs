//! What may not be published: too much, too often, or what is no event at all.

use std::time::Duration;

use serde_json::{Value, json};

use super::{LARGEST, expect_refused, listener};
use crate::support::{api::Api, node::Node};

#[tokio::test]
async fn data_has_at_most_10240_bytes_however_it_is_escaped() {
    let node = Node::start();
    let api = Api::on(&node);
    let event = |data: String| json!({"name": "e", "data": data, "channel": "c"});
    let mut client = listener(&node, ["c"]).await;
    for data in ["d".repeat(LARGEST), "\"".repeat(LARGEST), "é".repeat(LARGEST / 2)] {
        assert_eq!(api.post("/events", event(data.clone())).await.text(), "{}");
        assert_eq!(client.expect("e").await.data, data);
    }
    let too_large = [
        ("one byte more", event("d".repeat(LARGEST + 1))),
        ("one escaped byte more", event("\"".repeat(LARGEST + 1))),
        ("bytes, not characters", event("é".repeat(LARGEST / 2 + 1))),
        ("thirty kilobytes, which Python's SDK lets through", event("d".repeat(30_720))),
        ("an object", json!({"name": "e", "data": {"a": "d".repeat(LARGEST)}, "channel": "c"})),
    ];
    expect_refused(&api, "/events", 413, too_large).await;
    let told = api.post("/events", event("d".repeat(LARGEST + 1))).await.json();
    let error = "The data content of this event exceeds the allowed maximum (10240 bytes).";
    assert!(told["error"].as_str().unwrap().starts_with(error), "{told}");
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_configured_payload_limit_is_the_limit() {
    let node = Node::with(["--app-max-event-payload-in-kb", "1"]);
    let api = Api::on(&node);
    api.publish("c", "e", "d".repeat(1024)).await;
    let event = json!({"name": "e", "data": "d".repeat(1025), "channel": "c"});
    expect_refused(&api, "/events", 413, [("1025 bytes", event)]).await;
}

#[tokio::test]
async fn ten_channels_are_allowed_and_eleven_are_not() {
    let node = Node::start();
    let api = Api::on(&node);
    let event = |channels: usize| {
        let channels: Vec<_> = (0..channels).map(|number| format!("c{number}")).collect();
        json!({"name": "e", "data": "d", "channels": channels})
    };
    let mut last = listener(&node, ["c9"]).await;
    assert_eq!(api.post("/events", event(10)).await.text(), "{}");
    last.expect("e").await;
    expect_refused(&api, "/events", 400, [("eleven", event(11)), ("a thousand", event(1000))]).await;
    last.expect_quiet().await;

    let roomy = Node::with(["--app-max-event-channels-at-once", "100"]);
    assert_eq!(Api::on(&roomy).post("/events", event(100)).await.text(), "{}");
}

#[tokio::test]
async fn an_events_name_has_at_most_200_characters_and_is_not_reserved() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    for name in ["e".repeat(200), "pusher".into(), "pusherx:e".into(), "App\\Events\\X é🍮".into()] {
        api.publish("c", &name, "d").await;
        assert_eq!(client.frame().await.event, name);
    }
    let named = |name: &str| json!({"name": name, "data": "d", "channel": "c"});
    let bad = [
        ("201 characters", named(&"e".repeat(201))),
        ("a megabyte", named(&"e".repeat(500_000))),
        ("nothing", named("")),
        ("pusher:", named("pusher:e")),
        ("pusher: alone", named("pusher:")),
        ("pusher_internal:", named("pusher_internal:member_added")),
    ];
    expect_refused(&api, "/events", 400, bad).await;
    let escaped = api.post("/events", r#"{"name":"\u0070usher\u003ae","data":"d","channel":"c"}"#).await;
    assert_eq!(escaped.status, 400, "a reserved name is reserved however it is written");
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_body_of_the_wrong_shape_is_refused() {
    let node = Node::start();
    let api = Api::on(&node);
    let event = |field: &str, value: Value| {
        let mut event = json!({"name": "e", "data": "d", "channels": ["c"]});
        event[field] = value;
        event
    };
    let mut bad = vec![
        ("an empty object", json!({})),
        ("no name", json!({"data": "d", "channels": ["c"]})),
        ("no data", json!({"name": "e", "channels": ["c"]})),
        ("no channel", json!({"name": "e", "data": "d"})),
        ("a list", json!([])),
        ("text", json!("e")),
        ("null", json!(null)),
        ("a number", json!(1)),
    ];
    for value in [json!(1), json!(null), json!(true), json!([]), json!(["e"]), json!({})] {
        bad.push(("a name of another type", event("name", value)));
    }
    for value in [
        json!("c"),
        json!(1),
        json!({}),
        json!({"0": "c"}),
        json!([]),
        json!([1]),
        json!([null]),
        json!([["c"]]),
    ] {
        bad.push(("channels of another type", event("channels", value)));
    }
    for value in [
        json!(1),
        json!([]),
        json!({}),
        json!(""),
        json!("1"),
        json!("1."),
        json!(".1"),
        json!("1.2.3"),
        json!("a.b"),
        json!("1.2 "),
        json!("-1.2"),
        json!("1.2\n"),
    ] {
        bad.push(("a bad socket id", event("socket_id", value)));
    }
    for value in [json!("members"), json!("subscription_count,x"), json!(1), json!(["subscription_count"])] {
        bad.push(("a bad info", event("info", value)));
    }
    expect_refused(&api, "/events", 400, bad).await;
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    let good = r#"{"name":"e","data":"d","channel":"c"}"#.as_bytes();
    let nested = [b"[".repeat(10_000), b"]".repeat(10_000)].concat();
    let deep = [br#"{"name":"e","channel":"c","data":"#.to_vec(), nested, b"}".to_vec()].concat();
    let bodies: [(&str, Vec<u8>); 12] = [
        ("nothing", Vec::new()),
        ("a brace", b"{".to_vec()),
        ("half of it", good[..20].to_vec()),
        ("more after it", [good, b"x"].concat()),
        ("twice", good.repeat(2)),
        ("a comma too many", br#"{"name":"e","data":"d","channel":"c",}"#.to_vec()),
        ("bytes that are no UTF-8", b"{\"name\":\"e\",\"data\":\"\xFF\",\"channel\":\"c\"}".to_vec()),
        ("a NUL", b"{\"name\":\"e\",\"data\":\"\0\",\"channel\":\"c\"}".to_vec()),
        ("UTF-16", good.iter().flat_map(|&byte| [byte, 0]).collect()),
        ("a form", b"name=e&data=d&channel=c".to_vec()),
        ("a byte order mark", [b"\xEF\xBB\xBF", good].concat()),
        ("data ten thousand deep", deep),
    ];
    for (what, body) in bodies {
        let response = api.request("POST", "/events").body(body).send().await;
        assert!(matches!(response.status, 400 | 413), "{what}: {} {}", response.status, response.text());
        assert_eq!(response.json()["code"], response.status, "{what}");
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_body_far_beyond_all_limits_is_cut_off() {
    let node = Node::start();
    let before = node.resident_bytes();
    for path in ["/events", "/batch_events"] {
        let huge = format!(r#"{{"name":"e","channel":"c","data":"{}"}}"#, "d".repeat(30 << 20));
        let answer = Api::on(&node).request("POST", path).json(huge).sign().send_or_be_cut_off().await;
        // One that reads no further may have ended the connection before the sender has read the answer.
        assert!(answer.as_ref().is_none_or(|response| response.status == 413), "{answer:?}");
    }
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "a body of 30 MiB was held in memory: the node grew by {grown} bytes");
    Api::on(&node).publish("c", "e", "d").await;
}

#[tokio::test]
async fn system_channels_encrypted_channels_and_bad_channels_have_their_rules() {
    let node = Node::start();
    let api = Api::on(&node);
    let event = |channels: Value| json!({"name": "e", "data": "d", "channels": channels});
    for channels in [
        json!(["#server-to-user-u1"]),
        json!(["private-encrypted-a"]),
        json!(["presence-a", "private-b", "cache-c"]),
    ] {
        assert_eq!(api.post("/events", event(channels.clone())).await.text(), "{}", "{channels}");
    }
    let bad = [
        ("an encrypted one with others", event(json!(["private-encrypted-a", "b"]))),
        ("others with an encrypted one", event(json!(["b", "private-encrypted-cache-a"]))),
        ("two encrypted ones", event(json!(["private-encrypted-a", "private-encrypted-b"]))),
        ("another system channel", event(json!(["#presence"]))),
        ("a system channel of nobody", event(json!(["#server-to-user-"]))),
        ("a bad one among good ones", event(json!(["a", "b c", "d"]))),
        ("an empty one", event(json!([""]))),
        ("a slash", event(json!(["a/b"]))),
        ("a colon", event(json!(["a:b"]))),
        ("201 characters", event(json!(["c".repeat(201)]))),
    ];
    expect_refused(&api, "/events", 400, bad).await;
    let told = api.post("/events", event(json!(["a b"]))).await.json();
    assert!(told["error"].as_str().unwrap().contains("Invalid channel name"), "{told}");
}

#[tokio::test]
async fn more_events_per_second_than_allowed_are_refused_until_the_time_that_is_told() {
    let node = Node::with(["--app-max-backend-events-per-second", "5"]);
    let api = Api::on(&node);
    let mut refusal = None;
    for _ in 0..50 {
        let response = api.post("/events", json!({"name": "e", "data": "d", "channel": "c"})).await;
        if response.status != 200 {
            refusal = Some(response);
            break;
        }
    }
    let refusal = refusal.expect("fifty events at once are more than five a second").expect_status(429);
    assert_eq!(refusal.json()["code"], 429);
    let wait: u64 = refusal.header("retry-after").expect("it says when to come back").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(api.get("/channels").await.status, 200, "reading has a limit of its own");
    tokio::time::sleep(Duration::from_secs(wait)).await;
    api.publish("c", "e", "d").await;
}
