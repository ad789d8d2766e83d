//! Upgrades that are none, or not quite, or never end: each gets an answer of HTTP or a close code of Pusher's, and the
//! node goes on serving.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::support::{
    api::{Response, raw_request},
    node::Node,
    raw::{Raw, upgrade_request},
};

/// The path of a good connection.
const PATH: &str = "/app/app-key?protocol=7";

/// A request for an upgrade of these headers.
fn request(line: &str, headers: &[&str]) -> Vec<u8> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!("{line}\r\n{headers}\r\n").into_bytes()
}

/// The headers of a good upgrade, with one put in the place of that of the same name.
fn upgrade_with(replacement: &str) -> Vec<u8> {
    let name = replacement.split(':').next().unwrap_or_default();
    let headers: Vec<_> = GOOD_HEADERS
        .iter()
        .map(|header| if header.split(':').next() == Some(name) { replacement } else { header })
        .collect();
    request(&format!("GET {PATH} HTTP/1.1"), &headers)
}

/// The headers of a good upgrade, without the one of this name.
fn upgrade_without(name: &str) -> Vec<u8> {
    let headers: Vec<_> =
        GOOD_HEADERS.into_iter().filter(|header| header.split(':').next() != Some(name)).collect();
    request(&format!("GET {PATH} HTTP/1.1"), &headers)
}

const GOOD_HEADERS: [&str; 5] = [
    "Host: 127.0.0.1",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// None of these may be upgraded, none may be an error of the server's, and the node must serve others after each.
async fn expect_no_upgrade(node: &Node, requests: impl IntoIterator<Item = (&str, Vec<u8>)>) {
    let mut complaints = Vec::new();
    for (what, bytes) in requests {
        let answer = raw_request(node.door(), &bytes).await;
        // No answer but a close is the right one to what is not HTTP at all.
        let refused = answer.as_ref().is_none_or(|response| (400..500).contains(&response.status));
        if !refused {
            complaints.push(format!("{what}: {answer:?}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    Raw::established(node).await;
}

#[tokio::test]
async fn a_request_without_the_headers_of_an_upgrade_is_refused() {
    let node = Node::start();
    let keys = ["Connection", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key"];
    expect_no_upgrade(&node, keys.map(|name| (name, upgrade_without(name)))).await;
    let none = request(&format!("GET {PATH} HTTP/1.1"), &["Host: 127.0.0.1", "Connection: close"]);
    expect_no_upgrade(&node, [("none of them", none)]).await;
}

#[tokio::test]
async fn a_request_whose_headers_ask_for_something_else_is_refused() {
    let node = Node::start();
    let headers = [
        "Connection: keep-alive",
        "Connection: close",
        "Connection: Upgradex",
        "Connection:",
        "Upgrade: h2c",
        "Upgrade: websockets",
        "Upgrade: web socket",
        "Upgrade:",
        "Sec-WebSocket-Version: 12",
        "Sec-WebSocket-Version: 8",
        "Sec-WebSocket-Version: 0",
        "Sec-WebSocket-Version: 14",
        "Sec-WebSocket-Version: 130",
        "Sec-WebSocket-Version: -13",
        "Sec-WebSocket-Version: thirteen",
        "Sec-WebSocket-Version:",
        "Sec-WebSocket-Key:",
        "Sec-WebSocket-Key: abc",
        "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!!!",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZXh4eHh4eHh4eHh4eHh4eA==",
    ];
    expect_no_upgrade(&node, headers.map(|header| (header, upgrade_with(header)))).await;
}

#[tokio::test]
async fn a_wrong_version_is_answered_with_the_right_one() {
    let node = Node::start();
    let response =
        raw_request(node.door(), upgrade_with("Sec-WebSocket-Version: 12")).await.expect("an answer");
    assert_eq!(
        (response.status, response.header("sec-websocket-version")),
        (426, Some("13")),
        "RFC 6455, section 4.4"
    );
}

#[tokio::test]
async fn only_get_of_http_1_1_can_be_upgraded() {
    let node = Node::start();
    let lines = [
        "POST /app/app-key?protocol=7 HTTP/1.1",
        "PUT /app/app-key?protocol=7 HTTP/1.1",
        "DELETE /app/app-key?protocol=7 HTTP/1.1",
        "HEAD /app/app-key?protocol=7 HTTP/1.1",
        "OPTIONS /app/app-key?protocol=7 HTTP/1.1",
        "CONNECT /app/app-key?protocol=7 HTTP/1.1",
        "get /app/app-key?protocol=7 HTTP/1.1",
        "GET /app/app-key?protocol=7 HTTP/1.0",
        "GET /app/app-key?protocol=7 HTTP/0.9",
        "GET /app/app-key?protocol=7 HTTP/2.0",
        "GET /app/app-key?protocol=7 HTTP/9.9",
        "GET /app/app-key?protocol=7 HTTQ/1.1",
        "GET /app/app-key?protocol=7",
        "GET  HTTP/1.1",
        "/app/app-key?protocol=7 HTTP/1.1",
        "GET /app/app-key?protocol=7 HTTP/1.1 HTTP/1.1",
        "GET /app/app-key?protocol=7 extra HTTP/1.1",
        "GET app/app-key?protocol=7 HTTP/1.1",
    ];
    expect_no_upgrade(&node, lines.map(|line| (line, request(line, &GOOD_HEADERS)))).await;
}

#[tokio::test]
async fn bytes_that_are_no_http_are_refused() {
    let node = Node::start();
    let good = upgrade_request(PATH, &[]);
    let bytes: [(&str, Vec<u8>); 14] = [
        ("a greeting of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03\r\n\r\n".to_vec()),
        (
            "the preface of HTTP/2",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec(),
        ),
        ("a WebSocket frame", b"\x81\x85\x01\x02\x03\x04aaaaa\r\n\r\n".to_vec()),
        ("zeros", vec![0; 200]),
        ("the highest bytes", vec![0xFF; 200]),
        ("a NUL in the path", request("GET /app/app-key\0?protocol=7 HTTP/1.1", &GOOD_HEADERS)),
        ("a NUL in a header", upgrade_with("Host: 127.0.0.1\0")),
        ("a header without a colon", good.replace("Host: 127.0.0.1", "Host 127.0.0.1").into()),
        ("a header without a name", good.replace("Host: 127.0.0.1", ": 127.0.0.1").into()),
        ("a header with a space in its name", good.replace("Host:", "Ho st:").into()),
        ("a header with a space behind its name", good.replace("Host:", "Host :").into()),
        (
            "a header continued on the next line",
            good.replace("Host: 127.0.0.1", "Host:\r\n 127.0.0.1").into(),
        ),
        ("a space in the path", request("GET /app/app key?protocol=7 HTTP/1.1", &GOOD_HEADERS)),
        ("a carriage return in a header", upgrade_with("Host: a\rX-Y: z")),
    ];
    expect_no_upgrade(&node, bytes).await;
}

#[tokio::test]
async fn too_much_before_the_end_of_the_headers_is_refused() {
    let node = Node::start();
    let before = node.resident_bytes();
    let padded = |count: usize, length: usize| {
        let headers: String =
            (0..count).map(|number| format!("X-Padding-{number}: {}\r\n", "a".repeat(length))).collect();
        upgrade_request(PATH, &[]).replace("Host:", &format!("{headers}Host:")).into_bytes()
    };
    let floods = [
        ("two thousand headers", padded(2_000, 1)),
        ("a header of a megabyte", padded(1, 1 << 20)),
        ("a hundred headers of sixty kilobytes", padded(100, 60_000)),
        ("a query of a megabyte", upgrade_request(&format!("{PATH}&x={}", "a".repeat(1 << 20)), &[]).into()),
        (
            "a path of a megabyte",
            upgrade_request(&format!("/app/{}?protocol=7", "a".repeat(1 << 20)), &[]).into(),
        ),
        ("a method of a megabyte", [vec![b'A'; 1 << 20], b" / HTTP/1.1\r\n\r\n".to_vec()].concat()),
        ("a megabyte of line ends", b"\r\n".repeat(1 << 19)),
        ("a line without an end", vec![b'a'; 1 << 20]),
    ];
    expect_no_upgrade(&node, floods).await;
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "the node has grown by {grown} bytes");
}

#[tokio::test]
async fn what_browsers_and_proxies_add_does_not_stand_in_the_way() {
    let node = Node::start();
    let cookie = "c=".to_owned() + &"a".repeat(4_000);
    for headers in [
        vec![("Origin", "https://example.com"), ("Cookie", &cookie), ("User-Agent", "é")],
        vec![("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")],
        vec![("X-Forwarded-For", "1.2.3.4, 5.6.7.8"), ("Forwarded", "for=1.2.3.4"), ("Via", "1.1 x")],
        vec![("Pragma", "no-cache"), ("Cache-Control", "no-cache"), ("Accept-Encoding", "gzip, br")],
        vec![("Content-Length", "0")],
    ] {
        let mut raw = Raw::connect(&node).await;
        raw.send(upgrade_request(PATH, &headers).as_bytes()).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{headers:?}: {head}");
        assert!(
            !head.to_ascii_lowercase().contains("sec-websocket-extensions"),
            "nothing is compressed: {head}"
        );
        assert!(raw.frame().await.expect("a frame").text().contains("connection_established"));
    }
}

#[tokio::test]
async fn headers_of_an_upgrade_are_read_without_regard_to_case_and_among_others() {
    let node = Node::start();
    for header in [
        "Connection: keep-alive, Upgrade",
        "Connection: upgrade",
        "Connection:UPGRADE",
        "Connection:   upgrade  ,  foo",
        "Upgrade: WebSocket",
        "Upgrade: WEBSOCKET",
    ] {
        let answer = raw_request(node.door(), upgrade_with(header)).await.expect("an answer");
        assert_eq!(answer.status, 101, "{header}");
        // The answer to the key that RFC 6455 uses as its example.
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}

/// The code with which a client of this path is turned away after the upgrade, or the status without one.
async fn verdict(node: &Node, path_and_query: &str) -> Result<u16, u16> {
    let mut raw = Raw::connect(node).await;
    raw.send(upgrade_request(path_and_query, &[]).as_bytes()).await;
    let head = raw.head().await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    if status != 101 {
        return Err(status);
    }
    let error = raw.frame().await.expect("a first frame");
    assert!(error.text().starts_with(r#"{"event":"pusher:error","#), "{path_and_query}: {error:?}");
    let close = raw.frame().await.expect("a Close frame");
    Ok(close.close_code().unwrap_or_else(|| panic!("{path_and_query}: no Close frame but {close:?}")))
}

#[tokio::test]
async fn every_protocol_that_is_not_spoken_has_its_code() {
    let node = Node::start();
    let mut complaints = Vec::new();
    for (query, code) in [
        ("", 4008),
        ("?", 4008),
        ("?client=js&version=8.6.0", 4008),
        ("?Protocol=7", 4008),
        ("?protocol=abc", 4006),
        ("?protocol=7a", 4006),
        ("?protocol=7.0", 4006),
        ("?protocol=0x7", 4006),
        ("?protocol=%207", 4006),
        ("?protocol=7%00", 4006),
        ("?protocol=%D9%A7", 4006),
        ("?protocol=0", 4007),
        ("?protocol=1", 4007),
        ("?protocol=2", 4007),
        ("?protocol=3", 4007),
        ("?protocol=8", 4007),
        ("?protocol=77", 4007),
        ("?protocol=-7", 4007),
        ("?protocol=2147483648", 4007),
    ] {
        let verdict = verdict(&node, &format!("/app/app-key{query}")).await;
        if verdict != Ok(code) {
            complaints.push(format!("{query}: expected {code}, got {verdict:?}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    for empty in ["?protocol=", "?protocol"] {
        let verdict = verdict(&node, &format!("/app/app-key{empty}")).await;
        assert!(matches!(verdict, Ok(4006 | 4008)), "{empty}: {verdict:?}");
    }
    let huge = verdict(&node, "/app/app-key?protocol=99999999999999999999999999").await;
    assert!(matches!(huge, Ok(4006 | 4007)), "{huge:?}");
}

#[tokio::test]
async fn every_key_that_is_not_known_is_told_so_after_the_upgrade() {
    let node = Node::start();
    let long = "k".repeat(5_000);
    for key in [
        "nobody",
        "APP-KEY",
        "app-key2",
        "app-ke",
        "app-key%00",
        "app-key%20",
        "%20app-key",
        "*",
        "%2A",
        "app%2Fkey",
        "..%2F",
        "%C3%A9",
        "%0D%0AX-Y:%20z",
        "%22%7D",
        "0",
        "null",
        &long,
    ] {
        assert_eq!(verdict(&node, &format!("/app/{key}?protocol=7")).await, Ok(4001), "{key}");
    }
}

#[tokio::test]
async fn every_other_path_is_told_to_lead_nowhere() {
    let node = Node::start();
    for path in [
        "/",
        "/app",
        "/app/",
        "/apps/app-key",
        "/App/app-key",
        "/app//app-key",
        "//app/app-key",
        "/app/app-key/",
        "/app/app-key/x",
        "/nothing",
        "/ws",
        "/socket.io/",
        "/app/../app/app-key",
        "/%61pp",
        "/apps/1/events",
        "/health",
        "/ready",
    ] {
        // What the HTTP API answers at that path is no upgrade; what nobody answers is upgraded and closed.
        let verdict = verdict(&node, &format!("{path}?protocol=7")).await;
        assert!(matches!(verdict, Ok(4005 | 4001) | Err(200 | 400 | 401 | 404 | 405)), "{path}: {verdict:?}");
    }
    assert_eq!(verdict(&node, "/nothing?protocol=7").await, Ok(4005));
}

#[tokio::test]
async fn a_query_may_be_odd_as_long_as_its_protocol_can_be_read() {
    let node = Node::start();
    let padding = "a".repeat(4_000);
    for path in [
        "/app/app-key?protocol=%37",
        "/app/app-key?&&&protocol=7&&",
        "/app/app-key?protocol=7&x=%FF&y=%zz&z=%",
        "/app/app-key?protocol=7&=&==&a=b=c",
        &format!("/app/app-key?protocol=7&x={padding}"),
    ] {
        let mut raw = Raw::connect(&node).await;
        raw.send(upgrade_request(path, &[]).as_bytes()).await;
        let head = raw.head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{path}: {head}");
        let first = raw.frame().await.expect("a first frame");
        assert!(first.text().contains("connection_established"), "{path}: {first:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_escaped_without_need_is_that_key_or_nobodys() {
    let node = Node::start();
    for key in ["%61pp-key", "app%2Dkey", "app%2dkey"] {
        let mut raw = Raw::connect(&node).await;
        raw.send(upgrade_request(&format!("/app/{key}?protocol=7"), &[]).as_bytes()).await;
        assert!(raw.head().await.starts_with("HTTP/1.1 101 "), "{key}");
        let first = raw.frame().await.expect("a first frame");
        let text = first.text();
        assert!(text.contains("connection_established") || text.contains(r#""code":4001"#), "{key}: {text}");
    }
}

#[tokio::test]
async fn what_is_sent_with_the_upgrade_is_read_after_it() {
    let node = Node::start();
    let ping = crate::support::raw::frame(1, br#"{"event":"pusher:ping","data":{}}"#);
    let mut raw = Raw::connect(&node).await;
    raw.send(&[upgrade_request(PATH, &[]).as_bytes(), &ping].concat()).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 101 "));
    assert!(raw.frame().await.expect("a frame").text().contains("connection_established"));
    assert!(raw.frame().await.expect("a frame").text().contains("pusher:pong"));
}

#[tokio::test]
async fn a_body_on_the_upgrade_is_no_way_in() {
    let node = Node::start();
    for header in
        [("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Content-Length", "99999999999")]
    {
        let answer =
            raw_request(node.door(), upgrade_request(PATH, &[header]) + "5\r\nhello\r\n0\r\n\r\n").await;
        let status = answer.map(|response: Response| response.status);
        assert!(
            status.is_none_or(|status| status == 101 || (400..500).contains(&status)),
            "{header:?}: {status:?}"
        );
    }
    Raw::established(&node).await;
}

#[tokio::test]
async fn connections_that_say_nothing_or_little_are_closed_after_ten_seconds() {
    let node = Node::start();
    let began = Instant::now();
    let drip = |start: &'static str, next: &'static str| {
        let address = node.address;
        async move {
            let mut raw = Raw::connect_to(address).await;
            raw.send(start.as_bytes()).await;
            let dripping = async {
                // It never ends by itself: one header, or one byte, every second, as slowloris does.
                loop {
                    if timeout(Duration::from_secs(1), raw.rest()).await.is_ok() {
                        return;
                    }
                    raw.send(next.as_bytes()).await;
                }
            };
            timeout(Duration::from_secs(14), dripping)
                .await
                .unwrap_or_else(|_| panic!("{start:?} is still open"));
        }
    };
    tokio::join!(
        drip("", ""),
        drip("", "G"),
        drip("GET /app/app-key?protocol=7", "&"),
        drip("GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: n\r\n", "X-Y: z\r\n"),
        drip("POST /apps/1/events HTTP/1.1\r\n", "X-Y: z\r\n"),
        drip("POST /apps/1/events HTTP/1.1\r\nHost: n\r\nContent-Length: 1000\r\n\r\n", "{"),
        async {
            // Meanwhile others are served.
            while began.elapsed() < Duration::from_secs(8) {
                Raw::established(&node).await;
                sleep(Duration::from_millis(250)).await;
            }
        },
    );
}

#[tokio::test]
async fn three_hundred_connections_that_hang_in_the_handshake_keep_nobody_out() {
    let node = Node::start();
    let before = node.resident_bytes();
    let mut hanging = Vec::new();
    for _ in 0..300 {
        let mut raw = Raw::connect(&node).await;
        raw.send(b"GET /app/app-key?protocol=7 HTTP/1.1\r\nHost:").await;
        hanging.push(raw);
    }
    Raw::established(&node).await;
    let grown = node.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "three hundred half requests cost {grown} bytes");
    drop(hanging);
    Raw::established(&node).await;
}
