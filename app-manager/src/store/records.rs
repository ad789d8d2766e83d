//! What whoever looks after apps does with a store.

use futures_util::future::BoxFuture;
use thiserror::Error;

use super::{Lookup, LookupError};
use crate::record::AppRecord;

/// A store whose apps can be looked after. `socket-rush apps` does; a node only looks apps up.
///
/// Every change is a whole one or none: an id names one app and a key one app, whoever else writes at the same time.
pub trait Records: Lookup {
    /// At most `limit` apps, from the one after this id on, in an order of the store's own that stays the same. Fewer
    /// than `limit` are the last. What is created or deleted meanwhile may be among them or not.
    fn list<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, LookupError>>;

    /// The app with this id, with everything that was written before.
    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<AppRecord>, LookupError>>;

    /// Keeps a new app.
    fn create<'a>(&'a self, record: &'a AppRecord) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Puts this version in the place of the one before it, whose version is one less. Its key may be another one.
    fn replace<'a>(&'a self, record: &'a AppRecord) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Forgets the app with this id, if this is its version. Its id and its key are free afterwards.
    fn delete<'a>(&'a self, id: &'a str, version: u64) -> BoxFuture<'a, Result<(), WriteError>>;
}

/// An app in a list. One that cannot be read does not keep the others from being listed.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The id under which it is kept.
    pub id: String,
    /// The app, or what is wrong with it, in the words of [`LookupError::Unreadable`].
    pub record: Result<AppRecord, String>,
}

/// Why a store did not change. After [`Unavailable`](Self::Unavailable) alone it may have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum WriteError {
    /// There is an app with this id.
    #[error("there is an app with this id already")]
    IdTaken,
    /// Another app has this key.
    #[error("another app has this key")]
    KeyTaken,
    /// Somebody else changed the app since it was read.
    #[error("somebody else has changed the app meanwhile")]
    Changed,
    /// There is no such app, or no longer.
    #[error("there is no such app")]
    NotFound,
    /// The store cannot be asked now, which passes. Whether it has taken the change is not known.
    #[error("the store of apps cannot be asked: {0}")]
    Unavailable(String),
    /// What the store keeps of this app is no app. Names the app and what is wrong, and holds no secret.
    #[error("{0}")]
    Unreadable(String),
}

impl From<LookupError> for WriteError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Unavailable(what) => Self::Unavailable(what),
            LookupError::Unreadable(what) => Self::Unreadable(what),
        }
    }
}
