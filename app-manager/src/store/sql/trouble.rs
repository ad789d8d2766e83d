//! Statements that a database did not carry out.

use std::io;

use sqlx::error::ErrorKind;
use thiserror::Error;

use super::pool::{ACQUIRE, DEADLINE};
use crate::store::{LookupError, WriteError};

/// What is wrong, in words that hold no password and nothing of an app.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The table of apps is not there.
    #[error("{0}; `socket-rush apps --create-table` makes it")]
    NoTable(String),
    /// The database lets us in under no circumstances: it is another one, or does not know the user.
    #[error("{0}")]
    Refused(String),
    /// It is away, slow, full, or busy with somebody else's change.
    #[error("{0}")]
    Passing(String),
}

/// Why a database does not answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProbeError {
    /// It cannot be asked now, which passes.
    #[error("the database of apps at {0} cannot be asked: {1}")]
    Unavailable(String, String),
    /// It cannot be used as it is set.
    #[error("the database of apps at {0} cannot be used: {1}")]
    Refused(String, String),
    /// It has no table of apps.
    #[error("the database at {0} has no table of apps; make it with `socket-rush apps --create-table`")]
    Unprepared(String),
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                let text = one_line(error.message());
                match &*code {
                    // undefined_table; MySQL has the same state for several kinds of it.
                    "42P01" | "42S02" => Self::NoTable(text),
                    // Classes of SQLSTATE: no such user or password, no such database, no right to do so.
                    _ if ["28", "3D", "42"].iter().any(|class| code.starts_with(class)) => {
                        Self::Refused(text)
                    }
                    _ => Self::Passing(text),
                }
            }
            sqlx::Error::PoolTimedOut => Self::Passing(format!("no connection within {ACQUIRE:?}")),
            // What the operator has set cannot be met, or not by this server.
            error @ (sqlx::Error::Configuration(_) | sqlx::Error::Tls(_)) => {
                Self::Refused(one_line(&error.to_string()))
            }
            // The same of a certificate that is not trusted, which is told as an error of reading, and of files for TLS.
            sqlx::Error::Io(error) => match error.kind() {
                io::ErrorKind::InvalidData => Self::Refused(one_line(&error.to_string())),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
                    Self::Refused(one_line(&format!("a file that its URL names cannot be read: {error}")))
                }
                _ => Self::Passing(one_line(&sqlx::Error::Io(error).to_string())),
            },
            other => Self::Passing(one_line(&other.to_string())),
        }
    }
}

impl From<Trouble> for LookupError {
    fn from(trouble: Trouble) -> Self {
        // Whichever it is, nothing is known of the app.
        Self::Unavailable(trouble.to_string())
    }
}

impl From<Trouble> for WriteError {
    fn from(trouble: Trouble) -> Self {
        LookupError::from(trouble).into()
    }
}

/// No answer within the time for one.
pub(super) fn late() -> Trouble {
    Trouble::Passing(format!("no answer within {DEADLINE:?}"))
}

/// Whether an id or a key was refused because another row has it.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.kind() == ErrorKind::UniqueViolation)
}

/// Databases like to tell more in further lines.
fn one_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}
