//! What the settings of Redis do: which nodes are one server, who lets them in, and what becomes of a node whose Redis
//! is not there.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{server_launches, server_set_everywhere};
use crate::support::{
    node::{Launch, Node, unique_prefix},
    redis::Redis,
    redis_cluster::RedisCluster,
    tls::Identity,
};

/// The time within which a node says whether it is one of several.
const READINESS: Duration = Duration::from_secs(5);

/// Settings with which a node shares what is at a URL under a prefix.
fn shared(url: &str, prefix: &str) -> Value {
    json!({"adapter_driver": "redis", "redis_url": url, "redis_prefix": prefix})
}

/// A client of the first hears what is published on the second.
async fn assert_hears(one: &Node, other: &Node) {
    let mut client = one.connect().await;
    client.subscribe("room").await;
    other.api().publish("room", "news", 1).await;
    client.expect("news").await;
}

/// What `/ready` says.
async fn readiness(node: &Node) -> (u16, Value) {
    let answer = node.api().request_at("GET", "/ready").send().await;
    (answer.status, answer.json())
}

/// Waits until `/ready` says this, and says how long it took.
async fn until_ready_is(node: &Node, status: u16, text: &str) -> Duration {
    let began = Instant::now();
    let told = async {
        while readiness(node).await != (status, json!({"status": text})) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(4 * READINESS, told).await.unwrap_or_else(|_| panic!("/ready never said {status} {text}"));
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_redis_cluster_hear_each_other_wherever_that_is_set() {
    let redis = RedisCluster::start();
    let url = redis.url();
    let (one, _) = url.split_once(',').expect("it names two");
    let mut by_setting = shared(one, &unique_prefix());
    by_setting["redis_cluster"] = json!(true);
    for settings in [by_setting, shared(&url, &unique_prefix())] {
        let nodes = server_set_everywhere(&settings);
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            assert_hears(&nodes[one], &nodes[other]).await;
        }
    }
}

#[tokio::test]
async fn nodes_of_one_redis_and_prefix_hear_each_other_wherever_that_is_set() {
    let redis = Redis::start();
    let nodes = server_set_everywhere(&shared(&redis.address.to_string(), &unique_prefix()));
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        assert_hears(&nodes[one], &nodes[other]).await;
    }
}

#[tokio::test]
async fn nodes_of_another_prefix_hear_nothing() {
    let redis = Redis::start();
    let url = redis.address.to_string();
    let [one, other] = [(); 2].map(|()| Launch::new().config(&shared(&url, &unique_prefix())).start());
    let (mut here, mut there) = (one.connect().await, other.connect().await);
    for client in [&mut here, &mut there] {
        client.subscribe("room").await;
    }
    one.api().publish("room", "news", 1).await;
    here.expect("news").await;
    there.expect_quiet().await;
}

#[tokio::test]
async fn a_password_or_a_user_in_the_url_lets_nodes_in() {
    let user = ["--user", "nodes", "on", ">secret", "~test-*", "&test-*", "+@all", "-@dangerous"];
    let redis = Redis::with(&[&["--requirepass", "p@ss"][..], &user].concat());
    for user in [":p%40ss@", "default:p%40ss@", "nodes:secret@"] {
        let nodes = server_set_everywhere(&shared(&format!("{user}{}", redis.address), &unique_prefix()));
        assert_eq!(readiness(&nodes[0]).await, (200, json!({"status": "ok"})), "{user}");
        assert_hears(&nodes[0], &nodes[1]).await;
    }
}

#[tokio::test]
async fn a_wrong_password_keeps_a_node_apart_and_is_not_logged() {
    let redis = Redis::with(&["--requirepass", "right"]);
    let url = format!("redis://:wrong-one@{}", redis.address);
    let node = Launch::new().config(&shared(&url, &unique_prefix())).start();
    assert_eq!(readiness(&node).await, (503, json!({"status": "apart"})));
    let log = node.log();
    assert!(log.contains("Redis does not answer") && !log.contains("wrong-one"), "{log}");
}

/// Launches with these settings in each place, on machines that trust this certificate and no other.
fn launches_trusting(identity: &Identity, settings: &Value) -> [Launch; 3] {
    server_launches(settings)
        .map(|launch| launch.file("roots.pem", &identity.certificate).env("SSL_CERT_FILE", "roots.pem"))
}

#[tokio::test]
async fn redis_is_reached_over_tls_where_a_setting_or_the_url_says_so() {
    let identity = Identity::new();
    let redis = Redis::over_tls(&identity);
    let prefix = unique_prefix();
    let by_scheme = shared(&format!("rediss://{}", redis.address), &prefix);
    let mut by_setting = shared(&redis.address.to_string(), &prefix);
    by_setting["redis_tls"] = json!(true);
    for settings in [by_scheme, by_setting] {
        let [one, other, third] = launches_trusting(&identity, &settings).map(Launch::start);
        assert_hears(&one, &other).await;
        assert_hears(&other, &third).await;
    }
}

#[tokio::test]
async fn a_certificate_that_the_system_does_not_trust_keeps_a_node_apart() {
    let redis = Redis::over_tls(&Identity::new());
    let settings = shared(&format!("rediss://{}", redis.address), &unique_prefix());
    let [launch, ..] = launches_trusting(&Identity::new(), &settings);
    let node = launch.start();
    assert_eq!(readiness(&node).await, (503, json!({"status": "apart"})));
    assert!(node.log().contains("certificate"), "{}", node.log());
}

#[tokio::test]
async fn a_node_whose_redis_is_not_there_serves_alone_until_it_is() {
    let mut redis = Redis::start();
    redis.kill();
    let prefix = unique_prefix();
    let began = Instant::now();
    let node = start_on(redis.address, &prefix);
    assert!(began.elapsed() >= READINESS, "it waits for the others: {:?}", began.elapsed());
    node.wait_for_log("Redis does not answer: this node serves without the others until it does").await;
    assert_eq!(readiness(&node).await, (503, json!({"status": "apart"})));
    assert_hears(&node, &node).await;
    redis.restart();
    until_ready_is(&node, 200, "ok").await;
    let other = start_on(redis.address, &prefix);
    assert_hears(&node, &other).await;
    assert_hears(&other, &node).await;
}

#[tokio::test]
async fn a_node_is_not_ready_while_its_redis_is_gone_or_silent() {
    let mut redis = Redis::start();
    let node = start_on(redis.address, &unique_prefix());
    assert_eq!(readiness(&node).await, (200, json!({"status": "ok"})));
    redis.kill();
    let took = until_ready_is(&node, 503, "apart").await;
    assert!(took <= READINESS, "{took:?}");
    redis.restart();
    until_ready_is(&node, 200, "ok").await;
    redis.freeze();
    let took = until_ready_is(&node, 503, "apart").await;
    assert!(took <= READINESS, "{took:?}");
    redis.thaw();
    until_ready_is(&node, 200, "ok").await;
}

fn start_on(redis: SocketAddr, prefix: &str) -> Node {
    Launch::new().on_redis(redis, prefix).start()
}
