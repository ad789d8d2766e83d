//! Which pages may connect.

use super::App;

impl App {
    /// Whether a page of this origin, as its browser names it (RFC 6454), may connect. An app without a list lets all
    /// pages in. Clients that are not browsers name no origin and are not asked for one.
    pub fn allows_origin(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.allowed_origins.is_empty() || self.allowed_origins.iter().any(|allowed| covers(allowed, &origin))
    }
}

/// Whether an entry of a list of origins means this one; both are in lower case. The entry is
/// `[scheme://]host[:port]`, with `*.` in front of the host for its subdomains, or `*` for all there are. A host without
/// a port matches on every port.
pub fn covers(allowed: &str, origin: &str) -> bool {
    if allowed == "*" {
        return true;
    }
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let (allowed_scheme, allowed_authority) = allowed.split_once("://").unwrap_or((scheme, allowed));
    let without_port = || authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    let names_port = allowed_authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let host = if names_port || authority.ends_with(']') { authority } else { without_port() };
    allowed_scheme == scheme
        && match allowed_authority.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => host == allowed_authority,
        }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn origins_match_by_scheme_host_and_port_as_far_as_they_are_given() {
        let good = [
            ("*", "https://a.example"),
            ("https://a.example", "https://a.example"),
            ("a.example", "http://a.example:8080"),
            ("a.example:8080", "http://a.example:8080"),
            ("*.example.com", "https://x.y.example.com"),
            ("https://*.example.com", "https://x.example.com"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("[::1]", "http://[::1]"),
            ("[::1]", "http://[::1]:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ];
        for (allowed, origin) in good {
            assert!(covers(allowed, origin), "{allowed} {origin}");
        }
        let bad = [
            ("https://a.example", "http://a.example"),
            ("a.example", "https://b.example"),
            ("a.example", "https://a.example.evil"),
            ("a.example:8080", "http://a.example"),
            ("*.example.com", "https://example.com"),
            ("*.example.com", "https://evilexample.com"),
            ("[::1]", "http://[::2]"),
            ("a.example", "null"),
            ("a.example", "a.example"),
            ("a.example", ""),
        ];
        for (allowed, origin) in bad {
            assert!(!covers(allowed, origin), "{allowed} {origin}");
        }
    }
}
