//! One line in the log for each request.

use std::time::Instant;

use axum::http::{Method, Request, Response, Uri};

/// A request that will have its line when it is answered.
#[derive(Debug)]
pub(super) struct Logged {
    started: Instant,
    method: Method,
    uri: Uri,
}

impl Logged {
    pub(super) fn begin<B>(request: &Request<B>) -> Self {
        Self { started: Instant::now(), method: request.method().clone(), uri: request.uri().clone() }
    }

    /// The query stays out of the log: it carries the signature.
    pub(super) fn end<B>(self, response: &Response<B>) {
        let Self { started, method, uri } = self;
        let (path, status) = (uri.path(), response.status().as_u16());
        let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        tracing::info!(%method, path, status, duration_ms, "{method} {path} was answered with {status}");
    }
}
