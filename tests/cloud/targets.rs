//! Targets of webhooks in the cloud: topics in SNS and functions in Lambda.

mod functions;
mod topics;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{SECRET, apps};
use crate::support::{
    aws::{Aws, Message},
    client::Client,
    node::{Launch, Node},
    poller::Poller,
    receiver::{Answer, Delivery, Receiver},
    signing::Credentials,
};

/// The longest that anything may take here.
const DEADLINE: Duration = Duration::from_secs(60);

/// The channel in which things happen.
const CHANNEL: &str = "private-room";

/// An app whose client events go to this target.
fn app(target: &Value) -> Value {
    let mut target = target.clone();
    target["event_types"] = json!(["client_event"]);
    json!({
        "app_id": "1", "app_key": "app-key", "app_secret": SECRET, "app_enable_client_messages": true,
        "app_webhooks_enabled": true, "webhooks": [target],
    })
}

/// The settings of a node with that app, and more.
fn settings(target: &Value, more: &[(&str, Value)]) -> Value {
    let mut settings = json!({ "applications": [app(target)] });
    for (key, value) in more {
        settings[*key] = value.clone();
    }
    settings
}

async fn start(launch: Launch) -> Node {
    // Proxies and receivers need this thread if the test has no other.
    tokio::task::spawn_blocking(|| launch.start_alone()).await.expect("it starts")
}

/// Has a client say these numbers.
async fn say(client: &mut Client, numbers: std::ops::Range<usize>) {
    let event = |number| json!({"event": "client-n", "channel": CHANNEL, "data": number});
    client.send_at_once(numbers.map(event)).await;
}

async fn speaker(node: &Node) -> Client {
    let mut client = node.connect().await;
    client.subscribe_private(CHANNEL).await;
    client
}

fn signature_of(body: &str) -> String {
    Credentials::new("1", "app-key", SECRET).sign(body)
}

/// The number that a body says.
fn number_in(body: &str) -> usize {
    let body: Value = serde_json::from_str(body).expect("JSON");
    body["events"][0]["data"].as_str().expect("data is a text").parse().expect("a number")
}

/// The next so many messages of a queue behind a topic, each found to be signed and told from others.
async fn notified(aws: &Aws, queue: &str, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    let taking = timeout(DEADLINE, async {
        while messages.len() < count {
            messages.extend(aws.take(queue).await);
            sleep(Duration::from_millis(20)).await;
        }
    });
    taking.await.unwrap_or_else(|_| panic!("not all of {count} came"));
    assert_eq!(messages.len(), count);
    for Message { body, attributes, .. } in &messages {
        assert_eq!(attributes["EventName"], "pusher-webhook");
        assert_eq!(attributes["X-Pusher-Key"], "app-key");
        assert_eq!(attributes["X-Pusher-Signature"], signature_of(body), "{body}");
        assert!(attributes["X-Socket-Rush-Delivery"].as_str().is_some_and(|id| id.len() == 36));
        assert!(!body.contains(SECRET));
    }
    messages
}

fn numbers(messages: &[Message]) -> Vec<usize> {
    messages.iter().map(|message| number_in(&message.body)).collect()
}

/// Makes a function that hands what it is invoked with on to this path of a receiver, and fails if that does not take it.
pub(crate) async fn create_forwarder(aws: &Aws, name: &str, receiver: &Receiver, path: &str) {
    const CODE: &str = "
import json, os, urllib.request

def handler(event, context):
    request = urllib.request.Request(os.environ['RECEIVER'], json.dumps(event).encode())
    with urllib.request.urlopen(request, timeout=5):
        return 'taken'
";
    aws.create_python_function(name, CODE, json!({"RECEIVER": receiver.url_of(path)})).await;
}

/// What a function was invoked with, once it is found to be signed, and to say in its parts what was signed.
fn invocation(delivery: &Delivery) -> Value {
    let event: Value = serde_json::from_str(&delivery.body).expect("JSON");
    let body = event["body"].as_str().expect("the text that was signed");
    assert_eq!(event["headers"]["X-Pusher-Key"], "app-key");
    assert_eq!(event["headers"]["X-Pusher-Signature"], signature_of(body));
    assert_eq!(event["payload"], serde_json::from_str::<Value>(body).expect("JSON"));
    event
}

#[tokio::test]
async fn workers_deliver_from_a_queue_to_a_topic_and_a_function() {
    for by_function in [false, true] {
        let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
        aws.create_queue("webhooks", 12, 10).await;
        aws.create_queue("events", 30, 3).await;
        let arn = aws.create_topic("hooks", "events", true).await;
        create_forwarder(&aws, "forwarder", &receiver, "/hook").await;
        let poller = if by_function {
            let mut variables = json!({"APPS": apps().to_string()});
            for (name, value) in Aws::variables(aws.address) {
                variables[name] = json!(value);
            }
            aws.create_function("webhooks", 12, variables).await;
            None
        } else {
            Some(Poller::start(aws.address, "webhooks", &apps().to_string(), &[]))
        };
        let queue = [("queue_driver", json!("sqs")), ("sqs_queue_url", json!("webhooks"))];
        let mut settings = settings(&json!({"sns_topic_arn": arn}), &queue);
        let mut function = settings["applications"][0]["webhooks"][0].clone();
        function.as_object_mut().expect("a target").remove("sns_topic_arn");
        function["lambda_function"] = json!("forwarder");
        settings["applications"][0]["webhooks"].as_array_mut().expect("targets").push(function);
        let node = start(Launch::bare().config(&settings).on_aws(aws.address)).await;
        say(&mut speaker(&node).await, 0..3).await;
        let mut numbers = numbers(&notified(&aws, "events", 3).await);
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2]);
        for _ in 0..3 {
            invocation(&receiver.next_within(DEADLINE).await);
        }
        aws.drained("webhooks").await;
        drop((poller, node));
    }
}

#[tokio::test]
async fn topics_and_functions_can_be_tried() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    create_forwarder(&aws, "hooks", &receiver, "/hook").await;
    aws.create_queue("events", 30, 3).await;
    let topic = aws.create_topic("hooks", "events", true).await;
    let test = async |address: &str| {
        let launch =
            Launch::unset().flags(["webhooks", "test", address]).config(&json!({"applications": apps()}));
        let launch = launch.on_aws(aws.address);
        tokio::task::spawn_blocking(|| launch.run()).await.expect("it runs")
    };
    let ending = test(&topic).await;
    assert!(ending.code == Some(0) && ending.stdout.contains("taken with 200"), "{ending:?}");
    assert!(notified(&aws, "events", 1).await[0].body.contains("socket-rush-test"));

    let function = "arn:aws:lambda:us-east-1:000000000000:function:hooks";
    assert_eq!(test(function).await.code, Some(0));
    invocation(&receiver.next_within(DEADLINE).await);
    receiver.always_answer("/hook", Answer::Status(500));
    let ending = test(function).await;
    assert_eq!(ending.code, Some(1));
    assert!(ending.stdout.contains("the function failed with "), "{}", ending.stdout);
    let ending = test(&format!("{function}-lost")).await;
    assert!(ending.stdout.contains("there is no such function"), "{}", ending.stdout);
    assert!(test("arn:aws:sns:x").await.stderr.contains("must be the ARN of a topic"));
}
