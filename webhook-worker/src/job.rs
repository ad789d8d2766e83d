//! One webhook request on its way: rendered once, carried through a queue, signed when it is delivered.

mod batches;

use std::{
    borrow::Cow,
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use app_manager::{
    app::AppId,
    webhook::{Endpoint, LambdaFunction, WebhookTarget},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

pub use batches::{MAX_EVENTS, MAX_EVENTS_BYTES, batches};

use crate::event::WebhookEvent;

/// A webhook request that has yet to be delivered.
///
/// It has the app's id and never its secret: whoever delivers it asks the app to sign. So a queue may be read by
/// those who run it, and a job that outlives a rotation of the secret is signed with the new one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The form of this JSON, so that nodes and workers of different releases can tell whether they understand it.
    v: Version,
    /// The same for all attempts and all copies of this job.
    pub id: DeliveryId,
    /// Whose webhook it is.
    #[serde(serialize_with = "app_id_as_text", deserialize_with = "app_id_from_text")]
    pub app_id: AppId,
    /// Where to.
    #[serde(with = "EndpointJson")]
    pub endpoint: Endpoint,
    /// Further request headers that the customer configured, in that order.
    pub headers: Vec<(String, String)>,
    /// When the webhook was made, in milliseconds since 1970. Also in the body, and the same for all attempts:
    /// receivers may drop what is older than five minutes.
    pub time_ms: u64,
    /// The channels that the events are on, each once. Jobs that share one of them are delivered in order.
    pub channels: Vec<String>,
    /// How many attempts were made before the job was last put into a queue.
    #[serde(default)]
    pub attempts: u32,
    /// The exact bytes to send and to sign. Never parsed or rendered again.
    pub body: String,
}

impl Job {
    /// The request that tells `target` of `events`, which are not empty.
    ///
    /// The id is random. A job that might be rendered twice should be [named after](Self::named_after) its cause.
    pub fn render(app_id: &AppId, target: &WebhookTarget, events: &[WebhookEvent], time_ms: u64) -> Self {
        debug_assert!(!events.is_empty(), "a webhook tells of something");
        let mut body = compact(&Body { time_ms, events });
        if let Endpoint::SnsTopicArn(_) = target.endpoint {
            // A queue behind the topic would not take it otherwise, and what is signed cannot be changed later.
            body = in_allowed_characters(body);
        }
        Self {
            v: Version::One,
            id: DeliveryId(Uuid::new_v4()),
            app_id: app_id.clone(),
            endpoint: target.endpoint.clone(),
            headers: target.headers.clone(),
            time_ms,
            channels: distinct_channels(events),
            attempts: 0,
            body,
        }
    }

    /// Gives the job an id that follows from what is in it and from `cause`, such as the id of a journal's entry.
    ///
    /// A node that dies between handing a job over and forgetting its cause leaves the cause to another node. That
    /// one's job then has the same id, by which queues and receivers recognise the duplicate.
    #[must_use]
    pub fn named_after(mut self, cause: &str) -> Self {
        let parts = [self.app_id.as_str(), &name_of(&self.endpoint), cause, &self.body];
        self.id = DeliveryId::of(&parts);
        self
    }

    /// What is to be delivered in order, by the same name wherever a job comes from: an app's channel at an endpoint. Of
    /// a job with several channels it is the first.
    pub fn group(&self) -> String {
        let channel = self.channels.first().map_or("", String::as_str);
        DeliveryId::of(&["group", self.app_id.as_str(), &name_of(&self.endpoint), channel]).to_string()
    }

    /// The job as queues carry it.
    pub fn to_json(&self) -> String {
        compact(self)
    }

    /// The job that a queue carried.
    ///
    /// # Errors
    /// If it is no job, or one of a release whose jobs look different.
    pub fn from_json(json: &[u8]) -> Result<Self, NoJob> {
        serde_json::from_slice(json).map_err(|error| NoJob::because(&error))
    }
}

/// Why something is no job. It may repeat what a field is called, and no value, which may be a customer's token.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct NoJob(String);

impl NoJob {
    /// Characters of a reason that are kept: a field may have a name as long as a message.
    const LONGEST: usize = 200;

    fn because(error: &serde_json::Error) -> Self {
        let mut reason = error.to_string();
        // A value stands in quotation marks, a name in backquotes.
        if let (Some(first), Some(last)) = (reason.find('"'), reason.rfind('"')) {
            reason.replace_range(first..=last, "…");
        }
        Self(reason.chars().take(Self::LONGEST).collect())
    }
}

/// JSON that takes no more memory than its length. Jobs wait by the tens of thousands, and a text that has grown to its
/// length may have taken twice that.
fn compact(value: &impl Serialize) -> String {
    let mut json = serde_json::to_string(value).expect("jobs and events are made of strings and numbers");
    json.shrink_to_fit();
    json
}

/// Tells endpoints apart. Two functions of a name may be in two regions, or be invoked in two ways.
fn name_of(endpoint: &Endpoint) -> Cow<'_, str> {
    match endpoint {
        Endpoint::Url(name) | Endpoint::SnsTopicArn(name) => name.into(),
        Endpoint::LambdaFunction(LambdaFunction { name, region, is_async }) => {
            let region = region.as_deref().unwrap_or_default();
            format!("lambda {region} {is_async} {name}").into()
        }
    }
}

/// SQS takes what XML does, also what comes by a topic. Of what stands in JSON as it is, two characters are not in it; as JSON they can be written
/// otherwise.
pub(crate) fn in_allowed_characters(json: String) -> String {
    if json.contains(['\u{fffe}', '\u{ffff}']) {
        json.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
    } else {
        json
    }
}

/// Milliseconds since 1970, as [`Job::time_ms`] counts them. A clock before that is no clock.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Says which job it is, and nothing that a log should not hold: headers and URLs may carry a customer's tokens.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id)
            .field("app_id", &self.app_id)
            .field("time_ms", &self.time_ms)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Names one delivery for ever, whatever becomes of it: a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    /// The namespace (RFC 9562, section 5.5) of the ids that follow from a job's content.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6f0d_7b0e_52c1_4c39_9d5e_8f1f_4c0a_7e21);

    /// The id that follows from these parts. Each is written with its length, so that no two lists look alike.
    fn of(parts: &[&str]) -> Self {
        let text: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
        Self(Uuid::new_v5(&Self::NAMESPACE, text.as_bytes()))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is sent.
#[derive(Serialize)]
struct Body<'a> {
    time_ms: u64,
    events: &'a [WebhookEvent],
}

/// The forms that a job's JSON has had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
enum Version {
    One,
}

impl TryFrom<u8> for Version {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Self::One),
            _ => Err(format!("jobs of version {number} are not known to this release")),
        }
    }
}

impl From<Version> for u8 {
    fn from(version: Version) -> Self {
        match version {
            Version::One => 1,
        }
    }
}

/// An endpoint's JSON: `{"url": ".."}`, `{"sns_topic_arn": ".."}` or `{"lambda_function": {"name": "..", ..}}`. A kind of
/// endpoint that is added to the original has to be added here.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Endpoint", rename_all = "snake_case")]
enum EndpointJson {
    Url(String),
    SnsTopicArn(String),
    LambdaFunction(#[serde(with = "LambdaFunctionJson")] LambdaFunction),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "LambdaFunction")]
struct LambdaFunctionJson {
    name: String,
    region: Option<String>,
    #[serde(rename = "async")]
    is_async: bool,
}

fn app_id_as_text<S: Serializer>(id: &AppId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

fn app_id_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AppId, D::Error> {
    String::deserialize(deserializer).map(|text| AppId::from(text.as_str()))
}

fn distinct_channels(events: &[WebhookEvent]) -> Vec<String> {
    let mut channels: Vec<String> = Vec::with_capacity(1);
    for channel in events.iter().map(WebhookEvent::channel) {
        if !channels.iter().any(|known| known == channel) {
            channels.push(channel.to_owned());
        }
    }
    channels
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target() -> WebhookTarget {
        WebhookTarget {
            endpoint: Endpoint::Url("https://example.com/hook?token=t".into()),
            event_types: Vec::new(),
            channel_name_starts_with: None,
            channel_name_ends_with: None,
            headers: vec![("Authorization".into(), "Bearer b".into())],
        }
    }

    fn occupied(channel: &str) -> WebhookEvent {
        WebhookEvent::ChannelOccupied { channel: channel.into() }
    }

    fn job(events: &[WebhookEvent]) -> Job {
        Job::render(&AppId::from("7"), &target(), events, 1_327_078_148_132)
    }

    #[test]
    fn the_body_is_that_of_the_webhooks_reference() {
        let job = job(&[occupied("a"), occupied("b")]);
        let expected = r#"{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"a"},{"name":"channel_occupied","channel":"b"}]}"#;
        assert_eq!(job.body, expected);
    }

    #[test]
    fn a_job_comes_out_of_a_queue_as_it_went_in() {
        let job = job(&[occupied("a\"\\\u{1F600}")]);
        let json = job.to_json();
        assert_eq!(Job::from_json(json.as_bytes()).unwrap(), job);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["v"], 1);
        assert_eq!(value["endpoint"]["url"], "https://example.com/hook?token=t");
        assert_eq!(value["id"], job.id.to_string());
    }

    #[test]
    fn a_job_of_another_version_or_none_is_refused() {
        let json = job(&[occupied("a")]).to_json();
        let newer = json.replacen("\"v\":1", "\"v\":2", 1);
        let error = Job::from_json(newer.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
        for broken in ["", "{}", "[]", "null", &json.replacen("\"v\":1,", "", 1), &json[..json.len() - 1]] {
            assert!(Job::from_json(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn why_something_is_no_job_is_told_in_short_and_without_its_values() {
        let json = job(&[occupied("a")]).to_json();
        for (broken, told) in [
            (json.replacen("\"time_ms\":", "\"time_ms\":\"canary \\\" 1\", \"x\":", 1), "expected u64"),
            (json.replacen(r#"[["Authorization","Bearer b"]]"#, r#""canary""#, 1), "expected a sequence"),
            (json.replacen(r#""Bearer b"]"#, r#""canary","canary"]"#, 1), "trailing"),
            ("\"canary\"".to_owned(), "expected struct Job"),
            (
                json.replacen("\"url\"", &format!("\"{}\"", "long".repeat(1_000)), 1),
                "unknown variant `longlong",
            ),
        ] {
            assert_ne!(broken, json);
            let error = Job::from_json(broken.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("canary"), "{error}");
            assert!(error.chars().count() <= NoJob::LONGEST, "{error}");
        }
    }

    #[test]
    fn channels_are_listed_once_each() {
        let job = job(&[occupied("a"), occupied("b"), occupied("a")]);
        assert_eq!(job.channels, ["a", "b"]);
    }

    #[test]
    fn jobs_of_one_cause_share_their_id_and_others_do_not() {
        let first = job(&[occupied("a")]).named_after("17-0");
        assert_eq!(job(&[occupied("a")]).named_after("17-0").id, first.id);
        assert_ne!(job(&[occupied("a")]).named_after("17-1").id, first.id);
        assert_ne!(job(&[occupied("b")]).named_after("17-0").id, first.id);
        assert_ne!(job(&[occupied("a")]).id, job(&[occupied("a")]).id);
        assert_ne!(DeliveryId::of(&["ab", "c"]), DeliveryId::of(&["a", "bc"]));
    }

    #[test]
    fn a_group_is_a_channel_of_an_app_at_an_endpoint() {
        let group = job(&[occupied("a")]).group();
        assert_eq!(job(&[occupied("a"), occupied("b")]).group(), group);
        assert_ne!(job(&[occupied("b")]).group(), group);
        let mut elsewhere = job(&[occupied("a")]);
        elsewhere.endpoint = Endpoint::Url("http://elsewhere.example".into());
        assert_ne!(elsewhere.group(), group);
        elsewhere.app_id = AppId::from("another");
        assert_ne!(elsewhere.group(), group);
    }

    #[test]
    fn text_that_is_no_xml_is_the_same_json() {
        let text = "a\u{fffe}\u{ffff}\u{1}\"\u{10ffff}é";
        let json = in_allowed_characters(serde_json::to_string(text).unwrap());
        let is_xml = |char| matches!(char, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        assert!(json.chars().all(is_xml), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn a_job_for_a_topic_or_a_function_comes_out_of_a_queue_as_it_went_in() {
        let (arn, mut job) = ("arn:aws:sns:eu-west-1:123456789012:t", job(&[occupied("a")]));
        let function = LambdaFunction { name: "f".into(), region: Some("eu-west-1".into()), is_async: true };
        for (endpoint, json) in [
            (Endpoint::SnsTopicArn(arn.into()), json!({ "sns_topic_arn": arn })),
            (
                Endpoint::LambdaFunction(function),
                json!({"lambda_function": {"name": "f", "region": "eu-west-1", "async": true}}),
            ),
        ] {
            job.endpoint = endpoint;
            let value: serde_json::Value = serde_json::from_str(&job.to_json()).unwrap();
            assert_eq!(value["endpoint"], json);
            assert_eq!(Job::from_json(job.to_json().as_bytes()).unwrap(), job);
        }
    }

    #[test]
    fn a_job_for_an_endpoint_of_a_later_release_is_refused() {
        let json = job(&[occupied("a")]).to_json().replacen("\"url\":", "\"carrier_pigeon\":", 1);
        let error = Job::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("carrier_pigeon") && error.contains("expected one of"), "{error}");
    }

    #[test]
    fn functions_of_one_name_are_told_apart() {
        let of = |region: Option<&str>, is_async| {
            let mut job = job(&[occupied("a")]);
            let region = region.map(str::to_owned);
            job.endpoint = Endpoint::LambdaFunction(LambdaFunction { name: "f".into(), region, is_async });
            (job.group(), job.named_after("1").id)
        };
        let all = [of(None, false), of(None, true), of(Some("eu-west-1"), false)];
        assert!(all.iter().enumerate().all(|(index, one)| !all[..index].contains(one)));
        assert_eq!(of(None, false), all[0]);
    }

    #[test]
    fn what_a_topic_gets_is_in_characters_that_a_queue_behind_it_takes() {
        let target =
            WebhookTarget { endpoint: Endpoint::SnsTopicArn("arn:aws:sns:eu-west-1:1:t".into()), ..target() };
        let channel = "a\u{fffe}\u{ffff}";
        let job = Job::render(&AppId::from("7"), &target, &[occupied(channel)], 1);
        assert!(!job.body.contains(['\u{fffe}', '\u{ffff}']));
        let body: serde_json::Value = serde_json::from_str(&job.body).unwrap();
        assert_eq!(body["events"][0]["channel"], channel);
    }

    #[test]
    fn debug_shows_neither_headers_nor_url_nor_body() {
        let shown = format!("{:?}", job(&[occupied("the-channel")]));
        for hidden in ["Bearer", "token", "example.com", "the-channel"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }
}
