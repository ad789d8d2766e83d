//! `socket-rush apps`: apps in DynamoDB, from their creation to their deletion, and whoever serves them meanwhile.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{SECRET, accepted, apps, job};
use crate::support::{
    api::Api,
    aws::Aws,
    node::{Ending, Launch, Node, unique_prefix},
    poller::Poller,
    receiver::Receiver,
    redis::Redis,
    redis_cluster::RedisCluster,
    sentinels::{self, MASTER},
    signing::Credentials,
};

/// The longest that a change may take to arrive.
const DEADLINE: Duration = Duration::from_secs(60);

const DYNAMODB: [&str; 2] = ["--app-manager", "dynamodb"];

/// What a command says, with this file beside it.
async fn command_with(aws: &Aws, words: &str, file: &Value, flags: &[&str]) -> Ending {
    let launch = Launch::unset().on_aws(aws.address).file("apps.json", &file.to_string());
    let launch = launch.flags(words.split(' ')).flags(DYNAMODB).flags(flags.iter().copied());
    // The emulator may need this thread if the test has no other.
    tokio::task::spawn_blocking(|| launch.run()).await.expect("it runs")
}

async fn command(aws: &Aws, words: &str) -> Ending {
    command_with(aws, words, &json!({}), &[]).await
}

/// The lines of a command that did all of it.
fn done(ending: &Ending) -> Vec<&str> {
    assert_eq!(ending.code, Some(0), "{ending:?}");
    ending.stdout.lines().collect()
}

/// An emulator with a table, and these apps in it.
async fn table_with(applications: Value) -> Aws {
    let aws = Aws::start().await;
    assert_eq!(done(&command(&aws, "apps --create-table").await), ["the table is created"]);
    let file = json!({"applications": applications});
    done(&command_with(&aws, "apps import apps.json", &file, &[]).await);
    aws
}

/// Waits until this holds.
async fn comes_true(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// What an API request of the app is answered with.
async fn status(node: &Node, app: &Credentials) -> u16 {
    Api::of(node, app).get("/channels").await.status
}

#[tokio::test]
async fn an_app_lives_from_its_creation_to_its_deletion_and_its_node_follows() {
    let (aws, redis, prefix) = (Aws::start().await, Redis::start(), unique_prefix());
    let address = redis.address.to_string();
    let shared = ["--adapter-driver", "redis", "--redis-url", &address, "--redis-prefix", &prefix];
    let apps = async |words: &str| command_with(&aws, &format!("apps {words}"), &json!({}), &shared).await;
    assert_eq!(done(&apps("--create-table").await), ["the table is created"]);
    assert_eq!(done(&apps("--create-table").await), ["the table is there already"]);
    assert_eq!(apps("list").await.code, Some(1));
    let created = apps("create --app-max-presence-users 5 --as-json").await;
    let created: Value = serde_json::from_str(done(&created)[0]).expect("JSON");
    let text = |key: &str| created[key].as_str().expect("a text").to_owned();
    let mut app = Credentials::new(&text("app_id"), &text("app_key"), &text("app_secret"));
    let id = app.id.clone();

    let node = Launch::bare().on_aws(aws.address).flags(DYNAMODB).flags(shared);
    let node = node.credentials(app.clone()).start_alone();
    let mut client = node.connect().await;
    client.subscribe_private("private-room").await;

    // A setting that new connections meet.
    let updated = apps(&format!("update {id} --app-max-connections 1")).await;
    assert_eq!(
        done(&updated),
        [
            &*format!("app {id} is changed"),
            "nodes told over Redis: 1; all others: nodes notice it within 60 s (app_cache_ttl_seconds)"
        ]
    );
    let path = format!("/app/{}?protocol=7", app.key);
    comes_true("the second connection is one too many", async || {
        let mut second = node.connect_to(&path).await;
        second.frame().await.json()["code"] == 4004
    })
    .await;

    // Two secrets for a while, then another one alone.
    let rotated = apps(&format!("rotate {id} --as-json")).await;
    let rotated: Value = serde_json::from_str(done(&rotated)[0]).expect("JSON");
    let old = app.clone();
    app.secret = rotated["app_secret"].as_str().expect("a text").to_owned();
    comes_true("the new secret signs", async || status(&node, &app).await == 200).await;
    assert_eq!(status(&node, &old).await, 200);
    let third = apps(&format!("rotate {id}")).await;
    assert!(third.code == Some(1) && third.stderr.contains("has two secrets"), "{third:?}");
    let update = json!({"app_previous_secret": null, "app_previous_secret_until": null});
    done(&command_with(&aws, &format!("apps update {id} --json apps.json"), &update, &shared).await);
    comes_true("the old secret is none", async || status(&node, &old).await == 401).await;

    done(&apps(&format!("disable {id}")).await);
    client.expect_end(4003).await;
    comes_true("a disabled app is refused", async || status(&node, &app).await == 403).await;
    assert_eq!(done(&apps(&format!("disable {id}")).await), [format!("app {id} is disabled already")]);
    done(&apps(&format!("enable {id}")).await);
    comes_true("an enabled app is served", async || status(&node, &app).await == 200).await;
    // There is room for one connection, which was the first one's until it was closed on both sides.
    drop(client);
    let mut client = None;
    comes_true("there is room again", async || {
        let mut next = node.connect_to(&path).await;
        let is_in = next.frame().await.event == "pusher:connection_established";
        client = Some(next);
        is_in
    })
    .await;
    done(&apps(&format!("delete {id}")).await);
    client.expect("it is connected").expect_end(4001).await;
    assert_eq!(apps(&format!("show {id}")).await.stderr.trim(), format!("there is no app {id}"));
}

#[tokio::test]
async fn a_node_is_told_through_a_redis_cluster_and_through_a_redis_that_sentinels_watch() {
    let (cluster, (_primary, sentinels)) = (RedisCluster::start(), sentinels::start());
    let at_cluster = ["--redis-url".to_owned(), cluster.url()];
    let at_sentinels =
        ["--redis-url".to_owned(), sentinels.url(), "--redis-sentinel-master".to_owned(), MASTER.to_owned()];
    for redis in [&at_cluster[..], &at_sentinels] {
        let aws = table_with(apps()).await;
        let prefix = unique_prefix();
        let shared = ["--adapter-driver", "redis", "--redis-prefix", &prefix].map(ToOwned::to_owned);
        let shared: Vec<_> = shared.iter().chain(redis).map(String::as_str).collect();
        let node = Launch::bare().on_aws(aws.address).flags(DYNAMODB).flags(shared.clone());
        let node = node.flags(["--app-cache-ttl-seconds", "3600"]);
        let node = node.credentials(Credentials::new("1", "app-key", SECRET)).start_alone();
        let mut client = node.connect().await;
        let disabled = command_with(&aws, "apps disable 1", &json!({}), &shared).await;
        assert!(done(&disabled)[1].starts_with("nodes told over Redis: 1; "), "{disabled:?}");
        client.expect_end(4003).await;
    }
}

#[tokio::test]
async fn what_is_exported_can_be_imported_and_served_from_a_file() {
    let target = json!({"url": "http://127.0.0.1:9/hook?token=canary-1", "headers": {"X": "canary-2"}});
    let first = json!({
        "app_id": "1", "app_key": "one", "app_secret": "canary-3", "app_enabled": false,
        "app_max_presence_members_per_channel": 5, "webhooks": [target], "app_webhooks_enabled": true,
    });
    let second = json!({"app_id": "2", "app_key": "two", "app_secret": "canary-4"});
    let aws = table_with(json!([first, second])).await;
    let file = json!({"applications": [first, second]});
    let again = command_with(&aws, "apps import apps.json", &file, &[]).await;
    assert_eq!(done(&again), ["app 1: unchanged", "app 2: unchanged"]);

    let mut other = file.clone();
    other["applications"][0]["app_enabled"] = json!(true);
    other["applications"][1] = json!({"app_id": "3", "app_key": "two", "app_secret": "canary-5"});
    let refused = command_with(&aws, "apps import apps.json", &other, &[]).await;
    assert_eq!(refused.code, Some(1));
    assert_eq!(
        refused.stdout.lines().collect::<Vec<_>>(),
        [
            "app 1: refused: it is there with other settings; --replace changes it",
            "app 3: refused: another app has this key",
        ]
    );
    other["applications"].as_array_mut().expect("an array").truncate(1);
    let changed = command_with(&aws, "apps import apps.json --replace", &other, &[]).await;
    assert_eq!(done(&changed)[0], "app 1: changed");

    let listed = command(&aws, "apps list").await;
    let mut lines = done(&listed);
    lines.sort_unstable();
    assert_eq!(lines, ["1  one  enabled  version 2", "2  two  enabled  version 1"]);
    let shown = command(&aws, "apps show 1").await;
    let page: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(page["app"]["webhooks"][0]["headers"], json!(["X"]));
    for ending in [&listed, &shown] {
        assert!(!ending.stdout.contains("canary"), "{}", ending.stdout);
    }
    assert!(command(&aws, "apps show 1 --show-secret").await.stdout.contains("canary-3"));

    let exported = command(&aws, "apps export").await;
    done(&exported);
    let mut exported: Value = serde_json::from_str(&exported.stdout).expect("JSON");
    let applications = exported["applications"].as_array_mut().expect("an array");
    applications.sort_by_key(|app| app["app_id"].to_string());
    assert_eq!(applications[0], other["applications"][0]);
    assert_eq!(applications[1], second);
    // And a node takes it as it is.
    let node = Launch::bare().config(&json!({"applications": [applications[1].clone()]})).start_alone();
    node.connect().await;
}

#[tokio::test]
async fn mistakes_are_told_with_the_way_out() {
    let aws = table_with(apps()).await;
    for (words, code, what) in [
        ("apps create --app-id 1", 1, "app 1 is not created: there is an app with this id already"),
        ("apps create --app-key app-key --app-id 2", 1, "app 2 is not created: another app has this key"),
        ("apps create --app-key a.b", 1, "app_key: must be 1 to 200 letters"),
        ("apps update 1 --app-id 2", 1, "app_id: cannot be changed"),
        ("apps update 7 --app-enabled", 1, "there is no app 7"),
        ("apps delete 7", 1, "there is no app 7"),
        ("apps import nowhere.json", 1, "nowhere.json cannot be read"),
        ("apps lst", 64, "socket-rush apps create"),
        (
            "apps list --dynamodb-tabel x",
            64,
            "--dynamodb-tabel: is unknown; did you mean '--dynamodb-table'?",
        ),
        (
            "apps list --dynamodb-table elsewhere",
            1,
            "the store of apps cannot be asked: ResourceNotFoundException",
        ),
    ] {
        let ending = command(&aws, words).await;
        assert_eq!(ending.code, Some(code), "{words}: {ending:?}");
        assert!(ending.stderr.starts_with(what), "{words}: {ending:?}");
        assert!(!ending.stderr.contains(SECRET), "{ending:?}");
    }
    let launch = Launch::unset().flags(["apps", "list"]);
    let ending = tokio::task::spawn_blocking(|| launch.run()).await.expect("it runs");
    assert!(ending.code == Some(1) && ending.stderr.contains("(app_manager array)"), "{ending:?}");

    let launch = Launch::bare().on_aws(aws.address).flags(DYNAMODB).flags(["--dynamodb-table", "elsewhere"]);
    let ending = tokio::task::spawn_blocking(|| launch.run()).await.expect("it runs");
    assert_eq!(ending.code, Some(1), "{ending:?}");
    assert!(ending.stderr.contains("the table 'elsewhere' of apps cannot be used"), "{ending:?}");
}

#[tokio::test]
async fn workers_sign_for_apps_in_the_table() {
    let (aws, mut receiver) = (table_with(apps()).await, Receiver::start().await);
    for queue in ["polled", "triggered"] {
        aws.create_queue(queue, 30, 100).await;
    }
    let poller = Poller::start(aws.address, "polled", "", &DYNAMODB);
    aws.send("polled", &[("a", job(&receiver, "/hook", "a", 1))]).await;
    assert_eq!(accepted(&mut receiver, 1).await, ["1"]);
    poller.stop().await;

    let mut variables = json!({"APP_MANAGER": "dynamodb", "AWS_EC2_METADATA_DISABLED": "true"});
    variables["AWS_ENDPOINT_URL"] = json!(format!("http://{}", aws.address));
    aws.create_function("triggered", 6, variables).await;
    aws.send("triggered", &[("a", job(&receiver, "/hook", "a", 2))]).await;
    assert_eq!(accepted(&mut receiver, 1).await, ["2"]);
    aws.drained("triggered").await;
}
