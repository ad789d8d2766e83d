//! Which events share a request.

use serde_json::json;

use super::{app, node, told};
use crate::support::{
    client::Client,
    node::Launch,
    receiver::{Delivery, Receiver},
    signing::Credentials,
};

/// Asks for all of these channels in one write, so that they come within one window.
async fn subscribe_at_once(client: &mut Client, channels: &[String]) {
    let ask = |channel: &String| {
        let auth = client.channel_auth(channel, None);
        json!({"event": "pusher:subscribe", "data": {"channel": channel, "auth": auth}})
    };
    let asks: Vec<_> = channels.iter().map(ask).collect();
    client.send_at_once(asks).await;
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}{number}")).collect()
}

/// Webhooks until they have told so many events.
async fn until_told(receiver: &mut Receiver, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    while told(&deliveries).len() < count {
        deliveries.push(receiver.next().await);
    }
    deliveries
}

#[tokio::test]
async fn apps_that_share_an_endpoint_never_share_a_request() {
    let mut receiver = Receiver::start().await;
    let only_occupied = json!([{"url": receiver.url, "event_types": ["channel_occupied"]}]);
    let of = |id: &str, key: &str, secret: &str| {
        let settings = json!({
            "app_id": id, "app_key": key, "app_secret": secret,
            "app_has_webhook_batching_enabled": true, "webhooks": only_occupied,
        });
        app(&receiver, settings)
    };
    let apps = [of("1", "key-1", "secret-1"), of("2", "key-2", "secret-2")];
    let node = Launch::bare().config(&json!({"applications": apps})).start();
    let credentials =
        [Credentials::new("1", "key-1", "secret-1"), Credentials::new("2", "key-2", "secret-2")];
    let mut one = node.connect_as(&credentials[0]).await;
    let mut two = node.connect_as(&credentials[1]).await;
    // Both within the same window.
    subscribe_at_once(&mut one, &numbered("one-", 10)).await;
    subscribe_at_once(&mut two, &numbered("two-", 10)).await;

    let deliveries = until_told(&mut receiver, 20).await;
    assert!(deliveries.len() < 20, "nothing was gathered: {deliveries:?}");
    for delivery in &deliveries {
        let of_one = delivery.header("x-pusher-key") == Some("key-1");
        let (owner, prefix) = if of_one { (&credentials[0], "one-") } else { (&credentials[1], "two-") };
        assert_eq!(delivery.header("x-pusher-key"), Some(owner.key.as_str()));
        let signature = owner.sign(&delivery.body);
        assert_eq!(delivery.header("x-pusher-signature"), Some(signature.as_str()));
        for event in delivery.events() {
            assert!(event["channel"].as_str().is_some_and(|name| name.starts_with(prefix)), "{delivery:?}");
        }
    }
}

#[tokio::test]
async fn an_encrypted_channel_is_told_of_alone_and_others_together() {
    let mut receiver = Receiver::start().await;
    let settings = json!({
        "app_has_webhook_batching_enabled": true,
        "webhooks": [{"url": receiver.url, "event_types": ["channel_occupied"]}],
    });
    let node = node(&receiver, settings);
    let mut client = node.connect().await;
    let channels = [numbered("private-", 5), numbered("private-encrypted-", 3)].concat();
    subscribe_at_once(&mut client, &channels).await;
    let deliveries = until_told(&mut receiver, 8).await;
    let (encrypted, others): (Vec<_>, Vec<_>) =
        deliveries.into_iter().partition(|delivery| delivery.body.contains("private-encrypted-"));
    assert_eq!(encrypted.len(), 3);
    assert!(encrypted.iter().all(|delivery| delivery.events().len() == 1));
    assert!(others.len() < 5, "nothing was gathered: {others:?}");
}

#[tokio::test]
async fn without_batching_every_event_has_a_request_of_its_own() {
    let mut receiver = Receiver::start().await;
    let node = super::node_that_tells(&receiver, &["channel_occupied"]);
    let mut client = node.connect().await;
    subscribe_at_once(&mut client, &numbered("room-", 20)).await;
    let deliveries = receiver.next_some(20).await;
    assert!(deliveries.iter().all(|delivery| delivery.events().len() == 1), "{deliveries:?}");
}
