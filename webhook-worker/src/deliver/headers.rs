//! The headers of a request, ours and the customer's.

use std::time::Duration;

use app_manager::{app::App, webhook::is_reserved_header};
use hyper::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use thiserror::Error;

use crate::job::Job;

/// What we say of a job, wherever it goes.
pub(super) fn ours(app: &App, job: &Job, attempt: u32) -> [(&'static str, String); 4] {
    [
        // By which a receiver chooses the secret to verify with.
        ("X-Pusher-Key", app.key.to_string()),
        // The lower-case hex HMAC-SHA256 of the body.
        ("X-Pusher-Signature", app.sign_webhook(job.body.as_bytes())),
        // By which a receiver recognises a request that it has seen.
        ("X-Socket-Rush-Delivery", job.id.to_string()),
        // Which attempt it is, from 1.
        ("X-Socket-Rush-Attempt", attempt.to_string()),
    ]
}

/// Who we are.
pub(super) const USER_AGENT: &str = concat!("Socket-Rush/", env!("CARGO_PKG_VERSION"));

/// What a body is.
pub(super) const CONTENT_TYPE: &str = "application/json";

/// Why a customer's header cannot be sent. The value is not repeated: it may be a token.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum HeaderError {
    /// HTTP has no such name or value.
    #[error("the webhook header {0:?} is not valid in HTTP")]
    Invalid(String),
    /// Only the server sets it.
    #[error("the webhook header {0:?} is set by the server")]
    Reserved(String),
}

/// Checks a header that a customer wants on webhooks, so that settings can refuse it before there is a job.
///
/// # Errors
/// See [`HeaderError`].
pub fn check_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), HeaderError> {
    let invalid = || HeaderError::Invalid(name.to_owned());
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    if is_reserved_header(name) {
        return Err(HeaderError::Reserved(name.to_owned()));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| invalid())?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

/// How many seconds an answer asks to wait. The other form, a date, is not worth a parser: receivers that throttle
/// send seconds.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_may_add_headers() {
        for (name, value) in
            [("Authorization", "Bearer b"), ("X-Tenant", ""), ("cookie", "a=b"), ("X-Pusher", "x")]
        {
            assert!(check_header(name, value).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_customer_cannot_set_what_belongs_to_the_server() {
        let names = [
            "Host",
            "content-length",
            "Content-Type",
            "Connection",
            "Transfer-Encoding",
            "TE",
            "Upgrade",
            "Trailer",
            "Keep-Alive",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Expect",
            "User-Agent",
            "Content-Encoding",
            "X-Pusher-Key",
            "x-pusher-signature",
            "X-PUSHER-FUTURE",
            "X-Socket-Rush-Delivery",
            "X-Socket-Rush-Attempt",
        ];
        for name in names {
            assert_eq!(check_header(name, "x"), Err(HeaderError::Reserved(name.into())));
        }
    }

    #[test]
    fn what_would_break_out_of_its_line_is_refused_without_being_repeated() {
        for (name, value) in
            [("", "v"), ("a b", "v"), ("a\r\nb", "v"), ("a:", "v"), ("X-A", "v\r\nHost: x"), ("X-A", "\0")]
        {
            let error = check_header(name, value).unwrap_err();
            assert_eq!(error, HeaderError::Invalid(name.into()));
            assert!(!error.to_string().contains("Host"));
        }
    }

    #[test]
    fn seconds_to_wait_are_understood_and_dates_are_not() {
        let asked = |value: &'static str| {
            retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]))
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked(" 0 "), Some(Duration::ZERO));
        for other in ["", "-1", "1.5", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999999999999999"] {
            assert_eq!(asked(other), None, "{other}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
