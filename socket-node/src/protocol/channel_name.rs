//! Names of channels, and what a name says about its channel.

use std::{fmt, sync::Arc};

use thiserror::Error;

/// Begins the names of the channels that carry events for one signed-in user.
const SERVER_TO_USER: &str = "#server-to-user-";

/// A checked channel name. Cloning it copies a reference.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a text is no channel name.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ChannelNameError {
    /// Nothing at all.
    #[error("the channel name is empty")]
    Empty,
    /// More characters than the app allows.
    #[error("the channel name is longer than {max} characters")]
    TooLong {
        /// What the app allows.
        max: usize,
    },
    /// Only `A-Z a-z 0-9 _ - = @ , . ;` are legal.
    #[error("the channel name has characters other than A-Z a-z 0-9 _ - = @ , . ;")]
    IllegalCharacter,
}

/// Whether every character may stand in channel names and user ids.
pub fn is_legal_text(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_-=@,.;".contains(&byte);
    text.bytes().all(legal)
}

impl ChannelName {
    /// A name that any client may subscribe to.
    ///
    /// # Errors
    /// See [`ChannelNameError`].
    pub fn parse(text: &str, max_length: usize) -> Result<Self, ChannelNameError> {
        if text.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        // Legal characters are single bytes, so bytes and characters are counted alike once the second test passes.
        if text.len() > max_length {
            return Err(ChannelNameError::TooLong { max: max_length });
        }
        if !is_legal_text(text) {
            return Err(ChannelNameError::IllegalCharacter);
        }
        Ok(Self(text.into()))
    }

    /// A name that the HTTP API may publish to: also the channel of a signed-in user.
    ///
    /// # Errors
    /// See [`ChannelNameError`].
    pub fn parse_publishable(text: &str, max_length: usize) -> Result<Self, ChannelNameError> {
        match text.strip_prefix(SERVER_TO_USER) {
            Some(user_id) => Self::parse(user_id, max_length).map(|_| Self(text.into())),
            None => Self::parse(text, max_length),
        }
    }

    /// The channel that carries events for this user; `user_id` is taken as it is.
    pub fn of_user(user_id: &str) -> Self {
        Self(format!("{SERVER_TO_USER}{user_id}").into())
    }

    /// The channel that tells watchers when this user comes and goes. No client can name it.
    pub fn of_watched_user(user_id: &str) -> Self {
        Self(format!("#watched-user-{user_id}").into())
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the system's own; such channels appear in no list and in no webhook.
    pub fn is_internal(&self) -> bool {
        self.0.starts_with('#')
    }

    /// The user whose events it carries, if it is such a channel.
    pub fn user(&self) -> Option<&str> {
        self.0.strip_prefix(SERVER_TO_USER)
    }

    /// Whether subscribing needs a signature.
    pub fn needs_auth(&self) -> bool {
        self.0.starts_with("private-") || self.is_presence()
    }

    /// Whether subscribers are members that see each other.
    pub fn is_presence(&self) -> bool {
        self.0.starts_with("presence-")
    }

    /// Whether its events are encrypted between the publisher and the clients.
    pub fn is_encrypted(&self) -> bool {
        self.0.starts_with("private-encrypted-")
    }

    /// Whether new subscribers get the last event again.
    pub fn is_cache(&self) -> bool {
        ["cache-", "private-cache-", "presence-cache-", "private-encrypted-cache-"]
            .iter()
            .any(|prefix| self.0.starts_with(prefix))
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ChannelName {
        ChannelName::parse(text, 200).unwrap()
    }

    #[test]
    fn the_prefix_tells_the_kind_and_is_anchored_with_its_hyphen() {
        // name, needs auth, presence, cache, encrypted
        let table = [
            ("presence-cache-x", true, true, true, false),
            ("presence-x", true, true, false, false),
            ("private-encrypted-cache-x", true, false, true, true),
            ("private-encrypted-x", true, false, false, true),
            ("private-cache-x", true, false, true, false),
            ("private-x", true, false, false, false),
            ("cache-x", false, false, true, false),
            ("x", false, false, false, false),
            ("mycache-x", false, false, false, false),
            ("privateer", false, false, false, false),
            ("presence", false, false, false, false),
            ("cache", false, false, false, false),
            ("x-private-cache-y", false, false, false, false),
            ("private-cachex", true, false, false, false),
            ("private-presence-x", true, false, false, false),
            ("private-encryptedx", true, false, false, false),
        ];
        for (text, auth, presence, cache, encrypted) in table {
            let name = name(text);
            let found = (name.needs_auth(), name.is_presence(), name.is_cache(), name.is_encrypted());
            assert_eq!(found, (auth, presence, cache, encrypted), "{text}");
        }
    }

    #[test]
    fn only_the_documented_characters_are_legal() {
        assert!(ChannelName::parse("AZaz09_-=@,.;", 200).is_ok());
        for text in ["a:b", "a/b", "a b", "#a", "a#", "ä", "a\n", "a*", "a{b}", "a|b", "a\0"] {
            assert_eq!(ChannelName::parse(text, 200), Err(ChannelNameError::IllegalCharacter), "{text:?}");
        }
        assert_eq!(ChannelName::parse("", 200), Err(ChannelNameError::Empty));
    }

    #[test]
    fn length_is_bounded_by_the_app() {
        assert!(ChannelName::parse(&"a".repeat(200), 200).is_ok());
        let refused = ChannelName::parse(&"a".repeat(201), 200);
        assert_eq!(refused, Err(ChannelNameError::TooLong { max: 200 }));
    }

    #[test]
    fn a_users_channel_may_be_published_to_but_not_named_by_clients_in_general() {
        let channel = ChannelName::parse_publishable("#server-to-user-u1", 200).unwrap();
        assert_eq!(channel.user(), Some("u1"));
        assert!(channel.is_internal());
        assert!(ChannelName::parse("#server-to-user-u1", 200).is_err());
        for text in ["#server-to-user-", "#other", "#server-to-user-a b", "#watched-user-u1"] {
            assert!(ChannelName::parse_publishable(text, 200).is_err(), "{text}");
        }
    }
}
