//! What an operator finds in the log: whose a connection was and how it ended, and which request a line is about.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::support::{
    api::{Response, raw_request},
    node::{Launch, Node},
    raw::{Raw, frame_with_first_byte},
};

/// A node whose log is in JSON, with these flags added.
fn node<const N: usize>(flags: [&str; N]) -> Node {
    Launch::new().flags(["--log-format", "json"]).flags(flags).start()
}

/// The lines of a node that has ended.
async fn lines(mut node: Node) -> Vec<Value> {
    node.stop().await;
    let log = node.log();
    log.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// The lines that have this field.
fn with<'a>(lines: &'a [Value], field: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line.get(field).is_some()).collect()
}

/// Leaves with a code, or without one.
async fn leave(node: &Node, code: Option<u16>) -> String {
    let mut client = node.connect().await;
    let close = code.map(|code| CloseFrame { code: CloseCode::from(code), reason: "".into() });
    client.send_message(Message::Close(close)).await;
    while client.message().await.is_some() {}
    client.socket_id
}

#[tokio::test]
async fn a_connections_lines_say_whose_it_is_and_how_it_ended() {
    let node = node(["--log-level", "debug"]);
    let mut ends = vec![(leave(&node, None).await, 1005), (leave(&node, Some(3456)).await, 3456)];
    let mut terminated = node.connect().await;
    terminated.sign_in(json!({"id": "u1"})).await;
    node.api().post("/users/u1/terminate_connections", "{}").await.expect_status(200);
    terminated.expect_end(4009).await;
    let lost = node.connect().await;
    ends.extend([(terminated.socket_id.clone(), 4009), (lost.socket_id.clone(), 1006)]);
    drop((terminated, lost));
    for end in ["ended with 4009", "ended with 1006"] {
        node.wait_for_log(end).await;
    }
    let mut staying = node.connect().await;
    ends.push((staying.socket_id.clone(), 4200));
    node.terminate();
    staying.expect_end(4200).await;
    drop(staying);
    node.wait_for_log("ended with 4200").await;
    let lines = lines(node).await;
    for (socket_id, code) in ends {
        let about = |line: &&Value| line["socket_id"] == *socket_id;
        let [began, ended] = lines.iter().filter(about).collect::<Vec<_>>()[..] else {
            panic!("{socket_id} has not two lines: {lines:#?}");
        };
        for line in [began, ended] {
            assert_eq!([&line["level"], &line["app_id"]], ["DEBUG", "1"], "{line}");
            let message = line["message"].as_str().expect("a message");
            assert!(message.starts_with(&format!("connection {socket_id} of app 1 ")), "{line}");
        }
        assert_eq!([began.get("code"), ended.get("code")], [None, Some(&code.into())], "{ended}");
    }
}

#[tokio::test]
async fn a_refused_and_a_faulty_connection_have_lines_with_the_code_too() {
    let node = node(["--log-level", "debug"]);
    node.connect_to("/app/nobody?protocol=7").await.expect_end(4001).await;
    let mut faulty = Raw::established(&node).await;
    faulty.send(&frame_with_first_byte(0xF1, b"reserved bits")).await;
    faulty.rest().await;
    drop(faulty);
    let lines = lines(node).await;
    let codes: Vec<_> = with(&lines, "code").iter().map(|line| line["code"].as_u64()).collect();
    assert_eq!(codes, [Some(4001), Some(1002)], "{lines:#?}");
    assert!(with(&lines, "code").iter().all(|line| line["socket_id"].is_string()), "{lines:#?}");
}

#[tokio::test]
async fn connections_have_no_lines_where_only_what_matters_is_logged() {
    let node = node([]);
    leave(&node, None).await;
    let lines = lines(node).await;
    assert!(with(&lines, "socket_id").is_empty(), "{lines:#?}");
}

/// The id of an answer.
fn request_id(answer: &Response) -> String {
    answer.header("x-request-id").unwrap_or_else(|| panic!("no id: {answer:?}")).to_owned()
}

#[tokio::test]
async fn the_id_on_an_answer_is_the_one_in_the_log() {
    let node = node([]);
    let api = node.api();
    let mut answered = Vec::new();
    for (path, status) in [("/channels", 200), ("/channels", 200), ("/nothing", 404), ("/events", 405)] {
        let answer = api.get(path).await.expect_status(status);
        answered.push((request_id(&answer), format!("/apps/1{path}"), status));
    }
    let lines = lines(node).await;
    let logged: Vec<_> = with(&lines, "request_id")
        .into_iter()
        .map(|line| {
            let [id, path] = ["request_id", "path"].map(|key| line[key].as_str().expect("a text").to_owned());
            (id, path, u16::try_from(line["status"].as_u64().expect("a status")).expect("three digits"))
        })
        .collect();
    assert_eq!(logged, answered);
    let ids: BTreeSet<_> = logged.iter().map(|(id, ..)| id).collect();
    assert_eq!(ids.len(), logged.len(), "every request has an id of its own: {ids:?}");
}

#[tokio::test]
async fn requests_that_are_not_logged_have_no_id() {
    for flags in [
        ["--ignore-logger-middleware=true", "--log-level=info"],
        ["--ignore-logger-middleware=false", "--log-level=warn"],
    ] {
        let node = node(flags);
        let answer = node.api().request("GET", "/channels").header("X-Request-Id", "mine").send().await;
        assert_eq!(answer.expect_status(200).header("x-request-id"), None);
        assert!(with(&lines(node).await, "request_id").is_empty());
    }
}

/// Asks for something with headers that no HTTP library would send.
async fn ask_with(node: &Node, headers: &[u8]) -> Option<Response> {
    let head = b"GET /apps/1/channels HTTP/1.1\r\nHost: node\r\nConnection: close\r\n";
    raw_request(node.address, [&head[..], headers, b"\r\n"].concat()).await
}

#[tokio::test]
async fn an_id_that_a_request_brings_is_kept_if_nothing_can_be_hidden_in_it() {
    let node = node([]);
    let longest = "x".repeat(128);
    for id in ["7b2f-11ee_A.b:c+/=", "1", &longest] {
        let answer = ask_with(&node, format!("X-Request-Id: {id}\r\n").as_bytes()).await.expect("an answer");
        assert_eq!(request_id(&answer), id);
    }
    let lines = lines(node).await;
    let logged: Vec<_> = with(&lines, "request_id").iter().map(|line| line["request_id"].clone()).collect();
    assert_eq!(logged, ["7b2f-11ee_A.b:c+/=", "1", &longest]);
}

#[tokio::test]
async fn nobody_can_write_into_the_log_by_the_id_or_the_path_of_a_request() {
    const FORGED: &str = "forged";
    let mut node = Launch::new().flags(["--log-format", "text"]).start();
    let too_long = format!("{FORGED}{}", "x".repeat(128));
    let ids = [
        &b"a forged"[..],
        b"a\tforged",
        b"a\"forged\"",
        b"a\x1b[31mforged",
        b"a\x00forged",
        b"a\nforged INFO line",
        b"a\rforged",
        b"a\r\n forged",
        "\u{85}\u{9b}\u{2028}forged".as_bytes(),
        b"\x9b\xfforged",
        too_long.as_bytes(),
    ];
    for id in ids {
        let header = [b"X-Request-Id: ", id, b"\r\n"].concat();
        // Some of these are no HTTP at all.
        if let Some(answer) = ask_with(&node, &header).await.filter(|answer| answer.status != 400) {
            let given = request_id(&answer);
            assert!(given.len() == 16 && given.bytes().all(|byte| byte.is_ascii_hexdigit()), "{given}");
        }
    }
    for path in ["\u{85}", "\u{9b}31m", "\u{2028}", "\u{1b}[31m", "%0aINFO", "\u{202e}"] {
        let request = format!("GET /made-up/{path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        raw_request(node.address, request).await;
    }
    node.stop().await;
    let log = node.log();
    assert!(!log.contains(FORGED), "{log}");
    let is_plain = |character: char| matches!(character, ' '..='~' | '\n');
    assert!(log.chars().all(is_plain), "{log:?}");
    assert!(log.contains("GET /made-up/%E2%80%A8, request "), "{log}");
}
