//! What can be set about the delivery of webhooks, and how the programs of this package read their settings.
//!
//! The definitions are here because nodes, which deliver too, have some of them in their own table. A program's table is
//! a selection; [`read`] takes flags, environment and a config file in, and gives values and apps, or everything that is
//! wrong.

mod sources;
#[cfg(test)]
mod tests;

use std::{net::IpAddr, time::Duration};

use app_manager::{
    access::Access,
    app::settings::{Kind, Places, Setting, Values},
};

pub use sources::{Settings, read};

use crate::{
    deliver::DeliverySettings,
    retry::Schedule,
    target::{AddressPolicy, Network},
};

/// Whether private networks are out of reach.
pub const WEBHOOK_BLOCK_PRIVATE_ADDRESSES: Setting = Setting::new(
    "webhook_block_private_addresses",
    Kind::Bool,
    Some("false"),
    "Whether webhooks to private and loopback addresses are refused; link-local ones always are",
);

/// Networks that are reached although they are private.
pub const WEBHOOK_ALLOW_NETWORKS: Setting = Setting::new(
    "webhook_allow_networks",
    Kind::List(network),
    Some(""),
    "Private networks that webhooks reach although others are blocked, such as `10.1.0.0/16`, separated by commas",
);

/// Networks that are not.
pub const WEBHOOK_DENY_NETWORKS: Setting = Setting::new(
    "webhook_deny_networks",
    Kind::List(network),
    Some(""),
    "Networks that webhooks never reach, private or public, separated by commas; they win over allowed ones",
);

/// For how long a webhook is tried. Receivers that follow Pusher's libraries drop what is older than five minutes.
pub const WEBHOOK_RETRY_SECONDS: Setting = Setting::new(
    "webhook_retry_seconds",
    Kind::Number { least: 15, most: 86_400 },
    Some("300"),
    "Seconds after which a webhook that no attempt has delivered is given up; Pusher's libraries take none that is older than 300",
);

/// The longest gap between two attempts.
pub const WEBHOOK_RETRY_MAX_GAP_SECONDS: Setting = Setting::new(
    "webhook_retry_max_gap_seconds",
    Kind::Number { least: 1, most: 3_600 },
    Some("30"),
    "Seconds up to which the gaps between attempts grow, from one on and each twice as long",
);

/// Which queue.
pub const SQS_QUEUE_URL: Setting = Setting::new(
    "sqs_queue_url",
    Kind::Text(some_word),
    None,
    "URL or name of the queue in SQS; one whose name ends with `.fifo` keeps the order of each channel",
);

/// Which topic.
pub const SNS_TOPIC_ARN: Setting = Setting::new(
    "sns_topic_arn",
    Kind::Text(topic_arn),
    None,
    "ARN of the topic in SNS to which webhooks are published",
);

/// Where the cloud is.
pub const AWS_REGION: Setting = Setting::new(
    "aws_region",
    Kind::Text(some_word),
    None,
    "Region of AWS; without it, what the AWS SDK finds in the environment, its profile or the machine's metadata",
);

/// Who stands in for it.
pub const AWS_ENDPOINT_URL: Setting = Setting::new(
    "aws_endpoint_url",
    Kind::Url(http_url),
    None,
    "URL to call instead of AWS' own, such as an emulator's",
);

/// Where a worker finds the apps.
const APP_MANAGER: Setting = Setting::new(
    "app_manager",
    Kind::Choice(&["array", "dynamodb"]),
    Some("array"),
    "Where the apps come from: these settings (`array`), or the table that nodes have them from (`dynamodb`)",
);

/// Which table has the apps.
pub const DYNAMODB_TABLE: Setting = Setting::new(
    "dynamodb_table",
    Kind::Text(table_name),
    Some("socket-rush-apps"),
    "Name of the table in DynamoDB that has the apps",
);

/// The least important lines that are written.
pub const LOG_LEVEL: Setting = Setting::new(
    "log_level",
    Kind::Choice(&["trace", "debug", "info", "warn", "error"]),
    Some("info"),
    "Least important lines that are logged",
);

/// What they look like.
pub const LOG_FORMAT: Setting = Setting::new(
    "log_format",
    Kind::Choice(&["text", "json"]),
    Some("text"),
    "What a line of the log looks like",
);

const CONFIG_FILE: Setting = Setting::new(
    "config_file",
    Kind::Text(some_text),
    None,
    "Path to a JSON file with `applications`, as nodes have it",
)
.with_flags(&["config"])
.only(Places::FlagAndEnvironment);

/// The settings of the Lambda function, which come from its environment.
pub static LAMBDA_SETTINGS: &[Setting] = &[
    CONFIG_FILE,
    APP_MANAGER,
    DYNAMODB_TABLE,
    AWS_REGION,
    AWS_ENDPOINT_URL,
    WEBHOOK_BLOCK_PRIVATE_ADDRESSES,
    WEBHOOK_ALLOW_NETWORKS,
    WEBHOOK_DENY_NETWORKS,
    WEBHOOK_RETRY_SECONDS,
    LOG_LEVEL,
    Setting { default: Some("json"), ..LOG_FORMAT },
];

/// The settings of the poller.
pub static POLLER_SETTINGS: &[Setting] = &[
    CONFIG_FILE,
    APP_MANAGER,
    DYNAMODB_TABLE,
    SQS_QUEUE_URL,
    AWS_REGION,
    AWS_ENDPOINT_URL,
    WEBHOOK_BLOCK_PRIVATE_ADDRESSES,
    WEBHOOK_ALLOW_NETWORKS,
    WEBHOOK_DENY_NETWORKS,
    WEBHOOK_RETRY_SECONDS,
    WEBHOOK_RETRY_MAX_GAP_SECONDS,
    Setting::new(
        "bind_address",
        Kind::Text(ip_address),
        Some("0.0.0.0"),
        "IP address on which health and metrics are served",
    ),
    // Not `port`, which a config file or an environment that nodes share says of them.
    Setting::new(
        "poller_port",
        Kind::Number { least: 0, most: 65_535 },
        Some("6003"),
        "Port of health and metrics (0 for any free one)",
    )
    .with_flags(&["p"]),
    Setting::new(
        "shutdown_grace_seconds",
        Kind::Number { least: 0, most: 3_600 },
        Some("20"),
        "Seconds within which a poller that is told to stop has finished what it began and ended",
    ),
    LOG_LEVEL,
    LOG_FORMAT,
];

/// Which addresses may be called.
pub fn addresses(values: &Values) -> AddressPolicy {
    let networks = |setting: Setting| {
        values.list(setting.key).into_iter().filter_map(|text| Network::parse(&text).ok()).collect::<Vec<_>>()
    };
    AddressPolicy::blocking_private(values.is_on(WEBHOOK_BLOCK_PRIVATE_ADDRESSES.key))
        .allowing(networks(WEBHOOK_ALLOW_NETWORKS))
        .denying(networks(WEBHOOK_DENY_NETWORKS))
}

/// How AWS is reached.
pub fn access(values: &Values) -> Access {
    Access { region: values.text(AWS_REGION.key), endpoint_url: values.text(AWS_ENDPOINT_URL.key) }
}

/// How attempts are made.
pub fn delivery(values: &Values) -> DeliverySettings {
    DeliverySettings { access: access(values), ..DeliverySettings::new(addresses(values)) }
}

/// When a webhook is given up.
pub fn horizon(values: &Values) -> Duration {
    Schedule::last_attempt_of(Duration::from_secs(values.number(WEBHOOK_RETRY_SECONDS.key)))
}

/// When attempts are repeated.
pub fn schedule(values: &Values) -> Schedule {
    let longest_gap = Duration::from_secs(values.number(WEBHOOK_RETRY_MAX_GAP_SECONDS.key));
    Schedule { longest_gap, horizon: horizon(values), ..Schedule::default() }
}

/// A network in its usual form.
fn network(text: &str) -> Result<String, String> {
    Network::parse(text).map(|network| network.to_string())
}

/// An IP address in its usual form.
///
/// # Errors
/// What it must be.
pub fn ip_address(text: &str) -> Result<String, String> {
    let address: Result<IpAddr, _> = text.parse();
    address
        .map(|address| address.to_string())
        .map_err(|_| "must be an IP address such as 0.0.0.0 or ::".to_owned())
}

/// A text with something in it.
///
/// # Errors
/// What it must be.
pub fn some_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err("must not be empty or contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// A name of something in the cloud.
///
/// # Errors
/// What it must be.
pub fn some_word(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("must not be empty or contain white space".to_owned());
    }
    Ok(text.to_owned())
}

/// The name of a table.
fn table_name(text: &str) -> Result<String, String> {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if !(3..=255).contains(&text.len()) || !text.bytes().all(sound) {
        return Err("must be 3 to 255 letters, digits, '_', '-' or '.'".to_owned());
    }
    Ok(text.to_owned())
}

/// The ARN of a topic in any partition.
fn topic_arn(text: &str) -> Result<String, String> {
    match text.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "sns", region, account, name]
            if [region, account, name].iter().all(|part| some_word(part).is_ok()) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("must be 'arn:aws:sns:region:account:topic'".to_owned()),
    }
}

/// An absolute URL without credentials.
fn http_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).ok();
    let sound = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    });
    if !sound {
        return Err("must be an absolute http or https URL without user name and password".to_owned());
    }
    Ok(text.to_owned())
}
