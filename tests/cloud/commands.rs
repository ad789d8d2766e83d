//! `socket-rush webhooks`: what became of webhooks that nobody took, in Redis and in SQS, and trying an endpoint.

use serde_json::{Value, json};

use super::{SECRET, accepted, apps, job};
use crate::support::{
    aws::Aws,
    node::{Ending, Launch},
    poller::Poller,
    receiver::{Answer, Receiver},
    redis::Redis,
    redis_cluster::RedisCluster,
};

/// A header's value that only the endpoint may see.
const TOKEN: &str = "canary-91f7-token";

/// What a command says, with these settings.
pub(super) async fn command(launch: Launch, words: &str, settings: &Value) -> Ending {
    let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
    let launch = launch.flags(words).config(settings);
    // The receiver needs this thread if the test has no other.
    tokio::task::spawn_blocking(|| launch.run()).await.expect("it runs")
}

/// Settings of a node with the app of these tests, whose webhooks go to these paths.
fn settings(receiver: &Receiver, paths: &[&str]) -> Value {
    let target = |path: &&str| json!({"url": receiver.url_of(path), "event_types": ["channel_occupied"], "headers": {"X-Token": TOKEN}});
    let targets: Vec<_> = paths.iter().map(target).collect();
    json!({"applications": [{
        "app_id": "1", "app_key": "app-key", "app_secret": SECRET, "app_webhooks_enabled": true, "webhooks": targets,
    }]})
}

fn lines(ending: &Ending) -> Vec<&str> {
    assert!(!ending.stdout.contains(SECRET) && !ending.stdout.contains(TOKEN), "{}", ending.stdout);
    ending.stdout.lines().collect()
}

#[tokio::test]
async fn dead_letters_in_redis_are_listed_shown_replayed_and_purged() {
    let redis = Redis::start();
    are_looked_after_in_redis(&redis.address.to_string()).await;
}

#[tokio::test]
async fn dead_letters_in_a_redis_cluster_are_listed_shown_replayed_and_purged() {
    let redis = RedisCluster::start();
    are_looked_after_in_redis(&redis.url()).await;
}

async fn are_looked_after_in_redis(url: &str) {
    let mut receiver = Receiver::start().await;
    let mut settings = settings(&receiver, &["/one", "/two"]);
    for (key, value) in [("queue_driver", "redis"), ("redis_prefix", "dead"), ("redis_url", url)] {
        settings[key] = json!(value);
    }
    for path in ["/one", "/two"] {
        receiver.always_answer(path, Answer::Status(410));
    }
    let dlq = async |words: &str| command(Launch::unset(), &format!("webhooks dlq {words}"), &settings).await;
    assert_eq!((dlq("ls").await.code, lines(&dlq("ls").await)), (Some(1), vec!["no dead letters"]));

    let node = Launch::bare().config(&settings).start_alone();
    let mut client = node.connect().await;
    client.subscribe("room").await;
    client.subscribe("hall").await;
    let listed = loop {
        let listed = dlq("ls").await;
        if listed.stdout.lines().count() == 4 {
            break listed;
        }
    };
    for line in lines(&listed) {
        assert!(
            line.contains("app 1  127.0.0.1") && line.contains("attempts 1") && line.contains("410"),
            "{line}"
        );
    }
    for (filter, count) in
        [("--url /one", 2), ("--app 1", 4), ("--older-than 0", 4), ("--older-than 9999", 0), ("--app 2", 0)]
    {
        let found = dlq(&format!("ls {filter}")).await;
        assert_eq!(lines(&found).iter().filter(|line| line.contains("410")).count(), count, "{filter}");
        assert_eq!(found.code, Some(i32::from(count == 0)));
    }
    let id = lines(&listed)[0].split(' ').next().expect("an id");
    let shown: Value = serde_json::from_str(&dlq(&format!("show {id}")).await.stdout).expect("JSON");
    assert_eq!((&shown["id"], &shown["webhook"]["headers"]), (&json!(id), &json!(["X-Token"])));
    assert!(shown["webhook"]["body"].as_str().is_some_and(|body| body.contains("channel_occupied")));

    receiver.always_answer("/one", Answer::Status(200));
    let first = receiver.arrived();
    assert_eq!(lines(&dlq("replay --url /one").await).len(), 2);
    for _ in 0..2 {
        let again = receiver.next().await;
        let id = again.header("x-socket-rush-delivery");
        assert_eq!((again.path(), super::is_signed(&again)), ("/one", true));
        assert!(first.iter().any(|delivery| delivery.header("x-socket-rush-delivery") == id));
    }
    assert_eq!(dlq("purge").await.code, Some(64));
    assert_eq!(lines(&dlq("purge --all").await).len(), 2);
    assert_eq!(dlq("ls").await.code, Some(1));
}

#[tokio::test]
async fn dead_letters_in_sqs_are_listed_shown_replayed_and_purged() {
    for queue in ["webhooks", "webhooks.fifo"] {
        let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
        aws.create_queue(queue, 30, 100).await;
        receiver.always_answer("/one", Answer::Status(410));
        receiver.always_answer("/two", Answer::Status(410));
        let mut settings = settings(&receiver, &["/one"]);
        for (key, value) in [("queue_driver", "sqs"), ("sqs_queue_url", queue)] {
            settings[key] = json!(value);
        }
        let dlq = async |words: &str| {
            let launch = Launch::unset();
            command(launch.on_aws(aws.address), &format!("webhooks dlq {words}"), &settings).await
        };
        let jobs = [
            ("a", job(&receiver, "/one", "a", 1)),
            ("b", job(&receiver, "/two", "b", 22)),
            ("c", job(&receiver, "/one", "c", 333)),
        ];
        aws.send(queue, &jobs).await;
        let poller = Poller::start(aws.address, queue, &apps().to_string(), &[]);
        receiver.next_some(3).await;
        aws.drained(queue).await;

        // Looking hides nothing from whoever looks next.
        for _ in 0..2 {
            let listed = dlq("ls").await;
            assert_eq!(lines(&listed).iter().filter(|line| line.contains("410")).count(), 3, "{listed:?}");
        }
        let found = dlq("show --url /two").await;
        let shown: Value = serde_json::from_str(&found.stdout).expect("JSON");
        assert_eq!((&shown["attempts"], &shown["webhook"]["channels"]), (&json!(1), &json!(["b"])));

        receiver.always_answer("/one", Answer::Status(200));
        assert_eq!(lines(&dlq("replay --url /one").await).len(), 2);
        let mut numbers = accepted(&mut receiver, 2).await;
        numbers.sort();
        assert_eq!(numbers, ["1", "333"]);
        aws.drained(queue).await;
        assert_eq!(lines(&dlq("purge --older-than 0").await).len(), 1);
        assert_eq!(dlq("ls").await.code, Some(1));
        poller.stop().await;
    }
}

#[tokio::test]
async fn an_endpoint_can_be_tried() {
    let mut receiver = Receiver::start().await;
    let (url, settings) = (receiver.url.clone(), settings(&receiver, &["/hook"]));
    let test =
        async |words: &str| command(Launch::unset(), &format!("webhooks test {words}"), &settings).await;
    let ending = test(&url).await;
    assert_eq!(ending.code, Some(0), "{ending:?}");
    assert!(ending.stdout.contains("taken with 200"), "{}", ending.stdout);
    let delivery = receiver.next().await;
    assert!(super::is_signed(&delivery));
    assert_eq!(delivery.names(), ["channel_occupied"]);
    receiver.always_answer("/hook", Answer::Status(500));
    let ending = test(&url).await;
    assert_eq!(ending.code, Some(1));
    assert!(ending.stdout.contains("the endpoint answered 500"), "{}", ending.stdout);
    assert_eq!(test(&format!("{url} --app 2")).await.code, Some(1));
    let blocked = test(&format!("{url} --webhook-block-private-addresses")).await;
    assert!(blocked.stdout.contains("must not reach"), "{}", blocked.stdout);
    assert_eq!(test("").await.code, Some(1));
}
