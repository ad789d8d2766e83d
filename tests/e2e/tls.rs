//! A node that speaks TLS itself.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use rustls::{
    SupportedProtocolVersion,
    version::{TLS12, TLS13},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use super::settings::server_launches;
use crate::support::{
    api::Api,
    client::QUERY,
    node::{Launch, Node},
    tls::Identity,
};

const DEADLINE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

fn launch(identity: &Identity) -> Launch {
    let launch = Launch::new().file("cert.pem", &identity.certificate).file("key.pem", &identity.key);
    launch.flags(["--tls-cert", "cert.pem", "--tls-key", "key.pem"])
}

/// A client that has been greeted.
async fn connect(node: &Node, identity: &Identity, version: &'static SupportedProtocolVersion) -> Socket {
    let stream = identity.connect(node.address, version).await.expect("the node shows this certificate");
    let url = format!("wss://localhost/app/app-key?{QUERY}");
    let (mut socket, _) = client_async(url, stream).await.expect("an upgrade");
    assert!(text(&mut socket).await.contains("pusher:connection_established"));
    socket
}

async fn text(socket: &mut Socket) -> String {
    let message = timeout(DEADLINE, socket.next()).await.expect("a message in time");
    message.expect("an open connection").expect("an unbroken one").into_text().expect("text").to_string()
}

async fn subscribe(socket: &mut Socket) {
    let subscribe = json!({"event": "pusher:subscribe", "data": {"channel": "room"}});
    socket.send(Message::text(subscribe.to_string())).await.expect("the node reads");
    assert!(text(socket).await.contains("subscription_succeeded"));
}

/// Publishes over HTTPS, on a connection of its own; the whole answer.
async fn publish(node: &Node, identity: &Identity, data: &str) {
    let api = Api::on(node);
    let body = json!({"name": "news", "channel": "room", "data": data});
    let request = api.request("POST", "/events").header("Connection", "close").json(body).sign();
    let mut stream = identity.connect(node.address, &TLS13).await.expect("the node shows this certificate");
    stream.write_all(&request.to_bytes()).await.expect("the node reads");
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer))
        .await
        .expect("an answer in time")
        .expect("and an end");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn clients_and_backends_speak_tls_of_either_version() {
    let identity = Identity::new();
    let node = launch(&identity).start();
    for version in [&TLS12, &TLS13] {
        let mut socket = connect(&node, &identity, version).await;
        subscribe(&mut socket).await;
        publish(&node, &identity, "over TLS").await;
        assert!(text(&mut socket).await.contains("over TLS"));
        socket.close(None).await.expect("the node reads");
        while let Some(message) = timeout(DEADLINE, socket.next()).await.expect("an end in time") {
            // Without the end of the session itself, this would be an error.
            assert!(message.expect("a clean end").is_close());
        }
    }
}

#[tokio::test]
async fn large_messages_pass_whole_and_in_order_in_both_directions() {
    let identity = Identity::new();
    let node = launch(&identity)
        .flags(["--app-max-event-payload-in-kb", "1000", "--max-socket-backlog-in-kb", "16384"])
        .start();
    let (mut sender, mut receiver) =
        (connect(&node, &identity, &TLS13).await, connect(&node, &identity, &TLS12).await);
    subscribe(&mut receiver).await;
    for number in 0..5 {
        publish(&node, &identity, &format!("<{number} {}>", "x".repeat(700_000))).await;
    }
    for number in 0..5 {
        let event = text(&mut receiver).await;
        assert!(event.len() > 700_000 && event.contains(&format!("<{number} ")), "{event:.200}");
    }
    let large = json!({"event": "pusher:ping", "data": "x".repeat(300_000)}).to_string();
    for message in [&large, r#"{"event":"pusher:nonsense"}"#] {
        sender.send(Message::text(message)).await.expect("the node reads");
    }
    assert!(text(&mut sender).await.contains("pusher:pong"));
    assert!(text(&mut sender).await.contains("pusher:error"));
}

#[tokio::test]
async fn a_slow_reader_is_told_4100_between_whole_frames() {
    let identity = Identity::new();
    let node = launch(&identity).flags(["--max-socket-backlog-in-kb", "256"]).start();
    let mut slow = connect(&node, &identity, &TLS13).await;
    subscribe(&mut slow).await;
    let data = "x".repeat(10_000);
    // The kernel's buffers hold some megabytes besides.
    for _ in 0..1_500 {
        publish(&node, &identity, &data).await;
    }
    let mut last = text(&mut slow).await;
    while last.contains("news") {
        last = text(&mut slow).await;
    }
    assert!(last.contains("4100"), "{last}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_after_sighup_and_open_connections_stay() {
    let (old, new) = (Identity::new(), Identity::new());
    let node = launch(&old).start();
    let mut before = connect(&node, &old, &TLS13).await;
    subscribe(&mut before).await;

    fs::write(node.home().join("cert.pem"), "no certificate").expect("the directory is ours");
    node.hang_up();
    node.wait_for_log("the certificate stays as it is").await;
    connect(&node, &old, &TLS13).await;

    fs::write(node.home().join("cert.pem"), &new.certificate).expect("the directory is ours");
    fs::write(node.home().join("key.pem"), &new.key).expect("the directory is ours");
    node.hang_up();
    node.wait_for_log("is shown from now on").await;
    assert!(old.connect(node.address, &TLS13).await.is_err(), "the old certificate is still shown");
    let mut after = connect(&node, &new, &TLS13).await;
    subscribe(&mut after).await;
    publish(&node, &new, "to both").await;
    for socket in [&mut before, &mut after] {
        assert!(text(socket).await.contains("to both"));
    }
    assert_eq!(node.log().matches("stays as it is").count(), 1);
}

#[tokio::test]
async fn whoever_does_not_speak_tls_is_hung_up_on() {
    let identity = Identity::new();
    let node = launch(&identity).start();
    let mut plain = TcpStream::connect(node.address).await.expect("the node listens");
    plain.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("the node reads");
    let mut answer = Vec::new();
    let _end = timeout(DEADLINE, plain.read_to_end(&mut answer)).await.expect("an end in time");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    let silence = hung_up_after(&node, b"");
    // The beginning of a handshake that announces 512 bytes.
    let half_a_handshake = hung_up_after(&node, &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);
    let (silence, half_a_handshake) = tokio::join!(silence, half_a_handshake);
    for patience in [silence, half_a_handshake] {
        assert!((9..=12).contains(&patience.as_secs()), "hung up on after {patience:?}");
    }
}

/// Says this much, and waits for the node to hang up; how long that took.
async fn hung_up_after(node: &Node, beginning: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(node.address).await.expect("the node listens");
    stream.write_all(beginning).await.expect("the node listens");
    let began = Instant::now();
    let _end = timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await.expect("an end in time");
    began.elapsed()
}

#[tokio::test]
async fn tls_can_be_asked_for_in_every_place_of_the_settings() {
    let identity = Identity::new();
    for launch in server_launches(&json!({"tls_cert": "cert.pem", "tls_key": "key.pem"})) {
        let files = launch.file("cert.pem", &identity.certificate).file("key.pem", &identity.key);
        connect(&files.start(), &identity, &TLS13).await;
    }
}

#[tokio::test]
async fn many_get_the_same_events_each_in_a_session_of_its_own() {
    let identity = Identity::new();
    let node = launch(&identity).start();
    // More than a publisher sends to by itself, and more than one step of a sweep.
    let mut sockets = join_all((0..80).map(|number| {
        let version = if number % 2 == 0 { &TLS12 } else { &TLS13 };
        connect(&node, &identity, version)
    }))
    .await;
    for socket in &mut sockets {
        subscribe(socket).await;
    }
    let publishing = async {
        for number in 0..20 {
            publish(&node, &identity, &format!("number {number}")).await;
        }
    };
    let reading = join_all(sockets.iter_mut().map(|socket| async move {
        for number in 0..20 {
            let event = text(socket).await;
            assert!(event.contains(&format!(r#""number {number}""#)), "{event}");
        }
    }));
    tokio::join!(publishing, reading);
}

#[test]
fn a_certificate_that_cannot_be_used_stops_the_start() {
    let (one, other) = (Identity::new(), Identity::new());
    let start = |certificate: &str, key: &str| {
        let launch = Launch::new().file("cert.pem", certificate).file("key.pem", key);
        launch.flags(["--tls-cert", "cert.pem", "--tls-key", "key.pem"]).run()
    };
    for (ending, expected) in [
        (start(&one.certificate, &other.key), "cannot use cert.pem with the key in key.pem"),
        (start("", &one.key), "cannot read a certificate out of cert.pem"),
        (start(&one.certificate, "x"), "cannot read a private key out of key.pem"),
        (Launch::new().flags(["--tls-cert", "no.pem", "--tls-key", "no.pem"]).run(), "out of no.pem"),
        (Launch::new().flags(["--tls-cert", "cert.pem"]).run(), "--tls-cert: TLS needs tls_key as well"),
        (Launch::new().flags(["--tls-key", "key.pem"]).run(), "--tls-key: TLS needs tls_cert as well"),
    ] {
        assert!(ending.code.is_some_and(|code| code != 0), "{}", ending.stderr);
        assert!(ending.stderr.contains(expected), "{expected}: {}", ending.stderr);
    }
}
