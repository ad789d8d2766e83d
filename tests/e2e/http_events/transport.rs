//! HTTP around the events: kept connections, bodies in chunks, methods, and browsers of other origins.

use serde_json::json;

use super::listener;
use crate::support::{
    api::{Api, Connection, SignedRequest, raw_request},
    node::Node,
};

#[tokio::test]
async fn chunked_bodies_are_read_and_lies_about_lengths_are_not_believed() {
    let node = Node::start();
    let api = Api::on(&node);
    let mut client = listener(&node, ["c"]).await;
    let body = r#"{"name":"e","data":"d","channel":"c"}"#;
    let signed = api.request("POST", "/events").json(body).sign();
    let framed =
        |framing: &[(&str, &str)], body: &str| [&signed.head_with(framing), body.as_bytes()].concat();
    let chunked = [("Transfer-Encoding", "chunked"), ("Connection", "close")];

    let pieces = format!("5\r\n{}\r\n{:x};a=b\r\n{}\r\n0\r\n\r\n", &body[..5], body.len() - 5, &body[5..]);
    assert_eq!(
        raw_request(node.address, framed(&chunked, &pieces)).await.map(|answer| answer.status),
        Some(200)
    );
    client.expect("e").await;

    for (what, bytes) in [
        ("no size", framed(&chunked, "\r\n\r\n")),
        ("a size that is no number", framed(&chunked, "xyz\r\n")),
        ("a negative size", framed(&chunked, "-5\r\n")),
        ("more than any size", framed(&chunked, "FFFFFFFFFFFFFFFFF\r\n")),
        ("a chunk longer than it says", framed(&chunked, &format!("2\r\n{body}\r\n0\r\n\r\n"))),
        ("a negative length", framed(&[("Content-Length", "-1")], body)),
        ("a length that is no number", framed(&[("Content-Length", "many")], body)),
        ("two lengths", framed(&[("Content-Length", "37"), ("Content-Length", "5")], body)),
        ("a length shorter than the body", framed(&[("Content-Length", "5"), ("Connection", "close")], body)),
        ("an unknown encoding", framed(&[("Transfer-Encoding", "zip")], body)),
    ] {
        let status = raw_request(node.address, bytes).await.map(|answer| answer.status);
        assert!(status.is_none_or(|status| (400..500).contains(&status)), "{what}: {status:?}");
    }
    client.expect_quiet().await;
}

#[tokio::test]
async fn one_connection_serves_many_requests_whatever_their_outcome() {
    let node = Node::start();
    let api = Api::on(&node);
    let good = api.request("POST", "/events").json(r#"{"name":"e","data":"d","channel":"c"}"#).sign();
    let bad = api.request("POST", "/events").json("{").sign();
    let unsigned = good.clone().set("auth_signature", "abc");
    let mut connection = Connection::open(node.address).await.unwrap();
    for (request, status) in [(&good, 200), (&bad, 400), (&good, 200), (&unsigned, 401), (&good, 200)] {
        connection.send(&request.to_bytes()).await.unwrap();
        let response = connection.response_to("POST").await.unwrap().expect("the connection is kept");
        assert_eq!(response.status, status);
        assert!(connection.is_reusable(), "{response:?}");
    }
    connection.send(&good.to_bytes().repeat(3)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(
            connection.response_to("POST").await.unwrap().map(|answer| answer.status),
            Some(200),
            "pipelined"
        );
    }
}

#[tokio::test]
async fn only_the_documented_methods_are_allowed() {
    let node = Node::start();
    let api = Api::on(&node);
    let body = json!({"name": "e", "data": "d", "channel": "c"});
    let mut client = listener(&node, ["c"]).await;
    for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "post"] {
        let response = api.request(method, "/events").json(&body).send().await;
        assert!(matches!(response.status, 400 | 404 | 405), "{method}: {}", response.status);
    }
    client.expect_quiet().await;
    assert_eq!(api.request("HEAD", "/channels").send().await.status, 200, "HEAD is allowed wherever GET is");
}

/// What a browser asks before it lets a page of that origin publish.
fn preflight<'a>(api: &'a Api, origin: &str) -> SignedRequest<'a> {
    let request = api.request("OPTIONS", "/events").header("Origin", origin);
    request.header("Access-Control-Request-Method", "POST").sign()
}

#[tokio::test]
async fn browsers_of_all_origins_are_let_in_by_default() {
    let node = Node::start();
    let answer = preflight(&Api::on(&node), "https://a.example").send().await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
}

#[tokio::test]
async fn browsers_of_configured_origins_are_let_in_and_no_others() {
    let open = Node::with(["--cors-allowed-origins", "https://a.example"]);
    let api = Api::on(&open);
    let answer = preflight(&api, "https://a.example").send().await;
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    assert!(
        answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("POST")),
        "{answer:?}"
    );
    let answer = api.request("GET", "/channels").header("Origin", "https://a.example").send().await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://a.example"))
    );
    for stranger in ["https://b.example", "http://a.example", "https://a.example.evil.example", "null"] {
        let answer = preflight(&api, stranger).send().await;
        assert_ne!(answer.header("access-control-allow-origin"), Some(stranger), "{answer:?}");
        assert_ne!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    }
}
