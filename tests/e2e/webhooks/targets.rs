//! Which target hears of what.

use serde_json::json;

use super::{all_that_arrives, node, told};
use crate::support::receiver::{Delivery, Receiver};

/// What was sent to a path, without regard to the order between channels.
fn told_at(deliveries: &[Delivery], path: &str) -> Vec<String> {
    let mut told: Vec<String> = deliveries
        .iter()
        .filter(|delivery| delivery.path() == path)
        .flat_map(|delivery| told(std::slice::from_ref(delivery)))
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn each_target_gets_the_kinds_and_channels_that_it_asked_for() {
    let mut receiver = Receiver::start().await;
    let at = |path: &str| receiver.url_of(path);
    let settings = json!({
        "app_webhook_url": at("/flat"), "app_webhook_filter_prefix": "presence-",
        "app_has_member_added_webhooks": true, "app_has_member_removed_webhooks": true,
        "webhooks": [
            {"url": at("/all"), "event_types": ["*"]},
            {"url": at("/arrivals"), "event_types": ["channel_occupied", "member_added"]},
            {"url": at("/shop"), "filter": {"channel_name_starts_with": "shop-"}},
            {"url": at("/seven"), "filter": {"channel_name_ends_with": "-7"}},
            {"url": at("/shop-seven"), "event_types": ["channel_vacated"],
             "filter": {"channel_name_starts_with": "shop-", "channel_name_ends_with": "-7"}},
        ],
    });
    let mut node = node(&receiver, settings);
    let mut client = node.connect().await;
    for channel in ["shop-1", "shop-7", "hall-7"] {
        client.subscribe(channel).await;
    }
    client.subscribe_presence("presence-room", "ann", json!({})).await;
    client.close().await;

    let deliveries = all_that_arrives(&mut node, &mut receiver).await;
    let both = |channels: &[&str]| {
        let kinds = ["channel_occupied", "channel_vacated"];
        let both =
            kinds.iter().flat_map(|kind| channels.iter().map(move |channel| format!("{kind} {channel}")));
        let mut both: Vec<String> = both.collect();
        both.sort();
        both
    };
    let members = ["member_added presence-room ann", "member_removed presence-room ann"];
    assert_eq!(told_at(&deliveries, "/flat"), members);
    let everything =
        [both(&["hall-7", "presence-room", "shop-1", "shop-7"]), members.map(str::to_owned).into()];
    assert_eq!(told_at(&deliveries, "/all"), everything.concat());
    let arrivals = [
        "channel_occupied hall-7",
        "channel_occupied presence-room",
        "channel_occupied shop-1",
        "channel_occupied shop-7",
        "member_added presence-room ann",
    ];
    assert_eq!(told_at(&deliveries, "/arrivals"), arrivals);
    assert_eq!(told_at(&deliveries, "/shop"), both(&["shop-1", "shop-7"]));
    assert_eq!(told_at(&deliveries, "/seven"), both(&["hall-7", "shop-7"]));
    assert_eq!(told_at(&deliveries, "/shop-seven"), ["channel_vacated shop-7"]);
}

#[tokio::test]
async fn a_target_gets_its_own_headers_and_no_others() {
    let mut receiver = Receiver::start().await;
    let settings = json!({"webhooks": [
        {"url": receiver.url_of("/one"), "event_types": ["channel_occupied"],
         "headers": {"Authorization": "Bearer one", "X-Tenant": "7"}},
        {"url": receiver.url_of("/two"), "event_types": ["channel_occupied"], "headers": {"X-Tenant": "8"}},
    ]});
    let node = node(&receiver, settings);
    node.connect().await.subscribe("room").await;
    for delivery in receiver.next_some(2).await {
        let (authorization, tenant) = match delivery.path() {
            "/one" => (Some("Bearer one"), Some("7")),
            _ => (None, Some("8")),
        };
        assert_eq!(delivery.header("authorization"), authorization, "{}", delivery.head);
        assert_eq!(delivery.header("x-tenant"), tenant, "{}", delivery.head);
        let signature = node.credentials.sign(&delivery.body);
        assert_eq!(delivery.header("x-pusher-signature"), Some(signature.as_str()));
    }
}

#[tokio::test]
async fn every_target_has_a_delivery_of_its_own() {
    let mut receiver = Receiver::start().await;
    let target = |path: &str| json!({"url": receiver.url_of(path), "event_types": ["channel_occupied"]});
    let node = node(&receiver, json!({"webhooks": [target("/one"), target("/two")]}));
    node.connect().await.subscribe("room").await;
    let deliveries = receiver.next_some(2).await;
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.header("x-socket-rush-delivery")).collect();
    assert_ne!(ids[0], ids[1]);
}
