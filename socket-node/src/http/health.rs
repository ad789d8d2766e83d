//! What load balancers and supervisors ask.

use axum::{
    Router,
    extract::State,
    http::{Request, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;

use super::answer::Json;
use crate::shutdown::Readiness;

/// Where they are answered.
const PATHS: [&str; 4] = ["/", "/health", "/live", "/ready"];

/// Whether a request is for one of these. They come every few seconds for ever, and leave no line in the log.
pub(super) fn is_meant<B>(request: &Request<B>) -> bool {
    PATHS.contains(&request.uri().path())
}

/// The health checks.
pub(super) fn router(readiness: Readiness) -> Router {
    let [root, health, live, ready_path] = PATHS;
    Router::new()
        .route(root, get(alive))
        .route(health, get(alive))
        .route(live, get(alive))
        .route(ready_path, get(ready))
        .with_state(readiness)
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

async fn alive() -> Json<Status> {
    Json(Status { status: "ok" })
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let status = if readiness.is_draining() {
        "draining"
    } else if readiness.is_apart() {
        "apart"
    } else {
        return Json(Status { status: "ok" }).into_response();
    };
    (StatusCode::SERVICE_UNAVAILABLE, Json(Status { status })).into_response()
}
