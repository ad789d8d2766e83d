//! Several events in one request: their order, their answer, and that they are published all or not at all.

use serde_json::{Value, json};

use super::{LARGEST, expect_refused, listener};
use crate::support::{api::Api, node::Node};

#[tokio::test]
async fn a_batch_without_info_is_answered_with_an_empty_object_and_keeps_its_order() {
    let node = Node::start();
    let mut client = listener(&node, ["a", "b"]).await;
    let names: Vec<_> = (0..10).map(|number| format!("e{number}")).collect();
    let channels = ["a", "b"].into_iter().cycle();
    let event = |(name, channel): (&String, &str)| json!({"name": name, "data": "d", "channel": channel});
    let batch: Vec<_> = names.iter().zip(channels).map(event).collect();
    assert_eq!(Api::on(&node).post("/batch_events", json!({"batch": batch})).await.text(), "{}");
    for name in &names {
        client.expect(name).await;
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_batch_with_info_is_answered_with_a_list_as_long_as_itself() {
    let node = Node::start();
    let mut client = listener(&node, ["a", "b"]).await;
    client.subscribe_presence("presence-p", "u1", json!({})).await;
    let batch = json!({"batch": [
        {"name": "1", "data": "d", "channel": "a", "info": "subscription_count"},
        {"name": "2", "data": "d", "channel": "b"},
        {"name": "3", "data": "d", "channel": "presence-p", "info": "user_count,subscription_count"},
    ]});
    let response = Api::on(&node).post("/batch_events", batch).await.expect_status(200);
    let infos = json!([{"subscription_count": 1}, {}, {"user_count": 1, "subscription_count": 1}]);
    assert_eq!(response.json(), json!({"batch": infos}));
}

#[tokio::test]
async fn each_event_of_a_batch_has_its_own_excluded_socket() {
    let node = Node::start();
    let mut client = listener(&node, ["c"]).await;
    let batch = json!({"batch": [
        {"name": "mine", "data": "d", "channel": "c", "socket_id": client.socket_id},
        {"name": "others", "data": "d", "channel": "c", "socket_id": "1.1"},
        {"name": "all", "data": "d", "channel": "c"},
    ]});
    assert_eq!(Api::on(&node).post("/batch_events", batch).await.text(), "{}");
    client.expect("others").await;
    client.expect("all").await;
}

#[tokio::test]
async fn a_batch_of_which_one_event_is_bad_publishes_none() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    let good = json!({"name": "good", "data": "d", "channel": "c"});
    let with = |bad: Value| json!({"batch": [good, bad, good]});
    let bad = [
        ("no name", with(json!({"data": "d", "channel": "c"}))),
        ("no data", with(json!({"name": "e", "channel": "c"}))),
        ("no channel", with(json!({"name": "e", "data": "d"}))),
        ("a bad channel", with(json!({"name": "e", "data": "d", "channel": "a b"}))),
        ("a bad socket id", with(json!({"name": "e", "data": "d", "channel": "c", "socket_id": "x"}))),
        ("a reserved name", with(json!({"name": "pusher:e", "data": "d", "channel": "c"}))),
        ("a long name", with(json!({"name": "e".repeat(201), "data": "d", "channel": "c"}))),
        ("an unknown info", with(json!({"name": "e", "data": "d", "channel": "c", "info": "members"}))),
        ("no object", with(json!("e"))),
        ("null", with(json!(null))),
    ];
    expect_refused(&api, "/batch_events", 400, bad).await;
    let large = with(json!({"name": "e", "data": "d".repeat(LARGEST + 1), "channel": "c"}));
    expect_refused(&api, "/batch_events", 413, [("too large", large)]).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_batch_has_a_bound_and_a_shape() {
    let node = Node::start();
    let api = Api::on(&node);
    let event = json!({"name": "e", "data": "d", "channel": "c"});
    let bad = [
        ("eleven events", json!({"batch": vec![event.clone(); 11]})),
        ("no batch", json!({"events": [event]})),
        ("an object", json!({"batch": {"0": event}})),
        ("text", json!({"batch": "[]"})),
        ("null", json!({"batch": null})),
        ("a bare list", json!([event])),
    ];
    expect_refused(&api, "/batch_events", 400, bad).await;
    let largest = json!({"name": "e", "data": "\"".repeat(LARGEST), "channel": "c"});
    let fullest = api.post("/batch_events", json!({"batch": vec![largest; 10]})).await;
    assert_eq!(fullest.text(), "{}", "ten events of the largest size, each byte of them escaped");
}

#[tokio::test]
async fn each_event_of_a_batch_counts_towards_the_rate() {
    let node = Node::with(["--app-max-backend-events-per-second", "10"]);
    let api = Api::on(&node);
    let batch = json!({"batch": vec![json!({"name": "e", "data": "d", "channel": "c"}); 10]});
    assert_eq!(api.post("/batch_events", &batch).await.status, 200);
    assert_eq!(api.post("/batch_events", &batch).await.status, 429);
}
