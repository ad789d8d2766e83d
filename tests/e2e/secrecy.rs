//! What must not be told is not told: not in the log, not in answers, not in webhooks.

use serde_json::{Value, json};

use crate::support::{
    api::{Api, unix_seconds},
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
    Launch::bare().config(&json!({"applications": [app], "log_level": "trace"})).start()
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
            self.said.push(answer.text().replace(&sent, ""));
            self.forbidden.push(sent);
        }
    }

    /// What an endpoint is told. The signatures of bodies are for the endpoint, and for nobody else.
    fn of_webhooks(&mut self, deliveries: &[Delivery]) {
        assert!(!deliveries.is_empty(), "nothing was sent");
        for delivery in deliveries {
            assert_eq!(delivery.header("authorization"), Some(TOKEN));
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
