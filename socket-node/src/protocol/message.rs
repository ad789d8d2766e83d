//! What clients say: one JSON object a message.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A message of a client, its parts still as they came.
#[derive(Debug)]
pub enum ClientMessage<'a> {
    /// Asks for a pong.
    Ping,
    /// A sign of life.
    Pong,
    /// Wants the events of a channel.
    Subscribe(Subscribe),
    /// No longer wants the events of this channel.
    Unsubscribe(String),
    /// Says which user the connection belongs to.
    SignIn(SignIn),
    /// An event for the other subscribers of a channel.
    ClientEvent(ClientEvent<'a>),
}

/// The data of a `pusher:subscribe`.
#[derive(Debug, Deserialize)]
pub struct Subscribe {
    /// Any text: it has yet to be checked.
    pub channel: String,
    /// `key:signature`; absent or empty where none is needed.
    pub auth: Option<String>,
    /// What the customer's backend says of the member: JSON text, as it was signed.
    pub channel_data: Option<String>,
}

/// The data of a `pusher:signin`.
#[derive(Debug, Deserialize)]
pub struct SignIn {
    /// `key:signature`.
    pub auth: String,
    /// What the customer's backend says of the user: JSON text, as it was signed.
    pub user_data: String,
}

/// An event whose name begins with `client-`.
#[derive(Debug)]
pub struct ClientEvent<'a> {
    /// The event's name.
    pub name: Cow<'a, str>,
    /// Any text: it has yet to be checked.
    pub channel: Cow<'a, str>,
    /// Any JSON.
    pub data: &'a RawValue,
}

/// Why a message means nothing. The connection goes on.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MessageError {
    /// Not a JSON object with an `event` of text, or one of its parts has the wrong type.
    #[error("Invalid JSON")]
    InvalidJson,
    /// The data of one of the protocol's own events lacks something.
    #[error("Invalid data for event {0}")]
    InvalidData(&'static str),
    /// A client event without a channel or without data.
    #[error("Invalid client event (must contain channel and data)")]
    InvalidClientEvent,
    /// Neither one of the protocol's events nor a client event.
    #[error("Unsupported event received on socket: {0}")]
    UnsupportedEvent(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    channel: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "given")]
    data: Option<&'a RawValue>,
}

/// Takes `null` for what it is: data like any other, and not its absence.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Longest part of an unknown event's name that is told back.
const MAX_ECHO: usize = 200;

impl<'a> ClientMessage<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn parse(text: &'a str) -> Result<Self, MessageError> {
        let Envelope { event, channel, data } =
            serde_json::from_str(text).map_err(|_| MessageError::InvalidJson)?;
        match &*event {
            "pusher:ping" => Ok(Self::Ping),
            "pusher:pong" => Ok(Self::Pong),
            "pusher:subscribe" => parse_data("pusher:subscribe", data).map(Self::Subscribe),
            "pusher:unsubscribe" => parse_data("pusher:unsubscribe", data)
                .map(|Unsubscribe { channel }| Self::Unsubscribe(channel)),
            "pusher:signin" => parse_data("pusher:signin", data).map(Self::SignIn),
            name if name.starts_with("client-") => match (channel, data) {
                (Some(channel), Some(data)) => {
                    Ok(Self::ClientEvent(ClientEvent { name: event, channel, data }))
                }
                _ => Err(MessageError::InvalidClientEvent),
            },
            name => {
                let name = &name[..name.floor_char_boundary(MAX_ECHO)];
                Err(MessageError::UnsupportedEvent(name.to_owned()))
            }
        }
    }
}

#[derive(Deserialize)]
struct Unsubscribe {
    channel: String,
}

/// Reads the data of one of the protocol's own events; some clients send it as a JSON string that holds the object.
fn parse_data<T: for<'de> Deserialize<'de>>(
    event: &'static str,
    data: Option<&RawValue>,
) -> Result<T, MessageError> {
    let invalid = |_| MessageError::InvalidData(event);
    let json = data.ok_or(MessageError::InvalidData(event))?.get();
    if json.starts_with('"') {
        let inner: String = serde_json::from_str(json).map_err(invalid)?;
        serde_json::from_str(&inner).map_err(invalid)
    } else {
        serde_json::from_str(json).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::event::as_string;

    fn parse(text: &str) -> Result<String, MessageError> {
        ClientMessage::parse(text).map(|message| format!("{message:?}"))
    }

    #[test]
    fn subscribes_are_read_in_every_form_that_official_clients_send() {
        let forms = [
            r#"{"event":"pusher:subscribe","data":{"auth":"","channel":"c"}}"#,
            r#"{"event":"pusher:subscribe","data":{"channel":"c"}}"#,
            r#"{"data":{"channel":"c","tags":[1]},"extra":{},"event":"pusher:subscribe"}"#,
            r#"{"event":"pusher:subscribe","data":"{\"channel\":\"c\"}"}"#,
            r#"{"event":"pusher:subscribe","data":{"channel":"c","auth":null,"channel_data":null}}"#,
        ];
        for form in forms {
            let message = ClientMessage::parse(form).unwrap();
            assert!(
                matches!(message, ClientMessage::Subscribe(Subscribe { channel, .. }) if channel == "c"),
                "{form}"
            );
        }
    }

    #[test]
    fn channel_data_must_be_a_string() {
        let text = r#"{"event":"pusher:subscribe","data":{"channel":"c","channel_data":{"user_id":"1"}}}"#;
        assert_eq!(parse(text), Err(MessageError::InvalidData("pusher:subscribe")));
    }

    #[test]
    fn pings_need_no_data() {
        for text in [r#"{"event":"pusher:ping"}"#, r#"{"event":"pusher:ping","data":{}}"#] {
            assert_eq!(parse(text).unwrap(), "Ping");
        }
    }

    #[test]
    fn client_events_hand_their_data_on_as_a_string() {
        let data = |data: &str| {
            let text = format!(r#"{{"event":"client-x","channel":"private-c","data":{data}}}"#);
            match ClientMessage::parse(&text).unwrap() {
                ClientMessage::ClientEvent(event) => as_string(event.data.get()).into_owned(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(data(r#""a\u0062""#), r#""a\u0062""#);
        assert_eq!(data(r#"{"k": "v"}"#), r#""{\"k\": \"v\"}""#);
        assert_eq!(data("null"), r#""null""#);
        assert_eq!(data("12345678901234567890"), r#""12345678901234567890""#);
    }

    #[test]
    fn what_is_not_understood_says_why() {
        let unsupported = |name: &str| MessageError::UnsupportedEvent(name.to_owned());
        let cases = [
            ("", MessageError::InvalidJson),
            ("[]", MessageError::InvalidJson),
            ("{}", MessageError::InvalidJson),
            (r#"{"event":1}"#, MessageError::InvalidJson),
            (r#"{"event":"client-x","channel":1,"data":1}"#, MessageError::InvalidJson),
            (r#"{"event":"pusher:ping"} x"#, MessageError::InvalidJson),
            (r#"{"event":"client-x","data":1}"#, MessageError::InvalidClientEvent),
            (r#"{"event":"client-x","channel":"c"}"#, MessageError::InvalidClientEvent),
            (r#"{"event":"pusher:signin","data":{}}"#, MessageError::InvalidData("pusher:signin")),
            (r#"{"event":"pusher:unsubscribe"}"#, MessageError::InvalidData("pusher:unsubscribe")),
            (r#"{"event":"pusher:nonsense"}"#, unsupported("pusher:nonsense")),
            (r#"{"event":"pusher_internal:member_added"}"#, unsupported("pusher_internal:member_added")),
            (r#"{"event":"hello"}"#, unsupported("hello")),
        ];
        for (text, error) in cases {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,200}") {
            let _ = ClientMessage::parse(&text);
        }

        #[test]
        fn any_name_channel_and_text_of_a_client_event_survive(
            name in "client-\\PC{0,40}", channel in "\\PC{0,40}", data in "\\PC{0,100}",
        ) {
            let text = serde_json::json!({ "event": name, "channel": channel, "data": data }).to_string();
            let Ok(ClientMessage::ClientEvent(event)) = ClientMessage::parse(&text) else {
                panic!("not a client event: {text}");
            };
            prop_assert_eq!(&*event.name, &name);
            prop_assert_eq!(&*event.channel, &channel);
            let decoded: String = serde_json::from_str(&as_string(event.data.get())).unwrap();
            prop_assert_eq!(decoded, data);
        }
    }
}
