//! What the node counts, in plain numbers that every room adds to and [`metrics`](crate::metrics) gives names. Knows
//! no exporter and no labels of one; to count costs the same whether anybody reads it or not.
//!
//! Suggested reading order: [`count`], [`durations`], [`by_app`], [`by_code`], [`requests`], then [`Tally`] itself.

mod by_app;
mod by_code;
mod count;
mod durations;
mod requests;

use app_manager::app::AppId;

pub use by_app::{AppTally, ByApp};
pub use by_code::ByCode;
pub use count::Count;
pub use durations::{Distribution, Durations};
pub use requests::{Endpoint, Outcome, Requests};

/// Everything that is counted as it happens. What can be looked up when somebody asks is not here.
#[derive(Debug, Default)]
pub struct Tally {
    /// What is counted for each app.
    pub apps: ByApp,
    /// Messages that were read from clients, pings and the like among them.
    pub received: Count,
    /// Messages that were written or queued for clients, pings and the like among them.
    pub sent: Count,
    /// Errors that clients were told, and the closes of connections, by their code.
    pub errors: ByCode,
    /// Connections that were cut off because their client read too slowly.
    pub cut: Count,
    /// Events that were delivered on their own node and not on others: there was no room for them on the way.
    pub unheard: Count,
    /// Requests of the HTTP API, by endpoint and outcome.
    pub requests: Requests,
    /// How long their answers took.
    pub request_times: Durations,
    /// From an API request's event being accepted to its being written or queued for all its channels.
    pub publish_times: Durations,
    /// From an event being put into a channel's inbox to the end of the sweep that delivered it.
    pub fan_out_times: Durations,
}

impl Tally {
    /// Nothing counted yet. As many of the apps as [`ByApp`] allows are counted apart.
    pub fn new(apps: impl IntoIterator<Item = AppId>) -> Self {
        Self { apps: ByApp::new(apps), ..Self::default() }
    }
}
