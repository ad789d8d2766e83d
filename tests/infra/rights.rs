//! What programs ask of AWS, beside what their roles allow: neither may be more than the other.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::process::Command;

use super::{actions, policy_actions};
use crate::{
    cloud,
    support::{
        aws::Aws,
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
    assert_eq!(all.len(), 3, "it has no other right");
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
    // A transaction is allowed by what it does: it writes items, and deletes some.
    let mut asked = wiretap.actions();
    assert!(asked.remove("dynamodb:TransactWriteItems"), "{asked:?}");
    asked.extend(["dynamodb:DeleteItem", "dynamodb:PutItem"].map(String::from));
    assert_eq!(asked, policy_actions("data", "Management"));
}
