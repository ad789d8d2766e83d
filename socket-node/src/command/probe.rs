//! Tries whether an endpoint takes a webhook.

use std::{io::Write, time::Instant};

use anyhow::Context as _;
use app_manager::{
    app::{
        App,
        settings::{read_function, read_topic_arn},
    },
    webhook::{Endpoint, WebhookTarget},
};
use webhook_worker::{
    deliver::{Deliverer, Outcome},
    event::WebhookEvent,
    job::{Job, now_ms},
};

use crate::{config::Config, node::app_store::AppStore};

/// The channel that the webhook tells of. Nobody can subscribe to it by accident.
const CHANNEL: &str = "socket-rush-test";

/// Sends a webhook to this URL, topic or function, signed by the app with this id, or else by the first; whether it was taken.
pub(super) async fn run(
    config: &Config,
    address: &str,
    app_id: Option<&str>,
    output: &mut impl Write,
) -> anyhow::Result<bool> {
    let app = app(config, app_id).await?;
    let target = WebhookTarget {
        endpoint: endpoint(address)?,
        event_types: Vec::new(),
        channel_name_starts_with: None,
        channel_name_ends_with: None,
        headers: Vec::new(),
    };
    let event = WebhookEvent::ChannelOccupied { channel: CHANNEL.to_owned() };
    let job = Job::render(&app.id, &target, &[event], now_ms());
    let deliverer = Deliverer::new(config.webhook_delivery.clone());
    let began = Instant::now();
    let outcome = deliverer.attempt(&app, &job, 1).await;
    let took = began.elapsed().as_millis();
    let (is_taken, what) = match outcome {
        Outcome::Delivered { status } => (true, format!("taken with {status}")),
        Outcome::Retry { cause, .. } => (false, format!("not taken, and would be tried again: {cause}")),
        Outcome::Refused { cause } => (false, format!("not taken, and would be given up: {cause}")),
    };
    writeln!(output, "app {}, delivery {}: {what} after {took} ms", app.id, job.id)?;
    Ok(is_taken)
}

/// What an address means: an ARN that of a topic or a function, which is waited for; anything else is a URL.
fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    match address.split(':').collect::<Vec<_>>()[..] {
        ["arn", _, "lambda", ..] => {
            let function = read_function(address, None, false);
            Ok(Endpoint::LambdaFunction(function.map_err(|what| anyhow::anyhow!("the address {what}"))?))
        }
        ["arn", ..] => {
            let arn = read_topic_arn(address).map_err(|what| anyhow::anyhow!("the address {what}"))?;
            Ok(Endpoint::SnsTopicArn(arn))
        }
        _ => Ok(Endpoint::Url(address.to_owned())),
    }
}

/// The app with this id, or else the first; where they are in a database, none is.
async fn app(config: &Config, id: Option<&str>) -> anyhow::Result<App> {
    let found = match (AppStore::of(&config.app_manager)?, id) {
        (Some(store), Some(id)) => store.records().by_id(id).await?,
        (Some(_), None) => anyhow::bail!("apps are in a database: name one with --app"),
        (None, id) => config.apps.iter().find(|app| id.is_none_or(|id| app.id.as_str() == id)).cloned(),
    };
    found.context("there is no such app")
}
