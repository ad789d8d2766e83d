//! What programs ask of AWS, beside what their roles allow: neither may be more than the other.

use serde_json::{Value, json};

use super::{actions, properties};
use crate::support::{aws::Aws, node::Launch, receiver::Receiver, wiretap::Wiretap};

/// Has a node hand webhooks over by this driver, and gives the actions that it has named until it ended.
async fn actions_of_a_node(aws: &Aws, receiver: &Receiver, driver: &Value) -> Vec<String> {
    let wiretap = Wiretap::before(aws.address).await;
    let mut settings = json!({
        "applications": [{
            "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_webhooks_enabled": true,
            "app_webhook_url": receiver.url,
        }],
    });
    for (key, value) in driver.as_object().expect("settings") {
        settings[key] = value.clone();
    }
    let started = Launch::bare().config(&settings).on_aws(wiretap.address);
    // The wiretap needs this thread if the test has no other.
    let mut node = tokio::task::spawn_blocking(|| started.start_alone()).await.expect("it starts");
    for room in ["a", "b", "c"] {
        node.connect().await.subscribe(room).await;
    }
    node.stop().await;
    wiretap.actions().into_iter().collect()
}

#[tokio::test]
async fn a_node_asks_of_a_queue_what_its_role_allows() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 60, 6).await;
    // By its URL and by its name, as the settings allow.
    for queue in [aws.url("webhooks.fifo"), "webhooks.fifo".to_owned()] {
        let driver = json!({"queue_driver": "sqs", "sqs_queue_url": queue});
        let asked = actions_of_a_node(&aws, &receiver, &driver).await;
        assert_eq!(asked, actions(("sockets", "NodeRole"), &["Queue"]));
    }
}

#[tokio::test]
async fn a_node_asks_of_a_topic_what_its_role_allows() {
    let (aws, receiver) = (Aws::start().await, Receiver::start().await);
    aws.create_queue("webhooks.fifo", 60, 6).await;
    let topic = aws.create_topic("webhooks.fifo", "webhooks.fifo", true).await;
    let driver = json!({"queue_driver": "sns", "sns_topic_arn": topic});
    let asked = actions_of_a_node(&aws, &receiver, &driver).await;
    assert_eq!(asked, actions(("sockets", "NodeRole"), &["Topic"]));
}

/// What Lambda asks of a queue in the name of a function, as AWS documents it for event sources; the function itself
/// asks nothing.
#[test]
fn the_function_has_the_rights_of_its_event_source_and_of_its_log() {
    let source = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];
    assert_eq!(actions(("worker", "Role"), &["EventSource"]), source);
    assert_eq!(actions(("worker", "Role"), &["Log"]), ["logs:CreateLogStream", "logs:PutLogEvents"]);
    let statements = properties("worker", "Role")["Policies"][0]["PolicyDocument"]["Statement"].as_array();
    assert_eq!(statements.map(Vec::len), Some(2), "it has no other");
}
