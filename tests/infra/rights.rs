//! What programs ask of AWS, beside what their roles allow: neither may be more than the other.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{actions, policy_actions};
use crate::{
    cloud::{self, targets::create_forwarder},
    support::{
        aws::{Aws, dead_letters_of},
        node::{self, Launch},
        receiver::Receiver,
        wiretap::Wiretap,
    },
};

/// The settings of programs that find their apps in the table.
const TABLE: [&str; 4] = ["--app-manager", "dynamodb", "--dynamodb-table", "apps"];

/// Has `socket-rush apps` do something.
async fn apps(wiretap: &Wiretap, arguments: &[&str]) {
    let mut command = Command::new(node::binary());
    command.arg("apps").args(arguments).args(TABLE).env_clear().envs(Aws::variables(wiretap.address));
    let output = command.kill_on_drop(true).output().await.expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A table with an app that has webhooks to the receiver.
async fn make_app(aws: &Aws, receiver: &Receiver) {
    let wiretap = Wiretap::before(aws.address).await;
    apps(&wiretap, &["--create-table"]).await;
    let app = ["create", "--app-id", "1", "--app-key", "app-key", "--app-secret", cloud::SECRET];
    apps(&wiretap, &[&app[..], &["--app-webhooks-enabled", "--app-webhook-url", &receiver.url]].concat())
        .await;
}

/// Has a node hand webhooks over by this driver, and gives the actions that it has named until it ended.
async fn actions_of_a_node(aws: &Aws, driver: &Value) -> BTreeSet<String> {
    let wiretap = Wiretap::before(aws.address).await;
    let started = Launch::bare().config(driver).flags(TABLE).on_aws(wiretap.address);
    // The wiretap needs this thread if the test has no other.
    let mut node = tokio::task::spawn_blocking(|| started.start_alone()).await.expect("it starts");
    for room in ["a", "b", "c"] {
        node.connect().await.subscribe(room).await;
    }
    node.stop().await;
    wiretap.actions()
}

#[tokio::test]
async fn a_node_asks_of_table_and_queue_what_its_role_allows() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 60, 6).await;
    make_app(&aws, &receiver).await;
    // By its URL and by its name, as the settings allow.
    for queue in [aws.url("webhooks.fifo"), "webhooks.fifo".to_owned()] {
        let asked = actions_of_a_node(&aws, &json!({"queue_driver": "sqs", "sqs_queue_url": queue})).await;
        assert_eq!(asked, actions(("sockets", "NodeRole"), &["Apps", "AppsByKey", "Queue"]));
    }
}

#[tokio::test]
async fn a_node_asks_of_table_and_topic_what_its_role_allows() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 60, 6).await;
    make_app(&aws, &receiver).await;
    let topic = aws.create_topic("webhooks.fifo", "webhooks.fifo", true).await;
    let asked = actions_of_a_node(&aws, &json!({"queue_driver": "sns", "sns_topic_arn": topic})).await;
    assert_eq!(asked, actions(("sockets", "NodeRole"), &["Apps", "AppsByKey", "Topic"]));
}

#[tokio::test]
async fn the_function_asks_of_the_table_what_its_role_allows() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    make_app(&aws, &receiver).await;
    let wiretap = Wiretap::before(aws.address).await;
    // The emulator tells its functions where to find AWS, so this one is told by its command.
    aws.create_queue("webhooks", 10, 3).await;
    let variables = json!({"APP_MANAGER": "dynamodb", "DYNAMODB_TABLE": "apps"});
    aws.create_function_on(wiretap.address, "webhooks", 10, variables).await;
    aws.send("webhooks", &[("a", cloud::job(&receiver, "/hook", "a", 1))]).await;
    receiver.next().await;
    aws.drained("webhooks").await;
    // What it asks of the queue, Lambda itself asks in its name, as AWS documents it for event sources.
    let source = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"].map(String::from);
    assert_eq!(actions(("worker", "Role"), &["EventSource"]), BTreeSet::from(source));
    assert_eq!(wiretap.actions(), actions(("worker", "Role"), &["Apps"]));
    let log = ["logs:CreateLogStream", "logs:PutLogEvents"].map(String::from);
    assert_eq!(actions(("worker", "Role"), &["Log"]), BTreeSet::from(log));
    let all = super::policy_of("worker", "Role");
    assert_eq!(all.len(), 5, "it has no other right");
}

#[tokio::test]
async fn the_function_asks_of_targets_what_its_role_may_be_given() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    make_app(&aws, &receiver).await;
    let wiretap = Wiretap::before(aws.address).await;
    for queue in ["webhooks", "told.fifo"] {
        aws.create_queue(queue, 10, 3).await;
    }
    let topic = aws.create_topic("told.fifo", "told.fifo", true).await;
    create_forwarder(&aws, "hooks", &receiver, "/hook").await;
    let variables = json!({"APP_MANAGER": "dynamodb", "DYNAMODB_TABLE": "apps"});
    aws.create_function_on(wiretap.address, "webhooks", 10, variables).await;
    let endpoints =
        [json!({"sns_topic_arn": topic}), json!({"lambda_function": {"name": "hooks", "async": false}})];
    for (number, endpoint) in endpoints.into_iter().enumerate() {
        let mut job: Value =
            serde_json::from_str(&cloud::job(&receiver, "/hook", "a", number)).expect("JSON");
        job["endpoint"] = endpoint;
        aws.send("webhooks", &[("a", job.to_string())]).await;
    }
    receiver.next().await;
    aws.holds("told.fifo", [1, 0]).await;
    aws.drained("webhooks").await;
    assert_eq!(wiretap.actions(), actions(("worker", "Role"), &["Apps", "TargetTopics", "TargetFunctions"]));
}

#[tokio::test]
async fn whoever_looks_after_apps_asks_what_the_policy_for_that_allows() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    make_app(&aws, &receiver).await;
    let wiretap = Wiretap::before(aws.address).await;
    for arguments in [
        &["--create-table"][..],
        &["list"],
        &["show", "1"],
        &["update", "1", "--app-key", "other-key"],
        &["rotate", "1"],
        &["disable", "1"],
        &["export"],
        &["delete", "1"],
    ] {
        apps(&wiretap, arguments).await;
    }
    look_after_dead_letters(&aws, &wiretap, &receiver).await;
    // A transaction is allowed by what it does: it writes items, and deletes some.
    let mut asked = wiretap.actions();
    assert!(asked.remove("dynamodb:TransactWriteItems"), "{asked:?}");
    asked.extend(["dynamodb:DeleteItem", "dynamodb:PutItem"].map(String::from));
    assert_eq!(asked, policy_actions("data", "Management"));
}

/// Lists one, sends it again, and throws it away.
async fn look_after_dead_letters(aws: &Aws, wiretap: &Wiretap, receiver: &Receiver) {
    const QUEUE: &str = "webhooks.fifo";
    aws.create_queue(QUEUE, 30, 3).await;
    for words in [&["ls"][..], &["replay", "--app", "1"], &["purge", "--all"]] {
        // What is only looked at is still there for the next.
        if words[0] != "replay" {
            let job = cloud::job(receiver, "/hook", words[0], 1);
            aws.send(&dead_letters_of(QUEUE), &[("a", job)]).await;
        }
        let launch = Launch::unset().flags(["webhooks", "dlq"]).flags(words.iter().copied()).flags(TABLE);
        let launch =
            launch.flags(["--queue-driver", "sqs", "--sqs-queue-url", QUEUE]).on_aws(wiretap.address);
        // The wiretap needs this thread if the test has no other.
        let ending = tokio::task::spawn_blocking(|| launch.run()).await.expect("it runs");
        assert_eq!(ending.code, Some(0), "{words:?}: {}", ending.stderr);
    }
}
