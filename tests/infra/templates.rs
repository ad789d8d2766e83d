//! The templates themselves, which no emulator judges as strictly as AWS does.

use std::process::Command;

use serde_json::{Value, json};

use super::{TEMPLATES, files, home, installed, list, properties, statements, within};
use crate::support::node::Launch;

/// A program that finds nothing wrong says nothing.
fn says_nothing(command: &mut Command) {
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn cfn_lint_finds_nothing_wrong_with_any_template() {
    let mut command = Command::new(installed("lint", "cfn-lint"));
    says_nothing(command.args(["--regions", "us-east-1", "--template"]).args(files("infra", "yaml")));
}

#[test]
fn shellcheck_finds_nothing_wrong_with_any_script() {
    let mut command = Command::new(installed("lint", "shellcheck"));
    let others = ["localstack/run", "localstack/deploy"].map(home);
    says_nothing(
        command.current_dir(home(".")).arg("--external-sources").args(files("infra", "sh")).args(others),
    );
}

#[test]
fn every_parameter_is_described_and_used() {
    for (name, template) in &*TEMPLATES {
        let rest = json!([template["Resources"], template["Outputs"], template["Conditions"]]);
        let used = |parameter: &str| {
            within(&rest).iter().any(|value| {
                value["Ref"] == parameter
                    || value.as_str().is_some_and(|text| text.contains(&format!("${{{parameter}}}")))
            })
        };
        for (parameter, definition) in template["Parameters"].as_object().expect("parameters") {
            let description = definition["Description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.'), "{name}: {parameter} is not described");
            assert!(used(parameter), "{name}: {parameter} is not used");
        }
    }
}

/// Where AWS knows no resource to name.
const ANY_RESOURCE: [&str; 1] = [
    // A token is for all registries that the account may read.
    "ecr:GetAuthorizationToken",
];

#[test]
fn rights_are_given_one_by_one() {
    let mut count = 0;
    for (name, template) in &*TEMPLATES {
        for statement in within(template).into_iter().filter(|it| it.get("Effect").is_some()) {
            // What is forbidden may be everything.
            if statement["Effect"] == "Deny" {
                continue;
            }
            count += 1;
            for action in list(&statement["Action"]) {
                let action = action.as_str().expect("an action is a name");
                assert!(!action.contains('*'), "{name}: {statement}");
                let all = list(&statement["Resource"]).contains(&&json!("*"));
                assert!(!all || ANY_RESOURCE.contains(&action), "{name}: {statement}");
            }
            assert_ne!(statement["Principal"], "*", "{name}: {statement}");
        }
        let managed = within(template).into_iter().any(|it| it.get("ManagedPolicyArns").is_some());
        assert!(!managed, "{name}: policies of AWS itself allow more than is needed");
    }
    assert!(count >= 10, "{count} statements");
}

#[test]
fn queues_take_nothing_in_clear() {
    for policy in ["QueuePolicy", "DeadLettersPolicy"] {
        let statements = statements(&properties("data", policy)["PolicyDocument"]["Statement"]);
        let condition = json!({"Bool": {"aws:SecureTransport": "false"}});
        assert!(statements.iter().any(|it| it["Effect"] == "Deny" && it["Condition"] == condition));
    }
}

#[test]
fn what_cannot_be_made_again_outlives_its_stack() {
    for resource in ["Apps", "Queue", "DeadLetters"] {
        let resource = &TEMPLATES["data"]["Resources"][resource];
        assert_eq!(resource["DeletionPolicy"], "RetainExceptOnCreate", "{resource}");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{resource}");
    }
    assert_eq!(properties("data", "DeadLetters")["MessageRetentionPeriod"], 14 * 24 * 3600);
    let table = properties("data", "Apps");
    assert_eq!(table["DeletionProtectionEnabled"], true);
    assert_eq!(table["PointInTimeRecoverySpecification"], json!({"PointInTimeRecoveryEnabled": true}));
    assert_eq!(
        (&table["BillingMode"], &table["SSESpecification"]["SSEEnabled"]),
        (&json!("PAY_PER_REQUEST"), &json!(true))
    );
}

#[test]
fn the_function_fits_its_queue() {
    let default = |parameter: &str, key: &str| {
        TEMPLATES["data"]["Parameters"][parameter][key].as_u64().expect("a number")
    };
    let (function, source) = (properties("worker", "Function"), properties("worker", "Source"));
    let timeouts = &function["Timeout"]["Fn::If"];
    let timeout = |index: usize| timeouts[index].as_u64().expect("a number of seconds");
    // AWS refuses less than one, and advises six.
    assert!(default("VisibilitySeconds", "MinValue") >= 6 * timeout(2));
    assert!(default("VisibilitySeconds", "MinValue") >= 3 * timeout(1));
    // An attempt takes four seconds, and its answer half of one; there is to be time for some in a row. At a function it takes
    // ten, and there is to be time for one more.
    assert!(timeout(2) >= 2 * 5 && timeout(1) >= 10 + 2 * 5);
    assert_eq!(timeouts[0], "HasTargetFunctions");
    // Pusher's libraries take no webhook that is older than five minutes.
    let gaps = default("Attempts", "Default") - 1;
    assert_eq!(gaps * default("VisibilitySeconds", "Default"), 300);
    assert!(default("Attempts", "MinValue") >= 5);
    assert_eq!(source["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
    // A FIFO queue hands out ten at most; for more than that, a standard one would need a window.
    assert_eq!((&source["BatchSize"], source.get("MaximumBatchingWindowInSeconds")), (&json!(10), None));
    assert!(TEMPLATES["worker"]["Parameters"]["MaximumConcurrency"]["MinValue"].as_u64() >= Some(2));
    // Where concurrency is bounded by the source, a bound of the function would throttle it.
    assert_eq!(function.get("ReservedConcurrentExecutions"), None);
}

/// What the node is given in the clear, by name.
fn environment() -> Vec<(String, Value)> {
    let container = &properties("sockets", "Task")["ContainerDefinitions"][0];
    let variables = list(&container["Environment"]).into_iter().map(|variable| {
        let variable = variable.get("Fn::If").map_or(variable, |cases| &cases[1]);
        (variable["Name"].as_str().expect("a name").to_owned(), variable["Value"].clone())
    });
    variables.collect()
}

#[test]
fn no_secret_stands_in_the_clear() {
    let secret = |name: &str| ["SECRET", "PASSWORD", "REDIS_URL"].iter().any(|word| name.contains(word));
    for (name, value) in environment() {
        assert!(!secret(&name), "{name} is {value}");
    }
    let variables = properties("worker", "Function")["Environment"]["Variables"].as_object();
    for name in variables.expect("variables").keys() {
        assert!(!secret(name), "{name}");
    }
    for (name, template) in &*TEMPLATES {
        for (parameter, definition) in template["Parameters"].as_object().expect("parameters") {
            let secret = secret(&parameter.to_uppercase());
            assert!(!secret || definition["Default"].as_str().is_none(), "{name}: {parameter}");
        }
    }
}

#[test]
fn a_node_takes_the_settings_that_the_template_gives_it() {
    let container = &properties("sockets", "Task")["ContainerDefinitions"][0];
    let mut launch = Launch::unset().flags(["--check-config"]);
    let mut names = Vec::new();
    for (name, value) in environment() {
        // What depends on parameters is given an example of its kind.
        let text = match (name.as_str(), value.as_str()) {
            (_, Some(text)) => text.to_owned(),
            ("AWS_REGION", None) => "us-east-1".to_owned(),
            ("QUEUE_DRIVER", None) => value["Fn::If"][2].as_str().expect("a driver").to_owned(),
            ("DYNAMODB_TABLE", None) => "rush-apps".to_owned(),
            ("SNS_TOPIC_ARN", None) => "arn:aws:sns:us-east-1:000000000000:webhooks.fifo".to_owned(),
            ("SQS_QUEUE_URL", None) => "https://example.com/000000000000/webhooks.fifo".to_owned(),
            ("LOG_LEVEL", None) => "info".to_owned(),
            (name, None) => panic!("no example of {name}"),
        };
        launch = launch.env(&name, &text);
        names.push(name);
    }
    for secret in list(&container["Secrets"]) {
        let name = secret["Name"].as_str().expect("a name");
        assert_eq!(name, "REDIS_URL");
        launch = launch.env(name, "rediss://:password@cache.example.com:6379");
        names.push(name.to_owned());
    }
    let ending = launch.run();
    assert_eq!(ending.code, Some(0), "{}", ending.stderr);
    let readme = std::fs::read_to_string(home("README.md")).expect("there is a README");
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "nobody reads {name}");
    }
}

#[test]
fn a_node_has_time_to_end_and_clients_have_time_to_be_quiet() {
    let container = &properties("sockets", "Task")["ContainerDefinitions"][0];
    let grace = environment().into_iter().find(|(name, _)| name == "SHUTDOWN_GRACE_SECONDS");
    let grace: u64 = grace.and_then(|(_, value)| value.as_str()?.parse().ok()).expect("a number of seconds");
    assert!(container["StopTimeout"].as_u64() > Some(grace));
    assert_eq!(container["StopTimeout"], 120, "the most that Fargate gives");
    assert_eq!(container["ReadonlyRootFilesystem"], true);
    let attributes = list(&properties("sockets", "Balancer")["LoadBalancerAttributes"]);
    let idle =
        attributes.into_iter().find(|it| it["Key"] == "idle_timeout.timeout_seconds").expect("it is set");
    assert_eq!(idle["Value"], "300");
    // Every update would set the number of nodes back.
    assert_eq!(properties("sockets", "Service").get("DesiredCount"), None);
}
