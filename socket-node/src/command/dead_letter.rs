//! A webhook that was given up, and which of them a command is about.

use std::time::Duration;

use app_manager::webhook::Endpoint;
use serde_json::json;
use webhook_worker::{
    job::{Job, now_ms},
    target,
};

/// A webhook that was given up.
#[derive(Debug)]
pub(super) struct DeadLetter {
    /// What its keeper calls it.
    pub(super) id: String,
    /// By which its keeper finds it.
    pub(super) handle: String,
    /// What was kept; the job itself, unless that cannot be read.
    pub(super) text: String,
    pub(super) job: Option<Job>,
    /// Why it was given up, if somebody knew.
    pub(super) cause: Option<String>,
    pub(super) attempts: Option<u32>,
    /// When it came here, in milliseconds since 1970.
    pub(super) dead_at_ms: u64,
}

/// Which dead letters a command is about: those that pass all of this.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Empty: all. Either the keeper's ids or those of deliveries.
    pub(super) ids: Vec<String>,
    pub(super) app: Option<String>,
    pub(super) url: Option<String>,
    pub(super) older_than: Option<Duration>,
}

impl Filter {
    pub(super) fn passes(&self, letter: &DeadLetter) -> bool {
        let delivery = letter.job.as_ref().map(|job| job.id.to_string());
        let is_named = |id: &String| *id == letter.id || delivery.as_ref() == Some(id);
        let of_app = |app: &String| letter.job.as_ref().is_some_and(|job| job.app_id.as_str() == app);
        let is_to = |text: &String| {
            letter.job.as_ref().is_some_and(|job| job.endpoint.name().contains(text.as_str()))
        };
        (self.ids.is_empty() || self.ids.iter().any(is_named))
            && self.app.as_ref().is_none_or(of_app)
            && self.url.as_ref().is_none_or(is_to)
            && self.older_than.is_none_or(|age| letter.age() >= age)
    }
}

impl DeadLetter {
    fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.dead_at_ms))
    }

    /// On one line, without what may be secret in it.
    pub(super) fn line(&self) -> String {
        let (app, endpoint) = match &self.job {
            Some(job) => (job.app_id.as_str(), target::shown(&job.endpoint)),
            None => ("-", "-".to_owned()),
        };
        let attempts = self.attempts.map_or_else(|| "-".to_owned(), |attempts| attempts.to_string());
        let cause = self.cause.as_deref().unwrap_or("received too often");
        format!(
            "{}  dead for {} s  app {app}  {endpoint}  attempts {attempts}  {cause}",
            self.id,
            self.age().as_secs()
        )
    }

    /// All of it as JSON, but for the values of the customer's headers, which may be tokens.
    pub(super) fn page(&self) -> String {
        let webhook = match &self.job {
            Some(job) => {
                let headers: Vec<_> = job.headers.iter().map(|(name, _)| name).collect();
                let mut webhook = json!({
                    "delivery": job.id.to_string(), "app_id": job.app_id.as_str(), "headers": headers,
                    "time_ms": job.time_ms, "channels": job.channels, "body": job.body,
                });
                let kind = match &job.endpoint {
                    Endpoint::Url(_) => "url",
                    Endpoint::SnsTopicArn(_) => "sns_topic_arn",
                    Endpoint::LambdaFunction(_) => "lambda_function",
                };
                webhook[kind] = job.endpoint.name().into();
                webhook
            }
            None => json!({ "unreadable": self.text }),
        };
        let page = json!({
            "id": self.id, "cause": self.cause, "attempts": self.attempts, "dead_at_ms": self.dead_at_ms,
            "webhook": webhook,
        });
        format!("{page:#}")
    }
}
