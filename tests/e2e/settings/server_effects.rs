//! What the settings of the server do.

use std::net::{IpAddr, SocketAddr, TcpListener};

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::{flags, server_launches, server_set_everywhere, with_environment};
use crate::support::{
    api::{Api, raw_request},
    node::{Launch, Node},
    receiver::{Answer, Receiver},
    redis::Redis,
};

/// The log of a node after one request of the HTTP API.
async fn log_after_a_request(mut node: Node) -> String {
    node.api().get("/channels?info=").await.expect_status(200);
    node.stop().await;
    node.log()
}

#[test]
fn the_port_is_the_one_that_was_asked_for() {
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let launch = Launch::unset().flags(["--bind-address", "127.0.0.1", "-p", &free.port().to_string()]);
    let node = launch.flags(["--app-id", "1", "--app-key", "k", "--app-secret", "s"]).start();
    assert_eq!(node.address, free);
}

#[tokio::test]
async fn the_address_is_the_one_that_was_asked_for_and_no_other() {
    let launch = Launch::unset().flags(["--bind-address", "127.0.0.7", "--port", "0"]);
    let node = launch.flags(["--app-id", "1", "--app-key", "app-key", "--app-secret", "app-secret"]).start();
    assert_eq!(node.address.ip().to_string(), "127.0.0.7");
    node.connect().await;
    assert!(TcpStream::connect(("127.0.0.1", node.address.port())).await.is_err());
}

/// A loopback address where no other test has ports, nor one of another run on the same machine.
fn own_address() -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    IpAddr::from([127, 13, high, low])
}

/// Nodes on that address, with these settings given in each place.
fn on_an_address_of_their_own(settings: &Value) -> [Launch; 3] {
    let launch = || {
        let launch = Launch::unset().flags(["--bind-address", &own_address().to_string(), "--port", "0"]);
        launch.flags(["--app-id", "1", "--app-key", "app-key", "--app-secret", "app-secret"])
    };
    [launch().flags(flags(settings)), with_environment(launch(), settings), launch().config(settings)]
}

#[tokio::test]
async fn metrics_have_the_port_that_was_asked_for_if_they_are_asked_for() {
    const PAGE: &str = "GET /metrics HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n";
    for (port, settings) in [
        (7013, json!({"metrics_enabled": true, "metrics_port": 7013})),
        (6002, json!({"metrics_enabled": true})),
    ] {
        for launch in on_an_address_of_their_own(&settings) {
            let node = launch.start();
            let address = SocketAddr::from((own_address(), port));
            assert_eq!(node.metrics, Some(address));
            raw_request(address, PAGE).await.expect("an answer").expect_status(200);
        }
    }
    for launch in on_an_address_of_their_own(&json!({"metrics_port": 7013})) {
        let node = launch.start();
        assert_eq!(node.address.ip(), own_address());
        for port in [7013, 6002] {
            assert!(TcpStream::connect((own_address(), port)).await.is_err(), "{port} is open");
        }
    }
}

#[tokio::test]
async fn the_local_drivers_work_when_they_are_named() {
    let drivers = json!({
        "adapter_driver": "local", "cache_driver": "local", "queue_driver": "local", "app_manager": "array",
    });
    for node in server_set_everywhere(&drivers) {
        let mut client = node.connect().await;
        node.api().publish("cache-room", "kept", "1").await;
        client.subscribe("cache-room").await;
        client.expect("kept").await;
    }
}

#[tokio::test]
async fn last_events_are_kept_in_the_redis_that_was_named_under_its_prefix() {
    let redis = Redis::start();
    let url = redis.address.to_string();
    let settings = json!({"cache_driver": "redis", "redis_url": url, "redis_prefix": "cached"});
    for (place, node) in server_set_everywhere(&settings).iter().enumerate() {
        node.api().publish("cache-room", "kept", place).await;
        let keys: Vec<String> = redis.ask(&["KEYS", "cached:{*}:cache:1:cache-room"]);
        assert_eq!(keys.len(), 1, "{keys:?}");
        let kept: Vec<u8> = redis.ask(&["GET", &keys[0]]);
        let data = format!(r#""data":"{place}"}}"#);
        assert!(kept.ends_with(data.as_bytes()), "{}", String::from_utf8_lossy(&kept));
    }
}

#[tokio::test]
async fn webhooks_wait_in_the_redis_that_was_named_under_its_prefix() {
    let redis = Redis::start();
    for place in 0..3 {
        let mut receiver = Receiver::start().await;
        receiver.always_answer("/hook", Answer::Status(500));
        let settings = json!({
            "queue_driver": "redis", "redis_url": redis.address.to_string(),
            "redis_prefix": format!("place-{place}"), "shutdown_grace_seconds": 1,
        });
        let [flags, environment, file] = server_launches(&settings);
        let launch = [flags, environment, file].into_iter().nth(place).expect("one of three");
        let webhooks = ["--app-webhooks-enabled", "--app-has-channel-occupied-webhooks", "--app-webhook-url"];
        let node = launch.flags(webhooks).flags([receiver.url.as_str()]).start_alone();
        let mut client = node.connect().await;
        client.subscribe("room").await;
        receiver.next().await;
        let streams: Vec<String> = redis.ask(&["KEYS", &format!("place-{place}:{{*}}:queue")]);
        assert_eq!(streams.len(), 1, "{streams:?}");
        assert_eq!(redis.ask::<u32>(&["XLEN", &streams[0]]), 1);
    }
}

#[tokio::test]
async fn the_environments_name_is_logged_at_the_start() {
    for node in server_set_everywhere(&json!({"app_env": "staging-seven"})) {
        assert!(log_after_a_request(node).await.contains("staging-seven"));
    }
}

#[tokio::test]
async fn the_log_level_says_how_much_is_logged() {
    for node in server_set_everywhere(&json!({"log_level": "error"})) {
        assert_eq!(log_after_a_request(node).await, "");
    }
    assert!(!log_after_a_request(Node::start()).await.is_empty());
}

#[tokio::test]
async fn a_log_in_json_is_json_line_by_line() {
    for node in server_set_everywhere(&json!({"log_format": "json"})) {
        let log = log_after_a_request(node).await;
        assert!(!log.is_empty());
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line.is_object(), "{line}");
        }
    }
}

#[tokio::test]
async fn requests_are_logged_unless_that_is_switched_off() {
    let log = log_after_a_request(Node::start()).await;
    assert!(log.contains("/apps/1/channels"), "{log}");
    assert!(!log.contains("auth_signature"), "a signature is good for ten minutes: {log}");
    for node in server_set_everywhere(&json!({"ignore_logger_middleware": true})) {
        let log = log_after_a_request(node).await;
        assert!(!log.contains("/apps/1/channels"), "{log}");
    }
}

#[tokio::test]
async fn browsers_of_the_named_origins_may_call_the_api() {
    for node in server_set_everywhere(&json!({"cors_allowed_origins": "https://shop.example"})) {
        let api = Api::on(&node);
        for (origin, allowed) in
            [("https://shop.example", Some("https://shop.example")), ("https://e.example", None)]
        {
            let answer = api.request("GET", "/channels").header("Origin", origin).send().await;
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{origin}");
        }
    }
}

#[tokio::test]
async fn clients_that_name_no_protocol_can_be_let_in() {
    for node in server_set_everywhere(&json!({"allow_missing_protocol": true})) {
        node.connect_to("/app/app-key").await.established().await;
        node.connect_to("/app/app-key?protocol=abc").await.expect_end(4006).await;
    }
}

#[tokio::test]
async fn a_refused_subscription_can_be_told_to_the_channel_alone() {
    for node in server_set_everywhere(&json!({"subscription_error_style": "channel"})) {
        let mut client = node.connect().await;
        client.ask(json!({"channel": "private-room"})).await;
        client.expect_on("private-room", "pusher:subscription_error").await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_refused_subscription_can_be_told_to_the_connection_alone() {
    for node in server_set_everywhere(&json!({"subscription_error_style": "pusher"})) {
        let mut client = node.connect().await;
        client.ask(json!({"channel": "private-room"})).await;
        client.expect_error(None).await;
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn the_close_code_of_terminated_users_can_be_chosen() {
    for node in server_set_everywhere(&json!({"terminate_close_code": "4200"})) {
        let mut client = node.connect().await;
        client.sign_in(json!({"id": "u1"})).await;
        node.api().post("/users/u1/terminate_connections", "{}").await.expect_status(200);
        client.expect_end(4200).await;
    }
}
