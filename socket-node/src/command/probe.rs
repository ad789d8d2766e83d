//! Tries whether an endpoint takes a webhook.

use std::{io::Write, time::Instant};

use anyhow::Context as _;
use app_manager::{
    app::App,
    webhook::{Endpoint, WebhookTarget},
};
use webhook_worker::{
    deliver::{Deliverer, DeliverySettings, Outcome},
    event::WebhookEvent,
    job::{Job, now_ms},
};

use crate::config::Config;

/// The channel that the webhook tells of. Nobody can subscribe to it by accident.
const CHANNEL: &str = "socket-rush-test";

/// Sends a webhook to this URL, signed by the app with this id, or else by the first; whether it was taken.
pub(super) async fn run(
    config: &Config,
    url: &str,
    app_id: Option<&str>,
    output: &mut impl Write,
) -> anyhow::Result<bool> {
    let is_meant = |app: &&App| app_id.is_none_or(|id| app.id.as_str() == id);
    let app = config.apps.iter().find(is_meant).context("there is no such app")?;
    let target = WebhookTarget {
        endpoint: Endpoint::Url(url.to_owned()),
        event_types: Vec::new(),
        channel_name_starts_with: None,
        channel_name_ends_with: None,
        headers: Vec::new(),
    };
    let event = WebhookEvent::ChannelOccupied { channel: CHANNEL.to_owned() };
    let job = Job::render(&app.id, &target, &[event], now_ms());
    let deliverer = Deliverer::new(DeliverySettings::new(config.webhook_addresses.clone()));
    let began = Instant::now();
    let outcome = deliverer.attempt(app, &job, 1).await;
    let took = began.elapsed().as_millis();
    let (is_taken, what) = match outcome {
        Outcome::Delivered { status } => (true, format!("taken with {status}")),
        Outcome::Retry { cause, .. } => (false, format!("not taken, and would be tried again: {cause}")),
        Outcome::Refused { cause } => (false, format!("not taken, and would be given up: {cause}")),
    };
    writeln!(output, "app {}, delivery {}: {what} after {took} ms", app.id, job.id)?;
    Ok(is_taken)
}
