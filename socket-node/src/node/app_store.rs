//! Where the apps are, as the settings say.

use std::sync::Arc;

#[cfg(feature = "aws")]
use app_manager::store::dynamodb::{self, Creation, DynamoDbStore};
#[cfg(feature = "sql")]
use app_manager::store::sql::{self, SqlStore};
use app_manager::{
    app::App,
    apps::{Apps, Freshness},
    store::{ArrayStore, DatabaseUrl, Lookup, Records},
};
#[cfg(any(feature = "aws", feature = "sql"))]
use tracing::warn;

use crate::config::{AppManager, AppTable};

/// The database that the settings name, and the apps in it; if they name none, the apps that they have themselves.
///
/// # Errors
/// If this server was built without it, or two apps of the settings cannot be told apart.
pub(super) fn open(
    manager: &AppManager,
    of_settings: Vec<App>,
    freshness: Freshness,
) -> anyhow::Result<(Option<AppStore>, Apps)> {
    let store = AppStore::of(manager)?;
    let apps = match &store {
        None => Apps::new(ArrayStore::new(of_settings)?),
        Some(store) => Apps::cached(store.lookup(), freshness),
    };
    Ok((store, apps))
}

/// A database of apps. A server that was built without any of them has no value of this type, so whoever matches one takes
/// it by value (`match *self`).
#[derive(Clone, Debug)]
pub(crate) enum AppStore {
    /// A table of DynamoDB.
    #[cfg(feature = "aws")]
    DynamoDb(Arc<DynamoDbStore>),
    /// A table of PostgreSQL, MySQL or MariaDB.
    #[cfg(feature = "sql")]
    Sql(Arc<SqlStore>),
}

impl AppStore {
    /// The database that the settings name; `None` if the apps are in the settings themselves.
    ///
    /// # Errors
    /// If this server was built without it.
    pub(crate) fn of(manager: &AppManager) -> anyhow::Result<Option<Self>> {
        match manager {
            AppManager::Array => Ok(None),
            AppManager::DynamoDb(table) => Self::dynamodb(table).map(Some),
            AppManager::Sql(url) => Self::sql(url).map(Some),
        }
    }

    #[cfg(feature = "aws")]
    fn dynamodb(table: &AppTable) -> anyhow::Result<Self> {
        Ok(Self::DynamoDb(Arc::new(DynamoDbStore::new(table.access.clone(), &table.name))))
    }

    #[cfg(not(feature = "aws"))]
    fn dynamodb(table: &AppTable) -> anyhow::Result<Self> {
        anyhow::bail!("the table '{}' cannot be used without AWS", table.name)
    }

    #[cfg(feature = "sql")]
    fn sql(url: &DatabaseUrl) -> anyhow::Result<Self> {
        Ok(Self::Sql(Arc::new(SqlStore::new(url))))
    }

    #[cfg(not(feature = "sql"))]
    fn sql(url: &DatabaseUrl) -> anyhow::Result<Self> {
        anyhow::bail!("the database at {url} cannot be used without SQL")
    }

    fn lookup(&self) -> Arc<dyn Lookup> {
        match *self {
            #[cfg(feature = "aws")]
            Self::DynamoDb(ref store) => Arc::clone(store) as _,
            #[cfg(feature = "sql")]
            Self::Sql(ref store) => Arc::clone(store) as _,
        }
    }

    /// For whoever looks after the apps.
    pub(crate) fn records(&self) -> Arc<dyn Records> {
        match *self {
            #[cfg(feature = "aws")]
            Self::DynamoDb(ref store) => Arc::clone(store) as _,
            #[cfg(feature = "sql")]
            Self::Sql(ref store) => Arc::clone(store) as _,
        }
    }

    /// Makes what the apps are kept in, unless it is there; says what became of it.
    ///
    /// # Errors
    /// If it cannot be made, or is there and is something else.
    pub(crate) async fn create_table(&self) -> anyhow::Result<&'static str> {
        match *self {
            #[cfg(feature = "aws")]
            Self::DynamoDb(ref store) => match store.create_table().await? {
                Creation::Created => Ok("the table is created"),
                Creation::AlreadyThere => Ok("the table is there already"),
            },
            #[cfg(feature = "sql")]
            Self::Sql(ref store) => {
                store.migrate().await?;
                Ok("the table is there, as this version needs it")
            }
        }
    }

    /// Waits until it is known whether apps can be looked up. A database that is away may come back.
    ///
    /// # Errors
    /// If it is there, but is no database of apps.
    pub(super) async fn find(&self) -> anyhow::Result<()> {
        match *self {
            #[cfg(feature = "aws")]
            Self::DynamoDb(ref store) => match store.probe().await {
                Err(error @ dynamodb::ProbeError::Unavailable(..)) => is_away(&error),
                found => Ok(found?),
            },
            #[cfg(feature = "sql")]
            Self::Sql(ref store) => match store.probe().await {
                Err(error @ sql::ProbeError::Unavailable(..)) => is_away(&error),
                found => Ok(found?),
            },
        }
    }
}

#[cfg(any(feature = "aws", feature = "sql"))]
#[expect(clippy::unnecessary_wraps, reason = "it is one of the ways in which a search may end")]
fn is_away(error: &dyn std::error::Error) -> anyhow::Result<()> {
    warn!(%error, "{error}; this node serves without knowing any app until it can");
    Ok(())
}
