//! The scripts, run as users run them, against an emulator of their own each.

use std::time::Duration;

use tempfile::TempDir;

use super::scripts::{apps, ask, package, run, smoke, succeed};
use crate::{
    cloud,
    support::{aws::Aws, node::Node, receiver::Receiver, signing::Credentials},
};

#[tokio::test]
async fn data_and_worker_are_deployed_deliver_a_webhook_and_are_taken_away() {
    let (aws, mut receiver) = (Aws::start().await, Receiver::start().await);
    let folder = TempDir::new().expect("a directory for temporary files");
    let package = package(folder.path());
    let on_loopback = "worker.BlockPrivateAddresses=false";
    let arguments = [
        "rush",
        "--stacks",
        "data,worker",
        "--worker-zip",
        &package,
        "--set",
        on_loopback,
        "--size",
        "small",
        "--architecture",
        "x86_64",
    ];
    succeed("deploy.sh", &aws, &arguments).await;
    // The program finds the table of the template to be its own, and the app that the script has made.
    let said = apps(&aws, &["--create-table"]).await;
    assert!(said.contains("already"), "{said}");
    let app = apps(&aws, &["show", "1", "--show-secret"]).await;
    let app: serde_json::Value = serde_json::from_str(&app).expect("JSON");
    let text = |field: &str| app["app"][field].as_str().expect("a text").to_owned();
    let credentials = Credentials::new(&text("app_id"), &text("app_key"), &text("app_secret"));
    aws.send("rush-webhooks.fifo", &[("a", cloud::job(&receiver, "/hook", "a", 1))]).await;
    let delivery = receiver.next_within(Duration::from_secs(60)).await;
    assert_eq!(delivery.header("x-pusher-key"), Some(credentials.key.as_str()));
    assert_eq!(delivery.header("x-pusher-signature"), Some(credentials.sign(&delivery.body).as_str()));
    aws.drained("rush-webhooks.fifo").await;

    let again = ["rush", "--stacks", "data,worker", "--worker-zip", &package];
    let said = succeed("deploy.sh", &aws, &again).await;
    assert_eq!(said.matches("No changes to deploy").count(), 2, "{said}");
    let query = ["lambda", "get-function-configuration", "--query", "Architectures[0]", "--function-name"];
    assert_eq!(ask(&aws, &[&query[..], &["rush-webhook-worker"]].concat()).await, "x86_64");

    succeed("destroy.sh", &aws, &["rush", "--yes", "--with-data"]).await;
    let stacks = ask(&aws, &["cloudformation", "describe-stacks", "--query", "Stacks[].StackName"]).await;
    assert_eq!(stacks, "");
    assert_eq!(ask(&aws, &["dynamodb", "list-tables", "--query", "TableNames"]).await, "");
}

/// Everything but what the emulator has no idea of: gateways of a network that is small, and scaling.
#[tokio::test]
async fn network_nodes_alarms_and_dashboard_are_deployed() {
    let aws = Aws::start().await;
    let folder = TempDir::new().expect("a directory for temporary files");
    let package = package(folder.path());
    let stacks = "data,worker,network,sockets,alarms,dashboard";
    let image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/rush:1";
    let arguments = [
        "rush",
        "--stacks",
        stacks,
        "--worker-zip",
        &package,
        "--image",
        image,
        "--size",
        "medium",
        "--topic",
        "--certificate",
        "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-0000-0000-000000000000",
    ];
    let said = succeed("deploy.sh", &aws, &arguments).await;
    assert!(said.contains("clients and backends go to https://"), "{said}");
    let task = ["ecs", "describe-task-definition", "--task-definition", "rush-node", "--query"];
    let query = "taskDefinition.[cpu,memory,containerDefinitions[0].image]";
    let task = ask(&aws, &[&task[..], &[query]].concat()).await;
    assert_eq!(task.split_whitespace().collect::<Vec<_>>(), ["1024", "2048", image]);
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_made() {
    let network = ["rush", "--vpc", "vpc-1"];
    for (arguments, complaint) in [
        (&[][..], "the name of the installation is missing"),
        (&["Rush"], "'Rush' is no name"),
        (&["rush", "rush"], "one name too many"),
        (&["rush", "--size", "huge"], "--size is small, medium or large, not 'huge'"),
        (&["rush", "--architecture", "mips"], "--architecture is arm64 or x86_64"),
        (&["rush", "--stacks", "data,lost"], "there is no stack 'lost'"),
        (&["rush", "--set", "LogLevel=debug"], "--set takes STACK.PARAMETER=VALUE"),
        (&["rush", "--worker-zip", "/lost.zip"], "there is no file /lost.zip"),
        (&["rush", "--colour", "red"], "unknown option --colour"),
        (&["rush", "--size"], "--size needs a value"),
        (&network, "belong together"),
        (&["rush"], "no region: set AWS_REGION"),
    ] {
        let output = run("deploy.sh", None, arguments).await;
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}: {complaints}");
        assert!(complaints.contains(complaint), "{arguments:?}: {complaints}");
    }
    for script in ["deploy.sh", "destroy.sh", "smoke.sh"] {
        let output = run(script, None, &["--help"]).await;
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && help.contains(&format!("infra/{script} NAME")), "{help}");
    }
}

#[tokio::test]
async fn a_server_is_tried_from_outside() {
    let node = Node::start();
    let url = format!("http://{}", node.address);
    let (is_well, said) = smoke(&url, "app-secret").await;
    assert!(is_well && said.contains("it hears what a backend publishes"), "{said}");
    let (is_well, said) = smoke(&url, "other-secret").await;
    assert!(!is_well && said.contains("a signed request is refused"), "{said}");
    drop(node);
    let (is_well, said) = smoke(&url, "app-secret").await;
    assert!(!is_well && said.contains("does not answer 200 within 2 s"), "{said}");
}
