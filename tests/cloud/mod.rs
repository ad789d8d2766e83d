//! Webhooks through the queues, topics and functions of a cloud, and apps in its tables. An emulator stands in for it.

mod apps;
mod commands;
mod faults;
mod function;
pub(crate) mod live_apps;
mod node;
mod poller;
mod sdks;
mod stores;
pub(crate) mod targets;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::{
    receiver::{Answer, Delivery, Receiver},
    signing::Credentials,
};

/// A secret that no message may hold.
pub(crate) const SECRET: &str = "canary-91f7-secret";

/// The app that the tests' jobs are of, as settings have it.
pub(crate) fn apps() -> Value {
    json!([{"app_id": "1", "app_key": "app-key", "app_secret": SECRET}])
}

/// A job as nodes put it into a queue: an event on this channel, at this path of the receiver.
pub(crate) fn job(receiver: &Receiver, path: &str, channel: &str, number: usize) -> String {
    job_of("1", &receiver.url_of(path), channel, number)
}

/// The id of a delivery with this number.
fn id_of(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// The same job of this app, at this URL.
fn job_of(app_id: &str, url: &str, channel: &str, number: usize) -> String {
    let time_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_millis();
    let event = json!({
        "name": "client_event", "channel": channel, "event": "client-n", "data": number.to_string(),
        "socket_id": "1.1",
    });
    let body = format!(r#"{{"time_ms":{time_ms},"events":[{event}]}}"#);
    json!({
        "v": 1, "id": id_of(number), "app_id": app_id, "endpoint": {"url": url}, "headers": [],
        "time_ms": u64::try_from(time_ms).expect("for a while"), "channels": [channel], "attempts": 0,
        "body": body,
    })
    .to_string()
}

/// Whether a delivery has the app's key and signature.
fn is_signed(delivery: &Delivery) -> bool {
    is_signed_by(delivery, &Credentials::new("1", "app-key", SECRET))
}

/// Whether it has those of an app with these credentials.
fn is_signed_by(delivery: &Delivery, credentials: &Credentials) -> bool {
    let signature = credentials.sign(&delivery.body);
    delivery.header("x-pusher-key") == Some(&*credentials.key)
        && delivery.header("x-pusher-signature") == Some(&*signature)
}

/// What a delivery of one event says, once its signature is found to be the app's.
fn number_in(delivery: &Delivery) -> String {
    assert!(is_signed(delivery), "{}", delivery.head);
    delivery.events()[0]["data"].as_str().expect("data is a text").to_owned()
}

/// What so many deliveries that were answered 200 say, in the order in which they came.
async fn accepted(receiver: &mut Receiver, count: usize) -> Vec<String> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let delivery = receiver.next_within(Duration::from_secs(60)).await;
        if delivery.answer == Answer::Status(200) {
            numbers.push(number_in(&delivery));
        }
    }
    numbers
}
