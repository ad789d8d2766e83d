//! Official server SDKs as endpoints: what came through a queue and a worker is as valid to them as what a node sends.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{
    sdk::suite::{Suite, endpoint},
    support::{
        aws::Aws,
        node::{Launch, Node},
        poller::Poller,
    },
};

/// The queue of these tests.
const QUEUE: &str = "webhooks.fifo";

/// The app that suites speak for.
fn apps(endpoint: SocketAddr) -> Value {
    json!([{
        "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_enable_client_messages": true,
        "app_enable_subscription_count": true, "app_webhooks_enabled": true,
        "app_webhook_url": format!("http://{endpoint}/hook"),
    }])
}

/// A node that hands webhooks for this endpoint over to the queue.
fn node(aws: &Aws, endpoint: SocketAddr) -> Node {
    let settings = json!({"queue_driver": "sqs", "sqs_queue_url": QUEUE, "applications": apps(endpoint)});
    Launch::bare().config(&settings).on_aws(aws.address).start_alone()
}

#[tokio::test]
async fn the_node_and_the_python_sdk_find_webhooks_of_the_poller_valid() {
    let suites = [
        (Suite::javascript("webhooks.mjs"), endpoint("127.0.0.73")),
        (Suite::python("python_webhooks.py"), endpoint("127.0.0.74")),
    ];
    for (suite, endpoint) in suites {
        let aws = Aws::start().await;
        aws.create_queue(QUEUE, 30, 100).await;
        let poller = Poller::start(aws.address, QUEUE, &apps(endpoint).to_string(), &[]);
        suite.with("SOCKET_RUSH_WEBHOOK_ENDPOINT", &endpoint).run(&node(&aws, endpoint)).await;
        poller.stop().await;
    }
}

#[tokio::test]
async fn the_node_and_the_python_sdk_find_webhooks_of_the_function_valid() {
    let suites = [
        (Suite::javascript("webhooks.mjs"), endpoint("127.0.0.75")),
        (Suite::python("python_webhooks.py"), endpoint("127.0.0.76")),
    ];
    for (suite, endpoint) in suites {
        let aws = Aws::start().await;
        aws.create_queue(QUEUE, 6, 100).await;
        aws.create_function(QUEUE, 6, json!({"APPS": apps(endpoint).to_string()})).await;
        suite.with("SOCKET_RUSH_WEBHOOK_ENDPOINT", &endpoint).run(&node(&aws, endpoint)).await;
    }
}
