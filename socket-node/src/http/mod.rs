//! The HTTP API: what customers' backends call. Requests in, answers out; everything that happens to channels
//! happens in [`channels`](crate::channels).
//!
//! Suggested reading order: [`authenticated`], how a request becomes trustworthy; [`publication`], what a backend
//! may publish; [`events`], [`channels`] and [`users`], the endpoints; [`info`], what is told of a channel;
//! [`health`], for load balancers; [`answer`] and [`error`], how answers look; [`cors`] and [`log`], around it all.

mod answer;
mod authenticated;
mod channels;
mod cors;
mod error;
mod events;
mod health;
mod info;
mod log;
mod publication;
mod users;

use std::{sync::Arc, time::Instant};

use app_manager::apps::Apps;
use axum::{
    Router,
    http::{Request, header},
    response::Response,
    routing::{get, post},
};
use hyper::body::Incoming;
use tower_service::Service as _;
use tracing::Level;

pub use cors::AllowedOrigins;

use crate::{
    channels::Channels,
    limits::RequestLimits,
    shutdown::Readiness,
    tally::{Endpoint, Outcome, Tally},
};
use error::ApiError;
use log::Logged;

/// What the API works on.
#[derive(Clone, Debug)]
pub struct Api {
    /// Whose requests are answered.
    pub apps: Apps,
    /// Where they take effect.
    pub channels: Channels,
    /// How many are too many.
    pub limits: RequestLimits,
    /// Whether load balancers should send more.
    pub readiness: Readiness,
}

/// What is done around every request of the API. Nothing that is switched off costs anything.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Pages of which origins may read answers.
    pub cors_allowed_origins: AllowedOrigins,
    /// Whether each request leaves a line in the log.
    pub log_requests: bool,
}

/// The API and the health checks, as the listener calls them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    router: Router,
    options: Options,
    tally: Arc<Tally>,
}

impl Http {
    /// Answers out of this API; requests are counted in `tally`.
    pub fn new(api: Api, options: Options, tally: Arc<Tally>) -> Self {
        let health = health::router(api.readiness.clone());
        let router =
            endpoints(api).merge(health).method_not_allowed_fallback(async || ApiError::method_not_allowed());
        Self { router, options, tally }
    }

    /// Answers a request. What is done around all of them is done here and not in layers of the router: a layer costs
    /// every request its boxes and clones, whether it has anything to do or not.
    pub async fn answer(&mut self, request: Request<Incoming>) -> Response {
        if health::is_meant(&request) {
            return self.route(request).await;
        }
        let Options { cors_allowed_origins: origins, log_requests } = &self.options;
        let logged = (*log_requests && tracing::enabled!(Level::INFO)).then(|| Logged::begin(&request));
        let grant = request.headers().get(header::ORIGIN).and_then(|origin| origins.grant(origin));
        let mut response = match origins.answer_question(&request, grant.as_ref()) {
            Some(permission) => permission,
            None => self.route_counted(request).await,
        };
        self.options.cors_allowed_origins.mark(response.headers_mut(), grant);
        if let Some(logged) = logged {
            logged.end(&mut response);
        }
        response
    }

    async fn route_counted(&mut self, request: Request<Incoming>) -> Response {
        let (endpoint, started) = (Endpoint::of_path(request.uri().path()), Instant::now());
        let response = self.route(request).await;
        self.tally.requests.of(endpoint, Outcome::of_status(response.status().as_u16())).one();
        self.tally.request_times.record(started.elapsed());
        response
    }

    async fn route(&mut self, request: Request<Incoming>) -> Response {
        match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn endpoints(api: Api) -> Router {
    Router::new()
        .route("/apps/{app_id}/events", post(events::publish))
        .route("/apps/{app_id}/batch_events", post(events::publish_batch))
        .route("/apps/{app_id}/channels", get(channels::list))
        .route("/apps/{app_id}/channels/{channel}", get(channels::show))
        .route("/apps/{app_id}/channels/{channel}/users", get(channels::users))
        .route("/apps/{app_id}/users/{user_id}/terminate_connections", post(users::terminate))
        // The Python SDK leaves the app out of the path; its key names it.
        .route("/users/{user_id}/terminate_connections", post(users::terminate))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .fallback(async || ApiError::unknown_path())
        .with_state(Arc::new(api))
}
