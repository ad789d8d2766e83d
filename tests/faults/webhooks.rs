//! Endpoints that fail, and apps that batch, with two nodes that send.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{launch_with_webhooks, told_by};
use crate::support::{
    cluster::Cluster,
    node::Launch,
    receiver::{Answer, Receiver},
    signing::Credentials,
};

#[tokio::test]
async fn an_endpoint_that_failed_for_eight_seconds_gets_every_webhook_when_it_is_well() {
    let mut receiver = Receiver::start().await;
    receiver.always_answer("/hook", Answer::Status(500));
    let cluster = Cluster::of(2, || launch_with_webhooks(&receiver, &["channel_occupied"]));
    let (mut here, mut there) = (cluster.node(0).connect().await, cluster.node(1).connect().await);
    here.subscribe("here").await;
    there.subscribe("there").await;
    sleep(Duration::from_secs(8)).await;
    receiver.always_answer("/hook", Answer::Status(200));
    let mut told = Vec::new();
    while told.len() < 2 {
        let delivery = receiver.next_within(Duration::from_secs(40)).await;
        if delivery.answer == Answer::Status(200) {
            told.extend(told_by(&delivery));
        }
    }
    told.sort();
    assert_eq!(told, ["channel_occupied here", "channel_occupied there"]);
}

#[tokio::test]
async fn batches_of_two_apps_go_to_their_own_endpoints_under_their_own_keys() {
    let mut receivers = [Receiver::start().await, Receiver::start().await];
    let app = |number: usize, url: &str| {
        json!({
            "app_id": number.to_string(), "app_key": format!("key-{number}"), "app_secret": "secret",
            "app_webhooks_enabled": true, "app_has_webhook_batching_enabled": true,
            "webhooks": [{"url": url, "event_types": ["channel_occupied"]}],
        })
    };
    let apps: Vec<Value> =
        receivers.iter().enumerate().map(|(number, receiver)| app(number, &receiver.url)).collect();
    let cluster = Cluster::of(2, || Launch::bare().config(&json!({"applications": apps})));
    let mut clients = Vec::new();
    for number in 0..2 {
        let credentials = Credentials::new(&number.to_string(), &format!("key-{number}"), "secret");
        clients.push(cluster.node(number).connect_as(&credentials).await);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.subscribe(&format!("channel-of-{number}")).await;
    }
    for (number, receiver) in receivers.iter_mut().enumerate() {
        let delivery = receiver.next().await;
        assert_eq!(told_by(&delivery), [format!("channel_occupied channel-of-{number}")]);
        assert_eq!(delivery.header("x-pusher-key"), Some(format!("key-{number}").as_str()));
    }
}
