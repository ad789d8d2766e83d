//! What an app wants to hear about: its webhook endpoints and which events go to each.

use std::fmt;

/// Everything that an app's webhooks are: none, or some targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookSubscriptions {
    /// Whether any webhook is sent at all; the targets are kept, and ignored, while this is off.
    pub enabled: bool,
    /// Whether events of one target are gathered over a short time into one request.
    pub batching: bool,
    /// Where events go. An event goes to every target that wants it.
    pub targets: Vec<WebhookTarget>,
}

/// One destination of an app's webhooks and what it wants to get.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookTarget {
    /// Where to.
    pub endpoint: Endpoint,
    /// Which kinds of events; empty means all.
    pub event_types: Vec<EventKind>,
    /// Only channels whose name begins with this.
    pub channel_name_starts_with: Option<String>,
    /// Only channels whose name ends with this.
    pub channel_name_ends_with: Option<String>,
    /// Further request headers; a topic's messages have them as attributes. Their values may be secret.
    pub headers: Vec<(String, String)>,
}

/// How a webhook reaches its receiver.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A signed POST to this `http` or `https` URL.
    Url(String),
    /// A message to the topic in Amazon's SNS that has this ARN.
    SnsTopicArn(String),
    /// An invocation of a function in Amazon's Lambda.
    LambdaFunction(LambdaFunction),
}

/// A function in Lambda, and how it is invoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LambdaFunction {
    /// Its name, partial ARN or ARN, each with or without a version or an alias.
    pub name: String,
    /// The region that it is in; `None` is the one that whoever delivers is set to.
    pub region: Option<String>,
    /// Whether Lambda only takes the webhook and runs the function when it likes, instead of being waited for.
    pub is_async: bool,
}

impl Endpoint {
    /// What settings call it: the URL, the topic's ARN or the function's name. A URL may hold tokens.
    pub fn name(&self) -> &str {
        match self {
            Self::Url(name) | Self::SnsTopicArn(name) => name,
            Self::LambdaFunction(function) => &function.name,
        }
    }

    /// Whether it is reached through AWS, for which a program has to be built.
    pub const fn is_of_aws(&self) -> bool {
        match self {
            Self::Url(_) => false,
            Self::SnsTopicArn(_) | Self::LambdaFunction(_) => true,
        }
    }
}

/// Says which one it is as far as a log may know: a URL's query and user may be tokens.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = match self {
            Self::Url(url) => url,
            Self::SnsTopicArn(arn) => return f.debug_tuple("SnsTopicArn").field(arn).finish(),
            Self::LambdaFunction(function) => return function.fmt(f),
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        write!(f, "Url({scheme}://{host}/..)")
    }
}

/// Leaves the values of headers out: they may be tokens.
impl fmt::Debug for WebhookTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("WebhookTarget")
            .field("endpoint", &self.endpoint)
            .field("event_types", &self.event_types)
            .field("channel_name_starts_with", &self.channel_name_starts_with)
            .field("channel_name_ends_with", &self.channel_name_ends_with)
            .field("headers", &headers)
            .finish()
    }
}

/// Request headers that no customer can set: how the connection works, what is said of the body, and who we are.
const RESERVED_HEADERS: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// The same, for whole families of headers.
const RESERVED_HEADER_PREFIXES: [&str; 3] = ["x-pusher-", "x-socket-rush-", "proxy-"];

/// Further attributes of a topic's message at most. A queue that gets messages as they are takes ten attributes of each,
/// and four are ours.
pub const MAX_ATTRIBUTES: usize = 6;

/// The attribute by which a topic's subscriptions tell webhooks from other messages.
pub const EVENT_NAME_ATTRIBUTE: &str = "EventName";

/// Whether a customer may call an attribute of a topic's message so. SNS has fewer characters for that than HTTP, and
/// keeps some names for itself.
pub fn is_attribute_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let lower = name.to_ascii_lowercase();
    let is_reserved =
        lower.starts_with("aws.") || lower.starts_with("amazon.") || name == EVENT_NAME_ATTRIBUTE;
    (1..=256).contains(&name.len())
        && name.bytes().all(sound)
        && !name.starts_with('.')
        && !name.ends_with('.')
        && !name.contains("..")
        && !is_reserved
}

/// Whether only the server sets this request header.
pub fn is_reserved_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RESERVED_HEADERS.contains(&&*name)
        || RESERVED_HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The kinds of events that webhooks tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// The first subscriber of a channel came.
    ChannelOccupied,
    /// The last subscriber of a channel has been gone for the grace time.
    ChannelVacated,
    /// A user's first connection joined a presence channel.
    MemberAdded,
    /// A user's last connection has been gone from a presence channel for the grace time.
    MemberRemoved,
    /// A client sent an event.
    ClientEvent,
    /// Somebody subscribed to a cache channel that has nothing to replay.
    CacheMiss,
    /// The number of a channel's subscribers changed.
    SubscriptionCount,
}

impl EventKind {
    /// All of them, in the order of the webhooks reference.
    pub const ALL: [Self; 7] = [
        Self::ChannelOccupied,
        Self::ChannelVacated,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::ClientEvent,
        Self::CacheMiss,
        Self::SubscriptionCount,
    ];

    /// The name that Pusher gives it, in webhook bodies and in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChannelOccupied => "channel_occupied",
            Self::ChannelVacated => "channel_vacated",
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::ClientEvent => "client_event",
            Self::CacheMiss => "cache_miss",
            Self::SubscriptionCount => "subscription_count",
        }
    }

    /// The kind of this name, if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl WebhookTarget {
    /// Whether this target wants an event of this kind on this channel.
    pub fn wants(&self, kind: EventKind, channel: &str) -> bool {
        let any =
            |pattern: &Option<String>, matches: &dyn Fn(&str) -> bool| pattern.as_deref().is_none_or(matches);
        (self.event_types.is_empty() || self.event_types.contains(&kind))
            && any(&self.channel_name_starts_with, &|prefix| channel.starts_with(prefix))
            && any(&self.channel_name_ends_with, &|suffix| channel.ends_with(suffix))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_holds_nothing_that_may_be_a_token() {
        let target = WebhookTarget {
            endpoint: Endpoint::Url("https://user:canary@a.example/canary?token=canary".into()),
            event_types: vec![EventKind::CacheMiss],
            channel_name_starts_with: None,
            channel_name_ends_with: None,
            headers: vec![("Authorization".into(), "canary".into())],
        };
        let text = format!("{target:?}");
        assert!(!text.contains("canary"), "{text}");
        assert!(text.contains("Url(https://a.example/..)"), "{text}");
    }

    #[test]
    fn attributes_are_called_what_sns_allows() {
        for name in ["Tenant", "x-tenant_1", "a.b", "0"] {
            assert!(is_attribute_name(name), "{name}");
        }
        let long = "a".repeat(257);
        for name in ["", "EventName", "AWS.x", "amazon.x", ".a", "a.", "a..b", "a b", "a!", "ä", &long] {
            assert!(!is_attribute_name(name), "{name}");
        }
    }

    #[test]
    fn reserved_headers_are_known_in_any_case() {
        for name in
            ["Host", "content-type", "X-Pusher-Key", "x-socket-rush-attempt", "Proxy-Authorization", "TE"]
        {
            assert!(is_reserved_header(name), "{name}");
        }
        for name in ["Authorization", "X-Custom", "Accept"] {
            assert!(!is_reserved_header(name), "{name}");
        }
    }
}
