//! Apps that the settings name: a fixed list in memory.

use std::{collections::HashMap, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt as _, ready};
use thiserror::Error;

use super::{Lookup, LookupError};
use crate::app::{App, AppId, AppKey};

/// A fixed list of apps, found by id and by key.
#[derive(Debug)]
pub struct ArrayStore {
    by_id: HashMap<AppId, Arc<App>>,
    by_key: HashMap<AppKey, Arc<App>>,
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
        let mut store = Self { by_id: HashMap::new(), by_key: HashMap::new() };
        for app in apps {
            let app = Arc::new(app);
            if store.by_id.insert(app.id.clone(), Arc::clone(&app)).is_some() {
                return Err(DuplicateApp::Id(app.id.clone()));
            }
            if store.by_key.insert(app.key.clone(), Arc::clone(&app)).is_some() {
                return Err(DuplicateApp::Key(app.key.clone()));
            }
        }
        Ok(store)
    }

    /// The app with this id.
    pub fn by_id(&self, id: &str) -> Option<Arc<App>> {
        self.by_id.get(id).cloned()
    }

    /// The app with this key.
    pub fn by_key(&self, key: &str) -> Option<Arc<App>> {
        self.by_key.get(key).cloned()
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
