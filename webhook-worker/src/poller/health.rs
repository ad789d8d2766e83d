//! The port for those who look after a poller: health checks, and metrics in the text format of Prometheus.

use std::{fmt::Write as _, sync::atomic::Ordering::Relaxed};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::net::TcpListener;

use super::Figures;
use crate::worker::Lanes;

/// Answers for ever, whoever can reach the port.
pub async fn serve(listener: TcpListener, lanes: Lanes, figures: Figures) -> std::io::Result<()> {
    let alive = || async { status(StatusCode::OK, "ok") };
    let router = Router::new()
        .route("/", get(alive))
        .route("/health", get(alive))
        .route("/live", get(alive))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state((lanes, figures));
    axum::serve(listener, router).await
}

fn status(code: StatusCode, status: &str) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (code, json, format!("{{\"status\":\"{status}\"}}")).into_response()
}

async fn ready(State((_, figures)): State<(Lanes, Figures)>) -> Response {
    if figures.counts.is_draining.load(Relaxed) {
        status(StatusCode::SERVICE_UNAVAILABLE, "draining")
    } else if figures.counts.is_reached.load(Relaxed) {
        status(StatusCode::OK, "ok")
    } else {
        status(StatusCode::SERVICE_UNAVAILABLE, "apart")
    }
}

async fn metrics(State((lanes, figures)): State<(Lanes, Figures)>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, page(&lanes, &figures)).into_response()
}

/// A dozen plain numbers need no library.
fn page(lanes: &Lanes, figures: &Figures) -> String {
    let (jobs, counts) = (lanes.snapshot(), &figures.counts);
    let endpoints = jobs.endpoints as u64;
    let metrics = [
        ("attempts_total", "counter", "Attempts to deliver a webhook that ended", jobs.attempts),
        ("delivered_total", "counter", "Webhooks that an endpoint took", jobs.delivered),
        ("retries_total", "counter", "Failed attempts after which another was planned", jobs.retried),
        ("dead_total", "counter", "Webhooks that were given up", jobs.dead),
        ("held", "gauge", "Webhooks that are not delivered yet", jobs.queued),
        ("endpoints", "gauge", "Endpoints that have a lane", endpoints),
        (
            "messages_received_total",
            "counter",
            "Messages received, repeats among them",
            counts.received.load(Relaxed),
        ),
        (
            "messages_returned_total",
            "counter",
            "Messages given back for want of room",
            counts.returned.load(Relaxed),
        ),
        ("dead_letters_total", "counter", "Messages put among the dead letters", counts.buried.load(Relaxed)),
        (
            "queue_failures_total",
            "counter",
            "Requests to the queue that failed",
            counts.failures.load(Relaxed),
        ),
    ];
    let mut page = String::new();
    for (name, kind, help, value) in metrics {
        let name = format!("socket_rush_poller_{name}");
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}")
            .expect("a String takes everything");
    }
    page
}
