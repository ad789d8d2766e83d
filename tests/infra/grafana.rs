//! What Prometheus reads of nodes, and Grafana shows of it.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::{compose::items, home};
use crate::support::{
    api::raw_request,
    cluster::Cluster,
    node::{Launch, METRICS},
    prometheus::Prometheus,
};

/// How long it may take until there are two readings of every node; they are five seconds apart.
const DEADLINE: Duration = Duration::from_secs(60);

/// The expressions of the dashboard, each with the title of its panel.
fn expressions() -> Vec<(String, String)> {
    let text = fs::read_to_string(home("localstack/grafana/socket-rush.json")).expect("it is there");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let of_panel = |panel: &Value| {
        let targets = items(&panel["targets"]).map(|target| (text(&panel["title"]), text(&target["expr"])));
        targets.collect::<Vec<_>>()
    };
    items(&dashboard["panels"]).flat_map(of_panel).collect()
}

/// The names of our metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let name = |text: &str| {
        text.chars().take_while(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || *it == '_').collect()
    };
    text.match_indices("socket_rush_").map(|(index, _)| name(&text[index..])).collect()
}

#[tokio::test]
async fn grafana_shows_metrics_that_nodes_have() {
    let cluster = Cluster::of(1, || Launch::new().flags(METRICS));
    let address = cluster.node(0).metrics.expect("metrics were asked for");
    let request = "GET /metrics HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n";
    let page = raw_request(address, request).await.expect("an answer");
    let known = metrics_in(page.text());
    let mut shown = BTreeSet::new();
    for (panel, expression) in expressions() {
        let metrics = metrics_in(&expression);
        assert!(!metrics.is_empty() && metrics.is_subset(&known), "{panel}: {metrics:?}");
        shown.extend(metrics);
    }
    assert!(shown.len() >= 30, "{shown:?}");
}

#[tokio::test]
async fn prometheus_reads_both_nodes_and_can_answer_whatever_grafana_asks() {
    let cluster = Cluster::of(2, || Launch::new().flags(METRICS));
    let mut client = cluster.node(0).connect().await;
    client.subscribe("news").await;
    let text = fs::read_to_string(home("localstack/prometheus.yml")).expect("it is there");
    let configuration =
        ["node-a", "node-b"].into_iter().zip(cluster.nodes()).fold(text, |text, (name, node)| {
            let metrics = node.metrics.expect("metrics were asked for").to_string();
            text.replace(&format!("{name}:6002"), &metrics)
        });
    let prometheus = Prometheus::start(&configuration).await;
    let read_twice = async {
        while prometheus.query("count_over_time(socket_rush_tasks[1m]) >= 2").await.len() < 2 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(DEADLINE, read_twice).await.expect("both are read");
    for (panel, expression) in expressions() {
        let values = prometheus.query(&expression.replace("$__rate_interval", "1m")).await;
        assert!(!values.is_empty(), "{panel}: {expression}");
    }
}
