//! An installation as its users have it: what the scripts have made, with nodes that the emulator cannot run.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::scripts::{apps, ask, package, run, succeed};
use crate::{
    sdk::suite::{Suite, endpoint},
    support::{
        aws::Aws,
        cluster::Cluster,
        node::{Launch, Node},
    },
};

/// How long a member who has left may be believed to be there, and then some.
const PATIENCE: Duration = Duration::from_secs(30);

/// An emulator to which the script has deployed these stacks, that of the apps among them, and so many nodes on it.
async fn installed(stacks: &str, nodes: usize) -> (Aws, Cluster) {
    let aws = Aws::start().await;
    let folder = TempDir::new().expect("a directory for temporary files");
    let package = package(folder.path());
    let on_loopback = "worker.BlockPrivateAddresses=false";
    let arguments = ["rush", "--stacks", stacks, "--worker-zip", &package, "--set", on_loopback];
    succeed("deploy.sh", &aws, &arguments).await;
    let settings = json!({
        "app_manager": "dynamodb", "dynamodb_table": "rush-apps", "cache_driver": "redis",
        "queue_driver": "sqs", "sqs_queue_url": aws.url("rush-webhooks.fifo"),
    });
    let nodes = Cluster::of(nodes, || Launch::bare().config(&settings).on_aws(aws.address));
    nodes.all_hear(PATIENCE).await;
    (aws, nodes)
}

fn url(node: &Node) -> String {
    format!("http://{}", node.address)
}

#[tokio::test]
async fn pusher_js_meets_a_backend_at_another_node_and_the_function_tells_of_it() {
    let (aws, nodes) = installed("data,worker", 2).await;
    let endpoint = endpoint("127.0.0.77");
    let hook = format!("http://{endpoint}/hook");
    apps(&aws, &["update", "1", "--app-webhooks-enabled", "--app-webhook-url", &hook]).await;
    let app: Value = serde_json::from_str(&apps(&aws, &["show", "1", "--show-secret"]).await).expect("JSON");
    let text = |field: &str| app["app"][field].as_str().expect("a text").to_owned();
    Suite::javascript("two_nodes.mjs")
        .with("SOCKET_RUSH_APP_KEY", &text("app_key"))
        .with("SOCKET_RUSH_APP_SECRET", &text("app_secret"))
        .with("SOCKET_RUSH_OTHER_PORT", &nodes.node(1).address.port())
        .with("SOCKET_RUSH_WEBHOOK_ENDPOINT", &endpoint)
        .run(nodes.node(0))
        .await;
    aws.drained("rush-webhooks.fifo").await;
}

#[tokio::test]
async fn an_installation_is_tried_by_its_name_and_nothing_is_left_of_that() {
    let (aws, nodes) = installed("data,worker", 1).await;
    let said = succeed("smoke.sh", &aws, &["rush", "--url", &url(nodes.node(0)), "--within", "60"]).await;
    for step in ["is ready", "a client is in presence-smoke", "it hears", "its webhook arrives, signed"] {
        assert!(said.contains(step), "{said}");
    }
    assert_eq!(remains(&aws).await, (1, "rush-data\trush-worker".to_owned()));
}

/// With nobody to deliver them, webhooks stay where they are.
#[tokio::test]
async fn a_webhook_that_does_not_arrive_is_said_and_nothing_is_left_of_the_try() {
    let (aws, nodes) = installed("data", 1).await;
    let arguments = ["rush", "--url", &url(nodes.node(0)), "--within", "3"];
    let output = run("smoke.sh", Some(&aws), &arguments).await;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && complaint.contains("no webhook arrives within 3 s"), "{complaint}");
    assert_eq!(remains(&aws).await, (1, "rush-data".to_owned()));
}

/// How many apps there are, and which stacks.
async fn remains(aws: &Aws) -> (usize, String) {
    let apps = apps(aws, &["list", "--as-json"]).await.lines().count();
    let stacks = ["cloudformation", "list-stacks", "--stack-status-filter", "CREATE_COMPLETE"];
    let query = ["--query", "StackSummaries[].StackName"];
    (apps, ask(aws, &[&stacks[..], &query].concat()).await)
}
