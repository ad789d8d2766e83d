//! A node that is told to stop: its clients are sent away bit by bit, and nobody's request fails.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    api::Connection,
    client::Client,
    node::{Launch, Node},
    raw::Raw,
    receiver::Receiver,
};

const CLIENTS: usize = 2_000;
const GRACE: Duration = Duration::from_secs(20);

/// Reads on until the node says goodbye; when that was.
async fn goodbye(mut client: Client) -> Instant {
    loop {
        match client.message_within(GRACE).await {
            Some(Message::Close(Some(close))) => {
                assert_eq!(u16::from(close.code), 4200);
                let when = Instant::now();
                while client.message().await.is_some() {}
                return when;
            }
            Some(Message::Text(_) | Message::Ping(_)) => {}
            other => panic!("instead of a goodbye: {other:?}"),
        }
    }
}

/// Publishes until the port is closed; how often. Every answer must be a good one.
async fn publish_to_the_end(node: &Node) -> usize {
    let api = node.api();
    let body = json!({"name": "tick", "channel": "room", "data": "{}"});
    let mut published = 0;
    while let Ok(mut connection) = Connection::open(node.address).await {
        loop {
            let request = api.request("POST", "/events").json(&body).sign().to_bytes();
            if connection.send(&request).await.is_err() {
                break;
            }
            let Ok(Some(answer)) = connection.response_to("POST").await else { break };
            answer.expect_status(200);
            published += 1;
            if !connection.is_reusable() {
                break;
            }
        }
    }
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_clients_are_sent_away_bit_by_bit_and_no_request_fails() {
    rlimit::increase_nofile_limit(3 * CLIENTS as u64).expect("the limit may be raised");
    let mut receiver = Receiver::start().await;
    let webhooks = ["--app-webhooks-enabled", "--app-webhook-url", &receiver.url];
    let mut node = Launch::new()
        .flags(webhooks)
        .flags(["--app-has-channel-vacated-webhooks", "--app-has-member-removed-webhooks"])
        .start();
    let mut member = node.connect().await;
    member.subscribe_presence("presence-room", "u1", json!({})).await;
    let clients = join_all((1..CLIENTS).map(|number| {
        let node = &node;
        async move {
            let mut client = node.connect().await;
            for channel in ["room".to_owned(), format!("own-{number}")] {
                client.ask(json!({"channel": channel})).await;
                client.expect_subscribed(&channel).await;
            }
            client
        }
    }));
    let clients = clients.await;

    let goodbyes: Vec<_> =
        clients.into_iter().chain([member]).map(|client| tokio::spawn(goodbye(client))).collect();
    let told = Instant::now();
    let (published, (readiness, asked, turned_away), times) = tokio::join!(
        publish_to_the_end(&node),
        async {
            node.terminate();
            node.wait_for_log("going away").await;
            let readiness = node.api().request_at("GET", "/ready").send().await.status;
            let asked = Instant::now();
            let mut late = node.connect_to("/app/app-key?protocol=7").await;
            (readiness, asked, late.expect_end(4200).await)
        },
        join_all(goodbyes),
    );
    let times: Vec<Instant> = times.into_iter().map(|time| time.expect("a goodbye")).collect();
    let (first, last) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
    println!("goodbyes over {:?}; {published} published; {turned_away}", *last - *first);
    assert_eq!(readiness, 503);
    assert!(asked < *last, "a load balancer has time to look elsewhere");
    assert!(published > 0);
    assert!(*last - *first >= Duration::from_secs(1), "all at once: {:?}", *last - *first);
    assert!(*last - told <= GRACE * 3 / 4, "too late: {:?}", *last - told);

    assert!(node.ended().success());
    assert!(told.elapsed() <= GRACE, "{:?}", told.elapsed());
    let mut names: Vec<_> = receiver.arrived().iter().flat_map(|delivery| delivery.names()).collect();
    names.sort();
    // Each client's own channel, and the two rooms.
    let mut expected = vec!["channel_vacated"; CLIENTS + 1];
    expected.push("member_removed");
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_second_signal_ends_the_node_at_once() {
    let mut node = Node::with(["--shutdown-grace-seconds", "3600"]);
    // It never hangs up, so that the node has something to wait for.
    let _deaf = Raw::established(&node).await;
    node.terminate();
    node.wait_for_log("going away").await;
    let asked = Instant::now();
    node.terminate();
    assert!(node.ended().success());
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(node.log().contains("second signal"));
}

#[tokio::test]
async fn a_client_that_never_hangs_up_does_not_outlast_the_grace() {
    for (grace, most) in [("0", 1), ("2", 2)] {
        let mut node = Node::with(["--shutdown-grace-seconds", grace]);
        let _deaf = Raw::established(&node).await;
        let asked = Instant::now();
        node.terminate();
        assert!(node.ended().success());
        assert!(asked.elapsed() <= Duration::from_secs(most), "{:?}", asked.elapsed());
    }
}
