//! Requests that DynamoDB did not answer as hoped.

use std::{error::Error, fmt::Debug};

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::{
    access::{NoRegion, reason},
    store::LookupError,
};

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    cause: Cause,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// DynamoDB refused, and calls it so.
    Refused(String),
    /// It did not come to an answer.
    Away,
    /// It is not known where to ask.
    NoRegion,
}

impl Failure {
    /// Whether waiting does not help: the table is not there, is made otherwise, or cannot be looked for.
    pub(super) fn is_final(&self) -> bool {
        match &self.cause {
            Cause::Refused(code) => {
                matches!(code.as_str(), "ResourceNotFoundException" | "ValidationException")
            }
            Cause::Away => false,
            Cause::NoRegion => true,
        }
    }
}

impl From<NoRegion> for Failure {
    fn from(none: NoRegion) -> Self {
        Self { cause: Cause::NoRegion, text: none.to_string() }
    }
}

impl<E, R> From<SdkError<E, R>> for Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: Debug + 'static,
{
    fn from(error: SdkError<E, R>) -> Self {
        let of_service = error.as_service_error().and_then(|error| Some((error.code()?, error.message())));
        match of_service {
            Some((code, message)) => {
                let text = message.map_or_else(|| code.to_owned(), |message| format!("{code}: {message}"));
                Self { cause: Cause::Refused(code.to_owned()), text }
            }
            None => Self { cause: Cause::Away, text: reason(&error) },
        }
    }
}

/// Throttled, away, late, or refused: whichever it is, nothing is known of the app.
pub(super) fn unavailable(failure: Failure) -> LookupError {
    LookupError::Unavailable(failure.text)
}
