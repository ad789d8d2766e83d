//! Commands about users.

use std::sync::Arc;

use axum::extract::State;

use super::{Api, answer::Done, authenticated::Authenticated, error::ApiError};

/// `POST /apps/{app_id}/users/{user_id}/terminate_connections`: cuts off every connection that is signed in as this
/// user, on every node. A user who has none is no error, and what the body says is nobody's business.
pub(super) async fn terminate(State(api): State<Arc<Api>>, request: Authenticated) -> Result<Done, ApiError> {
    api.channels.terminate_user(&request.app, request.path("user_id")).await?;
    Ok(Done)
}
