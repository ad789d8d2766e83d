//! The handle through which everybody finds apps.

use std::sync::Arc;

use crate::{app::App, store::ArrayStore};

/// All apps of the server. Cheap to clone: everybody holds the same one.
#[derive(Clone, Debug)]
pub struct Apps {
    store: Arc<ArrayStore>,
}

impl Apps {
    /// Apps out of this store.
    pub fn new(store: ArrayStore) -> Self {
        Self { store: Arc::new(store) }
    }

    /// The app with this id, as the HTTP API names it.
    pub fn by_id(&self, id: &str) -> Option<Arc<App>> {
        self.store.by_id(id)
    }

    /// The app with this key, as clients name it.
    pub fn by_key(&self, key: &str) -> Option<Arc<App>> {
        self.store.by_key(key)
    }
}
