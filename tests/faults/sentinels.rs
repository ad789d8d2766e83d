//! A Redis that is watched by sentinels, and moves.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{RECOVERY, expect_ready};
use crate::support::{
    cluster::Cluster,
    node::{Launch, Node, unique_prefix},
    sentinels::{self, MASTER, Sentinels},
    tls::Identity,
};

/// Flags with which nodes find the primary.
pub(super) fn flags(sentinels: &Sentinels) -> Vec<String> {
    let url = sentinels.url();
    let flags = ["--redis-url", &url, "--redis-sentinel-master", MASTER, "--cache-driver", "redis"];
    [&flags[..], &["--queue-driver", "redis"]].concat().into_iter().map(ToOwned::to_owned).collect()
}

/// A client of each node hears what is published on the other one.
pub(super) async fn expect_to_hear_each_other(nodes: &[Node]) {
    for (listener, speaker) in [(&nodes[0], &nodes[1]), (&nodes[1], &nodes[0])] {
        let mut client = listener.connect().await;
        client.subscribe("across").await;
        speaker.api().publish("across", "news", 1).await;
        client.expect("news").await;
    }
}

async fn readiness(node: &Node) -> (u16, Value) {
    let answer = node.api().request_at("GET", "/ready").send().await;
    (answer.status, answer.json())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_find_the_primary_through_sentinels_of_which_one_is_gone_and_follow_it() {
    let (primary, mut sentinels) = sentinels::start();
    let flags = flags(&sentinels);
    sentinels.kill(0);
    let cluster = Cluster::watched(2, &flags, primary);
    for node in cluster.nodes() {
        assert_eq!(readiness(node).await, (200, json!({"status": "ok"})));
    }
    expect_to_hear_each_other(cluster.nodes()).await;
    cluster.node(0).api().publish("cache-room", "kept", 1).await;
    assert!(
        !cluster.redis.ask::<Vec<String>>(&["KEYS", &format!("{}:*:cache:*", cluster.prefix)]).is_empty()
    );

    // Nobody is killed. Sentinels make the old primary a replica some ten seconds later, and end its connections.
    sentinels.switch();
    let moved = Instant::now();
    let control = format!("{}:control", cluster.prefix);
    let listeners = || sentinels.replica().ask::<(String, u32)>(&["PUBSUB", "NUMSUB", &control]).1;
    let following = async {
        while listeners() < 2 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(3 * RECOVERY, following).await.expect("both find the new primary");
    println!("both nodes had followed after {:?}", moved.elapsed());
    for node in cluster.nodes() {
        expect_ready(node, RECOVERY).await;
    }
    expect_to_hear_each_other(cluster.nodes()).await;
}

#[tokio::test]
async fn a_primary_that_became_a_replica_behind_their_backs_is_left_by_all_nodes() {
    let (primary, sentinels) = sentinels::start();
    let cluster = Cluster::watched(2, &flags(&sentinels), primary);
    let successor = sentinels.replica().address;
    cluster.redis.ask::<()>(&["REPLICAOF", &successor.ip().to_string(), &successor.port().to_string()]);
    for node in cluster.nodes() {
        node.wait_for_log("the server is not the primary any more").await;
    }
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_and_sentinels_that_are_not_there_keep_a_node_apart() {
    let (_primary, sentinels) = sentinels::start();
    for (url, name, complaint) in [
        (sentinels.url(), "unknown", "knows no primary of this name"),
        ("127.0.0.1:1,127.0.0.1:2".to_owned(), MASTER, "Connection refused"),
    ] {
        let prefix = unique_prefix();
        let flags = ["--adapter-driver", "redis", "--redis-prefix", &prefix, "--redis-url", &url];
        let flags =
            flags.into_iter().chain(["--redis-sentinel-master", name, "--shutdown-grace-seconds", "1"]);
        let node = Launch::new().flags(flags).start_alone();
        assert_eq!(readiness(&node).await, (503, json!({"status": "apart"})));
        node.wait_for_log(complaint).await;
        let mut client = node.connect().await;
        client.subscribe("room").await;
        node.api().publish("room", "news", 1).await;
        client.expect("news").await;
    }
}

#[tokio::test]
async fn sentinels_and_the_servers_that_they_watch_have_passwords_of_their_own() {
    let servers = ["--requirepass", "of-redis", "--masterauth", "of-redis"];
    let auth = format!("sentinel auth-pass {MASTER} of-redis");
    let (primary, sentinels) = sentinels::start_with(
        &servers,
        &[&auth, "requirepass of-sentinels", "sentinel sentinel-pass of-sentinels"],
    );
    let url = format!("redis://:of-redis@{}", sentinels.url());
    let prefix = unique_prefix();
    let launch = |password: &str| {
        let flags = ["--adapter-driver", "redis", "--redis-prefix", &prefix, "--redis-url", &url];
        let launch = Launch::new().flags(flags).flags(["--redis-sentinel-master", MASTER]);
        launch.flags(["--redis-sentinel-password", password, "--shutdown-grace-seconds", "1"]).start_alone()
    };
    let nodes = [launch("of-sentinels"), launch("of-sentinels")];
    expect_ready(&nodes[0], RECOVERY).await;
    expect_to_hear_each_other(&nodes).await;
    let stranger = launch("a-wrong-one");
    assert_eq!(readiness(&stranger).await.0, 503);
    for word in ["of-redis", "of-sentinels", "a-wrong-one"] {
        assert!(!nodes[0].log().contains(word) && !stranger.log().contains(word), "{word} is in the log");
    }
    drop(primary);
}

#[tokio::test]
async fn sentinels_and_servers_are_both_reached_over_tls() {
    let identity = Identity::new();
    let (_primary, sentinels) = sentinels::start_alone_over_tls(&identity);
    let (url, prefix) = (format!("rediss://{}", sentinels.url()), unique_prefix());
    let launch = || {
        let flags = ["--adapter-driver", "redis", "--redis-prefix", &prefix, "--redis-url", &url];
        let launch = Launch::new().flags(flags).flags(["--redis-sentinel-master", MASTER]);
        launch.file("roots.pem", &identity.certificate).env("SSL_CERT_FILE", "roots.pem").start_alone()
    };
    expect_to_hear_each_other(&[launch(), launch()]).await;
}
