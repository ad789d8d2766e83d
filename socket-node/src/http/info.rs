//! What a request may ask of channels in its `info`, and how that is told.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::error::ApiError;
use crate::{
    channels::{CachedEvent, Occupancy},
    protocol::ChannelName,
};

/// The attributes that a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) user_count: bool,
    pub(super) subscription_count: bool,
    pub(super) cache: bool,
}

impl Wanted {
    /// Reads a comma-separated list.
    pub(super) fn parse(info: &str) -> Result<Self, ApiError> {
        let mut wanted = Self::default();
        for attribute in info.split(',').map(str::trim).filter(|attribute| !attribute.is_empty()) {
            match attribute {
                "user_count" => wanted.user_count = true,
                "subscription_count" => wanted.subscription_count = true,
                "cache" => wanted.cache = true,
                _ => return Err(ApiError::bad_request("Unknown info attribute")),
            }
        }
        Ok(wanted)
    }

    /// Reads a list in which only counts make sense.
    pub(super) fn parse_counts(info: &str) -> Result<Self, ApiError> {
        let wanted = Self::parse(info)?;
        if wanted.cache {
            return Err(ApiError::bad_request("The cache attribute is only available for a single channel"));
        }
        Ok(wanted)
    }

    /// Whether nothing at all was asked for.
    pub(super) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// The counts that were asked for. Only presence channels have users.
    pub(super) fn counts(self, channel: &ChannelName, occupancy: Occupancy) -> Attributes {
        Attributes {
            user_count: (self.user_count && channel.is_presence()).then_some(occupancy.users),
            subscription_count: self.subscription_count.then_some(occupancy.subscriptions),
            ..Attributes::default()
        }
    }
}

/// What is told of one channel; whatever was not asked for is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Attributes {
    /// Whether anybody is subscribed.
    #[serde(skip_serializing_if = "Option::is_none")]
    occupied: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<u32>,
    /// `Some(None)`, which is `null`, where it was asked for and there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<Option<Cached>>,
}

impl Attributes {
    /// Adds whether anybody is subscribed.
    pub(super) fn with_occupied(self, occupied: bool) -> Self {
        Self { occupied: Some(occupied), ..self }
    }

    /// Adds the last event, or that there is none.
    pub(super) fn with_cache(self, event: Option<&CachedEvent>) -> Self {
        Self { cache: Some(event.map(Cached::from)), ..self }
    }
}

/// The last event of a cache channel.
#[derive(Debug, Serialize)]
struct Cached {
    /// As it was published, byte for byte.
    data: Box<RawValue>,
    /// Seconds until it is forgotten.
    ttl: u64,
}

impl From<&CachedEvent> for Cached {
    fn from(event: &CachedEvent) -> Self {
        let data = RawValue::from_string(event.data().to_owned()).expect("the cache holds JSON strings");
        Self { data, ttl: event.ttl_seconds() }
    }
}

/// `{"channels":{"a":{..},"b":{..}}}`, an object even if empty.
#[derive(Debug, Serialize)]
pub(super) struct ByChannel {
    #[serde(serialize_with = "as_object")]
    pub(super) channels: Vec<(ChannelName, Attributes)>,
}

fn as_object<S: Serializer>(
    channels: &[(ChannelName, Attributes)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(channels.iter().map(|(name, attributes)| (name.as_str(), attributes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    fn channel(name: &str) -> ChannelName {
        ChannelName::parse(name, 200).unwrap()
    }

    #[test]
    fn info_is_a_comma_separated_list_of_known_attributes() {
        let wanted = |user_count, subscription_count, cache| Wanted { user_count, subscription_count, cache };
        for (info, expected) in [
            ("", wanted(false, false, false)),
            (",", wanted(false, false, false)),
            ("user_count", wanted(true, false, false)),
            ("user_count,subscription_count", wanted(true, true, false)),
            ("subscription_count, cache,", wanted(false, true, true)),
            ("cache,cache", wanted(false, false, true)),
        ] {
            assert_eq!(Wanted::parse(info), Ok(expected), "{info}");
        }
        for info in ["users", "user_count;cache", "User_Count", "user_count,x", "*"] {
            assert_eq!(Wanted::parse(info).unwrap_err().status.as_u16(), 400, "{info}");
        }
        assert!(Wanted::parse_counts("user_count").is_ok());
        assert!(Wanted::parse_counts("cache").is_err());
    }

    #[test]
    fn only_what_was_asked_for_is_told_and_users_only_of_presence_channels() {
        let occupancy = Occupancy { subscriptions: 13, users: 4 };
        for (info, name, expected) in [
            ("", "a", "{}"),
            ("user_count", "a", "{}"),
            ("user_count", "presence-a", r#"{"user_count":4}"#),
            ("subscription_count", "presence-a", r#"{"subscription_count":13}"#),
            ("user_count,subscription_count", "a", r#"{"subscription_count":13}"#),
        ] {
            let counts = Wanted::parse(info).unwrap().counts(&channel(name), occupancy);
            assert_eq!(json(&counts), expected, "{info} of {name}");
        }
    }

    #[test]
    fn an_empty_list_of_channels_is_an_object_and_an_empty_cache_is_null() {
        assert_eq!(json(&ByChannel { channels: Vec::new() }), r#"{"channels":{}}"#);
        let attributes = Attributes::default().with_occupied(false).with_cache(None);
        let channels = vec![(channel("b"), Attributes::default()), (channel("a"), attributes)];
        assert_eq!(
            json(&ByChannel { channels }),
            r#"{"channels":{"b":{},"a":{"occupied":false,"cache":null}}}"#
        );
    }
}
