//! Which URLs a webhook may be sent to.
//!
//! A customer who may name any URL could make the server call its own network: a database's HTTP port, or the
//! cloud's metadata service that hands out credentials. So a URL is only called as a [`Target`], and a name only
//! through a [`GuardedResolver`], which hands the connector nothing but addresses that were checked. There is no second
//! look-up between check and connect, hence nothing to gain from a name that changes its address in between.

mod address;
mod resolver;

use app_manager::webhook::Endpoint;
use hyper::Uri;
use thiserror::Error;
use url::{Host, Url};

pub use address::{AddressPolicy, ForbiddenAddress, Network};
pub use resolver::GuardedResolver;

/// A URL that may be called, as far as can be told before its name is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    uri: Uri,
}

/// Why a URL is never called. None of these texts contains the URL, which may carry a customer's token.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// Nobody could call it.
    #[error("the URL cannot be parsed")]
    Unparsable,
    /// It is not for HTTP.
    #[error("the URL's scheme is neither http nor https")]
    Scheme,
    /// There is a user's name or password in front of the host.
    ///
    /// They would travel in clear text through settings and queues; a header does the same job. And they are how
    /// `https://trusted@evil` deceives whoever reads it.
    #[error("the URL contains a user name or a password")]
    UserInfo,
    /// The host is an address that must not be called.
    #[error(transparent)]
    Address(#[from] ForbiddenAddress),
}

impl Target {
    /// Checks a URL.
    ///
    /// The parser is that of the URL standard, which knows every way in which browsers let an address be written:
    /// `http://2130706433`, `http://0x7f.1` and `http://127。0。0。1` are all found to be loopback.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(url: &str, policy: &AddressPolicy) -> Result<Self, TargetError> {
        let mut url = Url::parse(url).map_err(|_| TargetError::Unparsable)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::UserInfo);
        }
        match url.host().ok_or(TargetError::Unparsable)? {
            Host::Ipv4(address) => policy.check(address.into())?,
            Host::Ipv6(address) => policy.check(address.into())?,
            Host::Domain(_) => {} // Its addresses are checked when it is resolved, for every connection anew.
        }
        url.set_fragment(None);
        let uri = url.as_str().parse().map_err(|_| TargetError::Unparsable)?;
        Ok(Self { uri })
    }

    /// The URL in normal form, for the HTTP client.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }
}

/// As much of an endpoint as a log should hold: a URL's host and port, a topic's ARN, or what a function is called.
pub fn shown(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Url(url) => authority(url),
        Endpoint::SnsTopicArn(_) | Endpoint::LambdaFunction(_) => endpoint.name().to_owned(),
    }
}

/// Host and port of a URL.
fn authority(url: &str) -> String {
    let Ok(url) = Url::parse(url) else { return "an invalid URL".to_owned() };
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls_are_called_as_they_are_written() {
        let cases = [
            ("https://example.com/hook", "https://example.com/hook"),
            ("http://example.com", "http://example.com/"),
            ("HTTPS://Example.COM:8443/A?b=c#d", "https://example.com:8443/A?b=c"),
            ("https://example.com:443/", "https://example.com/"),
            ("https://b\u{fc}cher.example/", "https://xn--bcher-kva.example/"),
            ("http://93.184.216.34/x", "http://93.184.216.34/x"),
            ("http://[2606:2800:220:1::1]:81/", "http://[2606:2800:220:1::1]:81/"),
            ("https://example.com/\u{e9} x?q={1}|\"", "https://example.com/%C3%A9%20x?q={1}|%22"),
            ("  https://example.com/\n", "https://example.com/"),
            // A backslash ends the host as a slash does, so there is no user name here and no second host.
            ("http://example.com\\@127.0.0.1/", "http://example.com/@127.0.0.1/"),
        ];
        for (url, called) in cases {
            let target = Target::parse(url, &AddressPolicy::public_only())
                .unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(target.uri().to_string(), called);
        }
    }

    #[test]
    fn what_is_no_plain_http_url_is_never_called() {
        use TargetError::{Scheme, Unparsable, UserInfo};
        let cases = [
            ("", Unparsable),
            ("example.com/hook", Unparsable),
            ("//example.com", Unparsable),
            ("http://", Unparsable),
            ("http:///", Unparsable),
            ("http://exa mple.com", Unparsable),
            ("http://example.com:65536", Unparsable),
            ("http://[::1", Unparsable),
            ("http://[fe80::1%25eth0]/", Unparsable),
            ("http://1.2.3.256", Unparsable),
            ("http://1.2.3.4.5", Unparsable),
            ("http://0xffffffffff", Unparsable),
            ("http://exa%00mple.com", Unparsable),
            ("ftp://example.com", Scheme),
            ("file:///etc/passwd", Scheme),
            ("gopher://example.com", Scheme),
            ("unix:/run/x.sock", Scheme),
            ("javascript:alert(1)", Scheme),
            ("ws://example.com", Scheme),
            ("http+unix://%2Frun%2Fx", Scheme),
            ("http://user@example.com", UserInfo),
            ("http://user:password@example.com", UserInfo),
            ("http://:password@example.com", UserInfo),
            ("http://%75ser@169.254.169.254/", UserInfo),
        ];
        for (url, expected) in cases {
            assert_eq!(Target::parse(url, &AddressPolicy::public_only()), Err(expected), "{url}");
        }
    }

    /// Every notation of an address that parsers somewhere accept.
    const LOOPBACK: [&str; 22] = [
        "http://127.0.0.1/",
        "http://127.0.0.1:8080/",
        "http://127.255.255.254/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127.0.0.1./",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://0177.0.0.01/",
        "http://0x7f000001/",
        "http://0x7F.0.0.1/",
        "http://0x7f.1/",
        "http://127.0x0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        "http://127\u{3002}0\u{3002}0\u{3002}1/",
        "http:\\\\127.0.0.1\\",
        "http://[::1]/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
    ];

    #[test]
    fn loopback_is_recognised_in_every_notation() {
        for url in LOOPBACK {
            let refused = Target::parse(url, &AddressPolicy::public_only());
            assert!(matches!(refused, Err(TargetError::Address(_))), "{url}: {refused:?}");
            assert!(Target::parse(url, &AddressPolicy::public_and_private()).is_ok(), "{url}");
        }
    }

    #[test]
    fn the_metadata_service_is_refused_in_every_notation_whatever_the_policy() {
        let urls = [
            "http://169.254.169.254/latest/meta-data/",
            "http://169.254.169.254:80/",
            "http://169.254.169.254./",
            "http://2852039166/",
            "http://0xa9fea9fe/",
            "http://0xA9.0xFE.0xA9.0xFE/",
            "http://0251.0376.0251.0376/",
            "http://169.16689662/",
            "http://[::ffff:169.254.169.254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://[::169.254.169.254]/",
            "http://[64:ff9b::a9fe:a9fe]/",
            "http://[2002:a9fe:a9fe::1]/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
        ];
        for url in urls {
            for policy in [AddressPolicy::public_only(), AddressPolicy::public_and_private()] {
                let refused = Target::parse(url, &policy);
                assert!(matches!(refused, Err(TargetError::Address(_))), "{url}: {refused:?}");
            }
        }
    }

    #[test]
    fn no_range_is_hidden_by_how_it_is_written() {
        let urls = [
            // Private, by every way of writing 10.1.2.3 and 192.168.0.1.
            "http://10.66051/",
            "http://167838211/",
            "http://0xa010203/",
            "http://012.1.2.3/",
            "http://10.1.2.3./",
            "http://3232235521/",
            "http://0300.0250.0.1/",
            "http://[::ffff:192.168.0.1]/",
            "http://172.20.0.1:8080/",
            // Carrier-grade NAT, benchmarking, protocol assignments, documentation, reserved, this host, broadcast.
            "http://100.64.0.1/",
            "http://1681915905/",
            "http://0x64.0x7f.0xff.0xff/",
            "http://198.18.0.1/",
            "http://198.19.255.254./",
            "http://192.0.0.1/",
            "http://0300.0.0.010/",
            "http://192.0.2.1/",
            "http://240.0.0.1/",
            "http://0/",
            "http://0.0.0.0:80/",
            "http://4294967295/",
            // What carries an IPv4 address, and what is private in IPv6 itself.
            "http://[::127.0.0.1]/",
            "http://[::ffff:0:0]/",
            "http://[2002:7f00:1::]/",
            "http://[2002:a00:1::1]/",
            "http://[64:ff9b::10.0.0.1]/",
            "http://[64:ff9b::c0a8:1]/",
            "http://[64:ff9b:1::808:808]/",
            "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
            "http://[5f00::1]/",
            "http://[fc00::1]/",
            "http://[fdff:ffff::1]/",
            "http://[fec0::1]/",
            "http://[100::1]/",
            "http://[2001:db8::1]/",
            "http://[3fff::1]/",
            "http://[::]/",
            "http://[ff02::1]/",
        ];
        for url in urls {
            let refused = Target::parse(url, &AddressPolicy::public_only());
            assert!(matches!(refused, Err(TargetError::Address(_))), "{url}: {refused:?}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_the_url() {
        for url in ["http://user:hidden@x", "ftp://hidden", "http://127.0.0.1/?hidden", "hidden"] {
            let error = Target::parse(url, &AddressPolicy::public_only()).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
