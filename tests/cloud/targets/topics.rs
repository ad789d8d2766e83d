//! Topics in SNS.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{DEADLINE, notified, numbers, say, settings, speaker, start};
use crate::{
    e2e::settings::app_launches,
    support::{aws::Aws, node::Launch, redis::Redis},
};

#[tokio::test]
async fn a_topic_gets_the_exact_body_and_what_it_takes_to_verify_it() {
    let aws = Aws::start().await;
    for (topic, queue) in [("hooks", "events"), ("hooks.fifo", "events.fifo")] {
        aws.create_queue(queue, 30, 3).await;
        let arn = aws.create_topic(topic, queue, true).await;
        let target = json!({"sns_topic_arn": arn, "headers": {"Tenant": "seven"}});
        let node = start(Launch::bare().config(&settings(&target, &[])).on_aws(aws.address)).await;
        say(&mut speaker(&node).await, 0..15).await;
        let messages = notified(&aws, queue, 15).await;
        assert!(messages.iter().all(|message| message.attributes["Tenant"] == "seven"));
        let mut numbers = numbers(&messages);
        if queue == "events" {
            numbers.sort_unstable();
        }
        assert!(numbers.into_iter().eq(0..15), "a FIFO topic keeps the order of a channel");
    }
}

#[tokio::test]
async fn the_flat_settings_of_a_topic_work_in_every_place() {
    let aws = Aws::start().await;
    aws.create_queue("events", 30, 3).await;
    let arn = aws.create_topic("hooks", "events", true).await;
    let flat = json!({
        "app_webhooks_enabled": true, "app_webhook_sns_topic_arn": arn, "app_webhook_sns_region": "us-east-1",
        "app_has_channel_occupied_webhooks": true, "app_webhook_filter_prefix": "shop-",
    });
    for launch in app_launches(&flat) {
        let mut node = start(launch.on_aws(aws.address)).await;
        let mut client = node.connect().await;
        client.subscribe("room").await;
        client.subscribe("shop-1").await;
        node.stop().await;
        let messages = aws.take("events").await;
        let [message] = messages.as_slice() else { panic!("one message, not {messages:?}") };
        let body: Value = serde_json::from_str(&message.body).expect("JSON");
        assert_eq!(body["events"], json!([{"name": "channel_occupied", "channel": "shop-1"}]));
    }
}

#[tokio::test]
async fn webhooks_that_wait_in_redis_reach_a_topic() {
    let (aws, redis) = (Aws::start().await, Redis::start());
    aws.create_queue("events", 30, 3).await;
    let arn = aws.create_topic("hooks", "events", true).await;
    let queue = [("queue_driver", json!("redis")), ("redis_url", json!(redis.address.to_string()))];
    let settings = settings(&json!({"sns_topic_arn": arn}), &queue);
    let node = start(Launch::bare().config(&settings).on_aws(aws.address)).await;
    say(&mut speaker(&node).await, 0..5).await;
    let mut numbers = numbers(&notified(&aws, "events", 5).await);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..5));
}

#[tokio::test]
async fn what_a_dead_topic_does_not_take_becomes_a_dead_letter_and_can_be_replayed() {
    let (aws, redis) = (Aws::start().await, Redis::start());
    let arn = "arn:aws:sns:us-east-1:000000000000:late";
    let settings = settings(
        &json!({ "sns_topic_arn": arn }),
        &[
            ("queue_driver", json!("redis")),
            ("redis_url", json!(redis.address.to_string())),
            ("webhook_retry_seconds", json!(15)),
        ],
    );
    let node = start(Launch::bare().config(&settings).on_aws(aws.address)).await;
    say(&mut speaker(&node).await, 0..1).await;
    node.wait_for_log("gave up webhook").await;
    let dlq = async |words: &str| {
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let launch = Launch::unset().flags(words).config(&settings).on_aws(aws.address);
        tokio::task::spawn_blocking(|| launch.run()).await.expect("it runs")
    };
    let listed = timeout(DEADLINE, async {
        loop {
            let listed = dlq(&format!("webhooks dlq ls --url {arn}")).await;
            if listed.code == Some(0) {
                return listed.stdout;
            }
        }
    });
    let listed = listed.await.expect("it is buried");
    assert!(
        listed.contains(arn) && listed.contains("there is no such topic, or not yet (NotFound)"),
        "{listed}"
    );
    assert_eq!(dlq("webhooks dlq ls --url another").await.code, Some(1));
    let shown: Value = serde_json::from_str(&dlq("webhooks dlq show").await.stdout).expect("JSON");
    assert_eq!(shown["webhook"]["sns_topic_arn"], arn);

    aws.create_queue("events", 30, 3).await;
    aws.create_topic("late", "events", true).await;
    assert_eq!(dlq("webhooks dlq replay --url late").await.code, Some(0));
    assert_eq!(numbers(&notified(&aws, "events", 1).await), [0]);
}
