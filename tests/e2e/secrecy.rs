//! What must not be told is not told: not in the log, not in answers, not in webhooks, not in metrics.

use serde_json::{Value, json};

use crate::support::{
    api::{Api, Response, raw_request, unix_seconds},
    client::{Client, QUERY},
    node::{Launch, Node},
    receiver::{Delivery, Receiver},
    signing::Credentials,
};

/// A text that is nowhere else.
const SECRET: &str = "canary-7c31-secret";

/// A header's value that only the endpoint may see.
const TOKEN: &str = "canary-7c31-token";

/// A node that logs everything and has webhooks.
fn node(receiver: &Receiver) -> Node {
    let app = json!({
        "app_id": "1", "app_key": "app-key", "app_secret": SECRET, "app_enable_client_messages": true,
        "app_webhooks_enabled": true,
        "webhooks": [{"url": receiver.url, "headers": {"Authorization": TOKEN}}],
    });
    let config = json!({
        "applications": [app], "log_level": "trace", "metrics_enabled": true, "metrics_port": 0,
    });
    Launch::bare().config(&config).start()
}

/// What a node said, and what it must not have said.
#[derive(Debug, Default)]
struct Evidence {
    said: Vec<String>,
    forbidden: Vec<String>,
}

impl Evidence {
    /// What clients are told of good and bad signatures.
    async fn of_a_client(&mut self, node: &Node) {
        let mut client = node.connect().await;
        let good = client.channel_auth("private-good", None);
        self.said.push(client.subscribe_private("private-good").await.text);
        client.trigger("private-good", "client-x", 1).await;
        let wrong = format!("app-key:{}", "ab".repeat(32));
        self.forbidden.extend([signature(&good), signature(&wrong)]);
        self.refused_subscription(&mut client, "private-bad", &wrong).await;
        self.refused_subscription(&mut client, "private-worse", "no signature at all").await;
        let user_data = json!({"id": "ann"}).to_string();
        self.forbidden.push(signature(&node.credentials.user_auth(&client.socket_id, &user_data)));
        client
            .send(json!({"event": "pusher:signin", "data": {"auth": &wrong, "user_data": user_data}}))
            .await;
        self.said.push(without(&client.expect_error(None).await, &wrong));
        client.close().await;
        node.connect_to(&format!("/app/nobody?{QUERY}")).await.expect_end(4001).await;
    }

    /// Subscribes with this `auth`; the right one, which the client did not send, must not be told either.
    async fn refused_subscription(&mut self, client: &mut Client, channel: &str, auth: &str) {
        self.forbidden.push(signature(&client.channel_auth(channel, None)));
        client.ask(json!({"channel": channel, "auth": auth})).await;
        self.said.push(without(&client.expect_refused(channel).await.message, auth));
    }

    /// What a backend is told of good and bad signatures, of requests that are the same but for those.
    async fn of_a_backend(&mut self, node: &Node) {
        let event = json!({"name": "e", "channel": "private-good", "data": "1"});
        let (api, stranger) = (node.api(), Api::of(node, &Credentials::new("1", "app-key", "wrong")));
        let (now, long_ago) = (unix_seconds().to_string(), "1353088179".to_owned());
        for (api, time, status) in
            [(&stranger, &now, 401), (&stranger, &long_ago, 401), (&api, &long_ago, 401), (&api, &now, 200)]
        {
            let request = api.request("POST", "/events").json(&event).param("auth_timestamp", time).sign();
            let sent = signature_of(&request.to_bytes());
            let answer = request.send().await.expect_status(status);
            self.said.push(whole(&answer).replace(&sent, ""));
            self.forbidden.push(sent);
        }
    }

    /// What is told of requests that are wrong in another way than by their signature, which is right.
    async fn of_errors(&mut self, node: &Node) {
        let api = node.api();
        let too_long = "x".repeat(20_000);
        let too_many: Vec<_> = (0..101).map(|number| format!("room-{number}")).collect();
        for (method, path, body, status) in [
            ("POST", "/events", "{".to_owned(), 400),
            ("POST", "/events", json!({"name": "e", "channels": too_many, "data": "1"}).to_string(), 400),
            ("POST", "/events", json!({"name": "e", "channel": "a", "data": too_long}).to_string(), 413),
            ("POST", "/channels", "{}".to_owned(), 405),
            ("GET", "/channels?info=user_count", String::new(), 400),
            ("GET", "/nothing", String::new(), 404),
        ] {
            let request = api.request(method, path).body(body).sign();
            let sent = signature_of(&request.to_bytes());
            let answer = request.send().await;
            assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
            self.said.push(whole(&answer));
            self.forbidden.push(sent);
        }
        let lost = api.request_at("GET", "/apps/2/channels").send().await.expect_status(404);
        self.said.push(whole(&lost));
    }

    /// What a scraper is told, of either format, and one that has lost its way.
    async fn of_metrics(&mut self, node: &Node) {
        let address = node.metrics.expect("metrics were asked for");
        for (path, accept) in
            [("/metrics", "text/plain"), ("/metrics", "application/openmetrics-text"), ("/", "*/*")]
        {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nAccept: {accept}\r\n\r\n");
            let answer = raw_request(address, request).await.expect("an answer");
            assert_eq!(
                answer.status == 200,
                answer.text().contains("socket_rush_errors_total"),
                "{answer:?}"
            );
            self.said.push(whole(&answer));
        }
    }

    /// What an endpoint is told. The signatures of bodies are for the endpoint, and for nobody else.
    fn of_webhooks(&mut self, deliveries: &[Delivery]) {
        assert!(!deliveries.is_empty(), "nothing was sent");
        for delivery in deliveries {
            assert_eq!(delivery.header("authorization"), Some(TOKEN));
            assert!(!delivery.head.contains(SECRET), "{}", delivery.head);
            self.said.push(delivery.body.clone());
            self.forbidden.push(delivery.header("x-pusher-signature").expect("a signature").to_owned());
        }
    }

    fn assert_innocence(&self) {
        for forbidden in self.forbidden.iter().map(String::as_str).chain([SECRET, TOKEN]) {
            for said in &self.said {
                assert!(!said.contains(forbidden), "{forbidden} is told in {said}");
            }
        }
    }
}

/// An answer with all of its headers.
fn whole(answer: &Response) -> String {
    format!("{:?}\n{}", answer.headers, answer.text())
}

/// An error without the `auth` that it is about. Pusher's texts give back the signature that the peer sent itself; that
/// is no news to it, and must stand nowhere else.
fn without(message: &str, auth: &str) -> String {
    let sent = auth.split_once(':').map_or(auth, |(_, signature)| signature);
    message.replace(sent, "")
}

/// The signature in an `auth`.
fn signature(auth: &str) -> String {
    auth.split_once(':').expect("key and signature").1.to_owned()
}

/// The signature in a request.
fn signature_of(request: &[u8]) -> String {
    let text = String::from_utf8_lossy(request);
    let (_, rest) = text.split_once("auth_signature=").expect("the request is signed");
    rest[..64].to_owned()
}

#[tokio::test]
async fn no_secret_and_no_signature_is_told_to_anybody_whom_it_does_not_concern() {
    let mut receiver = Receiver::start().await;
    let mut node = node(&receiver);
    let mut evidence = Evidence::default();
    evidence.of_a_client(&node).await;
    evidence.of_a_backend(&node).await;
    evidence.of_errors(&node).await;
    evidence.of_metrics(&node).await;
    node.stop().await;
    evidence.of_webhooks(&receiver.arrived());
    let log = node.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "it was told to log everything: {log}");
    evidence.said.push(log);
    evidence.assert_innocence();
}

#[test]
fn settings_that_cannot_be_used_are_refused_without_their_secrets() {
    let webhooks =
        json!([{"url": format!("http://u:{TOKEN}@127.0.0.1/"), "headers": {"Host": TOKEN, "X": [TOKEN]}}]);
    let app: Value = json!({"app_id": "x", "app_key": 1.5, "app_secret": SECRET, "webhooks": webhooks});
    let ending = Launch::bare().config(&json!({"applications": [app]})).flags(["--log-level=trace"]).run();
    assert_eq!(ending.code, Some(64), "{}", ending.stderr);
    for said in [&ending.stdout, &ending.stderr] {
        assert!(!said.contains(SECRET) && !said.contains(TOKEN), "{said}");
    }
}
