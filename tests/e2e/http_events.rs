//! Publishing over the HTTP API: every form of it, its answers to the byte, and its limits.

mod batches;
mod bounds;
mod transport;

use serde_json::{Value, json};

use crate::support::{api::Api, client::Client, node::Node};

/// As many bytes as an event's data may have.
const LARGEST: usize = 10_240;

/// A client that has subscribed to public channels.
async fn listener<const N: usize>(node: &Node, channels: [&str; N]) -> Client {
    let mut client = node.connect().await;
    for channel in channels {
        client.subscribe(channel).await;
    }
    client
}

/// Posts events that must all be refused with this status, and complains of all that were not.
async fn expect_refused<'a>(
    api: &Api,
    path: &str,
    status: u16,
    bodies: impl IntoIterator<Item = (&'a str, Value)>,
) {
    let mut complaints = Vec::new();
    for (what, body) in bodies {
        let response = api.post(path, body).await;
        let well_told = response.json()["code"] == status && response.json()["error"].is_string();
        if response.status != status || !well_told {
            complaints.push(format!(
                "{what}: expected {status}, got {} {}",
                response.status,
                response.text()
            ));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn an_event_reaches_its_subscribers_to_the_byte_and_is_answered_with_an_empty_object() {
    let node = Node::start();
    let mut client = listener(&node, ["c"]).await;
    let response =
        Api::on(&node).post("/events", r#"{"name":"e","channels":["c"],"data":"{\"a\": 1}"}"#).await;
    assert_eq!((response.status, response.text()), (200, "{}"));
    assert_eq!(response.header("content-type"), Some("application/json"));
    client.expect_text(r#"{"event":"e","channel":"c","data":"{\"a\": 1}"}"#).await;
}

#[tokio::test]
async fn one_channel_may_be_named_in_either_field_and_the_list_wins() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["a", "b"]).await;
    for (body, channel) in [
        (json!({"name": "e", "data": "1", "channel": "a"}), "a"),
        (json!({"name": "e", "data": "2", "channels": ["b"]}), "b"),
        (json!({"name": "e", "data": "3", "channel": "a", "channels": ["b"]}), "b"),
    ] {
        assert_eq!(api.post("/events", &body).await.text(), "{}", "{body}");
        client.expect_on(channel, "e").await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn an_event_for_several_channels_reaches_each_once_even_one_that_is_named_twice() {
    let node = Node::start();
    let mut client = listener(&node, ["a", "b"]).await;
    let body = json!({"name": "e", "data": "d", "channels": ["a", "b", "nobody", "a"]});
    assert_eq!(Api::on(&node).post("/events", body).await.text(), "{}");
    let mut channels = [client.expect("e").await.channel.unwrap(), client.expect("e").await.channel.unwrap()];
    channels.sort();
    assert_eq!(channels, ["a", "b"]);
    client.expect_quiet().await;
}

#[tokio::test]
async fn the_excluded_socket_hears_nothing_on_any_channel_and_its_id_is_told_to_nobody() {
    let node = Node::start();
    let mut author = listener(&node, ["a", "b"]).await;
    let mut reader = listener(&node, ["a", "b"]).await;
    let body = json!({"name": "e", "data": "d", "channels": ["a", "b"], "socket_id": author.socket_id});
    assert_eq!(Api::on(&node).post("/events", body).await.text(), "{}");
    for _ in 0..2 {
        assert!(!reader.expect("e").await.text.contains(&author.socket_id));
    }
    author.expect_quiet().await;
}

#[tokio::test]
async fn a_socket_id_of_nobody_excludes_nobody() {
    let node = Node::start();
    let mut client = listener(&node, ["c"]).await;
    for socket_id in ["1.2", "18446744073709551615.18446744073709551615", "999999999999999999999999.1"] {
        let body = json!({"name": "e", "data": "d", "channel": "c", "socket_id": socket_id});
        assert_eq!(Api::on(&node).post("/events", body).await.text(), "{}", "{socket_id}");
        client.expect_on("c", "e").await;
    }
}

#[tokio::test]
async fn data_passes_through_byte_for_byte() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    // What stands between the quotes in the request must stand between them in the frame.
    for data in [
        "",
        "plain",
        r#"{\"a\":\"b\"}"#,
        r"\/ \\ \b\f\n\r\t",
        r"\u0041\u00e9\u0000\u001f",
        r"\ud83c\udf6e",
        r"\uD83C\uDF6E",
        "crème 🍮 \u{2028}\u{2029}\u{7f}\u{feff}",
        r#"\"},{\"event\":\"forged\",\"data\":\""#,
        "1.0e400 -0 18446744073709551616",
    ] {
        let body = format!(r#"{{"name":"e","channels":["c"],"data":"{data}"}}"#);
        assert_eq!(api.post("/events", &body).await.text(), "{}", "{body}");
        client.expect_text(&format!(r#"{{"event":"e","channel":"c","data":"{data}"}}"#)).await;
    }
}

#[tokio::test]
async fn a_lone_surrogate_is_either_refused_or_delivered_as_it_is() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    for data in [r"\ud83c", r"\udf6e", r"\udf6e\ud83c", r"\ud83cx", r"\ud83c\u0041"] {
        let response = api.post("/events", format!(r#"{{"name":"e","channel":"c","data":"{data}"}}"#)).await;
        match response.status {
            200 => {
                let frame = client.message().await.expect("an event");
                assert_eq!(
                    frame.to_text().unwrap(),
                    format!(r#"{{"event":"e","channel":"c","data":"{data}"}}"#)
                );
            }
            status => assert_eq!(status, 400, "{}", response.text()),
        }
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn data_that_is_no_text_is_delivered_as_the_text_of_its_json() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    for data in [r#"{"a":1,"b":[true,null]}"#, "[]", "[1,2]", "12345678901234567890", "1.50", "true"] {
        let response = api.post("/events", format!(r#"{{"name":"e","channel":"c","data":{data}}}"#)).await;
        assert_eq!((response.status, response.text()), (200, "{}"), "{data}");
        assert_eq!(client.expect("e").await.data, data);
    }
}

#[tokio::test]
async fn unknown_fields_and_any_order_of_fields_do_no_harm() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    for body in [
        r#"{"data":"d","channels":["c"],"name":"e"}"#,
        r#"{"tags":{"a":1},"name":"e","data":"d","channels":["c"],"extras":[null]}"#,
        "\n { \"name\" : \"e\" , \"data\" : \"d\" , \"channels\" : [ \"c\" ] } \n",
        r#"{"name":"e","data":"d","channels":["c"],"socket_id":null,"info":null}"#,
        r#"{"name":"e","data":"d","channel":null,"channels":["c"]}"#,
    ] {
        assert_eq!(api.post("/events", body).await.text(), "{}", "{body}");
        client.expect_text(r#"{"event":"e","channel":"c","data":"d"}"#).await;
    }
}

#[tokio::test]
async fn info_is_answered_for_each_distinct_channel() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["a"]).await;
    client.subscribe_presence("presence-p", "u1", json!({})).await;
    let mut second = node.connect().await;
    second.subscribe_presence("presence-p", "u1", json!({})).await;
    let two = json!({"occupied": true, "subscription_count": 2});
    api.expect_soon("/channels/presence-p?info=subscription_count", two).await;
    let event =
        |channels: Value, info: &str| json!({"name": "e", "data": "d", "channels": channels, "info": info});

    let counts = api.post("/events", event(json!(["a", "presence-p", "x", "a"]), "subscription_count")).await;
    let expected = json!({"channels": {
        "a": {"subscription_count": 1}, "presence-p": {"subscription_count": 2}, "x": {"subscription_count": 0},
    }});
    assert_eq!(counts.expect_status(200).json(), expected);
    let users = api.post("/events", event(json!(["presence-p"]), "user_count,subscription_count")).await;
    let expected = json!({"channels": {"presence-p": {"user_count": 1, "subscription_count": 2}}});
    assert_eq!(users.expect_status(200).json(), expected);
    let mixed = api.post("/events", event(json!(["a", "presence-p"]), "user_count")).await;
    let expected = json!({"channels": {"a": {}, "presence-p": {"user_count": 1}}});
    assert_eq!(mixed.expect_status(200).json(), expected, "only presence channels have users");
}

#[tokio::test]
async fn an_event_for_a_signed_in_user_reaches_all_of_that_users_connections_and_no_other() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut clients = [node.connect().await, node.connect().await, node.connect().await];
    for (client, user) in clients.iter_mut().zip(["u1", "u1", "u2"]) {
        client.sign_in(json!({"id": user})).await;
    }
    api.publish("#server-to-user-u1", "hello", "d").await;
    assert_eq!(
        api.post("/events", json!({"name": "again", "data": "d", "channel": "#server-to-user-u1"}))
            .await
            .text(),
        "{}"
    );
    let [first, second, stranger] = &mut clients;
    for client in [first, second] {
        client.expect_text(r##"{"event":"hello","channel":"#server-to-user-u1","data":"d"}"##).await;
        client.expect("again").await;
        client.expect_quiet().await;
    }
    stranger.expect_quiet().await;
}

#[tokio::test]
async fn two_thousand_events_of_one_publisher_arrive_in_order() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    let publish = async {
        for number in 0..2000 {
            api.publish("c", "e", number).await;
        }
    };
    let read = async {
        for number in 0..2000 {
            assert_eq!(client.expect("e").await.data, number.to_string());
        }
    };
    tokio::join!(publish, read);
    client.expect_quiet().await;
}
