//! What a webhook tells of: the seven events of the Pusher webhooks reference, in their exact JSON.

use app_manager::webhook::EventKind;
use serde::{Deserialize, Serialize};

/// How the names of end-to-end encrypted channels begin.
const ENCRYPTED_PREFIX: &str = "private-encrypted-";

/// Something that happened on a channel, as an entry of a webhook's `events`.
///
/// Every one names its channel: receivers written with the official SDKs read it on each event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum WebhookEvent {
    /// The first subscriber of a channel came.
    ChannelOccupied {
        /// Where.
        channel: String,
    },
    /// The last subscriber of a channel left and did not come back in time.
    ChannelVacated {
        /// Where.
        channel: String,
    },
    /// A user's first connection joined a presence channel.
    MemberAdded {
        /// Where.
        channel: String,
        /// Who, by the id in the member's `channel_data`.
        user_id: String,
    },
    /// A user's last connection left a presence channel and did not come back in time.
    MemberRemoved {
        /// Where.
        channel: String,
        /// Who, by the id in the member's `channel_data`.
        user_id: String,
    },
    /// A client sent an event to the other subscribers.
    ClientEvent {
        /// Where.
        channel: String,
        /// The event's own name, which begins with `client-`. The JSON's `name` is always `client_event`.
        event: String,
        /// Always a JSON string on the wire, see [`as_text`].
        data: String,
        /// The connection that sent it.
        socket_id: String,
        /// Who sent it; known on presence channels only, and absent elsewhere rather than `null`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
    },
    /// Somebody subscribed to a cache channel that has nothing to replay.
    CacheMiss {
        /// Where.
        channel: String,
    },
    /// The number of a channel's subscribers changed.
    SubscriptionCount {
        /// Where.
        channel: String,
        /// How many there are now, across all nodes. A JSON number.
        subscription_count: u64,
    },
}

impl WebhookEvent {
    /// Which of the seven it is: what targets choose by.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::ChannelOccupied { .. } => EventKind::ChannelOccupied,
            Self::ChannelVacated { .. } => EventKind::ChannelVacated,
            Self::MemberAdded { .. } => EventKind::MemberAdded,
            Self::MemberRemoved { .. } => EventKind::MemberRemoved,
            Self::ClientEvent { .. } => EventKind::ClientEvent,
            Self::CacheMiss { .. } => EventKind::CacheMiss,
            Self::SubscriptionCount { .. } => EventKind::SubscriptionCount,
        }
    }

    /// The channel it happened on.
    pub fn channel(&self) -> &str {
        match self {
            Self::ChannelOccupied { channel }
            | Self::ChannelVacated { channel }
            | Self::MemberAdded { channel, .. }
            | Self::MemberRemoved { channel, .. }
            | Self::ClientEvent { channel, .. }
            | Self::CacheMiss { channel }
            | Self::SubscriptionCount { channel, .. } => channel,
        }
    }

    /// Whether the channel is end-to-end encrypted.
    ///
    /// Some official SDKs decrypt the `data` of every event on such a channel, also of events that have none, and
    /// then reject the whole request. So an event like this travels alone and can take no other with it.
    pub fn is_encrypted(&self) -> bool {
        self.channel().starts_with(ENCRYPTED_PREFIX)
    }

    /// The event's JSON, as it stands in a body.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an event is made of strings and one number")
    }
}

/// A part of a client's event, given as JSON, as the text that receivers demand.
///
/// Clients may send any JSON. A string is taken as it is; anything else becomes its JSON text, because typed
/// receivers (Go, .NET) reject a whole webhook in which `data` is an object.
pub fn as_text(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> String {
        "presence-room".into()
    }

    fn one_of_each() -> Vec<(WebhookEvent, &'static str)> {
        let (channel, user_id) = (channel(), "u1".to_owned());
        vec![
            (
                WebhookEvent::ChannelOccupied { channel: channel.clone() },
                r#"{"name":"channel_occupied","channel":"presence-room"}"#,
            ),
            (
                WebhookEvent::ChannelVacated { channel: channel.clone() },
                r#"{"name":"channel_vacated","channel":"presence-room"}"#,
            ),
            (
                WebhookEvent::MemberAdded { channel: channel.clone(), user_id: user_id.clone() },
                r#"{"name":"member_added","channel":"presence-room","user_id":"u1"}"#,
            ),
            (
                WebhookEvent::MemberRemoved { channel: channel.clone(), user_id: user_id.clone() },
                r#"{"name":"member_removed","channel":"presence-room","user_id":"u1"}"#,
            ),
            (
                WebhookEvent::ClientEvent {
                    channel: channel.clone(),
                    event: "client-typing".into(),
                    data: r#"{"at":1}"#.into(),
                    socket_id: "1.2".into(),
                    user_id: Some(user_id),
                },
                r#"{"name":"client_event","channel":"presence-room","event":"client-typing","data":"{\"at\":1}","socket_id":"1.2","user_id":"u1"}"#,
            ),
            (
                WebhookEvent::CacheMiss { channel: channel.clone() },
                r#"{"name":"cache_miss","channel":"presence-room"}"#,
            ),
            (
                WebhookEvent::SubscriptionCount { channel, subscription_count: 3 },
                r#"{"name":"subscription_count","channel":"presence-room","subscription_count":3}"#,
            ),
        ]
    }

    #[test]
    fn every_kind_has_the_json_of_the_webhooks_reference_and_comes_back_from_it() {
        for (event, json) in one_of_each() {
            assert_eq!(event.to_json(), json);
            assert_eq!(serde_json::from_str::<WebhookEvent>(json).unwrap(), event);
            assert_eq!(event.channel(), "presence-room");
        }
    }

    #[test]
    fn the_name_in_the_json_is_the_name_of_the_kind() {
        let kinds: Vec<EventKind> = one_of_each().iter().map(|(event, _)| event.kind()).collect();
        assert_eq!(kinds, EventKind::ALL);
        for (event, _) in one_of_each() {
            let value: serde_json::Value = serde_json::from_str(&event.to_json()).unwrap();
            assert_eq!(value["name"], event.kind().name());
        }
    }

    #[test]
    fn a_client_event_outside_presence_channels_has_no_user_id_at_all() {
        let event = WebhookEvent::ClientEvent {
            channel: "private-x".into(),
            event: "client-e".into(),
            data: "d".into(),
            socket_id: "1.2".into(),
            user_id: None,
        };
        assert!(!event.to_json().contains("user_id"));
        assert_eq!(serde_json::from_str::<WebhookEvent>(&event.to_json()).unwrap(), event);
    }

    #[test]
    fn client_data_is_a_string_whatever_the_client_sent() {
        let cases = [
            (r#""text""#, "text"),
            (r#""{\"a\":1}""#, r#"{"a":1}"#),
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("[1,2]", "[1,2]"),
            ("7", "7"),
            ("null", "null"),
            (r#""\u00e9\n""#, "é\n"),
        ];
        for (sent, told) in cases {
            assert_eq!(as_text(sent), told);
        }
    }

    #[test]
    fn only_encrypted_channels_are_encrypted() {
        let encrypted = |channel: &str| WebhookEvent::CacheMiss { channel: channel.into() }.is_encrypted();
        assert!(encrypted("private-encrypted-a"));
        assert!(encrypted("private-encrypted-cache-a"));
        assert!(!encrypted("private-a"));
        assert!(!encrypted("presence-private-encrypted-a"));
    }

    #[test]
    fn an_unknown_name_is_refused() {
        let unknown = r#"{"name":"channel_exploded","channel":"a"}"#;
        assert!(serde_json::from_str::<WebhookEvent>(unknown).is_err());
    }
}
