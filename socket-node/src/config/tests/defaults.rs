//! What holds when nothing is said.

use webhook_worker::{retry::Schedule, target::AddressPolicy};

use super::super::{CorsOrigins, Driver, LogFormat, LogLevel, QueueDriver, SubscriptionErrorStyle};
use super::{CANARY, Operator, app, nothing, one_app};
use app_manager::app::App;

#[test]
fn the_server_has_its_documented_defaults() {
    let config = one_app().config();
    assert_eq!(config.listen.port, 6001);
    assert_eq!(config.listen.bind_address.to_string(), "0.0.0.0");
    assert_eq!([config.adapter, config.cache], [Driver::Local; 2]);
    assert_eq!((config.queue, config.webhook_schedule), (QueueDriver::Local, Schedule::default()));
    assert_eq!(config.app_env, "production");
    assert_eq!(config.redis.prefix, "pusher");
    assert_eq!(config.redis.urls[0].with_password(), "redis://localhost:6379");
    assert!(!config.redis.tls && !config.redis.cluster);
    assert_eq!(
        (config.log.level, config.log.format, config.log.requests),
        (LogLevel::Info, LogFormat::Text, true)
    );
}

#[test]
fn what_goes_beyond_other_servers_has_its_defaults_too() {
    let config = one_app().config();
    assert_eq!(config.cors_allowed_origins, CorsOrigins::Any);
    assert!(!config.protocol.allow_missing_protocol);
    assert_eq!(config.protocol.subscription_error_style, SubscriptionErrorStyle::Both);
    assert_eq!(config.protocol.terminate_close_code, 4009);
    assert_eq!(config.max_socket_backlog, 1024 * 1024);
    assert_eq!(config.webhook_delivery.addresses, AddressPolicy::public_and_private());
    assert_eq!(config.shutdown_grace.as_secs(), 20);
    assert!(config.tls.is_none());
    assert!(config.notices.is_empty());
}

fn assert_app_defaults(app: &App) {
    let limits = &app.limits;
    assert_eq!((limits.activity_timeout_seconds, limits.authorization_timeout_seconds), (60, 5));
    assert_eq!(limits.max_connections, None);
    assert_eq!(limits.max_backend_events_per_second, None);
    assert_eq!(limits.max_client_events_per_second, None);
    assert_eq!(limits.max_read_requests_per_second, None);
    assert_eq!((limits.max_presence_members_per_channel, limits.max_presence_member_size), (100, 10 * 1024));
    assert_eq!((limits.max_channel_name_length, limits.max_event_name_length), (200, 200));
    assert_eq!((limits.max_event_channels_at_once, limits.max_event_batch_size), (10, 10));
    assert_eq!(limits.max_event_payload, 10 * 1024);
    let features = &app.features;
    assert!(app.enabled && features.user_authentication);
    assert!(!features.client_messages && !features.require_authorization);
    assert!(!features.watchlist_events && !features.subscription_count);
    assert!(app.allowed_origins.is_empty());
    assert!(!app.webhooks.enabled && !app.webhooks.batching && app.webhooks.targets.is_empty());
}

/// Whichever source an app comes from, it gets the same defaults.
#[test]
fn an_app_has_the_same_defaults_from_every_source() {
    let from_environment = nothing().env("APP_ID", "1").env("APP_KEY", "key1").env("APP_SECRET", CANARY);
    let from_file = nothing().config_file(&format!(r#"{{"applications": [{}]}}"#, app("1", "")));
    let sources: [Operator; 3] = [one_app(), from_environment, from_file];
    for operator in sources {
        let config = operator.config();
        assert_eq!(config.apps.len(), 1);
        assert_eq!((config.apps[0].id.as_str(), config.apps[0].key.as_str()), ("1", "key1"));
        assert_app_defaults(&config.apps[0]);
    }
}

#[test]
fn an_app_signs_with_the_secret_that_it_was_given() {
    let flags = one_app().config();
    let file = nothing().config_file(&format!(r#"{{"applications": [{}]}}"#, app("1", ""))).config();
    assert_eq!(flags.apps[0].sign_webhook(b"{}"), file.apps[0].sign_webhook(b"{}"));
}
