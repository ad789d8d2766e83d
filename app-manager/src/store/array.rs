//! Apps in memory: those that the settings name.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use parking_lot::RwLock;
use thiserror::Error;

use super::{Listed, Lookup, LookupError, Records, WriteError};
use crate::{
    app::{App, AppId, AppKey},
    record::AppRecord,
};

/// Apps in memory, found by id and by key. What is changed lasts as long as the process.
#[derive(Debug, Default)]
pub struct ArrayStore {
    apps: RwLock<Apps>,
}

#[derive(Debug, Default)]
struct Apps {
    by_id: BTreeMap<AppId, Entry>,
    by_key: HashMap<AppKey, AppId>,
}

/// One app.
#[derive(Debug)]
struct Entry {
    app: Arc<App>,
    /// What it was made of. Of an app out of the server's settings this is not known.
    record: Option<AppRecord>,
}

/// Two apps cannot be told apart.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum DuplicateApp {
    /// The id is used twice.
    #[error("two apps have the id '{0}'")]
    Id(AppId),
    /// The key is used twice.
    #[error("two apps have the key '{0}'")]
    Key(AppKey),
}

impl ArrayStore {
    /// A store of these apps.
    ///
    /// # Errors
    /// If two of them share an id or a key.
    pub fn new(apps: impl IntoIterator<Item = App>) -> Result<Self, DuplicateApp> {
        let mut kept = Apps::default();
        for app in apps {
            let (id, key) = (app.id.clone(), app.key.clone());
            kept.insert(Entry { app: Arc::new(app), record: None }).map_err(|taken| match taken {
                Taken::Id => DuplicateApp::Id(id),
                Taken::Key => DuplicateApp::Key(key),
            })?;
        }
        Ok(Self { apps: RwLock::new(kept) })
    }

    /// All of them, in no particular order.
    pub(crate) fn into_apps(self) -> impl Iterator<Item = Arc<App>> {
        self.apps.into_inner().by_id.into_values().map(|entry| entry.app)
    }

    /// The app with this id.
    pub fn by_id(&self, id: &str) -> Option<Arc<App>> {
        self.apps.read().by_id.get(id).map(|entry| Arc::clone(&entry.app))
    }

    /// The app with this key.
    pub fn by_key(&self, key: &str) -> Option<Arc<App>> {
        let apps = self.apps.read();
        let id = apps.by_key.get(key)?;
        apps.by_id.get(id).map(|entry| Arc::clone(&entry.app))
    }

    fn list_now(&self, after: Option<&str>, limit: usize) -> Vec<Listed> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let apps = self.apps.read();
        let entries = apps.by_id.range::<str, _>((from, Bound::Unbounded)).take(limit);
        entries
            .map(|(id, entry)| Listed {
                id: id.to_string(),
                record: entry.record().map_err(|error| error.to_string()),
            })
            .collect()
    }

    fn replace_now(&self, record: &AppRecord) -> Result<(), WriteError> {
        let mut apps = self.apps.write();
        let old_key = apps.expect(record.id(), record.version() - 1)?;
        if apps.by_key.get(record.key()).is_some_and(|owner| owner.as_str() != record.id()) {
            return Err(WriteError::KeyTaken);
        }
        apps.by_key.remove(&old_key);
        apps.by_id.remove(record.id());
        apps.insert(Entry::of(record)).map_err(WriteError::from)
    }

    fn delete_now(&self, id: &str, version: u64) -> Result<(), WriteError> {
        let mut apps = self.apps.write();
        let key = apps.expect(id, version)?;
        apps.by_key.remove(&key);
        apps.by_id.remove(id);
        Ok(())
    }
}

/// What keeps an app out.
enum Taken {
    Id,
    Key,
}

impl From<Taken> for WriteError {
    fn from(taken: Taken) -> Self {
        match taken {
            Taken::Id => Self::IdTaken,
            Taken::Key => Self::KeyTaken,
        }
    }
}

impl Apps {
    fn insert(&mut self, entry: Entry) -> Result<(), Taken> {
        let (id, key) = (entry.app.id.clone(), entry.app.key.clone());
        if self.by_id.contains_key(&id) {
            return Err(Taken::Id);
        }
        if self.by_key.contains_key(&key) {
            return Err(Taken::Key);
        }
        self.by_key.insert(key, id.clone());
        self.by_id.insert(id, entry);
        Ok(())
    }

    /// The key of the app with this id, if this is its version.
    fn expect(&self, id: &str, version: u64) -> Result<AppKey, WriteError> {
        let entry = self.by_id.get(id).ok_or(WriteError::NotFound)?;
        if entry.record()?.version() == version {
            Ok(entry.app.key.clone())
        } else {
            Err(WriteError::Changed)
        }
    }
}

impl Entry {
    fn of(record: &AppRecord) -> Self {
        Self { app: Arc::new(record.to_app()), record: Some(record.clone()) }
    }

    fn record(&self) -> Result<AppRecord, LookupError> {
        self.record.clone().ok_or_else(|| {
            let what =
                format!("app {}: comes out of the server's settings, and is changed there", self.app.id);
            LookupError::Unreadable(what)
        })
    }
}

/// For whoever takes any store. Whoever holds an `ArrayStore` gets its apps without a copy, and at once.
impl Lookup for ArrayStore {
    fn by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        ready(Ok(self.by_id(id).map(Arc::unwrap_or_clone))).boxed()
    }

    fn by_key<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        ready(Ok(self.by_key(key).map(Arc::unwrap_or_clone))).boxed()
    }
}

impl Records for ArrayStore {
    fn list<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, LookupError>> {
        ready(Ok(self.list_now(after, limit))).boxed()
    }

    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<AppRecord>, LookupError>> {
        ready(self.apps.read().by_id.get(id).map(Entry::record).transpose()).boxed()
    }

    fn create<'a>(&'a self, record: &'a AppRecord) -> BoxFuture<'a, Result<(), WriteError>> {
        ready(self.apps.write().insert(Entry::of(record)).map_err(WriteError::from)).boxed()
    }

    fn replace<'a>(&'a self, record: &'a AppRecord) -> BoxFuture<'a, Result<(), WriteError>> {
        ready(self.replace_now(record)).boxed()
    }

    fn delete<'a>(&'a self, id: &'a str, version: u64) -> BoxFuture<'a, Result<(), WriteError>> {
        ready(self.delete_now(id, version)).boxed()
    }
}
