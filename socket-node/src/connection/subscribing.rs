//! Subscribing to channels and leaving them again.

use app_manager::app::AuthError;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::session::{MAX_SUBSCRIPTIONS, Session};
use crate::{
    config::SubscriptionErrorStyle,
    protocol::{ChannelName, event, event::Member, message::Subscribe},
};

/// Characters of a user's id in a presence channel, as Pusher documents it.
const MAX_USER_ID_LENGTH: usize = 128;

/// Characters of an unknown channel's name that a complaint repeats.
const MAX_ECHO: usize = 200;

/// Why a subscribe failed: told on the channel for client libraries that look there, and as Pusher tells it.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The class of the failure.
    kind: &'static str,
    status: u16,
    message: String,
}

impl Refusal {
    fn unauthorized(message: impl Into<String>) -> Self {
        Self { kind: "AuthError", status: 401, message: message.into() }
    }

    fn forbidden(message: impl Into<String>) -> Self {
        Self { kind: "AuthError", status: 403, message: message.into() }
    }

    fn over_limit(message: String) -> Self {
        Self { kind: "LimitReached", status: 4100, message }
    }

    fn invalid(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, status: 400, message: message.into() }
    }
}

impl Session {
    /// Does what a `pusher:subscribe` asks for, and tells how it went.
    pub(super) async fn subscribe(&mut self, request: Subscribe) {
        if let Err(refusal) = self.try_subscribe(&request).await {
            self.refuse(&request.channel, &refusal);
        }
    }

    async fn try_subscribe(&mut self, request: &Subscribe) -> Result<(), Refusal> {
        if request.channel.starts_with('#') {
            return self.acknowledge_own_channel(&request.channel);
        }
        let app = self.app.load_full();
        let channel = ChannelName::parse(&request.channel, app.limits.max_channel_name_length)
            .map_err(|error| Refusal::invalid("InvalidChannel", format!("Invalid channel name: {error}")))?;
        let Err(at) = self.find(channel.as_str()) else {
            self.complain(&format!("Existing subscription to channel {channel}"));
            return Ok(());
        };
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            let message =
                format!("the connection has reached its limit of {MAX_SUBSCRIPTIONS} subscriptions");
            return Err(Refusal::over_limit(message));
        }
        let needs_auth = channel.needs_auth();
        let member = if needs_auth { self.authorize_subscribe(&channel, request)? } else { None };
        if needs_auth && !self.authorize().await {
            return Ok(());
        }
        let channels = self.sockets.shared.channels.clone();
        let subscription = channels
            .subscribe(&app, &self.socket, channel, member)
            .await
            .map_err(|full| Refusal::over_limit(full.to_string()))?;
        if self.subscriptions.is_empty() {
            // Most connections have one subscription: room for four would be three wasted.
            self.subscriptions.reserve_exact(1);
        }
        self.subscriptions.insert(at, subscription);
        Ok(())
    }

    /// A signed-in connection gets its user's events anyway; clients subscribe to them all the same.
    fn acknowledge_own_channel(&self, channel: &str) -> Result<(), Refusal> {
        let own = self.user.as_ref().map(|user| ChannelName::of_user(user.session.user_id()));
        let own = own.filter(|own| own.as_str() == channel);
        let own = own
            .ok_or_else(|| Refusal::forbidden("This channel belongs to a user who is not signed in here"))?;
        self.socket.push(&event::subscription_succeeded(&own));
        Ok(())
    }

    /// Checks the signature; gives the member as which the connection comes to a presence channel.
    fn authorize_subscribe(
        &self,
        channel: &ChannelName,
        request: &Subscribe,
    ) -> Result<Option<Member>, Refusal> {
        let channel_data = request.channel_data.as_deref().filter(|data| !data.is_empty());
        let auth = request.auth.as_deref().unwrap_or_default();
        let socket_id = self.socket.id().to_string();
        self.app
            .load()
            .verify_subscription(auth, &socket_id, channel.as_str(), channel_data)
            .map_err(|error| Refusal::unauthorized(describe(channel, &error)))?;
        if !channel.is_presence() {
            return Ok(None);
        }
        match (channel_data, &self.user) {
            (Some(data), _) => self.parse_member(data).map(Some),
            (None, Some(user)) => {
                Ok(Some(Member { user_id: user.session.user_id().into(), user_info: user.user_info.clone() }))
            }
            (None, None) => {
                Err(Refusal::unauthorized("presence channels need channel_data unless the user is signed in"))
            }
        }
    }

    fn parse_member(&self, channel_data: &str) -> Result<Member, Refusal> {
        let max = self.app.load().limits.max_presence_member_size;
        if channel_data.len() > max {
            let message = format!("the presence member exceeds the allowed maximum ({max} bytes)");
            return Err(Refusal::over_limit(message));
        }
        parse_member(channel_data).map_err(|message| Refusal::invalid("InvalidChannelData", message))
    }

    /// Does what a `pusher:unsubscribe` asks for; nothing is answered when it works.
    pub(super) async fn unsubscribe(&mut self, channel: &str) {
        if let Ok(at) = self.find(channel) {
            let subscription = self.subscriptions.remove(at);
            self.sockets.shared.channels.unsubscribe(&self.app.load(), &self.socket, &subscription);
        } else if !self.is_own_channel(channel) {
            let channel = &channel[..channel.floor_char_boundary(MAX_ECHO)];
            let message =
                format!("No current subscription to channel {channel}, or subscription in progress");
            self.complain(&message);
        }
    }

    fn is_own_channel(&self, channel: &str) -> bool {
        let user = self.user.as_ref();
        user.is_some_and(|user| ChannelName::of_user(user.session.user_id()).as_str() == channel)
    }

    fn refuse(&self, channel: &str, refusal: &Refusal) {
        let Refusal { kind, status, message } = refusal;
        self.sockets.shared.tally.errors.count(Some(*status));
        let style = self.sockets.shared.options.subscription_error_style;
        if matches!(style, SubscriptionErrorStyle::Both | SubscriptionErrorStyle::Channel) {
            self.socket.push(&event::subscription_error(channel, kind, message, *status));
        }
        if matches!(style, SubscriptionErrorStyle::Both | SubscriptionErrorStyle::Pusher) {
            // Counted above, however often it is told.
            self.socket.push(&event::error(None, message));
        }
    }
}

fn describe(channel: &ChannelName, error: &AuthError) -> String {
    match error {
        AuthError::Malformed => format!("Auth value for subscription to {channel} is invalid: {error}"),
        AuthError::WrongKey(_) | AuthError::BadSignature { .. } => error.to_string(),
    }
}

#[derive(Deserialize)]
struct ChannelData {
    user_id: Option<Box<RawValue>>,
    user_info: Option<Box<RawValue>>,
}

/// Reads a member out of the JSON that the customer's backend signed.
fn parse_member(channel_data: &str) -> Result<Member, String> {
    let ChannelData { user_id, user_info } = serde_json::from_str(channel_data)
        .map_err(|_| "channel_data is not a valid JSON object".to_owned())?;
    let user_id = user_id.as_deref().map(RawValue::get).and_then(parse_user_id);
    let user_id = user_id.ok_or_else(|| {
        format!(
            "channel_data must have a user_id, a string or number of up to {MAX_USER_ID_LENGTH} characters"
        )
    })?;
    if user_info.as_deref().is_some_and(|info| !info.get().starts_with('{')) {
        return Err(
            "user_info supplied to presence subscription is invalid - if supplied it must be a type of hash"
                .into(),
        );
    }
    Ok(Member { user_id, user_info })
}

/// A user's id from its JSON: a string, or a number, whose digits are kept as they were written.
fn parse_user_id(json: &str) -> Option<Box<str>> {
    let text = match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok()?,
        b'-' | b'0'..=b'9' => json.to_owned(),
        _ => return None,
    };
    let is_legal = !text.is_empty() && text.chars().count() <= MAX_USER_ID_LENGTH;
    is_legal.then(|| text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_an_id_of_text_or_digits() {
        let id = |data: &str| parse_member(data).map(|member| member.user_id.into_string());
        assert_eq!(id(r#"{"user_id":"a\u0062"}"#).unwrap(), "ab");
        assert_eq!(id(r#"{"user_id":9007199254740993}"#).unwrap(), "9007199254740993");
        assert_eq!(id(r#"{"user_id": 10 , "user_info":null}"#).unwrap(), "10");
        for data in ["", "[]", "{}", r#"{"user_id":""}"#, r#"{"user_id":null}"#, r#"{"user_id":true}"#] {
            assert!(id(data).is_err(), "{data}");
        }
        assert!(id(&format!(r#"{{"user_id":"{}"}}"#, "ä".repeat(128))).is_ok());
        assert!(id(&format!(r#"{{"user_id":"{}"}}"#, "a".repeat(129))).is_err());
    }

    #[test]
    fn user_info_is_an_object_and_stays_as_it_was_written() {
        let member = parse_member(r#"{"user_id":"1","user_info":{ "b":1, "a":2.50 }}"#).unwrap();
        assert_eq!(member.user_info.unwrap().get(), r#"{ "b":1, "a":2.50 }"#);
        assert!(parse_member(r#"{"user_id":"1","user_info":[]}"#).is_err());
    }
}
