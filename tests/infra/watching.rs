//! What is named exists: metrics of AWS by alarms and widgets, our settings by the table for those who move here.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::{TEMPLATES, home, properties, within};

/// The metrics that AWS documents for what the templates make, of those that are worth a look.
const METRICS: &[(&str, &[&str])] = &[
    (
        "AWS/ApplicationELB",
        &[
            "ActiveConnectionCount",
            "HTTPCode_ELB_5XX_Count",
            "HTTPCode_Target_4XX_Count",
            "HTTPCode_Target_5XX_Count",
            "HealthyHostCount",
            "NewConnectionCount",
            "RejectedConnectionCount",
            "RequestCount",
            "TargetResponseTime",
            "UnHealthyHostCount",
        ],
    ),
    ("AWS/DynamoDB", &["ReadThrottleEvents"]),
    ("AWS/ECS", &["CPUUtilization", "MemoryUtilization"]),
    (
        "AWS/ElastiCache",
        &[
            "CurrConnections",
            "DatabaseMemoryUsagePercentage",
            "EngineCPUUtilization",
            "Evictions",
            "NetworkBytesIn",
            "NetworkBytesOut",
        ],
    ),
    ("AWS/Lambda", &["Errors", "Invocations", "Throttles"]),
    (
        "AWS/SQS",
        &[
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesVisible",
        ],
    ),
];

fn exists(namespace: &str, metric: &str) -> bool {
    METRICS.iter().any(|(of, metrics)| *of == namespace && metrics.contains(&metric))
}

#[test]
fn alarms_and_scaling_look_at_metrics_that_there_are() {
    let filter = &properties("alarms", "NodeErrorsFilter")["MetricTransformations"][0];
    let mut count = 0;
    for name in ["alarms", "scaling"] {
        let looked_at = within(&TEMPLATES[name]).into_iter().filter(|it| it.get("Namespace").is_some());
        for metric in looked_at {
            count += 1;
            let known = match metric["Namespace"].as_str() {
                Some(namespace) => exists(namespace, metric["MetricName"].as_str().expect("a name")),
                // Our own, made of the log.
                None => {
                    (&metric["Namespace"], &metric["MetricName"])
                        == (&filter["MetricNamespace"], &filter["MetricName"])
                }
            };
            assert!(known, "{name}: {metric}");
        }
    }
    assert_eq!(count, 21);
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let body = properties("dashboard", "Dashboard")["DashboardBody"]["Fn::Sub"].as_str().expect("a text");
    let body: Value = serde_json::from_str(body).expect("JSON");
    let mut places = BTreeSet::new();
    for widget in body["widgets"].as_array().expect("widgets") {
        assert!(places.insert((widget["x"].as_u64(), widget["y"].as_u64())), "two in one place");
        for metric in widget["properties"]["metrics"].as_array().expect("metrics") {
            if let (Some(namespace), Some(name)) = (metric[0].as_str(), metric[1].as_str()) {
                assert!(exists(namespace, name), "{metric}");
            } else {
                assert!(metric[0]["expression"].is_string(), "{metric}");
            }
        }
    }
    assert_eq!(places.len(), 12);
}

#[test]
fn whoever_moves_here_is_told_of_settings_that_there_are() {
    let read = |path| fs::read_to_string(home(path)).expect("it is there");
    let (guide, readme) = (read("infra/README.md"), read("README.md"));
    let rows = guide.lines().skip_while(|line| !line.starts_with("| Pusher's dashboard |")).skip(2);
    let rows: Vec<_> = rows.take_while(|line| line.starts_with('|')).collect();
    assert!(rows.len() > 15, "{rows:?}");
    for row in rows {
        let ours = row.trim_end_matches(" |").rsplit(" | ").next().expect("a column");
        for name in ours.split(", ").map(|name| name.trim_matches('`')) {
            let name = name.split('=').next().expect("a name");
            assert!(readme.contains(&format!("| `{name}`")), "{name} is no setting: {row}");
        }
    }
}
