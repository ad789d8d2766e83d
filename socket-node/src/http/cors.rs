//! Lets pages of chosen origins read the API's answers. The settings choose all of them unless told otherwise: what
//! protects the API is its signatures, and not from where it is called.

use std::sync::Arc;

use app_manager::app::origin::covers;
use axum::{
    http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Seconds for which browsers may remember a permission; none of them honours more than two hours.
const MAX_AGE_SECONDS: u16 = 7200;

/// The origins whose pages may read answers.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins {
    any: bool,
    /// In lower case and without a slash at the end, as browsers send them.
    origins: Arc<[Box<str>]>,
}

impl AllowedOrigins {
    /// These origins: each `[scheme://]host[:port]`, with `*.` in front of the host for its subdomains, or `*` for all
    /// there are. A host without a port matches on every port, as in an app's own list of origins.
    pub fn new<'a>(origins: impl IntoIterator<Item = &'a str>) -> Self {
        let normal = |origin: &str| origin.trim().trim_end_matches('/').to_ascii_lowercase().into_boxed_str();
        let origins: Arc<[_]> = origins.into_iter().map(normal).filter(|origin| !origin.is_empty()).collect();
        Self { any: origins.iter().any(|origin| &**origin == "*"), origins }
    }

    /// Whether no origin is allowed.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// What `Access-Control-Allow-Origin` says to this origin, if anything.
    pub(super) fn grant(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.any {
            return Some(HeaderValue::from_static("*"));
        }
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.iter().any(|allowed| covers(allowed, &text)).then(|| origin.clone())
    }

    /// The answer to a browser that asks before it sends; none to any other request.
    pub(super) fn answer_question<B>(
        &self,
        request: &Request<B>,
        grant: Option<&HeaderValue>,
    ) -> Option<Response> {
        let asks = !self.is_empty()
            && request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        asks.then(|| permission(grant.is_some()))
    }

    /// Marks an answer, so that the browser shows it to the page, and caches keep it from others.
    pub(super) fn mark(&self, headers: &mut HeaderMap, grant: Option<HeaderValue>) {
        if let Some(grant) = grant {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, grant);
        }
        if !self.any && !self.is_empty() {
            headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }
}

/// Without a grant it says nothing, which means no.
fn permission(granted: bool) -> Response {
    let mut response = StatusCode::OK.into_response();
    if granted {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(MAX_AGE_SECONDS));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(allowed: &[&str], origin: &str) -> Option<String> {
        let grant = AllowedOrigins::new(allowed.iter().copied()).grant(&origin.parse().unwrap());
        grant.map(|grant| grant.to_str().unwrap().to_owned())
    }

    #[test]
    fn origins_are_granted_as_far_as_the_list_names_them() {
        for (allowed, origin) in [
            ("https://a.example", "https://a.example"),
            (" HTTPS://A.example:8443/ ", "https://a.example:8443"),
            ("a.example", "https://a.example"),
            ("a.example", "http://a.example:8080"),
            ("a.example:8080", "http://a.example:8080"),
            ("*.a.example", "https://x.y.a.example"),
            ("https://*.a.example", "https://x.a.example"),
            ("[::1]", "http://[::1]"),
            ("[::1]", "http://[::1]:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(granted(&[allowed], origin).as_deref(), Some(origin), "{allowed}");
        }
        for (allowed, origin) in [
            ("https://a.example", "http://a.example"),
            ("https://a.example", "https://x.a.example"),
            ("https://a.example", "https://a.example.evil.example"),
            ("https://a.example", "https://b.example"),
            ("a.example:8080", "https://a.example"),
            ("*.a.example", "https://a.example"),
            ("*.a.example", "https://evil-a.example"),
            ("[::1]", "http://[::2]"),
            ("a.example", "null"),
            ("a.example", "a.example"),
            ("a.example", "*"),
            ("a.example", ""),
        ] {
            assert_eq!(granted(&[allowed], origin), None, "{allowed} {origin}");
        }
    }

    #[test]
    fn a_star_grants_everybody_the_same() {
        assert_eq!(granted(&["https://a.example", "*"], "https://b.example").as_deref(), Some("*"));
    }

    #[test]
    fn no_origins_are_none() {
        assert!(AllowedOrigins::default().is_empty());
        assert!(AllowedOrigins::new(["", " "]).is_empty());
        assert!(!AllowedOrigins::new(["*"]).is_empty());
    }

    #[test]
    fn answers_vary_by_origin_unless_all_are_alike() {
        let marked = |allowed: &str, origin: &'static str| {
            let (origins, mut headers) = (AllowedOrigins::new([allowed]), HeaderMap::new());
            origins.mark(&mut headers, origins.grant(&HeaderValue::from_static(origin)));
            (headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), headers.contains_key(header::VARY))
        };
        assert_eq!(marked("*", "https://a.example"), (true, false));
        assert_eq!(marked("https://a.example", "https://a.example"), (true, true));
        assert_eq!(marked("https://a.example", "https://b.example"), (false, true));
    }
}
