//! Publishing: one event, or a batch of them.

use std::sync::Arc;

use app_manager::app::App;
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::{
    Api,
    answer::{Done, Json},
    authenticated::Authenticated,
    error::ApiError,
    info::{Attributes, ByChannel},
    publication::Publication,
};
use crate::{channels::Channels, protocol::ChannelName};

/// `POST /apps/{app_id}/events`: one event to one or more channels.
pub(super) async fn publish(
    State(api): State<Arc<Api>>,
    request: Authenticated,
) -> Result<Response, ApiError> {
    let app = &request.app;
    let publication = Publication::parse(&request.body, &app.limits)?;
    api.limits.check_events(app, 1)?;
    publication.send(&api.channels, app).await?;
    if publication.info.is_nothing() {
        return Ok(Done.into_response());
    }
    let channels = publication.counts(&api.channels, app).await;
    Ok(Json(ByChannel { channels }).into_response())
}

/// `POST /apps/{app_id}/batch_events`: several events, each to one channel. Nothing is published unless all of it
/// is valid; after that they go out one after the other, so that they keep their order.
pub(super) async fn publish_batch(
    State(api): State<Arc<Api>>,
    request: Authenticated,
) -> Result<Response, ApiError> {
    let app = &request.app;
    let batch = Publication::parse_batch(&request.body, &app.limits)?;
    api.limits.check_events(app, batch.len())?;
    for publication in &batch {
        publication.send(&api.channels, app).await?;
    }
    if batch.iter().all(|publication| publication.info.is_nothing()) {
        return Ok(Done.into_response());
    }
    let mut answers = Vec::with_capacity(batch.len());
    for publication in &batch {
        let counts = publication.counts(&api.channels, app).await;
        answers.extend(counts.into_iter().map(|(_, attributes)| attributes));
    }
    Ok(Json(BatchAnswer { batch: answers }).into_response())
}

/// What was asked of each event's channel, in the order of the events.
#[derive(Serialize)]
struct BatchAnswer {
    batch: Vec<Attributes>,
}

impl Publication<'_> {
    async fn send(&self, channels: &Channels, app: &App) -> Result<(), ApiError> {
        channels.publish(app, &self.channels, self.event(), self.except).await?;
        Ok(())
    }

    /// What was asked of the channels; nobody is asked where nothing was.
    async fn counts(&self, channels: &Channels, app: &App) -> Vec<(ChannelName, Attributes)> {
        let mut counts = Vec::with_capacity(self.channels.len());
        for channel in &self.channels {
            let attributes = if self.info.is_nothing() {
                Attributes::default()
            } else {
                self.info.counts(channel, channels.occupancy(app, channel).await)
            };
            counts.push((channel.clone(), attributes));
        }
        counts
    }
}
