//! Why the cloud did not do what it was asked to.

use std::{error::Error, fmt::Debug};

use app_manager::access::reason;
use aws_sdk_sqs::error::{BuildError, ProvideErrorMetadata, SdkError};
use thiserror::Error;

/// A request that failed, or a part of one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub struct Failure {
    /// What can be done about it.
    pub kind: Kind,
    pub(super) text: String,
    /// What the service calls it, if it was the service that said so.
    pub(crate) code: Option<String>,
}

/// What can be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wait: the cloud is away, busy, or does not let us in at the moment.
    Passing,
    /// Change the settings, or make what they name.
    Settings,
    /// Nothing: this letter is never taken.
    Letter,
}

impl Failure {
    /// A failure with a code of the service.
    pub(crate) fn coded(code: &str, message: Option<&str>) -> Self {
        // Some codes have a prefix that others have not.
        let kind = match code.rsplit('.').next().unwrap_or(code) {
            "NonExistentQueue" | "QueueDoesNotExist" | "NotFound" | "NotFoundException"
            | "InvalidAddress" => Kind::Settings,
            "InvalidMessageContents"
            | "InvalidParameterValue"
            | "InvalidParameter"
            | "BatchRequestTooLong" => Kind::Letter,
            _ => Kind::Passing,
        };
        let text = message.map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"));
        Self { kind, text, code: Some(code.to_owned()) }
    }
}

/// A part of a request that cannot be made at all.
impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self { kind: Kind::Letter, text: error.to_string(), code: None }
    }
}

impl<E, R> From<SdkError<E, R>> for Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: Debug + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        if let Some(of_service) = error.as_service_error()
            && let Some(code) = of_service.code()
        {
            return Self::coded(code, of_service.message());
        }
        Self { kind: Kind::Passing, text: reason(&error), code: None }
    }
}
