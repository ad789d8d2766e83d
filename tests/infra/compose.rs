//! The compose file, as Docker Compose itself understands it: all but running it, for which it takes Docker.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Map, Value};

use super::{home, installed, proxied::configuration, read_yaml, within};
use crate::support::{aws::binary, node::Launch};

/// What there is for AWS.
const EMULATORS: [&str; 2] = ["localstack", "ministack"];

/// What Docker Compose says to this, with that for AWS.
fn compose(emulator: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(installed("lint", "docker-compose"));
    command.arg("--file").arg(home("localstack/docker-compose.yml")).args(arguments);
    command.env_clear().env("HOME", "/nonexistent").env("AWS_EMULATOR", emulator);
    command.output().expect("it runs")
}

/// All of it, with what is chosen, merged, interpolated and taken for granted written out.
fn project(emulator: &str) -> Value {
    let output = compose(emulator, &["--profile", "*", "config", "--format", "json"]);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Its services.
fn services(emulator: &str) -> Map<String, Value> {
    project(emulator)["services"].as_object().expect("services").clone()
}

/// The items of a list that may be missing.
pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn either_emulator_makes_a_whole_of_the_compose_file() {
    for emulator in EMULATORS {
        let services = services(emulator);
        let all: BTreeSet<_> = services.keys().map(String::as_str).collect();
        let started = compose(emulator, &["config", "--services"]);
        let started = String::from_utf8(started.stdout).expect("names");
        let started: BTreeSet<_> = started.lines().collect();
        assert_eq!(
            all.difference(&started).collect::<Vec<_>>(),
            [&"apps"],
            "{emulator}: all else is started"
        );
        assert!(text(&services["aws"]["image"]).contains(&format!("{emulator}:")), "{}", services["aws"]);
        for (name, service) in &services {
            for (needed, how) in service["depends_on"].as_object().into_iter().flatten() {
                let needs_health = how["condition"] == "service_healthy";
                let says_it = services[needed]["healthcheck"].is_object();
                assert!(
                    says_it || !needs_health,
                    "{name} waits for {needed}, which says not whether it is well"
                );
            }
        }
    }
    let project = self::project("");
    assert_eq!(project["services"], Value::from(services("localstack")), "what there is when nobody chooses");
    // There functions are containers, which find the receiver only in the network where it is.
    let network = &project["services"]["aws"]["environment"]["LAMBDA_DOCKER_NETWORK"];
    assert_eq!(network, &project["networks"]["default"]["name"]);
    let output = compose("lost", &["config"]);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && complaints.contains(r#"service "lost" not found"#), "{complaints}");
}

#[test]
fn images_are_of_one_version_or_built_of_a_stage_under_a_name_of_their_own() {
    let dockerfile = fs::read_to_string(home("Dockerfile")).expect("it is there");
    for (name, service) in EMULATORS.into_iter().flat_map(services) {
        match service["build"].as_object() {
            Some(build) => {
                let stage = text(&build["target"]);
                assert!(dockerfile.contains(&format!(" AS {stage}\n")), "{name}: no stage {stage}");
                assert_eq!(Path::new(text(&build["context"])), home(".").canonicalize().expect("it is here"));
                // Builds that give the same name at once fail.
                assert!(service["image"].is_null(), "{name}");
            }
            None => {
                let version = text(&service["image"]).split_once(':').expect("a version").1;
                assert!(
                    version.starts_with(|it: char| it.is_ascii_digit() || it == 'v'),
                    "{name}: {version}"
                );
            }
        }
    }
}

#[test]
fn files_of_the_repository_are_there_and_cannot_be_written() {
    let root = home(".").canonicalize().expect("it is here");
    let mut count = 0;
    for (name, service) in EMULATORS.into_iter().flat_map(services) {
        for volume in items(&service["volumes"]) {
            let source = Path::new(text(&volume["source"]));
            if let Ok(path) = source.strip_prefix(&root) {
                assert!(source.exists(), "{name}: there is no {}", path.display());
                assert_eq!(volume["read_only"], true, "{name}: {}", path.display());
                count += 1;
            } else {
                assert_eq!((name.as_str(), source), ("aws", Path::new("/var/run/docker.sock")));
            }
        }
    }
    assert_eq!(count, 2 * 6);
}

#[test]
fn ports_are_open_to_this_machine_alone() {
    for emulator in EMULATORS {
        let mut open = BTreeMap::new();
        for (name, service) in services(emulator) {
            for port in items(&service["ports"]) {
                assert_eq!(port["host_ip"], "127.0.0.1", "{name}: {port}");
                let place = (name.clone(), port["target"].as_u64().expect("a port"));
                let taken = open.insert(text(&port["published"]).to_owned(), place);
                assert!(taken.is_none(), "{port} twice");
            }
        }
        let expected = [
            ("3000", "grafana", 3000),
            ("4566", "aws", 4566),
            ("6001", "proxy", 6001),
            ("6011", "node-a", 6001),
            ("6012", "node-b", 6001),
            ("9090", "prometheus", 9090),
        ];
        assert_eq!(open, expected.map(|(port, name, at)| (port.to_owned(), (name.to_owned(), at))).into());
        let head = fs::read_to_string(home("localstack/docker-compose.yml")).expect("it is there");
        let head = head.split("\nname: ").next().expect("a comment");
        assert!(expected.iter().all(|(port, ..)| head.contains(&format!(":{port}"))), "{head}");
    }
}

/// Hosts of URLs in a text, and of `host:port`, where they are no addresses of the machine's own.
fn hosts(text: &str) -> BTreeSet<String> {
    let names = text.split(|it: char| it.is_whitespace() || "'\"(),/[]".contains(it)).filter_map(|word| {
        let (host, port) = word.split_once(':')?;
        let is_port = !port.is_empty() && port.chars().all(|it| it.is_ascii_digit());
        let is_name = host.starts_with(|it: char| it.is_ascii_lowercase()) && host != "localhost";
        (is_port && is_name).then(|| host.to_owned())
    });
    names.collect()
}

#[test]
fn whoever_is_called_by_name_is_a_service() {
    let read = |path: &str| fs::read_to_string(home(path)).expect("it is there");
    for emulator in EMULATORS {
        let services = services(emulator);
        let values =
            services.values().flat_map(|service| within(&service["environment"])).filter_map(Value::as_str);
        let called = hosts(&values.collect::<Vec<_>>().join(" "));
        assert_eq!(called, ["aws", "valkey"].map(String::from).into(), "{emulator}");
        for path in [
            "localstack/haproxy.cfg",
            "localstack/prometheus.yml",
            "localstack/deploy",
            "localstack/grafana/provisioning/datasources/prometheus.yaml",
        ] {
            let called = hosts(&read(path));
            assert!(
                !called.is_empty() && called.iter().all(|host| services.contains_key(host)),
                "{path}: {called:?}"
            );
        }
    }
    let nodes: BTreeSet<_> = ["node-a", "node-b"].map(String::from).into();
    assert_eq!(hosts(&configuration()), nodes);
    assert_eq!(hosts(&read("localstack/prometheus.yml")), nodes);
}

/// What Prometheus and Grafana read at their start, and what the compose file puts where.
#[test]
fn grafana_finds_its_dashboard_and_the_dashboard_its_source() {
    let files = ["datasources/prometheus", "dashboards/socket-rush"];
    let [source, provider] = files.map(|file| {
        let files = read_yaml(&[home(&format!("localstack/grafana/provisioning/{file}.yaml"))]);
        files.into_values().next().expect("one")
    });
    assert_eq!((&source["apiVersion"], &provider["apiVersion"]), (&1.into(), &1.into()));
    let (source, provider) = (&source["datasources"][0], &provider["providers"][0]);
    assert_eq!((&source["type"], &provider["type"]), (&"prometheus".into(), &"file".into()));
    let dashboard = fs::read_to_string(home("localstack/grafana/socket-rush.json")).expect("it is there");
    let dashboard: Value = serde_json::from_str(&dashboard).expect("JSON");
    for panel in items(&dashboard["panels"]) {
        assert_eq!(panel["datasource"]["uid"], source["uid"], "{}", panel["title"]);
    }
    let grafana = &services(EMULATORS[0])["grafana"];
    let place = items(&grafana["volumes"]).find(|it| text(&it["source"]).ends_with("/socket-rush.json"));
    let place = &place.expect("a volume")["target"];
    let folder = Path::new(text(&provider["options"]["path"]));
    assert_eq!(Path::new(text(place)).parent(), Some(folder));
    assert_eq!(&grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"], place);
}

#[test]
fn nodes_take_the_settings_of_the_compose_file() {
    let services = services(EMULATORS[0]);
    let environment = |name: &str| services[name]["environment"].as_object().expect("variables").clone();
    assert_eq!(environment("node-a"), environment("node-b"));
    let launch = environment("node-a")
        .iter()
        .fold(Launch::unset().flags(["--check-config"]), |launch, (name, value)| {
            launch.env(name, text(value))
        });
    let ending = launch.run();
    assert_eq!(ending.code, Some(0), "{}", ending.stderr);
}

/// What the image of the lighter emulator sets itself; functions inherit it, since they are processes of the emulator's.
const IMAGE: [(&str, &str); 6] = [
    ("GATEWAY_PORT", "4566"),
    ("LOG_LEVEL", "INFO"),
    ("REDIS_HOST", "redis"),
    ("REDIS_PORT", "6379"),
    ("S3_PERSIST", "0"),
    ("USE_SSL", "0"),
];

/// The exit code with which a program refuses its settings.
const REFUSED: i32 = 64;

#[test]
fn the_function_takes_what_it_inherits_of_the_lighter_emulator() {
    let services = services("ministack");
    let set = services["aws"]["environment"].as_object().expect("variables");
    let set: Vec<_> = set.iter().map(|(name, value)| (name.as_str(), text(value))).collect();
    let ending = |more: &[(&str, &str)]| {
        let mut command = Command::new(binary("webhook-lambda"));
        command.env_clear().envs(IMAGE).envs(set.iter().copied()).env("AWS_REGION", "us-east-1");
        // As it is in no runtime, it ends as soon as it has read its settings.
        command.env("APP_MANAGER", "dynamodb").envs(more.iter().copied()).output().expect("it runs")
    };
    let output = ending(&[]);
    assert_ne!(output.status.code(), Some(REFUSED), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(ending(&[("LOG_LEVEL", "loud")]).status.code(), Some(REFUSED));
}
