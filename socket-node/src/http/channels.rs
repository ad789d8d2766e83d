//! Questions about channels.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::{
    Api,
    answer::Json,
    authenticated::Authenticated,
    error::ApiError,
    info::{Attributes, ByChannel, Wanted},
};
use crate::protocol::ChannelName;

/// `GET /apps/{app_id}/channels`: the occupied ones, if their name begins with `filter_by_prefix`.
pub(super) async fn list(
    State(api): State<Arc<Api>>,
    request: Authenticated,
) -> Result<Json<ByChannel>, ApiError> {
    let app = &request.app;
    let prefix = request.query("filter_by_prefix").unwrap_or_default();
    let wanted = Wanted::parse_counts(&request.query("info").unwrap_or_default())?;
    if wanted.user_count && !prefix.starts_with("presence-") {
        return Err(ApiError::bad_request("user_count may only be requested for presence channels"));
    }
    api.limits.check_read(app)?;
    let occupied = api.channels.list(app, &prefix).await;
    let channels = occupied
        .into_iter()
        .map(|(channel, occupancy)| {
            let attributes = wanted.counts(&channel, occupancy);
            (channel, attributes)
        })
        .collect();
    Ok(Json(ByChannel { channels }))
}

/// `GET /apps/{app_id}/channels/{channel}`: one channel, which need not exist.
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    request: Authenticated,
) -> Result<Json<Attributes>, ApiError> {
    let app = &request.app;
    let channel = named_channel(&request)?;
    let wanted = Wanted::parse(&request.query("info").unwrap_or_default())?;
    check_attributes(wanted, &channel)?;
    api.limits.check_read(app)?;
    let occupancy = api.channels.occupancy(app, &channel).await;
    let attributes = wanted.counts(&channel, occupancy).with_occupied(occupancy.is_occupied());
    if !wanted.cache {
        return Ok(Json(attributes));
    }
    let cached = api.channels.cached(app, &channel).await;
    Ok(Json(attributes.with_cache(cached.as_ref())))
}

/// `GET /apps/{app_id}/channels/{channel}/users`: who is in a presence channel.
pub(super) async fn users(
    State(api): State<Arc<Api>>,
    request: Authenticated,
) -> Result<Json<Users>, ApiError> {
    let app = &request.app;
    let channel = named_channel(&request)?;
    if !channel.is_presence() {
        return Err(ApiError::bad_request("Users can only be retrieved for presence channels"));
    }
    api.limits.check_read(app)?;
    let users = api.channels.users(app, &channel).await;
    Ok(Json(Users { users: users.into_iter().map(|id| User { id }).collect() }))
}

/// The answer to who is there.
#[derive(Debug, Serialize)]
pub(super) struct Users {
    users: Vec<User>,
}

/// One of them; the id is a string, whatever it looks like.
#[derive(Debug, Serialize)]
struct User {
    id: Box<str>,
}

fn named_channel(request: &Authenticated) -> Result<ChannelName, ApiError> {
    ChannelName::parse(request.path("channel"), request.app.limits.max_channel_name_length)
        .map_err(|_| ApiError::invalid_channel())
}

/// Some attributes exist for some kinds of channels only.
fn check_attributes(wanted: Wanted, channel: &ChannelName) -> Result<(), ApiError> {
    if wanted.user_count && !channel.is_presence() {
        return Err(ApiError::bad_request("user_count may only be requested for presence channels"));
    }
    if wanted.cache && !channel.is_cache() {
        return Err(ApiError::bad_request("cache may only be requested for cache channels"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_refused_on_channels_that_cannot_have_them() {
        for (info, channel, good) in [
            ("", "a", true),
            ("subscription_count", "a", true),
            ("subscription_count", "presence-a", true),
            ("user_count", "presence-a", true),
            ("user_count", "presence-cache-a", true),
            ("user_count", "a", false),
            ("user_count", "private-presence-a", false),
            ("cache", "cache-a", true),
            ("cache", "private-encrypted-cache-a", true),
            ("cache", "mycache-a", false),
            ("user_count,cache", "presence-a", false),
        ] {
            let channel = ChannelName::parse(channel, 200).unwrap();
            let wanted = Wanted::parse(info).unwrap();
            assert_eq!(check_attributes(wanted, &channel).is_ok(), good, "{info} of {channel}");
        }
    }
}
