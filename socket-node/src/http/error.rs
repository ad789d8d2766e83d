//! Refusals: a status and a JSON body that carries Pusher's text. JSON, because the .NET SDK parses every body.

use std::borrow::Cow;

use app_manager::{app::RequestAuthError, store::LookupError};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use super::answer;
use crate::{
    channels::Overloaded,
    limits::{RateLimited, RetryAfter},
};

/// A request that is answered with a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) text: Cow<'static, str>,
    retry_after: Option<RetryAfter>,
}

impl ApiError {
    fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), retry_after: None }
    }

    /// The request makes no sense, and never will.
    pub(super) fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// Something that the request must have is not in it.
    pub(super) fn missing(parameter: &str) -> Self {
        Self::bad_request(format!("Missing parameter: {parameter}"))
    }

    /// A channel's name that cannot be one.
    pub(super) fn invalid_channel() -> Self {
        Self::bad_request("Invalid channel name")
    }

    /// The sender is not who the path says.
    pub(super) fn unauthorized(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, text)
    }

    /// The app is switched off.
    pub(super) fn app_disabled() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Application disabled")
    }

    /// The path names an app that is not there.
    pub(super) fn unknown_app() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Unknown app_id")
    }

    /// The path names nothing at all.
    pub(super) fn unknown_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found")
    }

    /// The path is right and the method is not. The router adds the `Allow` header.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
    }

    /// The body did not come in time.
    pub(super) fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time")
    }

    /// Something is larger than it may be.
    pub(super) fn too_large(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }
}

impl From<RequestAuthError> for ApiError {
    fn from(error: RequestAuthError) -> Self {
        let status = StatusCode::from_u16(error.status()).expect("a documented status is a valid one");
        Self::new(status, error.to_string())
    }
}

impl From<RateLimited> for ApiError {
    fn from(error: RateLimited) -> Self {
        let text = error.to_string();
        match error {
            RateLimited::TooSoon { retry_after, .. } => {
                Self { retry_after: Some(retry_after), ..Self::new(StatusCode::TOO_MANY_REQUESTS, text) }
            }
            // Not 429: no wait would help, and a client that believes in one would never stop.
            RateLimited::NeverFits { .. } => Self::too_large(text),
        }
    }
}

impl From<Overloaded> for ApiError {
    fn from(error: Overloaded) -> Self {
        Self {
            retry_after: Some(RetryAfter::ONE_SECOND),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

/// What exactly is wrong with the store is for the log.
impl From<LookupError> for ApiError {
    fn from(_: LookupError) -> Self {
        let text = "The app cannot be looked up just now, try again in a moment";
        Self { retry_after: Some(RetryAfter::ONE_SECOND), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, text) }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Refusal<'a> {
            error: &'a str,
            code: u16,
        }
        let refusal = Refusal { error: &self.text, code: self.status.as_u16() };
        let text = serde_json::to_string(&refusal).expect("a text and a number are always JSON");
        let mut response = answer::json(Body::from(text));
        *response.status_mut() = self.status;
        if let Some(wait) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.seconds()));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn rendered(error: ApiError) -> (u16, Option<String>, String) {
        let response = error.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
        let wait = response.headers().get(header::RETRY_AFTER).map(|wait| wait.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        (status, wait, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_refusal_is_a_json_object_with_text_and_status() {
        let (status, wait, body) = rendered(ApiError::bad_request("a \"quoted\"\ntext")).await;
        assert_eq!((status, wait), (400, None));
        assert_eq!(body, r#"{"error":"a \"quoted\"\ntext","code":400}"#);
    }

    #[tokio::test]
    async fn an_overloaded_server_says_when_to_come_again() {
        let (status, wait, body) = rendered(Overloaded.into()).await;
        assert_eq!((status, wait.as_deref()), (503, Some("1")));
        assert!(body.ends_with(r#""code":503}"#), "{body}");
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_told_without_its_secrets() {
        let (status, wait, body) = rendered(LookupError::Unavailable("canary".to_owned()).into()).await;
        assert_eq!((status, wait.as_deref()), (503, Some("1")));
        assert!(!body.contains("canary") && body.ends_with(r#""code":503}"#), "{body}");
    }

    #[tokio::test]
    async fn a_wrong_signature_keeps_its_status_and_text() {
        let (status, _, body) = rendered(RequestAuthError::UnknownKey.into()).await;
        assert_eq!((status, body.as_str()), (400, r#"{"error":"Unknown auth_key","code":400}"#));
        let (status, _, body) = rendered(RequestAuthError::MissingVersion.into()).await;
        assert_eq!((status, body.as_str()), (401, r#"{"error":"Version required","code":401}"#));
    }

    #[test]
    fn a_batch_that_never_fits_is_not_told_to_wait() {
        let two = std::num::NonZeroU32::new(2).unwrap();
        let error = ApiError::from(RateLimited::NeverFits { per_second: two, asked: two });
        assert_eq!((error.status.as_u16(), error.retry_after), (413, None));
        let error =
            ApiError::from(RateLimited::TooSoon { per_second: two, retry_after: RetryAfter::ONE_SECOND });
        assert_eq!((error.status.as_u16(), error.retry_after), (429, Some(RetryAfter::ONE_SECOND)));
    }
}
