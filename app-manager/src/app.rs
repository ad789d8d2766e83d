//! One app: who it is, what it may do, and how its requests are signed.

pub mod origin;
mod request;
pub mod settings;
mod signing;

use std::{fmt, sync::Arc};

pub use request::{RequestAuthError, SignedRequest};
pub use signing::AuthError;

use crate::{secret::Secrets, webhook::WebhookSubscriptions};

/// The id of an app: digits only, as the official Python SDK demands.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(Arc<str>);

/// The public key by which clients name an app.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppKey(Arc<str>);

macro_rules! text_newtype {
    ($name:ident) => {
        impl $name {
            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}
text_newtype!(AppId);
text_newtype!(AppKey);

/// An app as every node knows it. Immutable: a change of the app is a new `App`.
#[derive(Clone, Debug)]
pub struct App {
    /// Names the app in the HTTP API.
    pub id: AppId,
    /// Names the app in client connections and in signatures.
    pub key: AppKey,
    pub(crate) secrets: Secrets,
    /// A disabled app refuses connections with 4003 and API calls with 403.
    pub enabled: bool,
    /// What the app may use of the server.
    pub features: Features,
    /// How much of it.
    pub limits: Limits,
    /// Origins from which browsers may connect; empty means any. Entries are compared as lower-case
    /// `scheme://host[:port]`, or as a bare host; `*.` in front of a host stands for its subdomains.
    pub allowed_origins: Vec<String>,
    /// Which events reach the customer's endpoints.
    pub webhooks: WebhookSubscriptions,
}

/// Switches of an app, each off unless said otherwise.
#[derive(Clone, Debug)]
pub struct Features {
    /// Clients may send `client-` events.
    pub client_messages: bool,
    /// A connection must subscribe to a private or presence channel, or sign in, in time.
    pub require_authorization: bool,
    /// `pusher:signin` is accepted. On by default.
    pub user_authentication: bool,
    /// Signed-in users are told when those on their watchlist come and go.
    pub watchlist_events: bool,
    /// Subscribers are told how many they are.
    pub subscription_count: bool,
}

/// Bounds of an app. Where a field is an `Option`, `None` means unlimited.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Seconds of silence after which the server probes a client; told to clients in the handshake. Never 0.
    pub activity_timeout_seconds: u32,
    /// Seconds within which a connection must be authorised, where the app requires that. Never 0.
    pub authorization_timeout_seconds: u32,
    /// Connections at one time.
    pub max_connections: Option<u32>,
    /// Events per second that the HTTP API accepts.
    pub max_backend_events_per_second: Option<u32>,
    /// Client events per second of one connection.
    pub max_client_events_per_second: Option<u32>,
    /// Reading HTTP API requests per second.
    pub max_read_requests_per_second: Option<u32>,
    /// Distinct users in one presence channel.
    pub max_presence_members_per_channel: u32,
    /// Bytes of a presence member's `channel_data`.
    pub max_presence_member_size: usize,
    /// Characters of a channel's name.
    pub max_channel_name_length: usize,
    /// Channels of one publish.
    pub max_event_channels_at_once: usize,
    /// Characters of an event's name.
    pub max_event_name_length: usize,
    /// Bytes of an event's `data`.
    pub max_event_payload: usize,
    /// Events of one batch request.
    pub max_event_batch_size: usize,
}
