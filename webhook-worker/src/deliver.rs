//! One attempt to deliver a job, and what its answer means.

mod client;
#[cfg(feature = "aws")]
mod cloud;
mod headers;

use std::{error::Error, fmt, time::Duration};

use app_manager::{access::Access, app::App, apps::Apps, store::LookupError, webhook::Endpoint};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use hyper_util::client::legacy;
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

pub use headers::{HeaderError, check_header};

#[cfg(feature = "aws")]
use crate::cloud::Receivers;
use crate::{
    job::Job,
    target::{AddressPolicy, ForbiddenAddress, Target, TargetError},
};

/// What is read of an answer's body. Nobody looks at it: it is read so that the connection can be used again.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// How attempts are made.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// Which addresses may be called.
    pub addresses: AddressPolicy,
    /// What an attempt may take, from the look-up of the name to the end of the answer.
    pub deadline: Duration,
    /// The same where the answer is that of a function in Lambda, which may have to be started first.
    pub function_deadline: Duration,
    /// How topics and functions are reached.
    pub access: Access,
}

impl DeliverySettings {
    /// The deadline of four seconds that suits servers: long enough for a slow receiver, and short enough that a
    /// batch of jobs from a cloud's queue is through before the queue hands them to somebody else. A function has ten: a
    /// cold start alone may take four, and ten is what the schedule leaves to a last attempt.
    pub fn new(addresses: AddressPolicy) -> Self {
        Self {
            addresses,
            deadline: Duration::from_secs(4),
            function_deadline: Duration::from_secs(10),
            access: Access::default(),
        }
    }
}

/// Delivers jobs over HTTP, to URLs, topics and functions. Cheap to clone: all clones share their connections.
#[derive(Clone)]
pub struct Deliverer {
    client: client::Client,
    #[cfg(feature = "aws")]
    receivers: Receivers,
    settings: DeliverySettings,
}

/// What became of an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver took it.
    Delivered {
        /// With which 2xx.
        status: u16,
    },
    /// It did not, and may yet.
    Retry {
        /// What went wrong.
        cause: Cause,
        /// How long the receiver asked to be left alone.
        retry_after: Option<Duration>,
    },
    /// There is no use in asking again.
    Refused {
        /// Why not.
        cause: Cause,
    },
}

/// Why an attempt failed. The texts name no URL, no header's value and nothing of a body: they go into logs and
/// dead letters.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Cause {
    /// The endpoint must not be called.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Nobody is left who could sign.
    #[error("the app does not exist any more")]
    UnknownApp,
    /// It is not known now who could sign.
    #[error("the app cannot be looked up")]
    AppAway,
    /// The endpoint wants no webhooks any more, as 410 says.
    #[error("the endpoint answered 410: it is gone for good")]
    Gone,
    /// Any other answer but a success; also a redirect, which is never followed.
    #[error("the endpoint answered {0}")]
    Status(u16),
    /// There was no answer in time.
    #[error("the endpoint did not answer within {} ms", .0.as_millis())]
    Deadline(Duration),
    /// The request could not be made, or the name, the connection, its encryption or the answer was broken.
    #[error("{0}")]
    Transport(String),
    /// A topic or a function was not reached, or did not take it; in words of ours, because those of AWS may repeat what
    /// was sent and what it was signed with.
    #[error("{0}")]
    Cloud(String),
    /// A topic or a function cannot be reached by this program.
    #[error(
        "the target is in AWS, and this program was built without it: build it with the cargo feature 'aws', \
         as `cargo build --release` does"
    )]
    NoAws,
}

/// Whether this program was built with what it takes to reach an endpoint. [`Cause::NoAws`] says what to do otherwise.
pub const fn is_built_for(endpoint: &Endpoint) -> bool {
    cfg!(feature = "aws") || !endpoint.is_of_aws()
}

impl Cause {
    /// Whether it says anything of how the endpoint is.
    pub const fn is_of_the_endpoint(&self) -> bool {
        !matches!(self, Self::UnknownApp | Self::AppAway)
    }
}

impl Deliverer {
    /// A deliverer with connections of its own.
    pub fn new(settings: DeliverySettings) -> Self {
        Self {
            client: client::new(settings.addresses.clone()),
            #[cfg(feature = "aws")]
            receivers: Receivers::new(settings.access.clone()),
            settings,
        }
    }

    /// What an attempt at this job may take.
    pub fn deadline_of(&self, job: &Job) -> Duration {
        match &job.endpoint {
            Endpoint::LambdaFunction(function) if !function.is_async => self.settings.function_deadline,
            Endpoint::Url(_) | Endpoint::SnsTopicArn(_) | Endpoint::LambdaFunction(_) => {
                self.settings.deadline
            }
        }
    }

    /// Sends the job once, signed by its app as it is now; the first `attempt` is 1. Here alone whoever delivers asks
    /// for an app, so that a store which has to be waited for is waited for within an attempt.
    pub async fn attempt_for(&self, apps: &Apps, job: &Job, attempt: u32) -> Outcome {
        let deadline = Instant::now() + self.deadline_of(job);
        match timeout_at(deadline, apps.by_id(job.app_id.as_str())).await {
            Ok(Ok(Some(app))) => self.attempt_until(deadline, &app, job, attempt).await,
            Ok(Ok(None)) => Outcome::Refused { cause: Cause::UnknownApp },
            // What cannot be read is put right by whoever keeps the apps, and then it is signed.
            Ok(Err(LookupError::Unavailable(_) | LookupError::Unreadable(_))) | Err(_) => {
                retry(Cause::AppAway)
            }
        }
    }

    /// Sends the job once, signed by `app`; the first `attempt` is 1.
    pub async fn attempt(&self, app: &App, job: &Job, attempt: u32) -> Outcome {
        self.attempt_until(Instant::now() + self.deadline_of(job), app, job, attempt).await
    }

    async fn attempt_until(&self, deadline: Instant, app: &App, job: &Job, attempt: u32) -> Outcome {
        match &job.endpoint {
            Endpoint::Url(url) => self.post(url, deadline, app, job, attempt).await,
            #[cfg(feature = "aws")]
            Endpoint::SnsTopicArn(arn) => self.publish(arn, deadline, app, job, attempt).await,
            #[cfg(feature = "aws")]
            Endpoint::LambdaFunction(function) => self.invoke(function, deadline, app, job, attempt).await,
            #[cfg(not(feature = "aws"))]
            Endpoint::SnsTopicArn(_) | Endpoint::LambdaFunction(_) => {
                Outcome::Refused { cause: Cause::NoAws }
            }
        }
    }

    async fn post(&self, url: &str, deadline: Instant, app: &App, job: &Job, attempt: u32) -> Outcome {
        let request = match self.request(url, app, job, attempt) {
            Ok(request) => request,
            Err(cause) => return Outcome::Refused { cause },
        };
        match timeout_at(deadline, self.client.request(request)).await {
            Err(_) => retry(Cause::Deadline(self.settings.deadline)),
            Ok(Err(error)) => unanswered(&error),
            Ok(Ok(response)) => {
                let outcome = answered(&response);
                // The head has decided. A body that hangs or breaks off costs the connection and nothing else.
                let _ = timeout_at(deadline, discard(response.into_body())).await;
                outcome
            }
        }
    }

    fn request(&self, url: &str, app: &App, job: &Job, attempt: u32) -> Result<Request<Full<Bytes>>, Cause> {
        let target = Target::parse(url, &self.settings.addresses)?;
        let mut request = Request::post(target.uri())
            .header(header::CONTENT_TYPE, headers::CONTENT_TYPE)
            .header(header::USER_AGENT, headers::USER_AGENT);
        for (name, value) in headers::ours(app, job, attempt) {
            request = request.header(name, value);
        }
        for (name, value) in &job.headers {
            match check_header(name, value) {
                Ok((name, value)) => request = request.header(name, value),
                // Settings should have refused it. A webhook without it is still better than none.
                Err(error) => debug!(%error, delivery = %job.id, "left a header out of webhook {}", job.id),
            }
        }
        request
            .body(Full::new(Bytes::copy_from_slice(job.body.as_bytes())))
            .map_err(|error| Cause::Transport(error.to_string()))
    }
}

impl fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliverer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn retry(cause: Cause) -> Outcome {
    Outcome::Retry { cause, retry_after: None }
}

/// Any 2xx is a success, as with Pusher. All else may be a passing trouble, also a 404 in the middle of a
/// deployment; only 410 says that it is not.
fn answered(response: &Response<Incoming>) -> Outcome {
    match response.status() {
        status if status.is_success() => Outcome::Delivered { status: status.as_u16() },
        StatusCode::GONE => Outcome::Refused { cause: Cause::Gone },
        status => Outcome::Retry {
            cause: Cause::Status(status.as_u16()),
            retry_after: headers::retry_after(response.headers()),
        },
    }
}

fn unanswered(error: &legacy::Error) -> Outcome {
    if let Some(forbidden) = with_sources(error).find_map(|error| error.downcast_ref::<ForbiddenAddress>()) {
        return Outcome::Refused { cause: TargetError::Address(*forbidden).into() };
    }
    let texts: Vec<String> = with_sources(error).map(ToString::to_string).collect();
    retry(Cause::Transport(texts.join(": ")))
}

/// The error, what caused it, and so on.
fn with_sources<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Reads to the end of the body or to [`MAX_ANSWER_BYTES`], whichever comes first.
async fn discard(mut body: Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > MAX_ANSWER_BYTES {
            return;
        }
    }
}
