//! Webhook targets out of settings: the `webhooks` array, and the flat settings that describe one target.

mod endpoint;

use serde_json::{Map, Value as Json};

use super::{Problems, Values, arn::region_of};
use crate::webhook::{
    Endpoint, EventKind, MAX_ATTRIBUTES, WebhookSubscriptions, WebhookTarget, is_attribute_name,
    is_reserved_header,
};

/// What a target may have.
const TARGET_KEYS: [&str; 7] =
    ["url", "sns_topic_arn", "lambda_function", "lambda", "event_types", "filter", "headers"];
const FILTER_KEYS: &str = "channel_name_starts_with and channel_name_ends_with";
/// Parts of a target that are known from other servers, and what to do instead.
const UNAVAILABLE: [(&str, &str); 2] = [
    ("sqs_queue_url", "is not available; subscribe the queue to a topic and set sns_topic_arn"),
    ("region", "is unknown here; it belongs into lambda"),
];
/// The settings that each name a target which the other flat ones describe.
const FLAT_ENDPOINTS: [&str; 2] = ["app_webhook_url", "app_webhook_sns_topic_arn"];
/// What may be said of the second.
const REGION: &str = "app_webhook_sns_region";
/// The switches that select events for these.
const SELECTIONS: [(&str, EventKind); 6] = [
    ("app_has_channel_occupied_webhooks", EventKind::ChannelOccupied),
    ("app_has_channel_vacated_webhooks", EventKind::ChannelVacated),
    ("app_has_member_added_webhooks", EventKind::MemberAdded),
    ("app_has_member_removed_webhooks", EventKind::MemberRemoved),
    ("app_has_client_event_webhooks", EventKind::ClientEvent),
    ("app_has_cache_miss_webhooks", EventKind::CacheMiss),
];

/// All targets of an app, wherever they were given.
pub(super) fn subscriptions(values: &Values, problems: &mut Problems) -> WebhookSubscriptions {
    let enabled = values.is_on("app_webhooks_enabled");
    let mut targets = values.webhooks("webhooks");
    let endpoints = flat_endpoints(values, problems);
    let is_flat_given = FLAT_ENDPOINTS.iter().any(|key| values.given(key).is_some());
    if enabled && !is_flat_given {
        refuse_description_of_nothing(values, problems);
    }
    if enabled && values.given("app_webhook_sns_topic_arn").is_none() && values.given(REGION).is_some() {
        problems.add(values.source(REGION), "applies to app_webhook_sns_topic_arn, which is not set");
    }
    targets.extend(endpoints.into_iter().map(|endpoint| flat_target(endpoint, values)));
    // A target that was refused is a problem of its own, not a missing one.
    let none_given = values.given("webhooks").is_none_or(|given| given.value.is_some()) && !is_flat_given;
    if enabled && targets.is_empty() && none_given {
        let what = "is on, but there is nowhere to send to; set app_webhook_url, app_webhook_sns_topic_arn or webhooks";
        problems.add(values.source("app_webhooks_enabled"), what);
    }
    WebhookSubscriptions { enabled, batching: values.is_on("app_has_webhook_batching_enabled"), targets }
}

/// The endpoints that the flat settings name.
fn flat_endpoints(values: &Values, problems: &mut Problems) -> Vec<Endpoint> {
    let (arn, region) = (values.text("app_webhook_sns_topic_arn"), values.text(REGION));
    if let (Some(arn), Some(region)) = (&arn, &region)
        && region_of(arn) != Some(region)
    {
        let source = values.source("app_webhook_sns_topic_arn");
        let what = format_args!("is another region than that of the topic's ARN ({source})");
        problems.add(values.source(REGION), what);
    }
    let url = values.text("app_webhook_url").map(Endpoint::Url);
    url.into_iter().chain(arn.map(Endpoint::SnsTopicArn)).collect()
}

fn flat_target(endpoint: Endpoint, values: &Values) -> WebhookTarget {
    let selected = SELECTIONS.iter().filter(|(key, _)| values.is_on(key));
    WebhookTarget {
        endpoint,
        event_types: selected.map(|(_, kind)| *kind).collect(),
        channel_name_starts_with: values.text("app_webhook_filter_prefix"),
        channel_name_ends_with: None,
        headers: Vec::new(),
    }
}

/// Settings of flat targets do nothing without one, and nothing that was set may do nothing.
fn refuse_description_of_nothing(values: &Values, problems: &mut Problems) {
    let selected = SELECTIONS.iter().map(|(key, _)| *key).filter(|key| values.is_on(key));
    let filter = Some("app_webhook_filter_prefix").filter(|key| values.given(key).is_some());
    for key in selected.chain(filter) {
        let what = "applies to app_webhook_url and app_webhook_sns_topic_arn, of which neither is set";
        problems.add(values.source(key), what);
    }
}

/// Reads the `webhooks` array. `None` if any of it was refused.
pub(super) fn read_targets(raw: &Json, source: &str, problems: &mut Problems) -> Option<Vec<WebhookTarget>> {
    let Json::Array(entries) = raw else {
        problems.add(source, "must be an array of webhook targets");
        return None;
    };
    let read = entries.iter().enumerate().map(|(index, entry)| {
        Reader { at: format!("{source}[{index}]"), problems: &mut *problems }.target(entry)
    });
    // All are read before any is judged, so that every problem is found.
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

/// Reads one target; says what is wrong with which part of it.
struct Reader<'p> {
    /// Where the target stands.
    at: String,
    problems: &'p mut Problems,
}

impl Reader<'_> {
    fn target(&mut self, raw: &Json) -> Option<WebhookTarget> {
        let Json::Object(entry) = raw else {
            return self.refuse("", "must be an object");
        };
        let known = self.only_known_keys(entry);
        let endpoint = self.endpoint(entry);
        let event_types = self.event_types(entry);
        let filter = self.filter(entry);
        let headers = self.headers(entry);
        let fitting = self.headers_fit(endpoint.as_ref(), headers.as_deref().unwrap_or_default());
        known?;
        fitting?;
        let (channel_name_starts_with, channel_name_ends_with) = filter?;
        Some(WebhookTarget {
            endpoint: endpoint?,
            event_types: event_types?,
            channel_name_starts_with,
            channel_name_ends_with,
            headers: headers?,
        })
    }

    fn only_known_keys(&mut self, entry: &Map<String, Json>) -> Option<()> {
        let mut sound = Some(());
        for key in entry.keys().filter(|key| !TARGET_KEYS.contains(&key.as_str())) {
            let part = format!(".{key}");
            sound = match UNAVAILABLE.iter().find(|(known, _)| known == key) {
                Some((_, what)) => self.refuse(&part, what),
                None => self.refuse(&part, &format!("is unknown; a target has {}", TARGET_KEYS.join(", "))),
            };
        }
        sound
    }

    fn event_types(&mut self, entry: &Map<String, Json>) -> Option<Vec<EventKind>> {
        let names = match entry.get("event_types") {
            None => return Some(Vec::new()),
            Some(Json::Array(names)) => names,
            Some(_) => return self.refuse(".event_types", "must be an array of event names"),
        };
        if names.iter().any(|name| name == "*") {
            return match names.len() {
                1 => Some(Vec::new()),
                _ => self.refuse(".event_types", "'*' means all and must stand alone"),
            };
        }
        let mut kinds = Vec::new();
        for (index, name) in names.iter().enumerate() {
            match name.as_str().and_then(EventKind::from_name) {
                Some(kind) if kinds.contains(&kind) => {}
                Some(kind) => kinds.push(kind),
                None => {
                    let known = EventKind::ALL.map(EventKind::name).join(", ");
                    return self
                        .refuse(&format!(".event_types[{index}]"), &format!("must be one of {known}"));
                }
            }
        }
        Some(kinds)
    }

    /// The prefix and the suffix.
    fn filter(&mut self, entry: &Map<String, Json>) -> Option<(Option<String>, Option<String>)> {
        let filter = match entry.get("filter") {
            None => return Some((None, None)),
            Some(Json::Object(filter)) => filter,
            Some(_) => return self.refuse(".filter", "must be an object"),
        };
        let (mut starts_with, mut ends_with) = (None, None);
        for (key, pattern) in filter {
            let part = format!(".filter.{key}");
            let slot = match key.as_str() {
                "channel_name_starts_with" => &mut starts_with,
                "channel_name_ends_with" => &mut ends_with,
                _ => return self.refuse(&part, &format!("is unknown; a filter has {FILTER_KEYS}")),
            };
            match pattern {
                Json::String(text) if !text.is_empty() => *slot = Some(text.clone()),
                _ => return self.refuse(&part, "must be a text that is not empty"),
            }
        }
        Some((starts_with, ends_with))
    }

    /// Header values are never shown: they are where receivers expect their tokens.
    fn headers(&mut self, entry: &Map<String, Json>) -> Option<Vec<(String, String)>> {
        let headers = match entry.get("headers") {
            None => return Some(Vec::new()),
            Some(Json::Object(headers)) => headers,
            Some(_) => return self.refuse(".headers", "must be an object"),
        };
        let mut read: Vec<(String, String)> = Vec::new();
        for (name, value) in headers {
            let part = format!(".headers.{name}");
            if is_reserved_header(name) {
                return self.refuse(&part, "is set by the server");
            }
            if !is_header_name(name) || read.iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
                return self.refuse(&part, "must be the name of one header");
            }
            match value.as_str().filter(|text| is_header_value(text)) {
                Some(text) => read.push((name.clone(), text.to_owned())),
                None => return self.refuse(&part, "must be a text of visible ASCII characters"),
            }
        }
        Some(read)
    }

    /// A topic's messages have attributes instead of headers, of which there are fewer.
    fn headers_fit(&mut self, endpoint: Option<&Endpoint>, headers: &[(String, String)]) -> Option<()> {
        let Some(Endpoint::SnsTopicArn(_)) = endpoint else { return Some(()) };
        if headers.len() > MAX_ATTRIBUTES {
            return self.refuse(".headers", &format!("must be {MAX_ATTRIBUTES} at most for a topic"));
        }
        for (name, value) in headers {
            let part = format!(".headers.{name}");
            if !is_attribute_name(name) {
                return self.refuse(&part, "is no name of an attribute that a topic's message may have");
            }
            if value.is_empty() {
                return self.refuse(&part, "must not be empty for a topic");
            }
        }
        Some(())
    }

    fn refuse<T>(&mut self, part: &str, what: &str) -> Option<T> {
        self.problems.add(format_args!("{}{}", self.at, part.escape_debug()), what);
        None
    }
}

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(sound)
}

fn is_header_value(value: &str) -> bool {
    value.trim() == value && value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}
