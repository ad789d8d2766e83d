//! The port of the metrics. It answers `GET /metrics`, and `HEAD` for those who only look whether it is there, and
//! nothing else, one request a connection.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use hyper::{
    Method, Request, Response, StatusCode, header, header::HeaderValue, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tracing::debug;

use super::{Format, Metrics};
use crate::listener;

/// Where the page is.
const PATH: &str = "/metrics";

/// Time for a whole connection: a scraper asks at once and reads at once.
const DEADLINE: Duration = Duration::from_secs(10);

/// Answers scrapers until it is dropped.
pub async fn serve(listener: TcpListener, metrics: Metrics) -> Infallible {
    listener::accept(listener, |stream| {
        tokio::spawn(serve_connection(stream, metrics.clone()));
    })
    .await
}

async fn serve_connection(stream: TcpStream, metrics: Metrics) {
    let service = service_fn(|request| {
        let answer = answer(&request, &metrics);
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    match timeout(DEADLINE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a connection for metrics ended early: {error}"),
        Err(_) => debug!("a connection for metrics took too long"),
    }
}

fn answer<B>(request: &Request<B>, metrics: &Metrics) -> Response<Body> {
    if request.uri().path() != PATH {
        return refusal(StatusCode::NOT_FOUND);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refusal = refusal(StatusCode::METHOD_NOT_ALLOWED);
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    let format = Format::wanted_in(request.headers());
    let mut response = Response::new(Body::from(metrics.page(format)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    // A cache between us must not give one scraper the other one's format.
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

fn refusal(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
