//! What a cloud's queue brings: a job as it was sent, or in the envelope that a topic has put around it.

use serde::Deserialize;
use thiserror::Error;

use crate::job::{Job, NoJob};

/// A message that holds no job, so that nobody can deliver it.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// Neither a job nor an envelope.
    #[error("it is no job of this release: {0}")]
    Job(NoJob),
    /// An envelope of something that is not a notification, such as a subscription to be confirmed.
    #[error("it is an envelope of the kind '{0}', which holds no job")]
    Envelope(String),
}

/// What SNS puts around a message unless the subscription asks for raw delivery. Its signature is of no use here: only
/// the topic may send to the queue, and the queue's policy sees to that.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(rename = "Type")]
    kind: String,
    message: String,
}

/// The job in a message's body.
///
/// # Errors
/// See [`Unreadable`]. The texts repeat nothing of the body but the envelope's kind and names of fields.
pub fn read(body: &str) -> Result<Job, Unreadable> {
    match serde_json::from_str::<Envelope>(body) {
        Ok(Envelope { kind, message }) if kind == "Notification" => job(&message),
        Ok(Envelope { kind, .. }) => Err(Unreadable::Envelope(kind.chars().take(40).collect())),
        // A job has neither of an envelope's fields.
        Err(_) => job(body),
    }
}

fn job(json: &str) -> Result<Job, Unreadable> {
    Job::from_json(json.as_bytes()).map_err(Unreadable::Job)
}

#[cfg(test)]
mod tests {
    use app_manager::{
        app::AppId,
        webhook::{Endpoint, WebhookTarget},
    };
    use serde_json::json;

    use super::*;
    use crate::event::WebhookEvent;

    fn some_job() -> Job {
        let target = WebhookTarget {
            endpoint: Endpoint::Url("http://example.com".into()),
            event_types: Vec::new(),
            channel_name_starts_with: None,
            channel_name_ends_with: None,
            headers: Vec::new(),
        };
        let event = WebhookEvent::CacheMiss { channel: "cache-a".into() };
        Job::render(&AppId::from("1"), &target, &[event], 1_000)
    }

    #[test]
    fn a_job_is_read_with_and_without_an_envelope() {
        let job = some_job();
        assert!(read(&job.to_json()).unwrap() == job);
        let envelope = json!({
            "Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-east-1:1:t",
            "Message": job.to_json(), "Timestamp": "2026-01-01T00:00:00.000Z", "SignatureVersion": "1",
            "Signature": "x", "MessageAttributes": {"EventName": {"Type": "String", "Value": "pusher-webhook"}},
        });
        assert!(read(&envelope.to_string()).unwrap() == job);
    }

    #[test]
    fn what_is_no_job_is_refused_without_being_repeated() {
        let confirmation =
            json!({"Type": "SubscriptionConfirmation", "Message": "hidden", "Token": "hidden"});
        let empty = json!({"Type": "Notification", "Message": "hidden"});
        for body in ["", "hidden", "{}", "[]", &confirmation.to_string(), &empty.to_string()] {
            let error = read(body).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
