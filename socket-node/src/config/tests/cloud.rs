//! The settings of queues and topics in the cloud, and of how long webhooks are tried.

use std::time::Duration;

use super::{file_with, nothing, one_app};
use app_manager::access::Access;

use crate::config::{AppManager, AppTable, CloudDestination, CloudOutlet, QueueDriver};

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:webhooks";

#[test]
fn a_queue_can_be_named_in_every_place() {
    let file = file_with(
        r#", "queue_driver": "sqs", "sqs_queue_url": "webhooks", "server": {"aws_region": "eu-west-1",
            "aws_endpoint_url": "http://127.0.0.1:4566"}"#,
    );
    for operator in [
        one_app().args(
            "--queue-driver sqs --sqs-queue-url webhooks --aws-region eu-west-1 \
             --aws-endpoint-url http://127.0.0.1:4566",
        ),
        one_app()
            .env("QUEUE_DRIVER", "sqs")
            .env("SQS_QUEUE_URL", "webhooks")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        nothing().config_file(&file),
    ] {
        let destination = CloudDestination {
            outlet: CloudOutlet::Queue("webhooks".into()),
            access: Access {
                region: Some("eu-west-1".into()),
                endpoint_url: Some("http://127.0.0.1:4566".into()),
            },
        };
        assert_eq!(operator.config().queue, QueueDriver::Cloud(destination));
    }
}

#[test]
fn a_topic_can_be_named_in_every_place() {
    let file = file_with(&format!(r#", "queue_driver": "sns", "sns_topic_arn": "{TOPIC}""#));
    for operator in [
        one_app().args(&format!("--queue-driver sns --sns-topic-arn {TOPIC}")),
        one_app().env("QUEUE_DRIVER", "sns").env("SNS_TOPIC_ARN", TOPIC),
        nothing().config_file(&file),
    ] {
        let outlet = CloudOutlet::Topic(TOPIC.into());
        let destination = CloudDestination { outlet, access: Access::default() };
        assert_eq!(operator.config().queue, QueueDriver::Cloud(destination));
    }
}

#[test]
fn a_table_of_apps_can_be_named_in_every_place() {
    let file = r#"{"app_manager": "dynamodb", "dynamodb_table": "their-apps", "aws_region": "eu-west-1"}"#;
    for operator in [
        nothing().args("--app-manager dynamodb --dynamodb-table their-apps --aws-region eu-west-1"),
        nothing()
            .env("APP_MANAGER", "dynamodb")
            .env("DYNAMODB_TABLE", "their-apps")
            .env("AWS_REGION", "eu-west-1"),
        nothing().config_file(file),
    ] {
        let access = Access { region: Some("eu-west-1".into()), endpoint_url: None };
        let table = AppTable { name: "their-apps".into(), access };
        let config = operator.config();
        assert_eq!((config.app_manager, config.apps.len()), (AppManager::DynamoDb(table), 0));
    }
    let AppManager::DynamoDb(table) = nothing().args("--app-manager dynamodb").config().app_manager else {
        panic!("it is chosen")
    };
    assert_eq!(table.name, "socket-rush-apps");
    assert_eq!(one_app().args("--dynamodb-table their-apps").config().app_manager, AppManager::Array);
    let error = nothing().args("--app-manager dynamodb --dynamodb-table a/b").error();
    assert_eq!(error, "--dynamodb-table: must be 3 to 255 letters, digits, '_', '-' or '.'");
}

#[test]
fn apps_of_the_settings_are_refused_where_apps_are_in_a_database() {
    let file = file_with(r#", "app_manager": "dynamodb""#);
    let errors = nothing().config_file(&file).env("APP_MAX_CONNECTIONS", "5").args("--app-id 1").errors();
    let what = "is about an app, and with app_manager dynamodb apps are in a database; \
                'socket-rush apps create' and 'import' put them there";
    let places = ["--app-id", "environment variable APP_MAX_CONNECTIONS", "config.json: applications[0]"];
    assert_eq!(errors, places.map(|place| format!("{place}: {what}")));
}

#[test]
fn what_names_a_place_in_the_cloud_does_nothing_by_itself() {
    let operator = one_app().args(&format!("--sqs-queue-url webhooks --sns-topic-arn {TOPIC}"));
    assert_eq!(operator.config().queue, QueueDriver::Local);
}

#[test]
fn webhooks_are_tried_for_as_long_and_as_often_as_is_set() {
    let config = one_app().args("--webhook-retry-seconds 86400 --webhook-retry-max-gap-seconds 600").config();
    let schedule = config.webhook_schedule;
    assert_eq!(schedule.horizon, Duration::from_secs(86_390));
    assert_eq!(schedule.longest_gap, Duration::from_secs(600));
    assert_eq!(schedule.first_gap, Duration::from_secs(1));
}
