//! Secrets are read and never told.

use serde_json::json;

use crate::support::{
    client::QUERY,
    node::{Launch, Node},
    signing::Credentials,
};

/// A text that is nowhere else.
const SECRET: &str = "canary-5f2c-secret";
const PASSWORD: &str = "canary-9d1e-password";

fn app() -> [&'static str; 6] {
    ["--app-id", "1", "--app-key", "app-key", "--app-secret", SECRET]
}

/// Does what makes a server talk about signatures, rightly and wrongly.
async fn try_everything(node: &Node) {
    let mut client = node.connect().await;
    client.subscribe_private("private-room").await;
    client.ask(json!({"channel": "private-hall", "auth": "app-key:00"})).await;
    client.expect_refused("private-hall").await;
    client.ask_sign_in("{}").await;
    client.expect_error(None).await;
    client.send_text("{").await;
    client.expect_error(None).await;
    node.api().publish("room", "e", "1").await;
    let stranger = Credentials::new("1", "app-key", "wrong");
    let refused = crate::support::api::Api::of(node, &stranger).post("/events", "{}").await;
    assert_eq!(refused.status, 401);
    assert!(!refused.text().contains(SECRET), "{}", refused.text());
    node.connect_to(&format!("/app/nobody?{QUERY}")).await.expect_end(4001).await;
}

#[tokio::test]
async fn a_server_that_logs_everything_logs_no_secret() {
    for format in ["text", "json"] {
        let redis = format!("redis://user:{PASSWORD}@127.0.0.1:1/0");
        let launch = Launch::bare().flags(app()).flags(["--log-level", "trace", "--log-format", format]);
        let launch =
            launch.flags(["--redis-url", &redis]).credentials(Credentials::new("1", "app-key", SECRET));
        let mut node = launch.start();
        try_everything(&node).await;
        node.stop().await;
        let log = node.log();
        assert!(!log.is_empty(), "it was told to log everything");
        assert!(!log.contains(SECRET) && !log.contains(PASSWORD), "{log}");
    }
}

#[test]
fn the_settings_in_effect_are_told_without_secrets() {
    let redis = format!("redis://user:{PASSWORD}@127.0.0.1:1/0");
    let ending = Launch::bare().flags(app()).flags(["--check-config", "--redis-url", &redis]).run();
    assert_eq!(ending.code, Some(0), "{}", ending.stderr);
    assert!(!ending.stdout.contains(SECRET) && !ending.stdout.contains(PASSWORD), "{}", ending.stdout);
}

#[test]
fn mistakes_are_told_without_the_secrets_beside_them() {
    let bad_url = format!("redis://user:{PASSWORD}@127.0.0.1:nope");
    let misplaced = [SECRET];
    for launch in [
        Launch::bare().flags(app()).flags(["--port=x", "--redis-url", &bad_url]),
        Launch::bare().flags(app()).flags(misplaced),
        Launch::bare().flags(["--app-sekret", SECRET]),
        Launch::bare().flags([format!("--app-sekret={SECRET}")]),
        Launch::bare().file(".env", &format!("APP SECRET={SECRET}\n")),
        Launch::bare()
            .config(&json!({"applications": [{"app_id": "x", "app_key": "k", "app_secret": [SECRET]}]})),
        Launch::bare()
            .file("c.json", &format!("{{\"app_secret\": \"{SECRET}\""))
            .flags(["--config", "c.json"]),
    ] {
        let ending = launch.run();
        assert_eq!(ending.code, Some(64), "{}", ending.stderr);
        assert!(!ending.stderr.contains(SECRET) && !ending.stderr.contains(PASSWORD), "{}", ending.stderr);
    }
}
