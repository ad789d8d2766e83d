//! What is counted and what can be looked up, as a page for Prometheus. Here alone things have the names of metrics.
//!
//! The page is made when it is asked for: there is nothing to keep up to date meanwhile, and who does not ask pays
//! for nothing. Labels have few values, all of them known at the start; a channel's name is never one.
//!
//! Suggested reading order: [`page`], which metrics there are; [`format`](mod@format), how they are written;
//! [`server`], how they are asked for; [`process`], what the kernel says of us.

mod format;
mod page;
mod process;
mod server;

use std::sync::Arc;

use app_manager::apps::Apps;
use prometheus_client::{encoding::text, registry::Registry};

use crate::{channels::Channels, cluster::Cluster, connection::Sockets, tally::Tally, webhooks::Webhooks};

use format::Format;
pub use server::serve;

/// What every metric's name begins with.
const PREFIX: &str = "socket_rush";

/// Everything that the page is made of. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
}

/// Where the figures come from.
#[derive(Debug)]
pub struct Sources {
    /// What was counted as it happened.
    pub tally: Arc<Tally>,
    /// How apps were found.
    pub apps: Apps,
    /// Which channels are occupied.
    pub channels: Channels,
    /// Which sockets are behind.
    pub sockets: Sockets,
    /// What became of webhooks.
    pub webhooks: Webhooks,
    /// The other nodes, if there may be any.
    pub cluster: Option<Cluster>,
}

impl Metrics {
    /// Metrics of these figures.
    pub fn new(sources: Sources) -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(sources));
        Self { registry: Arc::new(registry) }
    }

    /// The page.
    fn page(&self, format: Format) -> String {
        let mut page = String::new();
        text::encode(&mut page, &self.registry).expect("a String takes everything");
        format.of_open_metrics(page)
    }
}
