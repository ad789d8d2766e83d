//! Signatures of HTTP API requests, and why one is refused.

use std::borrow::Cow;

use md5::{Digest, Md5};
use thiserror::Error;

use super::{App, signing::now_ms};

/// Seconds by which a request's clock may differ from ours, in either direction. Exactly this much is too much.
const GRACE_SECONDS: u64 = 600;

/// Bytes of a request's own text that an error repeats. A query may be 64 KiB long; an answer need not be.
const MAX_QUOTED: usize = 1024;

/// What of an HTTP API request is signed, as it stood on the wire.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The path as the client's SDK saw it: neither decoded nor normalised, and without a proxy's prefix.
    pub path: &'a str,
    /// The raw query, without its `?`.
    pub query: &'a str,
    /// The raw body.
    pub body: &'a [u8],
    /// The server's time, in seconds since 1970.
    pub now: u64,
}

/// Why a request was refused. The texts are Pusher's wherever one of its answers is publicly known.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RequestAuthError {
    /// Nobody says who they are.
    #[error("Missing parameter: auth_key")]
    MissingKey,
    /// The key is not this app's.
    #[error("Unknown auth_key")]
    UnknownKey,
    /// There is no `auth_version`.
    #[error("Version required")]
    MissingVersion,
    /// The `auth_version` is not `1.0`.
    #[error("Version not supported")]
    UnsupportedVersion,
    /// There is no `auth_timestamp`.
    #[error("Timestamp required")]
    MissingTimestamp,
    /// The request is too old, too far in the future, or its time is not a number.
    #[error(
        "Timestamp expired: Given timestamp ({given}) not within {GRACE_SECONDS}s of server time ({server})"
    )]
    Expired {
        /// The request's time, or its own words where they are no time.
        given: String,
        /// The server's time.
        server: String,
    },
    /// The signature belongs to another request or another secret.
    #[error(
        "Invalid signature: you should have sent HmacSHA256Hex({to_sign:?}, your_secret_key), but you sent {}",
        quoted(given.as_deref())
    )]
    BadSignature {
        /// What should have been signed. The client knows all of it, and a developer needs to see it.
        to_sign: String,
        /// What came instead, if anything.
        given: Option<String>,
    },
    /// There is a body, and the signature does not cover it.
    #[error("Missing parameter: body_md5")]
    MissingBodyDigest,
    /// The body is not the one that was signed.
    #[error("Invalid body_md5: it is not the MD5 of the body that you sent")]
    BadBodyDigest,
}

impl RequestAuthError {
    /// The HTTP status that goes with it. Pusher has been seen to answer 400, not 401, to a key that nobody has.
    pub const fn status(&self) -> u16 {
        match self {
            Self::UnknownKey => 400,
            Self::MissingKey
            | Self::MissingVersion
            | Self::UnsupportedVersion
            | Self::MissingTimestamp
            | Self::Expired { .. }
            | Self::BadSignature { .. }
            | Self::MissingBodyDigest
            | Self::BadBodyDigest => 401,
        }
    }
}

impl SignedRequest<'_> {
    /// The key in a raw query, for requests whose path names no app.
    pub fn auth_key(query: &str) -> Option<Cow<'_, str>> {
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name.eq_ignore_ascii_case("auth_key"))
            .map(|(_, key)| key)
    }

    /// `METHOD\nPATH\nQUERY`, the query in its signed form.
    fn string_to_sign(&self, params: &Params<'_>) -> String {
        // Decoding never makes a query longer but for invalid UTF-8, and a valueless `k` that becomes `k=`.
        let mut text = String::with_capacity(self.method.len() + self.path.len() + self.query.len() + 8);
        text.push_str(self.method);
        text.push('\n');
        text.push_str(self.path);
        text.push('\n');
        params.write_signed(&mut text);
        text
    }
}

impl App {
    /// Checks that a request comes from somebody who holds the app's secret, and that its body is the signed one.
    ///
    /// The order of the checks is that of Pusher's own verifier, so that a wrong request gets the same answer. The
    /// signature comes before the body's digest: what is not signed is not worth hashing.
    ///
    /// # Errors
    /// See [`RequestAuthError`].
    pub fn verify_request(&self, request: &SignedRequest<'_>) -> Result<(), RequestAuthError> {
        let params = Params::parse(request.query);
        let key = params.get("auth_key").ok_or(RequestAuthError::MissingKey)?;
        if key != self.key.as_str() {
            return Err(RequestAuthError::UnknownKey);
        }
        match params.get("auth_version") {
            Some("1.0") => {}
            Some(_) => return Err(RequestAuthError::UnsupportedVersion),
            None => return Err(RequestAuthError::MissingVersion),
        }
        let timestamp = params.get("auth_timestamp").ok_or(RequestAuthError::MissingTimestamp)?;
        check_timestamp(timestamp, request.now)?;
        self.check_signature(request, &params)?;
        check_body(request.body, params.get("body_md5"))
    }

    fn check_signature(
        &self,
        request: &SignedRequest<'_>,
        params: &Params<'_>,
    ) -> Result<(), RequestAuthError> {
        let given = params.get("auth_signature");
        let to_sign = request.string_to_sign(params);
        let now_ms = now_ms();
        if given.is_some_and(|given| self.secrets.verify(&[to_sign.as_bytes()], given, now_ms)) {
            return Ok(());
        }
        Err(RequestAuthError::BadSignature {
            to_sign: excerpt(&to_sign).to_owned(),
            given: given.map(|given| excerpt(given).to_owned()),
        })
    }
}

/// A query's parameters: decoded, names in lower case, sorted by name, those of one name in their order of arrival.
/// An array is just a name that ends in `[]` and comes more than once.
struct Params<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Params<'a> {
    fn parse(query: &'a str) -> Self {
        // Five names sign a publish; whatever neither needs decoding nor lower-casing stays borrowed.
        let mut params = Vec::with_capacity(8);
        params.extend(form_urlencoded::parse(query.as_bytes()).map(|(mut name, value)| {
            if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                name.to_mut().make_ascii_lowercase();
            }
            (name, value)
        }));
        params.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self(params)
    }

    /// The first value of this name.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| &**value)
    }

    /// Appends everything that is signed, which is everything but the signature itself.
    fn write_signed(&self, text: &mut String) {
        let signed = self.0.iter().filter(|(name, _)| name != "auth_signature");
        for (index, (name, value)) in signed.enumerate() {
            if index > 0 {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
    }
}

fn check_timestamp(given: &str, now: u64) -> Result<(), RequestAuthError> {
    // What does not fit an i64 is no time that anybody lives in. An i128 holds every difference that is left.
    let parsed = given.parse::<i64>().ok();
    let in_time =
        parsed.is_some_and(|given| i128::from(given).abs_diff(i128::from(now)) < u128::from(GRACE_SECONDS));
    if in_time {
        return Ok(());
    }
    Err(RequestAuthError::Expired {
        given: parsed.map_or_else(|| excerpt(given).escape_debug().to_string(), iso8601),
        server: i64::try_from(now).map_or_else(|_| now.to_string(), iso8601),
    })
}

/// A plain comparison is enough here: the sender knows both sides of it.
fn check_body(body: &[u8], digest: Option<&str>) -> Result<(), RequestAuthError> {
    let Some(digest) = digest else {
        return if body.is_empty() { Ok(()) } else { Err(RequestAuthError::MissingBodyDigest) };
    };
    let mut claimed = [0u8; 16];
    hex::decode_to_slice(digest, &mut claimed).map_err(|_| RequestAuthError::BadBodyDigest)?;
    if Md5::digest(body)[..] == claimed { Ok(()) } else { Err(RequestAuthError::BadBodyDigest) }
}

/// The beginning of a text that somebody else chose the length of.
fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_QUOTED)]
}

/// Absence looks like it does in Pusher's texts, which are Ruby's.
fn quoted(given: Option<&str>) -> String {
    given.map_or_else(|| "nil".to_owned(), |given| format!("{given:?}"))
}

/// A unix time as `2013-09-29T08:36:32Z`, by the days-to-civil algorithm of Howard Hinnant's "chrono-compatible
/// low-level date algorithms". This one line of error text is not worth a calendar library.
fn iso8601(unix_seconds: i64) -> String {
    let (days, second) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        app::settings::{self, APP_SETTINGS, Problems, Values},
        secret::Secret,
    };

    /// The key and secret of the examples in Pusher's documentation, and the time in them.
    const KEY: &str = "278d425bdf160c739803";
    const SECRET: &str = "7ad3773142a6692b25b8";
    const NOW: u64 = 1_353_088_179;
    const BODY: &str = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
    const BODY_MD5: &str = "ec365a775a4cd0599faeb73354201b6f";
    const SIGNATURE: &str = "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";

    fn app(key: &str, secret: &str) -> App {
        let (mut values, mut problems) = (Values::new(APP_SETTINGS), Problems::default());
        for (name, text) in [("app_id", "3"), ("app_key", key), ("app_secret", secret)] {
            let setting = APP_SETTINGS.iter().find(|setting| setting.key == name).unwrap();
            values.add(setting, &text.into(), name.to_owned(), &mut problems);
        }
        settings::build(&values, "the test's app", &mut problems).unwrap()
    }

    /// The documented publish, whose parts a test may then spoil.
    fn publish(query: &str) -> SignedRequest<'_> {
        SignedRequest { method: "POST", path: "/apps/3/events", query, body: BODY.as_bytes(), now: NOW }
    }

    fn get<'a>(path: &'a str, query: &'a str) -> SignedRequest<'a> {
        SignedRequest { method: "GET", path, query, body: b"", now: NOW }
    }

    fn good_query() -> String {
        format!(
            "auth_key={KEY}&auth_timestamp={NOW}&auth_version=1.0&body_md5={BODY_MD5}&auth_signature={SIGNATURE}"
        )
    }

    /// Signs what the slow reference makes of the query, and appends the signature.
    fn signed_query(method: &str, path: &str, query: &str) -> String {
        let to_sign = format!("{method}\n{path}\n{}", reference_query(query));
        format!("{query}&auth_signature={}", Secret::new(SECRET).sign(&[to_sign.as_bytes()]))
    }

    fn verify(request: &SignedRequest<'_>) -> Result<(), RequestAuthError> {
        app(KEY, SECRET).verify_request(request)
    }

    /// The signed form of a query, as plainly as it can be said.
    fn reference_query(query: &str) -> String {
        fn decoded(text: &str) -> String {
            let mut bytes = Vec::new();
            let mut rest = text.as_bytes();
            while let Some((&first, tail)) = rest.split_first() {
                let hex = tail.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
                rest = match (first, hex) {
                    (b'%', Some(hex)) => {
                        bytes.push(u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap());
                        &tail[2..]
                    }
                    _ => {
                        bytes.push(if first == b'+' { b' ' } else { first });
                        tail
                    }
                };
            }
            String::from_utf8_lossy(&bytes).into_owned()
        }
        let mut pairs = Vec::new();
        for piece in query.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            pairs.push((decoded(name).to_ascii_lowercase(), decoded(value)));
        }
        pairs.retain(|(name, _)| name != "auth_signature");
        pairs.sort_by_key(|(name, _)| name.clone());
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    #[test]
    fn the_documented_publish_is_accepted() {
        assert_eq!(verify(&publish(&good_query())), Ok(()));
    }

    #[test]
    fn the_published_examples_of_pusher_are_accepted() {
        let common = format!("auth_key={KEY}&auth_timestamp={NOW}&auth_version=1.0");
        let terminate = "01fa634edeb0cae84115307cad5c23f65a46cd286461b1c89637a3b5871a8f0e";
        let query = format!("{common}&body_md5=99914b932bd37a50b983c5e7c90ae93b&auth_signature={terminate}");
        let request = SignedRequest {
            path: "/apps/3/users/12345/terminate_connections",
            body: b"{}",
            ..publish(&query)
        };
        assert_eq!(verify(&request), Ok(()));

        // The Python SDK sends the digest of the empty body with every GET.
        let query = format!(
            "{common}&body_md5=d41d8cd98f00b204e9800998ecf8427e&filter_by_prefix=presence-&info=user_count\
             &auth_signature=f3f17c61ae491cc9085db68b22076e9b772e3bcb301659d655153ee3f9782aba"
        );
        assert_eq!(verify(&get("/apps/3/channels", &query)), Ok(()));
    }

    #[test]
    fn the_examples_of_the_go_sdk_are_accepted() {
        let key = "d41a439c438a100756f5";
        let long = format!("/channels/presence-session-{key}-4bf35003e819bb138249");
        let table = [
            (
                "/channels".to_owned(),
                1_427_034_994,
                "&filter_by_prefix=presence-&info=user_count",
                "4d8a02edcc8a758b0162cd6da690a9a45fb8ae326a276dca1e06a0bc42796c11",
            ),
            (
                "/channels".to_owned(),
                1_427_036_787,
                "",
                "df89248f87f6e6d028925e0b04d60f316527a865992ace6936afa91281d8bef0",
            ),
            (
                "/channels".to_owned(),
                1_427_036_577,
                "&filter_by_prefix=presence-",
                "b540383af4582af5fbb5df7be5472d54bd0838c9c2021c7743062568839e6f97",
            ),
            (
                format!("{long}-ROpCFmgFhXY"),
                1_427_053_326,
                "&info=user_count,subscription_count",
                "f93ceb31f396aef336226efe512aaf339bd5e39c7c2c04b81cc8681dc16ee785",
            ),
            (
                format!("{long}-nYJLy67qh52/users"),
                1_427_053_709,
                "",
                "207feaf4e8efeb24e5f148011704251bf90e2059a5f97a3eb52d06178b11feca",
            ),
        ];
        for (path, now, query, signature) in table {
            let query = format!(
                "auth_key={key}&auth_signature={signature}&auth_timestamp={now}&auth_version=1.0{query}"
            );
            let path = format!("/apps/102015{path}");
            let request = SignedRequest { now, ..get(&path, &query) };
            assert_eq!(app(key, "4bf35003e819bb138249").verify_request(&request), Ok(()), "{path}?{query}");
        }
    }

    #[test]
    fn names_are_lower_cased_and_values_are_decoded_before_they_are_signed() {
        let params = Params::parse("Name=Something%20else&AUTH_KEY=foo&auth_signature=x");
        let request = get("/some/resource", "");
        let to_sign = request.string_to_sign(&params);
        assert_eq!(to_sign, "GET\n/some/resource\nauth_key=foo&name=Something else");
        let signature = Secret::new(SECRET).sign(&[to_sign.as_bytes()]);
        assert_eq!(signature, "48a2f037e0f45dafa06f5c85d3068d11eb1f0661e1135b4441dc4f0b309efa7f");
    }

    #[test]
    fn the_signed_form_of_odd_queries() {
        let table = [
            ("", ""),
            ("&&", ""),
            ("a", "a="),
            ("a=", "a="),
            ("=v", "=v"),
            ("a=b=c", "a=b=c"),
            ("b=1&a=2", "a=2&b=1"),
            ("a=2&a=1", "a=2&a=1"),
            ("k[]=b&j=0&k[]=a", "j=0&k[]=b&k[]=a"),
            ("k%5B%5D=b&k[]=a", "k[]=b&k[]=a"),
            ("info=user_count%2Csubscription_count", "info=user_count,subscription_count"),
            ("a=1%202+3", "a=1 2 3"),
            ("a=100%&b=%zz", "a=100%&b=%zz"),
            ("a=%C3%A4", "a=ä"),
            ("a=%FF", "a=\u{fffd}"),
            ("B=1&a=2&A=3", "a=2&a=3&b=1"),
            ("auth_signature=x&a=1&Auth_Signature=y", "a=1"),
            ("a=1;b=2", "a=1;b=2"),
            ("a-=1&a=2", "a=2&a-=1"),
        ];
        for (query, expected) in table {
            let mut text = String::new();
            Params::parse(query).write_signed(&mut text);
            assert_eq!(text, expected, "{query}");
            assert_eq!(reference_query(query), expected, "the reference on {query}");
        }
    }

    #[test]
    fn the_signature_may_stand_anywhere_in_the_query() {
        let query = good_query();
        let mut pieces: Vec<_> = query.split('&').collect();
        for _ in 0..pieces.len() {
            pieces.rotate_left(1);
            assert_eq!(verify(&publish(&pieces.join("&"))), Ok(()), "{pieces:?}");
        }
    }

    #[test]
    fn a_missing_or_wrong_parameter_is_named_in_the_order_of_pushers_verifier() {
        let spoilt = |from: &str, to: &str| {
            let query = good_query().replace(from, to);
            verify(&publish(&query)).unwrap_err()
        };
        let cases = [
            (spoilt("auth_key=", "key="), "Missing parameter: auth_key", 401),
            (spoilt("auth_key=2", "auth_key=3"), "Unknown auth_key", 400),
            (spoilt(&format!("auth_key={KEY}"), "auth_key="), "Unknown auth_key", 400),
            (spoilt("auth_version=1.0&", ""), "Version required", 401),
            (spoilt("auth_version=1.0", "auth_version=1.1"), "Version not supported", 401),
            (spoilt("auth_version=1.0", "auth_version="), "Version not supported", 401),
            (spoilt("auth_timestamp=", "timestamp="), "Timestamp required", 401),
        ];
        for (error, text, status) in cases {
            assert_eq!((error.to_string().as_str(), error.status()), (text, status));
        }
        let everything_wrong = verify(&publish("auth_key=nobody")).unwrap_err();
        assert_eq!(everything_wrong, RequestAuthError::UnknownKey);
    }

    #[test]
    fn clocks_may_differ_by_less_than_ten_minutes_in_either_direction() {
        let query = good_query();
        for (now, accepted) in [
            (NOW - 600, false),
            (NOW - 599, true),
            (NOW + 599, true),
            (NOW + 600, false),
            (0, false),
            (u64::MAX, false),
        ] {
            assert_eq!(verify(&SignedRequest { now, ..publish(&query) }).is_ok(), accepted, "{now}");
        }
    }

    #[test]
    fn a_timestamp_that_is_no_time_is_refused_in_its_own_words() {
        for (given, shown) in [
            ("1380443793", "2013-09-29T08:36:33Z"),
            ("1353088179000", "44847-08-28T19:30:00Z"),
            ("-1", "1969-12-31T23:59:59Z"),
            ("99999999999999999999999", "99999999999999999999999"),
            ("-99999999999999999999999", "-99999999999999999999999"),
            ("", ""),
            ("abc", "abc"),
            ("1353088179.5", "1353088179.5"),
            ("0x10", "0x10"),
            ("%0A", "\\n"),
        ] {
            let query = good_query().replace(&format!("={NOW}"), &format!("={given}"));
            let text = verify(&publish(&query)).unwrap_err().to_string();
            let expected = format!(
                "Timestamp expired: Given timestamp ({shown}) not within 600s of server time (2012-11-16T17:49:39Z)"
            );
            assert_eq!(text, expected);
        }
        assert!(!iso8601(i64::MIN).is_empty() && !iso8601(i64::MAX).is_empty());
    }

    #[test]
    fn dates_are_right_around_leap_days_and_centuries() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_704_067_199, "2023-12-31T23:59:59Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso8601(seconds), text);
        }
    }

    #[test]
    fn a_wrong_signature_is_answered_with_what_should_have_been_signed() {
        let query = good_query().replace(SIGNATURE, "a\"c");
        let error = verify(&publish(&query)).unwrap_err();
        assert_eq!(error.status(), 401);
        assert_eq!(
            error.to_string(),
            format!(
                "Invalid signature: you should have sent HmacSHA256Hex(\"POST\\n/apps/3/events\\nauth_key={KEY}\
                 &auth_timestamp={NOW}&auth_version=1.0&body_md5={BODY_MD5}\", your_secret_key), \
                 but you sent \"a\\\"c\""
            )
        );
        let unsigned = good_query().replace("auth_signature=", "signature=");
        let text = verify(&publish(&unsigned)).unwrap_err().to_string();
        assert!(text.ends_with("but you sent nil"), "{text}");
    }

    #[test]
    fn a_signature_is_refused_if_anything_of_the_request_differs() {
        let query = good_query();
        let good = publish(&query);
        for request in [
            SignedRequest { method: "GET", ..good },
            SignedRequest { method: "post", ..good },
            SignedRequest { path: "/apps/3/events/", ..good },
            SignedRequest { path: "/prefix/apps/3/events", ..good },
            SignedRequest { path: "/apps/3/%65vents", ..good },
        ] {
            assert!(matches!(verify(&request), Err(RequestAuthError::BadSignature { .. })), "{request:?}");
        }
        let upper_case = query.replace(SIGNATURE, &SIGNATURE.to_uppercase());
        for query in [format!("{query}&more=1"), query.replace(SIGNATURE, ""), upper_case] {
            let refused = verify(&publish(&query));
            assert!(matches!(refused, Err(RequestAuthError::BadSignature { .. })), "{query}");
        }
        let other_secret = app(KEY, "another").verify_request(&good);
        assert!(matches!(other_secret, Err(RequestAuthError::BadSignature { .. })));
    }

    #[test]
    fn an_error_does_not_repeat_more_than_a_kibibyte_of_the_request() {
        let long = "ä".repeat(20_000);
        let query = format!("{}&auth_signature={long}&z={long}", good_query().replace(SIGNATURE, &long));
        assert!(verify(&publish(&query)).unwrap_err().to_string().len() < 3 * MAX_QUOTED);
        let query = good_query().replace(&format!("={NOW}"), &format!("={long}"));
        assert!(verify(&publish(&query)).unwrap_err().to_string().len() < 2 * MAX_QUOTED);
    }

    #[test]
    fn the_body_must_be_the_one_that_was_signed() {
        let query = good_query();
        for body in ["", "{}", &BODY[1..]] {
            let refused = verify(&SignedRequest { body: body.as_bytes(), ..publish(&query) });
            assert_eq!(refused, Err(RequestAuthError::BadBodyDigest), "{body}");
        }
        let common = format!("auth_key={KEY}&auth_timestamp={NOW}&auth_version=1.0");
        for (digest, body, expected) in [
            ("", "", Ok(())),
            ("", "x", Err(RequestAuthError::MissingBodyDigest)),
            ("&body_md5=", "", Err(RequestAuthError::BadBodyDigest)),
            ("&body_md5=9dd4e461268c8034f5c8564e155c67a6", "x", Ok(())),
            ("&body_md5=9dd4e461268c8034f5c8564e155c67a", "x", Err(RequestAuthError::BadBodyDigest)),
            ("&body_md5=9dd4e461268c8034f5c8564e155c67a600", "x", Err(RequestAuthError::BadBodyDigest)),
        ] {
            let query = signed_query("POST", "/apps/3/events", &format!("{common}{digest}"));
            let request = SignedRequest { body: body.as_bytes(), ..publish(&query) };
            assert_eq!(verify(&request), expected, "{digest} with {body:?}");
        }
    }

    #[test]
    fn of_a_repeated_parameter_the_first_counts_and_all_are_signed() {
        let common = format!("auth_key={KEY}&AUTH_KEY=nobody&auth_timestamp={NOW}&auth_version=1.0");
        let query = signed_query("GET", "/apps/3/channels", &common);
        assert_eq!(verify(&get("/apps/3/channels", &query)), Ok(()));
        let without = query.replace("&AUTH_KEY=nobody", "");
        assert!(verify(&get("/apps/3/channels", &without)).is_err());
        assert_eq!(SignedRequest::auth_key("x=1&AUTH_key=a%62&auth_key=c").as_deref(), Some("ab"));
        assert_eq!(SignedRequest::auth_key("x=1"), None);
    }

    proptest! {
        #[test]
        fn any_query_is_signed_as_the_plain_reference_says(query in "[a-cA-C0-9_=&%+\\[\\] ;ä-]{0,60}") {
            let query = format!("{query}&auth_key={KEY}&auth_timestamp={NOW}&auth_version=1.0");
            let signed = signed_query("GET", "/apps/3/channels", &query);
            prop_assert_eq!(verify(&get("/apps/3/channels", &signed)), Ok(()));
            let unsigned = verify(&get("/apps/3/channels", &query));
            let to_sign = format!("GET\n/apps/3/channels\n{}", reference_query(&query));
            prop_assert_eq!(unsigned, Err(RequestAuthError::BadSignature { to_sign, given: None }));
        }

        #[test]
        fn no_request_makes_it_panic(
            method in ".*", path in ".*", query in ".*", body in any::<Vec<u8>>(), now in any::<u64>()
        ) {
            let request = SignedRequest { method: &method, path: &path, query: &query, body: &body, now };
            let error = verify(&request).unwrap_err();
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
