//! Every setting of an app.

use super::{
    Kind, Places, Setting,
    address::{read_origin, read_webhook_url},
    arn::{read_region, read_topic_arn},
    checks::{app_key, app_secret, some_text},
};

/// The keys without which there is no app.
pub const CREDENTIALS: [&str; 3] = ["app_id", "app_key", "app_secret"];

/// A day: no timeout of a connection is sensible beyond it.
const DAY_IN_SECONDS: u64 = 86_400;
/// In the year 2286: a time in seconds or microseconds is outside of what makes sense, or long over.
const LAST_MILLISECOND: u64 = 9_999_999_999_999;

/// Every setting of an app, in the order in which they are documented.
pub static APP_SETTINGS: &[Setting] = &[
    Setting::new("app_id", Kind::Digits, None, "Id of the app, digits only; names it in the HTTP API"),
    Setting::new("app_key", Kind::Text(app_key), None, "Key of the app; clients connect with it"),
    Setting::new("app_secret", Kind::Secret(app_secret), None, "Secret of the app; signs and verifies"),
    Setting::new(
        "app_previous_secret",
        Kind::Secret(app_secret),
        None,
        "Secret that the app had before; it verifies as well, and signs webhooks, until `app_previous_secret_until`",
    ),
    Setting::new(
        "app_previous_secret_until",
        Kind::Number { least: 0, most: LAST_MILLISECOND },
        None,
        "When the previous secret ends, in milliseconds since 1970",
    ),
    Setting::new(
        "app_enabled",
        Kind::Bool,
        Some("true"),
        "Whether the app may be used; a disabled one refuses connections and API calls",
    ),
    Setting::new(
        "app_activity_timeout",
        Kind::Number { least: 1, most: DAY_IN_SECONDS },
        Some("60"),
        "Seconds of silence after which a connection is probed",
    ),
    Setting::new(
        "app_require_channel_authorization",
        Kind::Bool,
        Some("false"),
        "Whether a connection must sign in or subscribe to a private or presence channel in time",
    )
    .also(&["app_require_authorization"]),
    Setting::new(
        "app_authorization_timeout_seconds",
        Kind::Number { least: 1, most: DAY_IN_SECONDS },
        Some("5"),
        "Seconds within which a connection must do so, where the app requires it",
    ),
    Setting::new(
        "app_enable_client_messages",
        Kind::Bool,
        Some("false"),
        "Whether clients may send events to each other",
    ),
    Setting::new(
        "app_enable_user_authentication",
        Kind::Bool,
        Some("true"),
        "Whether connections may sign in as a user",
    ),
    Setting::new(
        "app_enable_watchlist_events",
        Kind::Bool,
        Some("false"),
        "Whether signed-in users are told when those on their watchlist come and go",
    ),
    Setting::new(
        "app_enable_subscription_count",
        Kind::Bool,
        Some("false"),
        "Whether subscribers are told how many a channel has",
    ),
    Setting::new(
        "app_allowed_origins",
        Kind::List(read_origin),
        Some(""),
        "Origins from which browsers may connect, such as `https://example.com`, `example.com` or `*.example.com`; empty means any",
    ),
    Setting::new("app_max_connections", Kind::Limit, Some("0"), "Connections at one time (0 for unlimited)"),
    Setting::new(
        "app_max_backend_events_per_second",
        Kind::Limit,
        Some("0"),
        "Events per second through the HTTP API (0 for unlimited)",
    ),
    Setting::new(
        "app_max_client_events_per_second",
        Kind::Limit,
        Some("0"),
        "Client events per second of one connection (0 for unlimited)",
    ),
    Setting::new(
        "app_max_read_requests_per_second",
        Kind::Limit,
        Some("0"),
        "Reading HTTP API requests per second (0 for unlimited)",
    ),
    Setting::new(
        "app_max_presence_members_per_channel",
        Kind::Number { least: 1, most: 1_000_000 },
        Some("100"),
        "Users in one presence channel",
    )
    .also(&["app_max_presence_users"]),
    Setting::new(
        "app_max_presence_member_size_in_kb",
        Kind::Number { least: 1, most: 1024 },
        Some("10"),
        "Size of what a presence member tells about itself, in KB of 1024 bytes",
    ),
    Setting::new(
        "app_max_channel_name_length",
        Kind::Number { least: 1, most: 65_535 },
        Some("200"),
        "Characters of a channel's name",
    ),
    Setting::new(
        "app_max_event_channels_at_once",
        Kind::Number { least: 1, most: 10_000 },
        Some("10"),
        "Channels that one event may be sent to",
    ),
    Setting::new(
        "app_max_event_name_length",
        Kind::Number { least: 1, most: 65_535 },
        Some("200"),
        "Characters of an event's name",
    ),
    Setting::new(
        "app_max_event_payload_in_kb",
        Kind::Number { least: 1, most: 65_536 },
        Some("10"),
        "Size of an event's data, in KB of 1024 bytes",
    ),
    Setting::new(
        "app_max_event_batch_size",
        Kind::Number { least: 1, most: 10_000 },
        Some("10"),
        "Events of one batch request",
    ),
    Setting::new(
        "app_webhooks_enabled",
        Kind::Bool,
        Some("false"),
        "Whether webhooks are sent; needs `app_webhook_url`, `app_webhook_sns_topic_arn` or `webhooks`",
    )
    .also(&["app_webhook_enabled"]),
    Setting::new(
        "app_has_webhook_batching_enabled",
        Kind::Bool,
        Some("false"),
        "Whether events of one target are gathered into one request",
    )
    .also(&["app_webhook_batching_enabled"]),
    Setting::new("app_webhook_url", Kind::Url(read_webhook_url), None, "Where webhooks go: an http or https URL"),
    Setting::new(
        "app_webhook_filter_prefix",
        Kind::Text(some_text),
        None,
        "Only channels whose name begins with this are told of at `app_webhook_url` and `app_webhook_sns_topic_arn`",
    ),
    Setting::new(
        "app_has_channel_occupied_webhooks",
        Kind::Bool,
        Some("false"),
        "`app_webhook_url` and `app_webhook_sns_topic_arn` get channel_occupied (with none of these selected they get every event)",
    ),
    Setting::new(
        "app_has_channel_vacated_webhooks",
        Kind::Bool,
        Some("false"),
        "`app_webhook_url` and `app_webhook_sns_topic_arn` get channel_vacated",
    ),
    Setting::new(
        "app_has_member_added_webhooks",
        Kind::Bool,
        Some("false"),
        "`app_webhook_url` and `app_webhook_sns_topic_arn` get member_added",
    ),
    Setting::new(
        "app_has_member_removed_webhooks",
        Kind::Bool,
        Some("false"),
        "`app_webhook_url` and `app_webhook_sns_topic_arn` get member_removed",
    ),
    Setting::new(
        "app_has_client_event_webhooks",
        Kind::Bool,
        Some("false"),
        "`app_webhook_url` and `app_webhook_sns_topic_arn` get client_event",
    ),
    Setting::new("app_has_cache_miss_webhooks", Kind::Bool, Some("false"), "`app_webhook_url` and `app_webhook_sns_topic_arn` get cache_miss"),
    Setting::new(
        "webhooks",
        Kind::Webhooks,
        None,
        "Targets of webhooks: `{url or sns_topic_arn or lambda_function, lambda: {async, region}, event_types[], filter: {channel_name_starts_with, channel_name_ends_with}, headers{}}`",
    )
    .only(Places::Json),
    Setting::new(
        "app_webhook_sns_topic_arn",
        Kind::Text(read_topic_arn),
        None,
        "Where webhooks go as well: the ARN of a topic in SNS",
    ),
    Setting::new(
        "app_webhook_sns_region",
        Kind::Text(read_region),
        None,
        "Region of that topic, which its ARN names already: another one is refused",
    ),
];
