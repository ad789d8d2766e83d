//! Webhooks, from what clients do to what a customer's endpoint gets.

mod batches;
mod contents;
mod failures;
mod flaps;
mod targets;

use serde_json::{Value, json};

use crate::support::{
    node::{Launch, Node},
    receiver::{Delivery, Receiver},
};

/// The usual app with all of its webhooks to the receiver, changed by these settings.
fn app(receiver: &Receiver, settings: Value) -> Value {
    let mut app = json!({
        "app_id": "1", "app_key": "app-key", "app_secret": "app-secret",
        "app_enable_client_messages": true, "app_webhooks_enabled": true, "webhooks": [{"url": receiver.url}],
    });
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    app.as_object_mut().expect("it is one").extend(settings);
    app
}

/// A node with that app.
fn node(receiver: &Receiver, settings: Value) -> Node {
    Launch::bare().config(&json!({"applications": [app(receiver, settings)]})).start()
}

/// A node whose app sends these kinds, and no other.
fn node_that_tells(receiver: &Receiver, kinds: &[&str]) -> Node {
    node(receiver, json!({"webhooks": [{"url": receiver.url, "event_types": kinds}]}))
}

/// All events of these webhooks, in their order, as the JSON that was sent.
fn events(deliveries: &[Delivery]) -> Vec<Value> {
    deliveries.iter().flat_map(Delivery::events).collect()
}

/// All events as `name channel` and, where there is one, the user.
fn told(deliveries: &[Delivery]) -> Vec<String> {
    let words = |event: &Value| {
        let words = ["name", "channel", "user_id"].map(|key| event[key].as_str().unwrap_or_default());
        words.join(" ").trim_end().to_owned()
    };
    events(deliveries).iter().map(words).collect()
}

/// Stops the node, which makes it tell everything that it has to tell, and returns what arrived.
async fn all_that_arrives(node: &mut Node, receiver: &mut Receiver) -> Vec<Delivery> {
    node.stop().await;
    receiver.arrived()
}
