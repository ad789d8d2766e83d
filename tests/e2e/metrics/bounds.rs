//! The page does not grow: whatever anybody makes up, it has the series that it had at the start.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{Values, launch};
use crate::support::{
    client::Client,
    node::{Launch, Node},
    signing::Credentials,
};

/// Leaves with a code.
async fn leave(mut client: Client, code: u16) {
    let close = CloseFrame { code: CloseCode::from(code), reason: "made up".into() };
    client.send_message(Message::Close(Some(close))).await;
    while client.message().await.is_some() {}
}

/// Makes up one of everything.
async fn make_things_up(node: &Node, number: u16) {
    let api = node.api();
    for (method, path, status) in [
        ("GET", format!("/made/up/{number}"), 404),
        ("GET", format!("/apps/{number}9/channels"), 404),
        ("GET", format!("/apps/1/made-up-{number}"), 404),
        ("GET", format!("/apps/1/channels/made-up-{number}"), 200),
        (&format!("VERB{number}"), "/apps/1/channels".to_owned(), 405),
    ] {
        let answer = api.request_at(method, &path).send().await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    let mut client = node.connect().await;
    client.subscribe(&format!("made-up-{number}")).await;
    client.send(json!({"event": format!("made-up-{number}")})).await;
    client.expect_error(None).await;
    leave(client, 3000 + number).await;
    leave(node.connect().await, 4000 + number).await;
    node.connect_to(&format!("/app/made-up-{number}?protocol=7")).await.expect_end(4001).await;
    node.connect_to(&format!("/made-up-{number}?protocol=7")).await.expect_end(4005).await;
}

#[tokio::test]
async fn whatever_strangers_make_up_adds_no_series() {
    let node = launch().start();
    let before = Values::of(&node).await;
    for number in 0..40 {
        make_things_up(&node, number).await;
    }
    let left = |values: &Values| values.get(r#"active_connections{app_id="1"}"#) == 0.0;
    let after = Values::once(&node, left).await;
    after.assert_same_series(&before);
    let unknown = r#"api_messages_total{endpoint="other",status="4xx"}"#;
    assert_eq!(after.growth(&before, unknown), 80.0, "paths that there are not share a count");
    let other = r#"errors_total{code="other"}"#;
    assert_eq!(after.growth(&before, other), 0.0, "what clients give as their reason is no error");
}

#[tokio::test]
async fn a_hundred_apps_have_series_of_their_own_and_all_others_share_theirs() {
    const APPS: usize = 130;
    let app = |number: usize| Credentials::new(&number.to_string(), &format!("key-{number}"), "secret");
    let apps: Vec<Value> = (1..=APPS)
        .map(app)
        .map(|app| json!({"app_id": app.id, "app_key": app.key, "app_secret": app.secret}))
        .collect();
    let config = json!({"applications": apps, "metrics_enabled": true, "metrics_port": 0});
    let node = Launch::bare().config(&config).start();
    let before = Values::of(&node).await;
    let mut clients = Vec::new();
    for number in 1..=APPS {
        clients.push(node.connect_as(&app(number)).await);
    }
    let after = Values::of(&node).await;
    after.assert_same_series(&before);
    for (app, connections) in [("1", 1.0), ("100", 1.0), ("other", 30.0)] {
        assert_eq!(after.get(&format!("active_connections{{app_id=\"{app}\"}}")), connections, "{app}");
    }
    let named = |name: &String| Some(name.strip_prefix("active_connections{app_id=\"")?.to_owned());
    let named: BTreeSet<_> = after.0.keys().filter_map(named).collect();
    assert_eq!(named.len(), 101, "{named:?}");
}
