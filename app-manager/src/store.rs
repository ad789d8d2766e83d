//! Where apps are kept. One module a store; [`apps::Apps`](crate::apps::Apps) is the only one who asks them.

mod array;
mod database_url;
#[cfg(feature = "aws")]
pub mod dynamodb;
mod records;
#[cfg(feature = "sql")]
pub mod sql;

use std::fmt;

use futures_util::future::BoxFuture;
use thiserror::Error;

pub use array::{ArrayStore, DuplicateApp};
pub use database_url::{DatabaseKind, DatabaseUrl};
pub use records::{Listed, Records, WriteError};

use crate::app::App;

/// Finds apps. Only [`Apps`](crate::apps::Apps) asks it.
pub trait Lookup: fmt::Debug + Send + Sync + 'static {
    /// The app with this id, as the store has it now. `None` is a certain no.
    fn by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>>;

    /// The app with this key, as the store has it now. `None` is a certain no.
    fn by_key<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>>;
}

/// Why a store does not say whether there is such an app. It never means that there is none.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LookupError {
    /// The store cannot be asked now, which passes: it is away, slow, or has been asked too often.
    #[error("the store of apps cannot be asked: {0}")]
    Unavailable(String),
    /// What the store keeps of this app is no app. Names the app and what is wrong, and holds no secret.
    #[error("{0}")]
    Unreadable(String),
}
