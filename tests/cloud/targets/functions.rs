//! Functions in Lambda.

use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{DEADLINE, create_forwarder, invocation, number_in, say, settings, speaker, start};
use crate::support::{
    api::raw_request,
    aws::Aws,
    aws_faults::{Fault, Faults},
    node::{Launch, Node},
    receiver::{Answer, Receiver},
};

/// Waits until one of a node's metrics is at least this.
async fn metric_reaches(node: &Node, name: &str, least: f64) {
    let request = "GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    let address = node.metrics.expect("metrics were asked for");
    let looking = timeout(DEADLINE, async {
        loop {
            let page = raw_request(address, request).await.expect("an answer");
            let value = page.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            if value.and_then(|value| value.parse::<f64>().ok()).is_some_and(|value| value >= least) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    looking.await.unwrap_or_else(|_| panic!("{name} does not reach {least}"));
}

#[tokio::test]
async fn a_function_is_invoked_in_both_ways() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    create_forwarder(&aws, "hooks", &receiver, "/hook").await;
    let arn = "arn:aws:lambda:us-east-1:000000000000:function:hooks";
    for target in [
        json!({"lambda_function": "hooks"}),
        json!({"lambda_function": arn, "headers": {"X-Tenant": "seven"}}),
        json!({"lambda_function": "hooks", "lambda": {"async": true, "region": "us-east-1"}}),
    ] {
        let metrics = ["--metrics-enabled", "--metrics-port", "0"];
        let launch = Launch::bare().config(&settings(&target, &[])).flags(metrics).on_aws(aws.address);
        let node = start(launch).await;
        say(&mut speaker(&node).await, 7..8).await;
        let event = invocation(&receiver.next_within(DEADLINE).await);
        assert_eq!(number_in(event["body"].as_str().expect("a text")), 7);
        assert_eq!(event["headers"]["X-Socket-Rush-Attempt"], "1");
        assert_eq!(event["headers"]["X-Tenant"].as_str(), target["headers"]["X-Tenant"].as_str());
        metric_reaches(&node, "socket_rush_webhooks_delivered_total", 1.0).await;
    }
    assert!(receiver.arrived().is_empty(), "something came twice");
}

#[tokio::test]
async fn a_function_that_is_not_waited_for_may_fail_without_a_further_attempt() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    create_forwarder(&aws, "hooks", &receiver, "/hook").await;
    receiver.always_answer("/hook", Answer::Status(500));
    let target = json!({"lambda_function": "hooks", "lambda": {"async": true}});
    let metrics = ["--metrics-enabled", "--metrics-port", "0"];
    let launch = Launch::bare().config(&settings(&target, &[])).flags(metrics).on_aws(aws.address);
    let node = start(launch).await;
    say(&mut speaker(&node).await, 0..1).await;
    receiver.next_within(DEADLINE).await;
    metric_reaches(&node, "socket_rush_webhooks_delivered_total", 1.0).await;
    assert!(!node.log().contains("failed"), "{}", node.log());
}

#[tokio::test]
async fn a_function_that_fails_for_a_while_gets_its_webhooks_again_in_order() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    create_forwarder(&aws, "hooks", &receiver, "/hook").await;
    receiver.answer("/hook", [Answer::Status(500), Answer::Status(503)]);
    let node = start(
        Launch::bare().config(&settings(&json!({"lambda_function": "hooks"}), &[])).on_aws(aws.address),
    )
    .await;
    say(&mut speaker(&node).await, 0..2).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let event = invocation(&receiver.next_within(DEADLINE).await);
        let attempt = event["headers"]["X-Socket-Rush-Attempt"].as_str().expect("a text").to_owned();
        let id = event["headers"]["X-Socket-Rush-Delivery"].as_str().expect("a text").to_owned();
        seen.push((number_in(event["body"].as_str().expect("a text")), attempt, id));
    }
    let attempts: Vec<_> = seen.iter().map(|(number, attempt, _)| (*number, attempt.as_str())).collect();
    assert_eq!(attempts, [(0, "1"), (0, "2"), (0, "3"), (1, "1")]);
    assert!(seen[0].2 == seen[1].2 && seen[1].2 == seen[2].2 && seen[2].2 != seen[3].2);
}

#[tokio::test]
async fn whatever_aws_refuses_for_a_while_is_tried_again() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    create_forwarder(&aws, "hooks", &receiver, "/hook").await;
    let faults = Faults::before(aws.address, "/invocations").await;
    for (number, fault) in [
        Fault::Refuse(429, "TooManyRequestsException"),
        Fault::Refuse(403, "AccessDeniedException"),
        Fault::Refuse(404, "ResourceNotFoundException"),
        Fault::Refuse(500, "ServiceException"),
    ]
    .into_iter()
    .enumerate()
    {
        let target = json!({"lambda_function": "hooks"});
        let launch = Launch::bare().config(&settings(&target, &[])).flags(["--log-level", "debug"]);
        let mut node = start(launch.on_aws(faults.address)).await;
        let before = faults.requests();
        faults.set(&[fault]);
        say(&mut speaker(&node).await, number..number + 1).await;
        let refused = timeout(DEADLINE, async {
            while faults.requests() == before {
                sleep(Duration::from_millis(5)).await;
            }
        });
        refused.await.expect("it is sent");
        let Fault::Refuse(_, code) = fault else { unreachable!("all of them are refusals") };
        node.wait_for_log(&format!("({code})")).await;
        faults.set(&[]);
        let event = invocation(&receiver.next_within(DEADLINE).await);
        assert_eq!(number_in(event["body"].as_str().expect("a text")), number);
        assert_ne!(event["headers"]["X-Socket-Rush-Attempt"], "1");
        node.stop().await;
        assert!(!node.log().contains("by order of the test"), "what AWS says is not repeated");
    }
}
