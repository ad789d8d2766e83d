//! What a backend publishes: read from JSON, checked against the app's limits, and otherwise left as it came.
//!
//! Names and data stay the raw JSON strings that they were, so that an event which is published to a thousand sockets
//! is neither unescaped nor escaped again. They are decoded only where a check cannot do without.

use std::{borrow::Cow, fmt};

use app_manager::app::Limits;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use serde_json::value::RawValue;

use super::{error::ApiError, info::Wanted};
use crate::protocol::{ChannelName, Event, SocketId, event::as_string};

/// Bytes of a parser's message that an answer repeats: it may quote the body.
const MAX_PARSER_MESSAGE: usize = 200;

/// A checked event, ready to go out.
#[derive(Debug)]
pub(super) struct Publication<'a> {
    /// Where to; each channel once, and at least one.
    pub(super) channels: Vec<ChannelName>,
    /// A raw JSON string, quotes included.
    name: &'a str,
    /// The same; owned only if what came was no string.
    data: Cow<'a, str>,
    /// The connection that must not get it.
    pub(super) except: Option<SocketId>,
    /// What the answer should tell of the channels.
    pub(super) info: Wanted,
}

impl<'a> Publication<'a> {
    /// One event, for any number of channels.
    pub(super) fn parse(body: &'a [u8], limits: &Limits) -> Result<Self, ApiError> {
        let event: RawEvent<'_> = parse_object(text(body)?)?;
        let names = match (&event.channels, &event.channel) {
            (Some(channels), _) => channels.as_slice(),
            (None, Some(channel)) => std::slice::from_ref(channel),
            (None, None) => return Err(ApiError::missing("channels")),
        };
        let channels = check_channels(names, limits)?;
        Self::check(&event, channels, limits)
    }

    /// Several events, each for one channel.
    pub(super) fn parse_batch(body: &'a [u8], limits: &Limits) -> Result<Vec<Self>, ApiError> {
        let events =
            parse_object::<RawBatch<'_>>(text(body)?)?.batch.ok_or_else(|| ApiError::missing("batch"))?;
        let max = limits.max_event_batch_size;
        if events.len() > max {
            return Err(ApiError::bad_request(format!(
                "The batch exceeds the allowed maximum ({max} events)"
            )));
        }
        events.into_iter().map(|event| Self::parse_batched(event.get(), limits)).collect()
    }

    fn parse_batched(event: &'a str, limits: &Limits) -> Result<Self, ApiError> {
        let event: RawEvent<'_> = parse_object(event)?;
        let channel = event.channel.as_ref().ok_or_else(|| ApiError::missing("channel"))?;
        let channels = check_channels(std::slice::from_ref(channel), limits)?;
        Self::check(&event, channels, limits)
    }

    /// Everything but the channels, which the two kinds of request name differently.
    fn check(event: &RawEvent<'a>, channels: Vec<ChannelName>, limits: &Limits) -> Result<Self, ApiError> {
        let name = event.name.ok_or_else(|| ApiError::missing("name"))?.get();
        check_name(name, limits.max_event_name_length)?;
        let data = event.data.ok_or_else(|| ApiError::missing("data"))?.get();
        check_size(data, limits.max_event_payload)?;
        let except = match &event.socket_id {
            Some(id) => Some(id.0.parse().map_err(|_| ApiError::bad_request("Invalid socket_id"))?),
            None => None,
        };
        let info = event.info.as_ref().map_or(Ok(Wanted::default()), |info| Wanted::parse_counts(&info.0))?;
        Ok(Self { channels, name, data: as_string(data), except, info })
    }

    /// The event itself.
    pub(super) fn event(&self) -> Event<'_> {
        Event { name: self.name, data: &self.data }
    }
}

/// An event as it stands in a body. Unknown members are ignored, and `null` is as good as nothing.
#[derive(Deserialize)]
struct RawEvent<'a> {
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<Vec<JsonText<'a>>>,
    #[serde(borrow)]
    channel: Option<JsonText<'a>>,
    #[serde(borrow)]
    socket_id: Option<JsonText<'a>>,
    #[serde(borrow)]
    info: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
struct RawBatch<'a> {
    #[serde(borrow)]
    batch: Option<Vec<&'a RawValue>>,
}

/// A JSON string, decoded, and borrowed unless it has escapes. (Serde borrows a `Cow` only outside of containers.)
#[derive(Debug)]
struct JsonText<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = JsonText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(JsonText(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(JsonText(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Bodies are UTF-8, as all JSON that is exchanged between systems (RFC 8259, section 8.1).
fn text(body: &[u8]) -> Result<&str, ApiError> {
    std::str::from_utf8(body).map_err(|_| ApiError::bad_request("The body is not valid UTF-8"))
}

/// Serde would also take an array for a struct, its members in order; nobody else would.
fn parse_object<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, ApiError> {
    if !json.trim_ascii_start().starts_with('{') {
        return Err(ApiError::bad_request("Expected a JSON object"));
    }
    serde_json::from_str(json).map_err(|error| {
        let message = error.to_string();
        let message = &message[..message.floor_char_boundary(MAX_PARSER_MESSAGE)];
        ApiError::bad_request(format!("The body is not what was expected: {message}"))
    })
}

fn check_channels(names: &[JsonText<'_>], limits: &Limits) -> Result<Vec<ChannelName>, ApiError> {
    let max = limits.max_event_channels_at_once;
    if names.is_empty() {
        return Err(ApiError::bad_request("There must be at least one channel"));
    }
    if names.len() > max {
        return Err(ApiError::bad_request(format!("An event may go to at most {max} channels at once")));
    }
    let mut channels = Vec::with_capacity(names.len());
    for JsonText(name) in names {
        let channel = ChannelName::parse_publishable(name, limits.max_channel_name_length)
            .map_err(|_| ApiError::invalid_channel())?;
        // Named twice, an event still arrives once.
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    // Each encrypted channel has a key of its own, so one ciphertext cannot be meant for two channels.
    if channels.len() > 1 && channels.iter().any(ChannelName::is_encrypted) {
        return Err(ApiError::bad_request(
            "An event for an encrypted channel cannot go to other channels too",
        ));
    }
    Ok(channels)
}

/// `name` is raw JSON.
fn check_name(name: &str, max: usize) -> Result<(), ApiError> {
    let name = decoded(name).ok_or_else(|| ApiError::bad_request("The event name is not a valid string"))?;
    if name.is_empty() {
        return Err(ApiError::missing("name"));
    }
    if name.len() > max && name.chars().count() > max {
        return Err(ApiError::bad_request(format!(
            "The event name exceeds the allowed maximum ({max} characters)"
        )));
    }
    if name.starts_with("pusher:") || name.starts_with("pusher_internal:") {
        return Err(ApiError::bad_request(
            "Event names that begin with 'pusher:' or 'pusher_internal:' are reserved",
        ));
    }
    Ok(())
}

/// `data` is raw JSON. What counts is the bytes of the text that clients will get.
fn check_size(data: &str, max: usize) -> Result<(), ApiError> {
    let raw_size = if data.starts_with('"') { data.len() - 2 } else { data.len() };
    // Escapes only ever make a text longer, so nothing needs decoding that is small enough as it is.
    if raw_size <= max {
        return Ok(());
    }
    let size = match data.starts_with('"') && data.contains('\\') {
        true => decoded(data).ok_or_else(|| ApiError::bad_request("The data is not a valid string"))?.len(),
        false => raw_size,
    };
    if size <= max {
        return Ok(());
    }
    Err(ApiError::too_large(format!(
        "The data content of this event exceeds the allowed maximum ({max} bytes). \
         See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info"
    )))
}

/// The text of a raw JSON string; `None` if it is another kind of value, or escapes what is no character.
fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<JsonText<'_>>(raw).ok().map(|text| text.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const LIMITS: Limits = Limits {
        activity_timeout_seconds: 60,
        authorization_timeout_seconds: 5,
        max_connections: None,
        max_backend_events_per_second: None,
        max_client_events_per_second: None,
        max_read_requests_per_second: None,
        max_presence_members_per_channel: 100,
        max_presence_member_size: 10_240,
        max_channel_name_length: 200,
        max_event_channels_at_once: 3,
        max_event_name_length: 20,
        max_event_payload: 100,
        max_event_batch_size: 2,
    };

    fn parse(body: &str) -> Result<Publication<'_>, ApiError> {
        Publication::parse(body.as_bytes(), &LIMITS)
    }

    fn refused(body: &str) -> (u16, String) {
        let error = parse(body).expect_err(body);
        (error.status.as_u16(), error.text.into_owned())
    }

    fn names(publication: &Publication<'_>) -> Vec<String> {
        publication.channels.iter().map(ToString::to_string).collect()
    }

    /// An event of this size, made of that piece.
    fn with_data(piece: &str, times: usize) -> String {
        format!(r#"{{"name":"e","channel":"a","data":"{}"}}"#, piece.repeat(times))
    }

    #[test]
    fn name_and_data_stay_the_raw_strings_that_came() {
        let body =
            r#"{"name": "a\u0062c", "channels": ["x","y"],"data" :  "{\"k\": \"\u00e4\\n\"}" , "z":[{}]}"#;
        let publication = parse(body).unwrap();
        assert_eq!(publication.event().name, r#""a\u0062c""#);
        assert_eq!(publication.event().data, r#""{\"k\": \"\u00e4\\n\"}""#);
        assert!(matches!(publication.data, Cow::Borrowed(_)));
        assert_eq!(names(&publication), ["x", "y"]);
        assert_eq!((publication.except, publication.info), (None, Wanted::default()));
    }

    #[test]
    fn one_channel_may_be_named_alone_but_a_list_wins() {
        assert_eq!(names(&parse(r#"{"name":"e","data":"","channel":"a"}"#).unwrap()), ["a"]);
        let both = r#"{"name":"e","data":"","channel":"a","channels":["b","b","c","b"]}"#;
        assert_eq!(refused(both).0, 400, "four are too many, though two of them are alike");
        let both = r#"{"name":"e","data":"","channel":"a","channels":["b","c","b"]}"#;
        assert_eq!(names(&parse(both).unwrap()), ["b", "c"]);
        let null = r#"{"name":"e","data":"","channel":"a","channels":null,"socket_id":null,"info":null}"#;
        assert_eq!(names(&parse(null).unwrap()), ["a"]);
    }

    #[test]
    fn a_users_channel_and_escaped_names_are_good_channels() {
        let body = r##"{"name":"e","data":"","channels":["#server-to-user-u1","\u0061"]}"##;
        assert_eq!(names(&parse(body).unwrap()), ["#server-to-user-u1", "a"]);
        let alone = r#"{"name":"e","data":"","channels":["private-encrypted-a","private-encrypted-a"]}"#;
        assert_eq!(names(&parse(alone).unwrap()), ["private-encrypted-a"]);
    }

    #[test]
    fn data_that_is_no_string_becomes_the_string_of_its_json() {
        for (data, sent) in [
            (r#"{"a": [1, "x"]}"#, r#""{\"a\": [1, \"x\"]}""#),
            ("17.50", r#""17.50""#),
            ("123456789012345678901", r#""123456789012345678901""#),
            ("false", r#""false""#),
            ("[]", r#""[]""#),
        ] {
            let body = format!(r#"{{"name":"e","channel":"a","data":{data}}}"#);
            assert_eq!(parse(&body).unwrap().event().data, sent);
        }
    }

    #[test]
    fn the_size_of_data_is_the_bytes_of_its_text() {
        for (piece, times, good) in [
            ("x", 100, true),
            ("x", 101, false),
            ("ä", 50, true),
            ("ä", 51, false),
            ("\\n", 100, true),
            ("\\n", 101, false),
            ("\\u00e4", 50, true),
            ("\\u00e4", 51, false),
            ("\\ud83d\\ude00", 25, true),
            ("\\ud83d\\ude00", 26, false),
        ] {
            let body = with_data(piece, times);
            match parse(&body) {
                Ok(_) => assert!(good, "{times} times {piece}"),
                Err(error) => {
                    assert!(!good && error.status.as_u16() == 413, "{times} times {piece}: {error:?}");
                }
            }
        }
        assert_eq!(
            refused(&with_data("x", 101)).1,
            "The data content of this event exceeds the allowed maximum (100 bytes). \
             See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info"
        );
        let object = format!(r#"{{"name":"e","channel":"a","data":[{}1]}}"#, "1,".repeat(50));
        assert_eq!(refused(&object).0, 413);
        assert_eq!(refused(&with_data("\\ud800", 30)).0, 400);
    }

    #[test]
    fn the_length_of_a_name_is_its_characters() {
        let named = |name: &str| format!(r#"{{"name":"{name}","channel":"a","data":""}}"#);
        for (name, good) in [
            ("x".repeat(20), true),
            ("x".repeat(21), false),
            ("ä".repeat(20), true),
            ("ä".repeat(21), false),
            ("\\u00e4".repeat(20), true),
            ("\\u00e4".repeat(21), false),
            (String::new(), false),
            ("\\ud800".to_owned(), false),
            ("pusher:x".to_owned(), false),
            ("pusher_internal:x".to_owned(), false),
            ("\\u0070usher:x".to_owned(), false),
            ("pusher".to_owned(), true),
            ("Pusher:x".to_owned(), true),
            ("client-x".to_owned(), true),
        ] {
            assert_eq!(parse(&named(&name)).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn bad_bodies_are_refused_with_a_400() {
        let table = [
            "",
            " ",
            "{",
            "null",
            "[]",
            "\"x\"",
            "{}",
            "{} {}",
            "\u{feff}{}",
            r#"["e","d",null,"a"]"#,
            r#"{"name":"e","data":""}"#,
            r#"{"name":"e","channel":"a"}"#,
            r#"{"data":"","channel":"a"}"#,
            r#"{"name":null,"data":"","channel":"a"}"#,
            r#"{"name":"e","data":null,"channel":"a"}"#,
            r#"{"name":1,"data":"","channel":"a"}"#,
            r#"{"name":["e"],"data":"","channel":"a"}"#,
            r#"{"name":"e","name":"f","data":"","channel":"a"}"#,
            r#"{"name":"e","data":"","channel":1}"#,
            r#"{"name":"e","data":"","channel":""}"#,
            r#"{"name":"e","data":"","channel":["a"]}"#,
            r#"{"name":"e","data":"","channels":"a"}"#,
            r#"{"name":"e","data":"","channels":[]}"#,
            r#"{"name":"e","data":"","channels":[1]}"#,
            r#"{"name":"e","data":"","channels":[null]}"#,
            r#"{"name":"e","data":"","channels":[""]}"#,
            r#"{"name":"e","data":"","channels":["a","b","c","d"]}"#,
            r#"{"name":"e","data":"","channels":["a b"]}"#,
            r#"{"name":"e","data":"","channels":["a\nb"]}"#,
            r##"{"name":"e","data":"","channels":["#a"]}"##,
            r##"{"name":"e","data":"","channels":["#server-to-user-"]}"##,
            r#"{"name":"e","data":"","channels":["private-encrypted-a","b"]}"#,
            r#"{"name":"e","data":"","channel":"a","socket_id":""}"#,
            r#"{"name":"e","data":"","channel":"a","socket_id":"1"}"#,
            r#"{"name":"e","data":"","channel":"a","socket_id":"1.2.3"}"#,
            r#"{"name":"e","data":"","channel":"a","socket_id":1.2}"#,
            r#"{"name":"e","data":"","channel":"a","info":"x"}"#,
            r#"{"name":"e","data":"","channel":"a","info":"cache"}"#,
            r#"{"name":"e","data":"","channel":"a","info":["user_count"]}"#,
            "{\"name\":\"e\",\"data\":\"a\nb\",\"channel\":\"a\"}",
            r#"{"name":"e","data":"\x","channel":"a"}"#,
            r#"{"name":"e","data":NaN,"channel":"a"}"#,
            r#"{"name":"e","data":"","channel":"a",}"#,
        ];
        for body in table {
            assert_eq!(refused(body).0, 400, "{body}");
        }
        assert_eq!(refused(r#"{"name":"e","data":"","channel":"a b"}"#).1, "Invalid channel name");
        assert_eq!(Publication::parse(b"\xff\xfe{}", &LIMITS).unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn an_answer_does_not_repeat_a_body() {
        let body = format!(r#"{{"name":"e","data":"","channels":"{}"}}"#, "ä".repeat(100_000));
        assert!(refused(&body).1.len() < 300);
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = format!(r#"{{"name":"e","channel":"a","data":{}"#, "[".repeat(1_000_000));
        assert_eq!(refused(&deep).0, 400);
        let deep = format!(r#"{{"name":"e","channel":"a","x":{}"#, "{\"a\":".repeat(200_000));
        assert_eq!(refused(&deep).0, 400);
    }

    #[test]
    fn a_sender_may_be_excluded_even_if_nobody_knows_it() {
        let excluding = |id: &str| {
            let body = format!(r#"{{"name":"e","data":"","channel":"a","socket_id":"{id}"}}"#);
            parse(&body).unwrap().except
        };
        assert_eq!(excluding("123.456"), Some("123.456".parse().unwrap()));
        assert!(excluding("99999999999999999999999999.1").is_some());
    }

    #[test]
    fn a_batch_is_all_of_its_events_in_order() {
        let body = json!({"batch": [
            {"name": "a", "data": "1", "channel": "x", "info": "user_count"},
            {"name": "b", "data": "2", "channel": "private-encrypted-y", "channels": "ignored"},
        ]});
        let mut body = body.to_string();
        let refused = Publication::parse_batch(body.as_bytes(), &LIMITS).unwrap_err();
        assert_eq!(refused.status.as_u16(), 400, "channels is checked for being a list, even unused");
        body = body.replace("\"ignored\"", "[\"ignored\"]");
        let batch = Publication::parse_batch(body.as_bytes(), &LIMITS).unwrap();
        let found: Vec<_> =
            batch.iter().map(|event| (event.name, names(event), event.info.user_count)).collect();
        let expected =
            [("\"a\"", vec!["x".to_owned()], true), ("\"b\"", vec!["private-encrypted-y".to_owned()], false)];
        assert_eq!(found, expected);
        assert!(Publication::parse_batch(br#"{"batch":[]}"#, &LIMITS).unwrap().is_empty());
    }

    #[test]
    fn one_bad_event_spoils_the_batch() {
        let good = r#"{"name":"e","data":"","channel":"a"}"#;
        let large = with_data("x", 101);
        for (batch, status) in [
            (String::new(), 400),
            ("[]".to_owned(), 400),
            (r"{}".to_owned(), 400),
            (r#"{"batch":null}"#.to_owned(), 400),
            (r#"{"batch":{}}"#.to_owned(), 400),
            (format!(r#"{{"batch":[{good},1]}}"#), 400),
            (format!(r#"{{"batch":[{good},["e","d",null,"a"]]}}"#), 400),
            (format!(r#"{{"batch":[{good},{good},{good}]}}"#), 400),
            (format!(r#"{{"batch":[{good},{{"name":"e","data":"","channels":["a"]}}]}}"#), 400),
            (format!(r#"{{"batch":[{good},{large}]}}"#), 413),
        ] {
            let error = Publication::parse_batch(batch.as_bytes(), &LIMITS).expect_err(&batch);
            assert_eq!(error.status.as_u16(), status, "{batch}");
        }
    }

    proptest! {
        #[test]
        fn whatever_text_is_published_arrives_as_that_text(name in "[^\\x00]{1,20}", data in ".{0,25}") {
            prop_assume!(!name.starts_with("pusher"));
            let body = json!({"name": name, "data": data, "channels": ["a"]}).to_string();
            let publication = parse(&body).unwrap();
            let event = publication.event();
            prop_assert_eq!(serde_json::from_str::<String>(event.name).unwrap(), name);
            prop_assert_eq!(serde_json::from_str::<String>(event.data).unwrap(), data);
        }

        #[test]
        fn no_body_makes_it_panic(body in any::<Vec<u8>>(), text in "[{}\\[\\]\":,a-e\\\\0-9 ]{0,60}") {
            let _ = Publication::parse(&body, &LIMITS);
            let _ = Publication::parse_batch(text.as_bytes(), &LIMITS);
            let body = format!(r#"{{"name":"e","channel":"a","data":{text}}}"#);
            if let Ok(publication) = parse(&body) {
                prop_assert!(serde_json::from_str::<String>(publication.event().data).is_ok());
            }
        }
    }
}
