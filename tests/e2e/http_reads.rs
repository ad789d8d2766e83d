//! What the HTTP API tells of channels and users, and what a node tells of itself.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    api::{Api, Response, escaped, raw_request},
    client::Client,
    node::Node,
};

/// A client on one channel of every kind, signed in as `u1`.
async fn on_every_kind_of_channel(node: &Node) -> Client {
    let mut client = node.connect().await;
    client.sign_in(json!({"id": "u1"})).await;
    client.ask(json!({"channel": "#server-to-user-u1", "auth": ""})).await;
    client.expect_subscribed("#server-to-user-u1").await;
    client.subscribe("public").await;
    client.subscribe_private("private-a").await;
    client.subscribe_private("private-encrypted-a").await;
    client.subscribe_presence("presence-a", "u1", json!({"name": "A"})).await;
    client.subscribe_presence("presence-b", "u1", json!({"name": "A"})).await;
    client.subscribe("cache-a").await;
    client.expect_on("cache-a", "pusher:cache_miss").await;
    client
}

/// The body of an answer that must be a good one.
async fn read(api: &Api, path_and_query: &str) -> Value {
    api.get(path_and_query).await.expect_status(200).json()
}

/// All of these must be refused as bad requests, in JSON.
async fn expect_bad(api: &Api, paths: &[&str]) {
    let mut complaints = Vec::new();
    for path in paths {
        let response = api.get(path).await;
        if response.status != 400 || response.json()["code"] != 400 {
            complaints.push(format!("{path}: {} {}", response.status, response.text()));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn a_node_without_subscribers_lists_no_channels_as_an_object() {
    let node = Node::start();
    let response = Api::on(&node).get("/channels").await;
    assert_eq!((response.status, response.text()), (200, r#"{"channels":{}}"#));
    assert_eq!(response.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn occupied_channels_are_listed_without_those_of_the_system() {
    let node = Node::start();
    let _client = on_every_kind_of_channel(&node).await;
    let expected = json!({"channels": {
        "public": {}, "private-a": {}, "private-encrypted-a": {}, "presence-a": {}, "presence-b": {}, "cache-a": {},
    }});
    let api = Api::on(&node);
    assert_eq!(read(&api, "/channels").await, expected);
    for prefix in ["#", "#server", "#server-to-user-u1"] {
        let listed = api.request("GET", "/channels").param("filter_by_prefix", prefix).send().await;
        assert_eq!(listed.expect_status(200).json(), json!({"channels": {}}), "{prefix}");
    }
}

#[tokio::test]
async fn a_prefix_is_a_prefix_and_nothing_else() {
    let node = Node::start();
    let _client = on_every_kind_of_channel(&node).await;
    let api = Api::on(&node);
    for (prefix, channels) in [
        ("presence-", vec!["presence-a", "presence-b"]),
        ("presence-b", vec!["presence-b"]),
        ("private-", vec!["private-a", "private-encrypted-a"]),
        ("p", vec!["presence-a", "presence-b", "private-a", "private-encrypted-a", "public"]),
        ("ublic", vec![]),
        ("Public", vec![]),
        ("*", vec![]),
        ("p*", vec![]),
        ("[p]", vec![]),
        ("p?blic", vec![]),
        ("%", vec![]),
        (".", vec![]),
        ("presence-a\0", vec![]),
        ("é🍮", vec![]),
    ] {
        let response = api.request("GET", "/channels").param("filter_by_prefix", prefix).send().await;
        let expected: Value = channels.iter().map(|channel| ((*channel).to_owned(), json!({}))).collect();
        assert_eq!(response.expect_status(200).json(), json!({"channels": expected}), "{prefix}");
    }
    let all =
        api.request("GET", "/channels").param("filter_by_prefix", "").send().await.expect_status(200).json();
    assert_eq!(all["channels"].as_object().unwrap().len(), 6, "an empty prefix is no filter");
}

#[tokio::test]
async fn users_are_counted_in_a_list_only_where_it_is_limited_to_presence_channels() {
    let node = Node::start();
    let _client = on_every_kind_of_channel(&node).await;
    let mut second_tab = node.connect().await;
    second_tab.subscribe_presence("presence-a", "u1", json!({})).await;
    let mut other = node.connect().await;
    other.subscribe_presence("presence-a", "u2", json!({})).await;
    let api = Api::on(&node);
    let expected = json!({"channels": {"presence-a": {"user_count": 2}, "presence-b": {"user_count": 1}}});
    assert_eq!(read(&api, "/channels?filter_by_prefix=presence-&info=user_count").await, expected);
    let expected = json!({"channels": {"presence-a": {"user_count": 2}}});
    assert_eq!(read(&api, "/channels?filter_by_prefix=presence-a&info=user_count").await, expected);
    expect_bad(
        &api,
        &[
            "/channels?info=user_count",
            "/channels?info=user_count&filter_by_prefix=",
            "/channels?info=user_count&filter_by_prefix=presence",
            "/channels?info=user_count&filter_by_prefix=private-",
            "/channels?info=user_count&filter_by_prefix=xpresence-",
            "/channels?info=user_count&filter_by_prefix=Presence-",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_unoccupied_channel_is_told_to_be_that() {
    let node = Node::start();
    let api = Api::on(&node);
    for channel in ["nobody", "private-nobody", "presence-nobody", "cache-nobody"] {
        assert_eq!(
            read(&api, &format!("/channels/{channel}")).await,
            json!({"occupied": false}),
            "{channel}"
        );
    }
    let counts = json!({"occupied": false, "user_count": 0, "subscription_count": 0});
    assert_eq!(read(&api, "/channels/presence-nobody?info=user_count,subscription_count").await, counts);
    let counts = json!({"occupied": false, "subscription_count": 0});
    assert_eq!(read(&api, "/channels/nobody?info=subscription_count").await, counts);
}

#[tokio::test]
async fn an_occupied_channel_tells_what_was_asked_and_no_more() {
    let node = Node::start();
    let _client = on_every_kind_of_channel(&node).await;
    let mut second_tab = node.connect().await;
    second_tab.subscribe_presence("presence-a", "u1", json!({})).await;
    let api = Api::on(&node);
    assert_eq!(read(&api, "/channels/presence-a").await, json!({"occupied": true}));
    let counts = json!({"occupied": true, "user_count": 1, "subscription_count": 2});
    api.expect_soon("/channels/presence-a?info=user_count,subscription_count", counts.clone()).await;
    api.expect_soon("/channels/presence-a?info=subscription_count,user_count", counts).await;
    let count = json!({"occupied": true, "subscription_count": 1});
    api.expect_soon("/channels/public?info=subscription_count", count).await;
}

#[tokio::test]
async fn an_emptied_channel_is_unoccupied_again() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = node.connect().await;
    client.subscribe("c").await;
    assert_eq!(read(&api, "/channels/c").await, json!({"occupied": true}));
    client.unsubscribe("c").await;
    client.expect_quiet().await;
    api.expect_soon("/channels/c", json!({"occupied": false})).await;
    api.expect_soon("/channels", json!({"channels": {}})).await;
}

#[tokio::test]
async fn impossible_info_and_bad_channels_are_refused() {
    let node = Node::start();
    let api = Api::on(&node);
    let long = format!("/channels/{}", "c".repeat(201));
    expect_bad(
        &api,
        &[
            "/channels/public?info=user_count",
            "/channels/private-a?info=user_count",
            "/channels/xpresence-a?info=user_count",
            "/channels/presence-a?info=members",
            "/channels/presence-a?info=user_count,members",
            "/channels?info=members",
            "/channels/public?info=cache",
            "/channels/a%20b",
            "/channels/a%2Fb",
            "/channels/a%00b",
            "/channels/a%0D%0Ab",
            "/channels/a:b",
            "/channels/%23presence-a",
            "/channels/%C3%A9",
            "/channels/%FF",
            &long,
        ],
    )
    .await;
}

#[tokio::test]
async fn a_cache_channel_tells_what_it_holds_and_for_how_long() {
    let node = Node::start();
    let api = Api::on(&node);
    assert_eq!(read(&api, "/channels/cache-a?info=cache").await, json!({"occupied": false, "cache": null}));
    api.publish("cache-a", "e", r#"{"a": 1}"#).await;
    let told = read(&api, "/channels/cache-a?info=cache").await;
    assert_eq!(told["cache"]["data"], r#"{"a": 1}"#, "{told}");
    assert!(told["cache"]["ttl"].as_u64().is_some_and(|seconds| (1700..=1800).contains(&seconds)), "{told}");
    assert_eq!(told["occupied"], false);
    for channel in ["presence-cache-a", "private-cache-a", "private-encrypted-cache-a"] {
        assert_eq!(
            read(&api, &format!("/channels/{channel}?info=cache")).await["cache"],
            json!(null),
            "{channel}"
        );
    }
}

#[tokio::test]
async fn the_users_of_a_presence_channel_are_listed_once_each_with_ids_as_text() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut clients = Vec::new();
    for user in [json!("u1"), json!("u1"), json!(10), json!(9_007_199_254_740_993_u64)] {
        let mut client = node.connect().await;
        client.subscribe_presence("presence-a", user, json!({"secret": "info"})).await;
        clients.push(client);
    }
    let mut told = read(&api, "/channels/presence-a/users").await;
    let users = told["users"].as_array_mut().expect("a list of users");
    users.sort_by_key(|user| user["id"].as_str().map(ToOwned::to_owned));
    assert_eq!(told, json!({"users": [{"id": "10"}, {"id": "9007199254740993"}, {"id": "u1"}]}));
}

#[tokio::test]
async fn a_channel_without_presence_has_no_users_to_list() {
    let node = Node::start();
    let _client = on_every_kind_of_channel(&node).await;
    let api = Api::on(&node);
    assert_eq!(read(&api, "/channels/presence-nobody/users").await, json!({"users": []}));
    expect_bad(
        &api,
        &[
            "/channels/public/users",
            "/channels/private-a/users",
            "/channels/xpresence-a/users",
            "/channels/presence/users",
            "/channels/%23server-to-user-u1/users",
        ],
    )
    .await;
}

#[tokio::test]
async fn system_channels_are_not_to_be_read() {
    let node = Node::start();
    let _client = on_every_kind_of_channel(&node).await;
    let response = Api::on(&node).get("/channels/%23server-to-user-u1?info=subscription_count").await;
    let silent = response.status == 400 || response.json()["occupied"] == false;
    assert!(silent, "{} {}", response.status, response.text());
}

#[tokio::test]
async fn terminating_a_user_ends_the_signed_in_connections_of_that_user_only() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut clients =
        [node.connect().await, node.connect().await, node.connect().await, node.connect().await];
    for (client, user) in clients.iter_mut().zip(["u1", "u1", "u2"]) {
        client.sign_in(json!({"id": user})).await;
    }
    let [first, second, other, only_present] = &mut clients;
    only_present.subscribe_presence("presence-a", "u1", json!({})).await;
    let response = api.post("/users/u1/terminate_connections", "{}").await;
    assert_eq!((response.status, response.text()), (200, "{}"));
    first.expect_end(4009).await;
    second.expect_end(4009).await;
    other.expect_quiet().await;
    only_present.expect_quiet().await;
}

#[tokio::test]
async fn terminating_nobody_or_without_a_body_is_no_error() {
    let node = Node::start();
    let api = Api::on(&node);
    for (user, body) in [("nobody", "{}"), ("nobody", ""), ("u@1;=,", "{}")] {
        let response = api.post(&format!("/users/{user}/terminate_connections"), body).await;
        assert_eq!((response.status, response.text()), (200, "{}"), "{user} {body:?}");
    }
}

#[tokio::test]
async fn more_reads_per_second_than_allowed_are_refused_until_the_time_that_is_told() {
    let node = Node::with(["--app-max-read-requests-per-second", "5"]);
    let api = Api::on(&node);
    let mut refusal = None;
    for _ in 0..50 {
        let response = api.get("/channels").await;
        if response.status != 200 {
            refusal = Some(response);
            break;
        }
    }
    let refusal = refusal.expect("fifty reads at once are more than five a second").expect_status(429);
    assert_eq!(refusal.json()["code"], 429);
    let wait: u64 = refusal.header("retry-after").expect("it says when to come back").parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    api.publish("c", "e", "publishing has a limit of its own").await;
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(api.get("/channels").await.status, 200);
}

async fn unsigned(node: &Node, method: &str, target: &str) -> Response {
    let request = format!("{method} {target} HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n");
    raw_request(node.door(), request).await.unwrap_or_else(|| panic!("no answer to {method} {target}"))
}

#[tokio::test]
async fn a_node_tells_anybody_that_it_is_well() {
    let node = Node::start();
    for path in ["/", "/health", "/live", "/ready"] {
        assert_eq!(unsigned(&node, "GET", path).await.status, 200, "{path}");
        assert_eq!(unsigned(&node, "HEAD", path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn every_other_path_is_not_found_or_not_open_to_the_unsigned() {
    let node = Node::start();
    for path in [
        "/nothing",
        "/health/",
        "/healthz/x",
        "//",
        "/apps",
        "/apps/",
        "/apps/1",
        "/apps/1/",
        "/apps/1/nothing",
        "/app",
        "/app/",
        "/favicon.ico",
        "/.env",
        "/config.json",
        "/../../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/apps/1/../1/channels",
        "/apps//channels",
        "//apps/1/channels",
        "/apps/1/channels",
        "/apps/1/channels/a",
        "/apps/1/channels/presence-a/users",
        "/debug",
        "/debug/pprof",
        "/admin",
        "/usage",
        "/server-status",
        "/events",
    ] {
        for method in ["GET", "POST"] {
            let status = unsigned(&node, method, path).await.status;
            assert!(matches!(status, 400 | 401 | 404 | 405 | 411 | 426), "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn names_in_paths_may_be_escaped_as_long_as_they_are_signed_so() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = node.connect().await;
    for channel in ["a,b;c=d@e.f-g_h", "a%41"] {
        let plain = channel.replace("%41", "A");
        client.subscribe(&plain).await;
        for path in [channel.to_owned(), escaped(&plain), plain.replace(',', "%2C").replace('@', "%40")] {
            assert_eq!(read(&api, &format!("/channels/{path}")).await, json!({"occupied": true}), "{path}");
        }
    }
}
