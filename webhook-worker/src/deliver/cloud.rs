//! One attempt at a topic or a function: what it is sent, and what its answer means.

use std::{collections::BTreeMap, time::Duration};

use app_manager::{
    app::App,
    webhook::{EVENT_NAME_ATTRIBUTE, LambdaFunction},
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Cause, Deliverer, Outcome, check_header,
    headers::{self, CONTENT_TYPE, USER_AGENT},
    retry,
};
use crate::{
    cloud::{Clients, EVENT_NAME, Failure, Invocation, Kind, Notification},
    job::Job,
};

/// What it may take to find out where AWS is called, which is not the endpoint's fault. It is done once.
const OPEN: Duration = Duration::from_secs(10);

/// Bytes of a topic's message, attributes included.
const MAX_NOTIFICATION_BYTES: usize = 256 * 1024;

impl Deliverer {
    /// Sends the job to a topic.
    pub(super) async fn publish(
        &self,
        arn: &str,
        deadline: Instant,
        app: &App,
        job: &Job,
        attempt: u32,
    ) -> Outcome {
        let ours = headers::ours(app, job, attempt);
        let message = notification(&ours, job);
        let bytes = message.attributes.iter().map(|(name, value)| name.len() + "String".len() + value.len());
        if message.body.len() + bytes.sum::<usize>() > MAX_NOTIFICATION_BYTES {
            let text = format!("it is larger than the {MAX_NOTIFICATION_BYTES} bytes that a topic takes");
            return Outcome::Refused { cause: Cause::Cloud(text) };
        }
        let clients = match opened("topic", self.receivers.to_topic(arn)).await {
            Ok(clients) => clients,
            Err(outcome) => return outcome,
        };
        match timeout_at(deadline, clients.publish(arn, message)).await {
            Ok(Ok(())) => Outcome::Delivered { status: 200 },
            Ok(Err(failure)) => failed("topic", &failure),
            Err(_) => retry(Cause::Deadline(self.deadline_of(job))),
        }
    }

    /// Invokes a function with the job.
    pub(super) async fn invoke(
        &self,
        function: &LambdaFunction,
        deadline: Instant,
        app: &App,
        job: &Job,
        attempt: u32,
    ) -> Outcome {
        let payload = match payload(&headers::ours(app, job, attempt), job) {
            Ok(payload) => payload,
            Err(error) => return Outcome::Refused { cause: Cause::Cloud(format!("it is no JSON: {error}")) },
        };
        let clients = match opened("function", self.receivers.to_function(function)).await {
            Ok(clients) => clients,
            Err(outcome) => return outcome,
        };
        match timeout_at(deadline, clients.invoke(function, payload)).await {
            Ok(Ok(Invocation { status, error: None })) => Outcome::Delivered { status },
            Ok(Ok(Invocation { error: Some(error), .. })) => {
                retry(Cause::Cloud(format!("the function failed with {error}")))
            }
            Ok(Err(failure)) => failed("function", &failure),
            Err(_) => retry(Cause::Deadline(self.deadline_of(job))),
        }
    }
}

/// The clients, once it is known where AWS is called.
async fn opened(
    thing: &str,
    clients: impl Future<Output = Result<Clients, Failure>>,
) -> Result<Clients, Outcome> {
    match timeout(OPEN, clients).await {
        Ok(clients) => clients.map_err(|failure| failed(thing, &failure)),
        Err(_) => Err(retry(Cause::Cloud("no region was found in time: set aws_region".to_owned()))),
    }
}

/// The message of a job. It has no headers, so what they say are attributes; but for the number of the attempt, which
/// nobody needs and a customer may need the place of.
fn notification<'a>(ours: &'a [(&'static str, String); 4], job: &'a Job) -> Notification<'a> {
    let [key, signature, delivery, _] = ours;
    let ours = [key, signature, delivery].map(|(name, value)| (*name, value.as_str()));
    let customers = job.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Notification {
        body: &job.body,
        attributes: [(EVENT_NAME_ATTRIBUTE, EVENT_NAME)].into_iter().chain(ours).chain(customers).collect(),
        group: job.group(),
        deduplication: job.id.to_string(),
    }
}

/// What a function is invoked with: soketi's two parts, and the text that was signed. The first part says the same, but
/// comes to the function parsed already, and few languages write it down again as it was.
#[derive(Serialize)]
struct Payload<'a> {
    payload: &'a RawValue,
    headers: BTreeMap<&'a str, &'a str>,
    body: &'a str,
}

fn payload(ours: &[(&'static str, String); 4], job: &Job) -> serde_json::Result<Vec<u8>> {
    let mut headers = BTreeMap::from([
        ("Accept", CONTENT_TYPE),
        ("Content-Type", CONTENT_TYPE),
        ("User-Agent", USER_AGENT),
    ]);
    let customers = job.headers.iter().filter(|(name, value)| check_header(name, value).is_ok());
    headers.extend(customers.map(|(name, value)| (name.as_str(), value.as_str())));
    headers.extend(ours.iter().map(|(name, value)| (*name, value.as_str())));
    serde_json::to_vec(&Payload { payload: serde_json::from_str(&job.body)?, headers, body: &job.body })
}

/// What a refusal of AWS means. Whatever a deployment may still put right is tried again. What AWS says beside its code
/// is left out: it may repeat the whole request, and with it what it was signed with.
fn failed(thing: &str, failure: &Failure) -> Outcome {
    let Some(code) = &failure.code else {
        let cause = Cause::Cloud(failure.to_string());
        return match failure.kind {
            Kind::Letter => Outcome::Refused { cause },
            Kind::Passing | Kind::Settings => retry(cause),
        };
    };
    // Some codes have a prefix that others have not.
    match code.rsplit('.').next().unwrap_or(code) {
        "NotFound" | "NotFoundException" | "ResourceNotFoundException" => {
            retry(Cause::Cloud(format!("there is no such {thing}, or not yet ({code})")))
        }
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "AuthorizationErrorException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "InvalidSecurity"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => {
            retry(Cause::Cloud(format!("AWS does not let this program use the {thing} ({code})")))
        }
        "RequestTooLargeException"
        | "RequestEntityTooLargeException"
        | "SerializedRequestEntityTooLargeException" => {
            Outcome::Refused { cause: Cause::Cloud(format!("it is too large for the {thing} ({code})")) }
        }
        "InvalidParameter"
        | "InvalidParameterException"
        | "InvalidParameterValue"
        | "InvalidRequestContentException"
        | "ParameterValueInvalid" => {
            Outcome::Refused { cause: Cause::Cloud(format!("the {thing} never takes it ({code})")) }
        }
        _ => retry(Cause::Cloud(format!("AWS did not take it for the {thing} ({code})"))),
    }
}

#[cfg(test)]
mod tests {
    use app_manager::{
        app::{
            AppId,
            settings::{APP_SETTINGS, Problems, Setting, Values, build},
        },
        webhook::{Endpoint, WebhookTarget},
    };
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::{deliver::DeliverySettings, event::WebhookEvent, target::AddressPolicy};

    const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:t.fifo";

    fn app() -> App {
        let (mut values, mut problems) = (Values::new(APP_SETTINGS), Problems::default());
        for (name, value) in [("app_id", "1"), ("app_key", "key"), ("app_secret", "canary")] {
            let setting = Setting::find_json(APP_SETTINGS, name).unwrap();
            values.add(setting, &value.into(), name.into(), &mut problems);
        }
        build(&values, "test", &mut problems).unwrap()
    }

    fn job(endpoint: Endpoint, channel: &str) -> Job {
        let target = WebhookTarget {
            endpoint,
            event_types: Vec::new(),
            channel_name_starts_with: None,
            channel_name_ends_with: None,
            headers: vec![("X-Tenant".into(), "t".into()), ("X-Pusher-Key".into(), "forged".into())],
        };
        let event = WebhookEvent::ChannelOccupied { channel: channel.to_owned() };
        Job::render(&AppId::from("1"), &target, &[event], 1_000)
    }

    fn function(is_async: bool) -> LambdaFunction {
        LambdaFunction { name: "hooks".into(), region: None, is_async }
    }

    #[test]
    fn a_function_gets_soketis_two_parts_and_the_text_that_was_signed() {
        let (app, job) = (app(), job(Endpoint::LambdaFunction(function(false)), "a\u{e9}\"\u{2028}"));
        let payload = payload(&headers::ours(&app, &job, 3), &job).unwrap();
        let payload: Json = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload["body"], job.body);
        assert_eq!(payload["payload"], serde_json::from_str::<Json>(&job.body).unwrap());
        assert_eq!(
            payload["headers"],
            json!({
                "Accept": "application/json", "Content-Type": "application/json", "User-Agent": USER_AGENT,
                "X-Pusher-Key": "key", "X-Pusher-Signature": app.sign_webhook(job.body.as_bytes()),
                "X-Socket-Rush-Delivery": job.id.to_string(), "X-Socket-Rush-Attempt": "3", "X-Tenant": "t",
            })
        );
    }

    #[test]
    fn a_topic_gets_the_text_that_was_signed_and_attributes_to_verify_it_by() {
        let (app, mut job) = (app(), job(Endpoint::SnsTopicArn(TOPIC.into()), "a"));
        job.headers.truncate(1);
        let ours = headers::ours(&app, &job, 1);
        let message = notification(&ours, &job);
        let (signature, id) = (app.sign_webhook(job.body.as_bytes()), job.id.to_string());
        assert_eq!(
            message.attributes,
            [
                ("EventName", "pusher-webhook"),
                ("X-Pusher-Key", "key"),
                ("X-Pusher-Signature", &*signature),
                ("X-Socket-Rush-Delivery", &*id),
                ("X-Tenant", "t"),
            ]
        );
        assert_eq!((message.body, message.group, message.deduplication), (&*job.body, job.group(), id));
    }

    #[tokio::test]
    async fn what_no_topic_takes_is_not_even_sent() {
        let deliverer = Deliverer::new(DeliverySettings::new(AddressPolicy::public_only()));
        let job = job(Endpoint::SnsTopicArn(TOPIC.into()), &"a".repeat(MAX_NOTIFICATION_BYTES));
        let Outcome::Refused { cause } = deliverer.attempt(&app(), &job, 1).await else { panic!("refused") };
        assert_eq!(cause.to_string(), "it is larger than the 262144 bytes that a topic takes");
    }

    #[test]
    fn a_function_that_is_waited_for_has_more_time() {
        let deliverer = Deliverer::new(DeliverySettings::new(AddressPolicy::public_only()));
        for (endpoint, seconds) in [
            (Endpoint::Url("http://a".into()), 4),
            (Endpoint::SnsTopicArn(TOPIC.into()), 4),
            (Endpoint::LambdaFunction(function(true)), 4),
            (Endpoint::LambdaFunction(function(false)), 10),
        ] {
            assert_eq!(deliverer.deadline_of(&job(endpoint, "a")), Duration::from_secs(seconds));
        }
    }

    #[test]
    fn only_what_can_never_be_taken_is_given_up_at_once_and_each_cause_has_its_name() {
        for (code, is_final, what) in [
            ("NotFound", false, "there is no such topic, or not yet (NotFound)"),
            ("ResourceNotFoundException", false, "there is no such topic"),
            ("AuthorizationError", false, "AWS does not let this program use the topic (AuthorizationError)"),
            ("AccessDeniedException", false, "does not let"),
            ("Throttled", false, "did not take it for the topic (Throttled)"),
            ("TooManyRequestsException", false, "(TooManyRequestsException)"),
            ("ServiceException", false, "(ServiceException)"),
            ("AWS.SimpleQueueService.NotFound", false, "no such topic"),
            ("RequestTooLargeException", true, "it is too large for the topic"),
            ("InvalidParameter", true, "the topic never takes it"),
            ("InvalidRequestContentException", true, "the topic never takes it"),
        ] {
            let failure = Failure::coded(code, Some("canary: the canonical request"));
            let (cause, given_up) = match failed("topic", &failure) {
                Outcome::Retry { cause, .. } => (cause.to_string(), false),
                Outcome::Refused { cause } => (cause.to_string(), true),
                Outcome::Delivered { .. } => panic!("{code} is a failure"),
            };
            assert_eq!(given_up, is_final, "{code}");
            assert!(cause.contains(what) && !cause.contains("canary"), "{cause}");
        }
    }
}
