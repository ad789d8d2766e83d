//! One line in the log for each request, with an id by which it is found again.

use std::{
    borrow::Cow,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

use axum::http::{HeaderName, HeaderValue, Method, Request, Response, Uri};

/// The header that carries a request's id, in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id that a backend or a proxy has given.
const MAX_ID_LENGTH: usize = 128;

/// A request that will have its line when it is answered.
#[derive(Debug)]
pub(super) struct Logged {
    started: Instant,
    method: Method,
    uri: Uri,
    id: HeaderValue,
}

impl Logged {
    pub(super) fn begin<B>(request: &Request<B>) -> Self {
        let id = request.headers().get(REQUEST_ID).filter(|id| is_sane(id)).cloned();
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { started: Instant::now(), method, uri, id: id.unwrap_or_else(new_id) }
    }

    /// The query stays out of the log: it carries the signature.
    pub(super) fn end<B>(self, response: &mut Response<B>) {
        let Self { started, method, uri, id } = self;
        let (path, status) = (in_ascii(uri.path()), response.status().as_u16());
        let request_id = id.to_str().unwrap_or_default();
        let duration_ms = started.elapsed().as_secs_f64() * 1000.0;
        tracing::info!(
            request_id, %method, %path, status, duration_ms,
            "{method} {path}, request {request_id}, was answered with {status}"
        );
        response.headers_mut().insert(REQUEST_ID, id);
    }
}

/// Whether an id is fit for a line of the log: short, and without anything that could pass for another line.
fn is_sane(id: &HeaderValue) -> bool {
    let is_fit = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    (1..=MAX_ID_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(is_fit)
}

/// A path in the form that it should have had on the wire. Some characters beyond ASCII turn the direction of a line or
/// begin a new one, on the screen of whoever reads the log.
fn in_ascii(path: &str) -> Cow<'_, str> {
    if path.is_ascii() {
        // A path has no control characters: they would have ended it.
        return Cow::Borrowed(path);
    }
    let encode =
        |byte: u8| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    Cow::Owned(path.bytes().map(encode).collect())
}

/// Counts on from a random number, so that two nodes give different ids.
fn new_id() -> HeaderValue {
    // Without random numbers ids are still those of this process.
    static FIRST: LazyLock<u64> = LazyLock::new(|| getrandom::u64().unwrap_or_default());
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let id = FIRST.wrapping_add(NEXT.fetch_add(1, Relaxed));
    HeaderValue::from_str(&format!("{id:016x}")).expect("hexadecimal digits are fit for a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(given: &[u8]) -> String {
        let given = HeaderValue::from_bytes(given).unwrap();
        let request = Request::builder().header(REQUEST_ID, given).body(()).unwrap();
        let mut response = Response::new(());
        Logged::begin(&request).end(&mut response);
        response.headers()[REQUEST_ID].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_id_is_kept_if_it_is_fit_for_the_log() {
        for id in ["1", "7b2f-11ee_A.b:c+/=", &"x".repeat(MAX_ID_LENGTH)] {
            assert_eq!(id_of(id.as_bytes()), id);
        }
        for id in [&b""[..], b"a b", b"a\tb", b"a\"b", b"\xff", &[b'x'; MAX_ID_LENGTH + 1]] {
            let made = id_of(id);
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        }
    }

    #[test]
    fn a_path_in_the_log_is_ascii() {
        assert_eq!(in_ascii("/apps/1/channels/%0a"), "/apps/1/channels/%0a");
        assert_eq!(in_ascii("/a\u{2028}b\u{202e}"), "/a%E2%80%A8b%E2%80%AE");
    }
}
