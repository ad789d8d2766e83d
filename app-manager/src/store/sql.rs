//! Apps in a table of PostgreSQL, MySQL or MariaDB.
//!
//! The table is `socket_rush_apps`, made by the migrations in `sql/migrations`. A row is an app: `id`, `app_key`,
//! `document` (a JSON object of the settings that were given, under the keys of the settings table), and `version`, which
//! counts the changes. Ids and keys are unique, and compared byte for byte.
//!
//! The store reads and writes only that table. Nodes need the right to read it, and `socket-rush apps` to change it; only
//! [`SqlStore::migrate`] needs to create tables.
//!
//! Suggested reading order: [`dialect`], where the databases differ; [`migrations`], how tables come about; [`pool`], how
//! connections are kept; [`row`], an app out of a row; [`trouble`], what may go wrong.

mod dialect;
mod migrations;
mod pool;
mod row;
mod trouble;

use std::fmt;

use futures_util::future::{BoxFuture, FutureExt as _};
use sqlx::{AnyPool, any::AnyRow};
use tokio::time::timeout;

pub use self::trouble::ProbeError;
use self::{
    dialect::Dialect,
    pool::DEADLINE,
    trouble::{Trouble, late},
};
use super::{DatabaseUrl, Listed, Lookup, LookupError, Records, WriteError};
use crate::{app::App, record::AppRecord};

/// The widths of the columns. What is longer is no id and no key of an app.
const LONGEST_ID: usize = 64;
const LONGEST_KEY: usize = 200;

/// A database with apps in it.
pub struct SqlStore {
    pool: AnyPool,
    dialect: &'static Dialect,
    url: DatabaseUrl,
}

impl SqlStore {
    /// The store in the database at this URL. Nobody is asked yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(url: &DatabaseUrl) -> Self {
        let dialect = Dialect::of(url.kind());
        Self { pool: pool::open(url, dialect), dialect, url: url.clone() }
    }

    /// Whether apps can be looked up here.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        let probed = timeout(DEADLINE, sqlx::query(self.dialect.by_id).bind("").fetch_optional(&self.pool));
        let trouble = match probed.await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => Trouble::from(error),
            Err(_) => late(),
        };
        let place = self.url.to_string();
        Err(match trouble {
            Trouble::NoTable(_) => ProbeError::Unprepared(place),
            Trouble::Refused(what) => ProbeError::Refused(place, what),
            Trouble::Passing(what) => ProbeError::Unavailable(place, what),
        })
    }

    /// Brings the tables to where this version of the server expects them. Doing it again does nothing, and others may do
    /// it at the same time.
    ///
    /// # Errors
    /// What went wrong. A migration that failed in the middle on MySQL, which cannot take such steps back, is named.
    pub async fn migrate(&self) -> Result<(), LookupError> {
        migrations::run(&self.pool, self.dialect).await
    }

    async fn one(&self, query: &'static str, name: &str) -> Result<Option<AppRecord>, LookupError> {
        let found = sqlx::query(query).bind(name).fetch_optional(&self.pool).await.map_err(Trouble::from)?;
        found.as_ref().map(row::read).transpose()
    }

    async fn record(&self, id: &str) -> Result<Option<AppRecord>, LookupError> {
        if may_be_kept(id, LONGEST_ID) { self.one(self.dialect.by_id, id).await } else { Ok(None) }
    }

    async fn record_by_key(&self, key: &str) -> Result<Option<AppRecord>, LookupError> {
        if may_be_kept(key, LONGEST_KEY) { self.one(self.dialect.by_key, key).await } else { Ok(None) }
    }

    async fn page(&self, after: &str, limit: i64) -> Result<Vec<Listed>, LookupError> {
        let query = sqlx::query(self.dialect.list).bind(after).bind(limit);
        let rows: Vec<AnyRow> = query.fetch_all(&self.pool).await.map_err(Trouble::from)?;
        rows.iter().map(row::listed).collect()
    }

    async fn insert(&self, record: &AppRecord) -> Result<(), WriteError> {
        let inserted = sqlx::query(self.dialect.insert)
            .bind(record.id())
            .bind(record.key())
            .bind(row::document(record))
            .bind(row::version(record))
            .execute(&self.pool)
            .await;
        match inserted {
            Ok(_) => Ok(()),
            // MySQL does not say of what, in a way that could be relied on.
            Err(error) if trouble::is_taken(&error) => match self.version(record.id()).await? {
                Some(_) => Err(WriteError::IdTaken),
                None => Err(WriteError::KeyTaken),
            },
            Err(error) => Err(Trouble::from(error).into()),
        }
    }

    async fn update(&self, record: &AppRecord) -> Result<(), WriteError> {
        let version = row::version(record);
        let updated = sqlx::query(self.dialect.update)
            .bind(record.key())
            .bind(row::document(record))
            .bind(version)
            .bind(record.id())
            .bind(version - 1)
            .execute(&self.pool)
            .await;
        match updated {
            Ok(result) => self.judge(result.rows_affected(), record.id()).await,
            Err(error) if trouble::is_taken(&error) => Err(WriteError::KeyTaken),
            Err(error) => Err(Trouble::from(error).into()),
        }
    }

    async fn remove(&self, id: &str, version: u64) -> Result<(), WriteError> {
        // No row has a version that is too large for its column.
        let version = i64::try_from(version).unwrap_or(-1);
        let deleted = sqlx::query(self.dialect.delete).bind(id).bind(version).execute(&self.pool).await;
        self.judge(deleted.map_err(Trouble::from)?.rows_affected(), id).await
    }

    /// What it means that a change of one version of an app met so many rows.
    async fn judge(&self, rows: u64, id: &str) -> Result<(), WriteError> {
        if rows > 0 {
            return Ok(());
        }
        match self.version(id).await? {
            Some(_) => Err(WriteError::Changed),
            None => Err(WriteError::NotFound),
        }
    }

    /// The version of the app with this id, whatever else its row holds.
    async fn version(&self, id: &str) -> Result<Option<i64>, LookupError> {
        let version = sqlx::query_scalar(self.dialect.version).bind(id).fetch_optional(&self.pool).await;
        Ok(version.map_err(Trouble::from)?)
    }
}

impl Lookup for SqlStore {
    fn by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        within(async move { Ok(self.record(id).await?.map(|record| record.to_app())) }).boxed()
    }

    fn by_key<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        within(async move { Ok(self.record_by_key(key).await?.map(|record| record.to_app())) }).boxed()
    }
}

impl Records for SqlStore {
    fn list<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, LookupError>> {
        // Ids are not empty: everything comes after that.
        let (after, limit) = (after.unwrap_or(""), i64::try_from(limit).unwrap_or(i64::MAX));
        within(self.page(after, limit)).boxed()
    }

    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<AppRecord>, LookupError>> {
        within(self.record(id)).boxed()
    }

    fn create<'a>(&'a self, record: &'a AppRecord) -> BoxFuture<'a, Result<(), WriteError>> {
        within(self.insert(record)).boxed()
    }

    fn replace<'a>(&'a self, record: &'a AppRecord) -> BoxFuture<'a, Result<(), WriteError>> {
        within(self.update(record)).boxed()
    }

    fn delete<'a>(&'a self, id: &'a str, version: u64) -> BoxFuture<'a, Result<(), WriteError>> {
        within(self.remove(id, version)).boxed()
    }
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SqlStore({})", self.url)
    }
}

/// Whether a row could have this in such a column. PostgreSQL would take a NUL for a mistake of ours, and a client's key
/// may have one.
fn may_be_kept(name: &str, longest: usize) -> bool {
    !name.is_empty() && name.len() <= longest && !name.contains('\0')
}

/// A lookup or a change within its time.
async fn within<T, E: From<LookupError>>(asking: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    timeout(DEADLINE, asking).await.unwrap_or_else(|_| Err(LookupError::from(late()).into()))
}
