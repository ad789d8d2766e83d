//! Reasons to end a connection: Pusher's 4xxx codes and the few of RFC 6455 that a server needs.

use std::borrow::Cow;

/// A WebSocket close code with its text. Codes from 4000 on are also announced in a `pusher:error` frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// 4000-4099: do not come back; 4100-4199: come back after a second; 4200-4299: come back at once.
    pub code: u16,
    /// What a person should read.
    pub message: Cow<'static, str>,
}

impl Close {
    const fn of(code: u16, message: &'static str) -> Self {
        Self { code, message: Cow::Borrowed(message) }
    }

    /// The app's key is unknown.
    pub fn unknown_app(key: &str) -> Self {
        let message = format!("App key {key} not in this cluster. Did you forget to specify the cluster?");
        Self { code: 4001, message: message.into() }
    }

    /// The app is switched off.
    pub const APP_DISABLED: Self = Self::of(4003, "Application disabled");
    /// The app has all the connections that it may have.
    pub const OVER_QUOTA: Self = Self::of(4004, "Account over quota");
    /// A WebSocket path other than `/app/{key}`.
    pub const PATH_NOT_FOUND: Self = Self::of(4005, "Path not found");
    /// `protocol` is no number.
    pub const INVALID_VERSION: Self = Self::of(4006, "Invalid version string format");
    /// `protocol` is a number that we do not speak.
    pub const UNSUPPORTED_PROTOCOL: Self = Self::of(4007, "Unsupported protocol version");
    /// There is no `protocol`.
    pub const NO_PROTOCOL: Self = Self::of(4008, "No protocol version supplied");
    /// The page's origin is not among those that the app allows.
    pub const ORIGIN_REFUSED: Self = Self::of(4009, "Origin not allowed");
    /// Neither signed in nor subscribed to a private channel in time.
    pub const NOT_AUTHORIZED: Self = Self::of(4009, "Connection not authorized within timeout");
    /// Nobody can say now whether there is such an app, or whether it may be used.
    pub const APP_AWAY: Self = Self::of(4100, "The app cannot be looked up just now, try again in a moment");
    /// The client reads more slowly than events come.
    pub const OVER_CAPACITY: Self = Self::of(4100, "Over capacity: too many unread messages");
    /// The node is going away; another one takes over.
    pub const SHUTTING_DOWN: Self = Self::of(4200, "Server is shutting down, please reconnect");
    /// Nothing was heard for too long.
    pub const PONG_NOT_RECEIVED: Self = Self::of(4201, "Pong reply not received in time");

    /// The customer's backend ended the user's connections, with the code that the settings give.
    pub const fn terminated(code: u16) -> Self {
        Self::of(code, "You got disconnected by the app.")
    }

    /// RFC 6455: a frame that breaks the rules.
    pub const PROTOCOL_ERROR: Self = Self::of(1002, "Protocol error");
    /// RFC 6455: text that is not UTF-8.
    pub const INVALID_UTF8: Self = Self::of(1007, "Text is not valid UTF-8");
    /// RFC 6455: a message larger than any legal one.
    pub const TOO_BIG: Self = Self::of(1009, "Message is too big");

    /// The text as far as a close frame has room for it: 123 bytes, cut between characters.
    pub fn reason(&self) -> &str {
        &self.message[..self.message.floor_char_boundary(123)]
    }

    /// Whether it is one of Pusher's codes, which are announced in a `pusher:error` frame first.
    pub const fn is_announced(&self) -> bool {
        self.code >= 4000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let close = Close::unknown_app(&"ä".repeat(200));
        assert!(close.reason().len() <= 123);
        assert!(close.message.starts_with(close.reason()));
    }
}
