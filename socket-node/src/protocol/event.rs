//! What the server says: every event of the protocol as the frame that carries it.
//!
//! `data` is a JSON-encoded *string* in all of them but `pusher:error`, where the official Swift and .NET clients
//! want an object.

use std::{borrow::Cow, fmt::Write as _};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ChannelName, Frame, SocketId};

/// An event that somebody published: both parts are raw JSON strings, quotes included, and are passed through byte
/// for byte.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The event's name.
    pub name: &'a str,
    /// What it carries.
    pub data: &'a str,
}

/// Appends pieces of text one after the other.
fn join(capacity: usize, parts: &[&str]) -> Frame {
    Frame::text(capacity, |buffer| {
        for part in parts {
            buffer.extend_from_slice(part.as_bytes());
        }
    })
}

/// `text` as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

/// The raw JSON string that receivers get for this JSON: a string passes through untouched, anything else becomes the
/// string of its JSON text, since clients expect one.
pub fn as_string(json: &str) -> Cow<'_, str> {
    if json.starts_with('"') { Cow::Borrowed(json) } else { Cow::Owned(quote(json)) }
}

/// Whether the text that a raw JSON string stands for is longer than `max` bytes.
pub fn is_longer_than(max: usize, json: &str) -> bool {
    // Escapes only ever make a text longer, so nothing needs decoding that is short enough as it is. Only halves of
    // surrogate pairs fail to decode; their raw length is then as good as any.
    let raw = json.len() - 2;
    raw > max && serde_json::from_str::<String>(json).map_or(raw, |text| text.len()) > max
}

/// An event published through the HTTP API, on one channel.
pub fn published(channel: &ChannelName, event: Event<'_>) -> Frame {
    let Event { name, data } = event;
    let capacity = name.len() + channel.as_str().len() + data.len() + 32;
    join(capacity, &["{\"event\":", name, ",\"channel\":\"", channel.as_str(), "\",\"data\":", data, "}"])
}

/// The raw JSON string of `data`, out of the frame of an event that a backend published. None if it is that of
/// something else.
pub fn published_data(frame: &Frame) -> Option<&str> {
    let Parts { event, data } = parts(frame)?;
    let is_published = !event.starts_with("client-") && !event.starts_with("pusher");
    is_published.then(|| data.get())
}

/// The raw JSON string of `data`, out of the frame of any event. None if it is none.
pub fn data(frame: &Frame) -> Option<&str> {
    parts(frame).map(|parts| parts.data.get())
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn parts(frame: &Frame) -> Option<Parts<'_>> {
    serde_json::from_slice(frame.payload()).ok()
}

/// A client's event as it reaches the others. On presence channels it carries the sender's user id.
pub fn client_event(channel: &ChannelName, event: Event<'_>, user_id: Option<&str>) -> Frame {
    let Some(user_id) = user_id else {
        return published(channel, event);
    };
    let Event { name, data } = event;
    let user_id = quote(user_id);
    let capacity = name.len() + channel.as_str().len() + data.len() + user_id.len() + 44;
    let channel = channel.as_str();
    let parts = [
        "{\"event\":",
        name,
        ",\"channel\":\"",
        channel,
        "\",\"data\":",
        data,
        ",\"user_id\":",
        &user_id,
        "}",
    ];
    join(capacity, &parts)
}

/// A server event with `data`, JSON text that is sent as a string. Only presence events can be long.
fn internal(name: &str, channel: Option<&ChannelName>, data: &str) -> Frame {
    let data = quote(data);
    match channel {
        Some(channel) => join(
            name.len() + channel.as_str().len() + data.len() + 40,
            &["{\"event\":\"", name, "\",\"channel\":\"", channel.as_str(), "\",\"data\":", &data, "}"],
        ),
        None => join(name.len() + data.len() + 24, &["{\"event\":\"", name, "\",\"data\":", &data, "}"]),
    }
}

/// The first event of every good connection.
pub fn connection_established(socket_id: SocketId, activity_timeout_seconds: u32) -> Frame {
    let data = format!("{{\"socket_id\":\"{socket_id}\",\"activity_timeout\":{activity_timeout_seconds}}}");
    internal("pusher:connection_established", None, &data)
}

/// Something went wrong. Without a code, it is only said and the connection goes on.
pub fn error(code: Option<u16>, message: &str) -> Frame {
    let code = code.map_or_else(|| "null".to_owned(), |code| code.to_string());
    let message = quote(message);
    let parts = ["{\"event\":\"pusher:error\",\"data\":{\"code\":", &code, ",\"message\":", &message, "}}"];
    join(message.len() + 64, &parts)
}

/// The answer to a client's `pusher:ping`.
pub fn pong() -> Frame {
    internal("pusher:pong", None, "{}")
}

/// A subscribe succeeded.
pub fn subscription_succeeded(channel: &ChannelName) -> Frame {
    internal("pusher_internal:subscription_succeeded", Some(channel), "{}")
}

/// A subscribe to a presence channel succeeded; these are its members, the joiner among them.
pub fn presence_subscription_succeeded<'a>(
    channel: &ChannelName,
    members: impl ExactSizeIterator<Item = &'a Member>,
) -> Frame {
    let count = members.len();
    let (mut ids, mut hash) = (String::new(), String::new());
    for member in members {
        let comma = if ids.is_empty() { "" } else { "," };
        let id = quote(&member.user_id);
        write!(ids, "{comma}{id}").expect("a string takes all");
        write!(hash, "{comma}{id}:{}", member.info()).expect("a string takes all");
    }
    let data = format!("{{\"presence\":{{\"count\":{count},\"ids\":[{ids}],\"hash\":{{{hash}}}}}}}");
    internal("pusher_internal:subscription_succeeded", Some(channel), &data)
}

/// A subscribe failed, told on the channel, where client libraries can see which one it was.
pub fn subscription_error(channel: &str, kind: &str, message: &str, status: u16) -> Frame {
    let (channel, kind, message) = (quote(channel), quote(kind), quote(message));
    let data = quote(&format!("{{\"type\":{kind},\"error\":{message},\"status\":{status}}}"));
    let head = "{\"event\":\"pusher:subscription_error\",\"channel\":";
    join(head.len() + channel.len() + data.len() + 12, &[head, &channel, ",\"data\":", &data, "}"])
}

/// A user as the others in a presence channel see it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Who it is.
    pub user_id: Box<str>,
    /// What the customer's backend says of it: raw JSON, an object.
    pub user_info: Option<Box<RawValue>>,
}

impl Member {
    /// `user_info` as JSON; an empty object where there is none, since clients hand it to the page unchecked.
    fn info(&self) -> &str {
        self.user_info.as_deref().map_or("{}", RawValue::get)
    }
}

/// A user's first connection joined.
pub fn member_added(channel: &ChannelName, member: &Member) -> Frame {
    let data = format!("{{\"user_id\":{},\"user_info\":{}}}", quote(&member.user_id), member.info());
    internal("pusher_internal:member_added", Some(channel), &data)
}

/// A user's last connection left.
pub fn member_removed(channel: &ChannelName, user_id: &str) -> Frame {
    internal("pusher_internal:member_removed", Some(channel), &format!("{{\"user_id\":{}}}", quote(user_id)))
}

/// How many subscribers the channel has now.
pub fn subscription_count(channel: &ChannelName, count: u32) -> Frame {
    let data = format!("{{\"subscription_count\":{count}}}");
    internal("pusher_internal:subscription_count", Some(channel), &data)
}

/// There is no event to replay on this cache channel.
pub fn cache_miss(channel: &ChannelName) -> Frame {
    internal("pusher:cache_miss", Some(channel), "{}")
}

/// A sign-in succeeded. Only `user_data` is given back, not the signature that came with it.
pub fn signin_success(user_data: &str) -> Frame {
    internal("pusher:signin_success", None, &format!("{{\"user_data\":{}}}", quote(user_data)))
}

/// Who of a watchlist is there, and who is not. A list that is empty is left out.
pub fn watchlist_events(online: &[&str], offline: &[&str]) -> Frame {
    let event = |name: &str, ids: &[&str]| {
        let ids = serde_json::to_string(ids).expect("strings are always JSON");
        format!("{{\"name\":\"{name}\",\"user_ids\":{ids}}}")
    };
    let lists = [("online", online), ("offline", offline)];
    let events: Vec<_> =
        lists.iter().filter(|(_, ids)| !ids.is_empty()).map(|(name, ids)| event(name, ids)).collect();
    internal("pusher_internal:watchlist_events", None, &format!("{{\"events\":[{}]}}", events.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The payload of a text frame.
    fn payload(frame: &Frame) -> String {
        let bytes = frame.bytes();
        let header = if bytes[1] < 126 { 2 } else { 4 };
        String::from_utf8(bytes[header..].to_vec()).unwrap()
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name, 200).unwrap()
    }

    fn member(user_id: &str, info: Option<&str>) -> Member {
        let user_info = info.map(|info| RawValue::from_string(info.to_owned()).unwrap());
        Member { user_id: user_id.into(), user_info }
    }

    #[test]
    fn the_first_event_is_what_clients_expect_to_the_byte() {
        let id = "9248.3770520".parse().unwrap();
        let expected = r#"{"event":"pusher:connection_established","data":"{\"socket_id\":\"9248.3770520\",\"activity_timeout\":120}"}"#;
        assert_eq!(payload(&connection_established(id, 120)), expected);
    }

    #[test]
    fn published_events_pass_name_and_data_through_untouched() {
        let event = Event { name: r#""na\u006de""#, data: r#""{\"a\":\"\ud83d\ude00\"}""# };
        let expected = r#"{"event":"na\u006de","channel":"c","data":"{\"a\":\"\ud83d\ude00\"}"}"#;
        assert_eq!(payload(&published(&channel("c"), event)), expected);
    }

    #[test]
    fn client_events_carry_the_senders_user_id_on_presence_channels() {
        let event = Event { name: r#""client-x""#, data: r#""{}""# };
        let with = client_event(&channel("presence-c"), event, Some("1"));
        assert_eq!(
            payload(&with),
            r#"{"event":"client-x","channel":"presence-c","data":"{}","user_id":"1"}"#
        );
        let without = client_event(&channel("private-c"), event, None);
        assert_eq!(payload(&without), r#"{"event":"client-x","channel":"private-c","data":"{}"}"#);
    }

    #[test]
    fn errors_carry_an_object() {
        let expected = r#"{"event":"pusher:error","data":{"code":null,"message":"say \"x\""}}"#;
        assert_eq!(payload(&error(None, "say \"x\"")), expected);
    }

    #[test]
    fn every_member_has_an_entry_in_the_hash() {
        let members = [member("1", Some(r#"{"name":"A"}"#)), member("2", None)];
        let frame = presence_subscription_succeeded(&channel("presence-c"), members.iter());
        let expected = r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-c","data":"{\"presence\":{\"count\":2,\"ids\":[\"1\",\"2\"],\"hash\":{\"1\":{\"name\":\"A\"},\"2\":{}}}}"}"#;
        assert_eq!(payload(&frame), expected);
    }

    #[test]
    fn member_events_have_the_documented_shape() {
        let channel = channel("presence-c");
        let added = r#"{"event":"pusher_internal:member_added","channel":"presence-c","data":"{\"user_id\":\"1\",\"user_info\":{}}"}"#;
        assert_eq!(payload(&member_added(&channel, &member("1", None))), added);
        let removed = r#"{"event":"pusher_internal:member_removed","channel":"presence-c","data":"{\"user_id\":\"1\"}"}"#;
        assert_eq!(payload(&member_removed(&channel, "1")), removed);
    }

    #[test]
    fn signing_in_gives_back_the_user_data_and_nothing_else() {
        let expected =
            r#"{"event":"pusher:signin_success","data":"{\"user_data\":\"{\\\"id\\\":\\\"u1\\\"}\"}"}"#;
        assert_eq!(payload(&signin_success(r#"{"id":"u1"}"#)), expected);
    }

    #[test]
    fn watchlists_tell_only_the_lists_that_have_somebody() {
        let both = r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"a\"]},{\"name\":\"offline\",\"user_ids\":[\"b\",\"c\"]}]}"}"#;
        assert_eq!(payload(&watchlist_events(&["a"], &["b", "c"])), both);
        let one = r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"b\"]}]}"}"#;
        assert_eq!(payload(&watchlist_events(&[], &["b"])), one);
    }

    #[test]
    fn a_failed_subscribe_names_any_channel_safely() {
        let expected = r#"{"event":"pusher:subscription_error","channel":"a\"b","data":"{\"type\":\"AuthError\",\"error\":\"no\",\"status\":401}"}"#;
        assert_eq!(payload(&subscription_error("a\"b", "AuthError", "no", 401)), expected);
    }
}
