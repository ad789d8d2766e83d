//! The precondition of every endpoint: a request whose signature is good.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use app_manager::{
    app::{App, Limits, RequestAuthError, SignedRequest},
    apps::Apps,
};
use axum::{
    BoxError,
    body::{Body, HttpBody as _},
    extract::{FromRequest, FromRequestParts as _, RawPathParams, Request},
    http::Uri,
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::{Api, error::ApiError};

/// Time for a body to arrive. Backends and servers are neighbours; who needs longer is not sending.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// Bytes that a body may always have, whatever the app's limits.
const MIN_BODY_CAP: usize = 1024 * 1024;

/// Bytes beside the `data` of a body's events.
const BODY_SLACK: usize = 64 * 1024;

/// A request of which the app's secret says that the app's owner sent it. A handler that takes one cannot run
/// for anybody else, nor for a disabled app.
#[derive(Debug)]
pub(super) struct Authenticated {
    /// Whose request it is.
    pub(super) app: Arc<App>,
    /// The body, which is the one that was signed.
    pub(super) body: Bytes,
    path: RawPathParams,
    uri: Uri,
}

impl Authenticated {
    /// A part of the path, decoded.
    pub(super) fn path(&self, name: &str) -> &str {
        path_param(&self.path, name).expect("the route has a parameter of this name")
    }

    /// The first query parameter of this name, decoded.
    pub(super) fn query(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = self.uri.query()?;
        form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

impl FromRequest<Arc<Api>> for Authenticated {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, ApiError> {
        let (mut parts, body) = request.into_parts();
        let path = RawPathParams::from_request_parts(&mut parts, &())
            .await
            .map_err(|_| ApiError::bad_request("The path is not valid UTF-8"))?;
        let query = parts.uri.query().unwrap_or_default();
        let app = match path_param(&path, "app_id") {
            Some(id) => api.apps.by_id(id).await?.ok_or_else(ApiError::unknown_app)?,
            None => app_by_key(&api.apps, query).await?,
        };
        let body = read_body(body, body_cap(&app.limits)).await?;
        let signed = SignedRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query,
            body: &body,
            now: unix_seconds(),
        };
        if let Err(error) = app.verify_request(&signed) {
            return Err(refusal(error, &api.apps, query).await);
        }
        // Only after the signature: that an app is disabled is nobody else's business.
        if !app.enabled {
            return Err(ApiError::app_disabled());
        }
        Ok(Self { app, body, path, uri: parts.uri })
    }
}

fn path_param<'a>(path: &'a RawPathParams, name: &str) -> Option<&'a str> {
    path.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The app of a request whose path names none.
async fn app_by_key(apps: &Apps, query: &str) -> Result<Arc<App>, ApiError> {
    let key = SignedRequest::auth_key(query).ok_or(RequestAuthError::MissingKey)?;
    let app = apps.by_key(&key).await?;
    app.ok_or_else(|| RequestAuthError::UnknownKey.into())
}

/// A key that is simply another app's deserves a 401, unlike one that nobody has.
async fn refusal(error: RequestAuthError, apps: &Apps, query: &str) -> ApiError {
    let belongs_to_another = error == RequestAuthError::UnknownKey && app_by_key(apps, query).await.is_ok();
    if belongs_to_another { ApiError::unauthorized(error.to_string()) } else { error.into() }
}

/// Bytes that the largest legal batch can have: every byte of `data` may be escaped, which doubles it.
fn body_cap(limits: &Limits) -> usize {
    let data = limits.max_event_batch_size.saturating_mul(limits.max_event_payload);
    data.saturating_mul(2).saturating_add(BODY_SLACK).max(MIN_BODY_CAP)
}

/// Reads no further than the cap, and not at all if the request itself says that it goes beyond.
async fn read_body(body: Body, cap: usize) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::too_large(format!("The request body exceeds the allowed maximum ({cap} bytes)"));
    if usize::try_from(body.size_hint().lower()).is_ok_and(|length| length > cap) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_DEADLINE, gather(Limited::new(body, cap))).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::bad_request("The request body is incomplete")),
        Err(_) => Err(ApiError::body_timeout()),
    }
}

/// Copies a body that comes in more than one piece: tiny pieces, kept as they are, would cost many times their bytes.
async fn gather(mut body: Limited<Body>) -> Result<Bytes, BoxError> {
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() {
            first = data;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&first);
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

/// A clock before 1970 is no clock; no timestamp of a request will agree with it.
fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use app_manager::app::settings::{self, APP_SETTINGS, Problems, Values};
    use hyper::body::Frame;

    use super::*;

    /// A body that comes in pieces and does not say how long it is; after the last piece it ends or hangs.
    struct Pieces {
        left: Vec<&'static str>,
        hangs: bool,
    }

    impl axum::body::HttpBody for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left.is_empty() {
                return if self.hangs { Poll::Pending } else { Poll::Ready(None) };
            }
            let piece = self.left.remove(0);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        }
    }

    fn pieces(left: &[&'static str], hangs: bool) -> Body {
        Body::new(Pieces { left: left.to_vec(), hangs })
    }

    fn status(result: Result<Bytes, ApiError>) -> u16 {
        result.unwrap_err().status.as_u16()
    }

    #[tokio::test]
    async fn a_body_is_read_whole_in_however_many_pieces_it_comes() {
        for (body, expected) in [
            (Body::empty(), ""),
            (Body::from("abc"), "abc"),
            (pieces(&[], false), ""),
            (pieces(&["abc"], false), "abc"),
            (pieces(&["", "a", "", "b", "cd"], false), "abcd"),
        ] {
            assert_eq!(read_body(body, 4).await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn a_body_is_read_no_further_than_the_cap() {
        assert_eq!(status(read_body(Body::from("abcde"), 4).await), 413);
        // It would hang if it were asked for more than it takes to see that it is too long.
        assert_eq!(status(read_body(pieces(&["abc", "de"], true), 4).await), 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        assert_eq!(status(read_body(pieces(&["a"], true), 4).await), 408);
    }

    #[test]
    fn the_cap_holds_the_largest_legal_batch() {
        let (mut values, mut problems) = (Values::new(APP_SETTINGS), Problems::default());
        for (name, text) in [
            ("app_id", "1"),
            ("app_key", "key"),
            ("app_secret", "secret"),
            ("app_max_event_batch_size", "100"),
            ("app_max_event_payload_in_kb", "50"),
        ] {
            let setting = APP_SETTINGS.iter().find(|setting| setting.key == name).unwrap();
            values.add(setting, &text.into(), name.to_owned(), &mut problems);
        }
        let mut limits = settings::build(&values, "the test's app", &mut problems).unwrap().limits;
        assert!(body_cap(&limits) > 100 * 50 * 1024 * 2);
        limits.max_event_batch_size = 1;
        assert_eq!(body_cap(&limits), MIN_BODY_CAP);
        (limits.max_event_batch_size, limits.max_event_payload) = (usize::MAX, usize::MAX);
        assert_eq!(body_cap(&limits), usize::MAX);
    }
}
