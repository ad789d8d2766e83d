//! The same on one machine: with Docker as far as its files go, and without it from nothing to a webhook.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::Value;
use tokio::{net::TcpStream, process::Command, time::timeout};

use super::{home, list, read_yaml};
use crate::support::node::{Launch, binary};

/// It installs nothing that `tests/run` has not installed, and builds nothing.
const DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn one_command_leads_from_nothing_to_a_webhook_and_leaves_nothing() {
    let mut command = Command::new(home("localstack/run"));
    command.env("SOCKET_RUSH_BIN", binary()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for step in [
        r#"the client got what a backend said at node b: headline {"text":"It works"}"#,
        "the function delivered a webhook: channel_occupied of news, signed by the app",
        "everything works",
    ] {
        assert!(said.contains(step), "{said}");
    }
    let mut count = 0;
    for address in said.lines().filter_map(|line| line.split_once(" is at http://")) {
        assert!(TcpStream::connect(address.1).await.is_err(), "{} still listens", address.0);
        count += 1;
    }
    assert_eq!(count, 3, "{said}");
}

#[tokio::test]
async fn the_command_says_what_it_does_and_refuses_what_it_does_not_know() {
    for (argument, code, text) in
        [("--help", 0, "localstack/run --stay"), ("--lost", 1, "unknown argument --lost")]
    {
        let mut command = Command::new(home("localstack/run"));
        let output =
            timeout(DEADLINE, command.arg(argument).output()).await.expect("it ends").expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(text), "{said}");
    }
}

/// The services of the compose file, with their names.
fn services() -> Vec<(String, Value)> {
    let file = read_yaml(&[home("localstack/docker-compose.yml")]);
    let services = file["docker-compose"]["services"].as_object().expect("services").clone();
    services.into_iter().collect()
}

#[test]
fn the_compose_file_names_only_what_there_is() {
    let services = services();
    let names: BTreeSet<_> = services.iter().map(|(name, _)| name.as_str()).collect();
    let dockerfile = fs::read_to_string(home("Dockerfile")).expect("it is there");
    for (name, service) in &services {
        assert!(service["image"].is_string(), "{name} has no image");
        if let Some(target) = service["build"]["target"].as_str() {
            assert!(dockerfile.contains(&format!(" AS {target}\n")), "{name}: no stage {target}");
            assert_eq!(service["build"]["context"], "..");
        }
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            assert!(names.contains(needed.0.as_str()), "{name} needs {}", needed.0);
            let needs_health = needed.1["condition"] == "service_healthy";
            let needed = services.iter().find(|(name, _)| name == needed.0).expect("as above");
            assert!(
                !needs_health || needed.1["healthcheck"].is_object(),
                "{} says not whether it is well",
                needed.0
            );
        }
        for volume in list(&service["volumes"]).into_iter().filter_map(Value::as_str) {
            let source = volume.split(':').next().expect("a source");
            let is_here = source.strip_prefix("./").is_none_or(|path| home("localstack").join(path).exists());
            assert!(is_here, "{name}: there is no {source}");
        }
        for port in list(&service["ports"]).into_iter().filter_map(Value::as_str) {
            assert!(port.starts_with("127.0.0.1:"), "{name}: {port} is open to everybody");
        }
    }
    let prometheus = read_yaml(&[home("localstack/prometheus.yml")]);
    let targets = &prometheus["prometheus"]["scrape_configs"][0]["static_configs"][0]["targets"];
    assert_eq!(targets, &serde_json::json!(["node-a:6002", "node-b:6002"]));
    assert!(names.contains("node-a") && names.contains("node-b"));
}

#[test]
fn nodes_take_the_settings_of_the_compose_file() {
    let services = services();
    let (_, node) = services.iter().find(|(name, _)| name == "node-a").expect("a node");
    let mut launch = Launch::unset().flags(["--check-config"]);
    for (name, value) in node["environment"].as_object().expect("variables") {
        let text = value.as_str().expect("a text");
        launch = launch.env(name, text);
    }
    let ending = launch.run();
    assert_eq!(ending.code, Some(0), "{}", ending.stderr);
}
