//! Addresses in settings: hosts, browser origins and webhook URLs.

use std::net::Ipv6Addr;

/// Splits `host` or `host:port`. The host is a name, an IPv4 address or an IPv6 address in brackets, and comes back
/// in lower case. `None` if it is none of these.
pub fn host_and_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => (&authority[..colon], Some(&authority[colon + 1..])),
        _ => (authority, None),
    };
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    is_host(host).then(|| (host.to_ascii_lowercase(), port))
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let name = host.strip_suffix('.').unwrap_or(host);
    name.len() <= 253 && name.split('.').all(|label| !label.is_empty() && label.bytes().all(sound))
}

/// Reads an origin from which browsers may come: `[scheme://]host[:port]`, with `*.` in front of the host for its
/// subdomains; or `*` for any.
///
/// It comes back as browsers send it: in lower case, without the scheme's usual port and without a `/` at the end.
///
/// # Errors
/// What an origin must be.
pub fn read_origin(text: &str) -> Result<String, String> {
    let must =
        || "must be origins such as 'https://example.com', 'example.com' or '*.example.com'".to_owned();
    if text == "*" {
        return Ok(text.to_owned());
    }
    let lower = text.to_ascii_lowercase();
    let (scheme, rest) = match lower.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest.strip_suffix('/').unwrap_or(rest)),
        None => (None, lower.as_str()),
    };
    let (wildcard, authority) = match rest.strip_prefix("*.") {
        Some(authority) => ("*.", authority),
        None => ("", rest),
    };
    let (host, port) = host_and_port(authority).ok_or_else(must)?;
    match (scheme, port) {
        (Some(scheme), _) if !is_scheme(scheme) => Err(must()),
        (Some(scheme), Some(port)) if usual_port(scheme) != Some(port) => {
            Ok(format!("{scheme}://{wildcard}{host}:{port}"))
        }
        (Some(scheme), _) => Ok(format!("{scheme}://{wildcard}{host}")),
        (None, Some(port)) => Ok(format!("{wildcard}{host}:{port}")),
        (None, None) => Ok(format!("{wildcard}{host}")),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn usual_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Reads the URL of a webhook's receiver: absolute, `http` or `https`, and without user name or password, which
/// would end up in logs; a header is the place for those.
pub(super) fn read_webhook_url(text: &str) -> Result<String, String> {
    let must = || "must be an absolute http or https URL".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(must)?;
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") || !printable {
        return Err(must());
    }
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if authority.contains('@') {
        return Err("must not contain a user name or password; use a header".to_owned());
    }
    if rest.contains(['#', '\\']) || host_and_port(authority).is_none() {
        return Err(must());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_port() {
        for (text, host, port) in [
            ("localhost", "localhost", None),
            ("Example.COM:80", "example.com", Some(80)),
            ("my_redis-1.internal.", "my_redis-1.internal.", None),
            ("10.0.0.1:65535", "10.0.0.1", Some(65_535)),
            ("[::1]", "[::1]", None),
            ("[FE80::1]:6379", "[fe80::1]", Some(6379)),
        ] {
            assert_eq!(host_and_port(text), Some((host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "", ":80", "a:", "a:x", "a:0", "a:65536", "a:+1", "a..b", ".a", "a b", "::1", "[::1", "[a]",
            "a/b", "ä",
        ] {
            assert_eq!(host_and_port(text), None, "{text}");
        }
    }

    #[test]
    fn origins_come_back_as_browsers_send_them() {
        for (text, origin) in [
            ("*", "*"),
            ("https://Example.com", "https://example.com"),
            ("https://example.com:443/", "https://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("https://*.example.com", "https://*.example.com"),
            ("*.example.com", "*.example.com"),
            ("example.com:8080", "example.com:8080"),
            ("capacitor://localhost", "capacitor://localhost"),
        ] {
            assert_eq!(read_origin(text).as_deref(), Ok(origin), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "https://",
            "https://a/b",
            "://a",
            "1http://a",
            "a.*.b",
            "**",
            "*a.example",
            "https://a?b",
            "u@a",
        ] {
            assert!(read_origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn webhook_urls_are_absolute_and_without_credentials() {
        for url in
            ["http://a", "HTTPS://a.example:8443/x/y?z=1", "http://127.0.0.1:9000/", "http://[::1]/hook?a@b"]
        {
            assert_eq!(read_webhook_url(url).as_deref(), Ok(url));
        }
        for url in [
            "",
            "a.example",
            "//a",
            "http:/a",
            "ftp://a",
            "http://",
            "http:///x",
            "http://a:b",
            "http://u@a",
            "http://u:p@a",
            "http://a /",
            "http://a/#x",
            "http://a\\b",
            "http://a\n",
            "http://ä",
        ] {
            assert!(read_webhook_url(url).is_err(), "{url}");
        }
    }
}
