//! The upgrade and the first frame: who gets in, and what those are told who do not.

use serde_json::json;

use crate::support::{
    client::{Client, QUERY},
    node::{Launch, Node},
    raw::{Raw, upgrade_request},
    signing::Credentials,
};

/// Asks for this path and returns the message with which the connection is refused with this code.
async fn refused(node: &Node, path_and_query: &str, code: u16) -> String {
    node.connect_to(path_and_query).await.expect_end(code).await
}

#[tokio::test]
async fn the_first_frame_is_that_of_the_real_service_to_the_byte() {
    let node = Node::start();
    let mut client = node.connect_to(&format!("/app/app-key?{QUERY}")).await;
    let first = client.established().await;
    let socket_id = &client.socket_id;
    let data = format!(r#""{{\"socket_id\":\"{socket_id}\",\"activity_timeout\":60}}""#);
    assert_eq!(first.text, format!(r#"{{"event":"pusher:connection_established","data":{data}}}"#));
}

#[tokio::test]
async fn a_socket_id_is_two_numbers_and_a_dot_and_nobody_elses() {
    let node = Node::start();
    let (first, second) = (node.connect().await, node.connect().await);
    assert_ne!(first.socket_id, second.socket_id);
    for client in [first, second] {
        let (left, right) = client.socket_id.split_once('.').expect("a dot");
        for part in [left, right] {
            assert!(
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()),
                "{}",
                client.socket_id
            );
        }
    }
}

#[tokio::test]
async fn the_app_says_how_long_a_client_may_be_silent() {
    let node = Node::with(["--app-activity-timeout", "17"]);
    assert_eq!(node.connect().await.activity_timeout, 17);
}

#[tokio::test]
async fn every_protocol_that_an_official_sdk_speaks_is_accepted() {
    let node = Node::start();
    for protocol in [4, 5, 6, 7] {
        node.connect_to(&format!("/app/app-key?protocol={protocol}")).await.established().await;
    }
}

#[tokio::test]
async fn parameters_may_come_in_any_order_and_those_for_statistics_may_be_missing() {
    let node = Node::start();
    for query in [
        "client=java-client&protocol=5&version=2.4.4",
        "protocol=7&client=&version=",
        "flash=false&protocol=7&something=else",
        "client=%F0%9F%A6%80&protocol=7",
    ] {
        node.connect_to(&format!("/app/app-key?{query}")).await.established().await;
    }
}

#[tokio::test]
async fn an_unknown_key_is_upgraded_and_then_refused_with_4001() {
    let node = Node::start();
    let message = refused(&node, &format!("/app/nobody?{QUERY}"), 4001).await;
    assert!(message.contains("nobody"), "{message}");
}

#[tokio::test]
async fn a_disabled_app_is_refused_with_4003() {
    let node = Node::with(["--app-enabled=false"]);
    refused(&node, &format!("/app/app-key?{QUERY}"), 4003).await;
}

#[tokio::test]
async fn a_connection_too_many_is_refused_with_4004() {
    let node = Node::with(["--app-max-connections", "1"]);
    let mut first = node.connect().await;
    let message = refused(&node, &format!("/app/app-key?{QUERY}"), 4004).await;
    assert!(message.contains("quota"), "{message}");
    first.expect_quiet().await;
}

#[tokio::test]
async fn any_other_path_is_refused_with_4005() {
    let node = Node::start();
    for path in ["/", "/app", "/app/app-key/more", "/ws", "/apps/1/events"] {
        refused(&node, &format!("{path}?{QUERY}"), 4005).await;
    }
}

#[tokio::test]
async fn a_protocol_that_is_no_number_is_refused_with_4006() {
    let node = Node::start();
    for protocol in ["abc", "7.0", "7a", "%37%2E"] {
        refused(&node, &format!("/app/app-key?protocol={protocol}"), 4006).await;
    }
}

#[tokio::test]
async fn a_protocol_that_nobody_speaks_is_refused_with_4007() {
    let node = Node::start();
    for protocol in ["0", "3", "8", "700"] {
        refused(&node, &format!("/app/app-key?protocol={protocol}"), 4007).await;
    }
}

#[tokio::test]
async fn a_missing_protocol_is_refused_with_4008() {
    let node = Node::start();
    for query in ["", "?", "?client=js&version=8.6.0"] {
        refused(&node, &format!("/app/app-key{query}"), 4008).await;
    }
}

/// A node whose app may be used from these origins only.
fn node_for_origins(origins: &[&str]) -> Node {
    Node::from_config(&json!({"applications": [{
        "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_allowed_origins": origins,
    }]}))
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_with_4009() {
    let node = node_for_origins(&["https://shop.example", "*.partner.example"]);
    let path = format!("/app/app-key?{QUERY}");
    for origin in ["https://evil.example", "http://shop.example", "https://shop.example.evil.example", "null"]
    {
        let mut client = Client::open(node.door(), &node.credentials, &path, &[("Origin", origin)]).await;
        client.expect_end(4009).await;
    }
    for origin in ["https://shop.example", "https://SHOP.example", "https://www.partner.example"] {
        Client::open(node.door(), &node.credentials, &path, &[("Origin", origin)]).await.established().await;
    }
}

#[tokio::test]
async fn any_origin_will_do_where_the_app_names_none() {
    let node = Node::start();
    let (path, headers) = (format!("/app/app-key?{QUERY}"), [("Origin", "https://anywhere.example")]);
    Client::open(node.door(), &node.credentials, &path, &headers).await.established().await;
}

#[tokio::test]
async fn a_refusal_is_to_the_byte_what_swift_and_dotnet_can_read() {
    let node = Node::start();
    let mut client = node.connect_to(&format!("/app/nobody?{QUERY}")).await;
    let text = client.expect("pusher:error").await.text;
    let message = client.expect_close(4001).await;
    let expected = json!({"code": 4001, "message": message});
    assert_eq!(text, format!(r#"{{"event":"pusher:error","data":{expected}}}"#));
}

#[tokio::test]
async fn a_subprotocol_is_echoed_or_left_out_but_never_chosen() {
    let node = Node::start();
    let mut raw = Raw::connect(&node).await;
    let offer = [("Sec-WebSocket-Protocol", "pusher-channels-protocol-7")];
    raw.send(upgrade_request(&format!("/app/app-key?{QUERY}"), &offer).as_bytes()).await;
    let head = raw.head().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    if let Some((_, chosen)) = head.split_once("sec-websocket-protocol:") {
        assert_eq!(chosen.lines().next().map(str::trim), Some("pusher-channels-protocol-7"));
    }
}

#[tokio::test]
async fn no_extension_is_ever_agreed_on() {
    let node = Node::start();
    let mut raw = Raw::connect(&node).await;
    let offer = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")];
    raw.send(upgrade_request(&format!("/app/app-key?{QUERY}"), &offer).as_bytes()).await;
    let head = raw.head().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(!head.contains("sec-websocket-extensions"), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{head}");
}

#[tokio::test]
async fn apps_of_one_node_share_nothing_but_the_node() {
    let app = |id: &str| json!({"app_id": id, "app_key": format!("key-{id}"), "app_secret": "same"});
    let node = Node::from_config(&json!({"applications": [app("1"), app("2")]}));
    let mut first = node.connect().await;
    let mut second = node.connect_as(&Credentials::new("2", "key-2", "same")).await;
    first.subscribe("room").await;
    second.subscribe("room").await;
    node.api().publish("room", "hello", "1").await;
    first.expect_on("room", "hello").await;
    second.expect_quiet().await;
}

#[tokio::test]
async fn each_app_is_found_by_its_own_key() {
    let node = Node::from_config(&json!({"applications": [
        {"app_id": "1", "app_key": "key", "app_secret": "secret", "app_enabled": false},
        {"app_id": "2", "app_key": "other", "app_secret": "secret"},
    ]}));
    refused(&node, &format!("/app/key?{QUERY}"), 4003).await;
    refused(&node, &format!("/app/app-key?{QUERY}"), 4001).await;
    node.connect_to(&format!("/app/other?{QUERY}")).await.established().await;
}

#[tokio::test]
async fn the_first_line_says_where_a_node_listens() {
    let node = Launch::new().start();
    let listening = format!(" listening on {}", node.address);
    let version = node.greeting.strip_prefix("socket-rush ").and_then(|rest| rest.strip_suffix(&listening));
    let version = version.unwrap_or_else(|| panic!("{:?}", node.greeting));
    assert!(!version.is_empty() && !version.contains(' '), "{:?}", node.greeting);
}
