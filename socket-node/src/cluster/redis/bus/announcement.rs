//! What nodes are told by somebody who is none of them: the command line.

use anyhow::Context as _;

use super::{
    Command,
    envelope::{Head, Origin, Sender},
    outbox::{Target, publish},
};
use crate::{
    cluster::redis::{keys::Shard, line::Lines},
    config::RedisConfig,
    protocol::NodeId,
};

/// Tells all nodes that these apps were created, changed or deleted, so that they look them up anew at once. Gives how
/// many nodes have heard all of it: those that have not find out by themselves when what they know is too old.
///
/// # Errors
/// If Redis cannot be reached or does not take it.
pub async fn announce_app_changes(config: &RedisConfig, apps: &[impl AsRef<str>]) -> anyhow::Result<u32> {
    let lines = Lines::new(config)?;
    let line = lines.of(Shard::FIRST);
    let mut connection = line.link.connect().await.context("Redis cannot be reached")?;
    let number = getrandom::u64().map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    // One origin for all of them: nodes remember origins, and not without end.
    let origin = Origin::new(NodeId::from_random(number), 1);
    let control = line.control();
    let mut heard = u32::MAX;
    for (app, sequence) in apps.iter().zip(1..) {
        let command = Command::AppChanged { app: app.as_ref().to_owned() };
        let head = Head::command(Sender { origin, sequence });
        let message = publish(line.dialect, Target::Control(&control), &head, &command.to_bytes());
        heard = heard.min(message.query_async(&mut connection).await.context("Redis does not take it")?);
    }
    Ok(if apps.is_empty() { 0 } else { heard })
}
