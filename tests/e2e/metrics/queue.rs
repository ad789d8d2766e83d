//! What moves the metrics of the queue in Redis.

use serde_json::json;

use super::Values;
use crate::support::{
    node::Launch,
    receiver::{Answer, Receiver},
    redis::Redis,
};

pub(super) const BY_QUEUEING: &[&str] = &[
    "webhook_queue_depth",
    "webhook_dead_letters",
    "webhook_queue_shards",
    "webhook_queue_leaving",
    "webhook_queue_reconnects_total",
];

#[tokio::test]
async fn what_waits_in_redis_and_what_died_there_moves_the_metrics() {
    let (receiver, mut redis) = (Receiver::start().await, Redis::start());
    receiver.always_answer("/hook", Answer::Status(500));
    let settings = json!({
        "queue_driver": "redis", "redis_url": redis.address.to_string(), "redis_prefix": "moved",
        "metrics_enabled": true, "metrics_port": 0,
        "applications": [{
            "app_id": "1", "app_key": "app-key", "app_secret": "app-secret", "app_webhooks_enabled": true,
            "webhooks": [{"url": receiver.url, "event_types": ["channel_occupied"]}],
        }],
    });
    let node = Launch::bare().config(&settings).start_alone();
    let before = Values::of(&node).await;
    let mut client = node.connect().await;
    client.subscribe("room").await;
    let () = redis.ask(&["XADD", "moved:{5}:queue", "1-1", "job", "no job at all"]);
    let is_there = |values: &Values| {
        let figures = ["webhook_queue_depth", "webhook_dead_letters", "webhook_queue_shards"];
        figures.map(|name| values.get(name)) == [1.0, 1.0, 16.0]
    };
    let there = Values::once(&node, is_there).await;
    redis.kill();
    client.subscribe("hall").await;
    let away = Values::once(&node, |values| values.get("webhook_queue_leaving") == 1.0).await;
    redis.restart();
    let is_back = |values: &Values| {
        values.get("webhook_queue_reconnects_total") > 0.0 && values.get("webhook_dead_letters") == 0.0
    };
    let back = Values::once(&node, is_back).await;
    // When it was looked at first, it may have had all shards already.
    let _other = Launch::bare().config(&settings).start_alone();
    let divided = Values::once(&node, |values| values.get("webhook_queue_shards") == 8.0).await;
    there.assert_grown(&before, &BY_QUEUEING[..2]);
    there.assert_grown(&divided, &BY_QUEUEING[2..3]);
    away.assert_grown(&before, &BY_QUEUEING[3..4]);
    back.assert_grown(&before, &BY_QUEUEING[4..]);
}
