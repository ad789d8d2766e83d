//! The handle through which everybody finds apps: a fixed list, or a cache over a store.
//!
//! What the cache knows, it answers at once. One lookup at a time is under way for an id or a key, and all who ask
//! meanwhile get its answer. While the store is away, what was known goes on being true; of what was not, nobody is told
//! that it does not exist.
//!
//! Suggested reading order: [`Apps`]; [`live`], an app that may change; [`cache`], which puts the rest together, and in
//! `cache::lookup` asks the store: [`known`], the apps that are remembered, [`misses`], the names that are nobody's,
//! [`gate`], how much the store is asked, [`figures`], what is counted.

mod cache;
mod figures;
mod gate;
mod known;
mod live;
mod misses;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use tokio::sync::broadcast;

use self::cache::Cache;
pub use self::{
    figures::AppsFigures,
    live::{LiveApp, Standing},
};
use crate::{
    app::{App, AppId, AppKey},
    store::{ArrayStore, Lookup, LookupError},
};

/// All apps of the server. Cheap to clone: everybody holds the same ones.
#[derive(Clone)]
pub struct Apps {
    source: Source,
}

/// For how long an answer of the store is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// An app. It is asked for anew some time before, if it is in use.
    pub app: Duration,
    /// That there is none.
    pub miss: Duration,
}

#[derive(Clone)]
enum Source {
    /// Apps that never change.
    Fixed(Arc<Fixed>),
    Cached(Arc<Cache>),
}

struct Fixed {
    by_id: HashMap<AppId, LiveApp>,
    by_key: HashMap<AppKey, LiveApp>,
}

impl Apps {
    /// Apps that never change, found without waiting for anybody.
    pub fn new(store: ArrayStore) -> Self {
        let (mut by_id, mut by_key) = (HashMap::new(), HashMap::new());
        for app in store.into_apps() {
            let live = LiveApp::new(Arc::clone(&app));
            by_id.insert(app.id.clone(), live.clone());
            by_key.insert(app.key.clone(), live);
        }
        Self { source: Source::Fixed(Arc::new(Fixed { by_id, by_key })) }
    }

    /// Apps of a store that has to be asked. [`keep_fresh`](Self::keep_fresh) is to run beside it.
    pub fn cached(store: Arc<dyn Lookup>, freshness: Freshness) -> Self {
        Self { source: Source::Cached(Arc::new(Cache::new(store, freshness))) }
    }

    /// The app with this id, as the HTTP API names it.
    ///
    /// # Errors
    /// If the store does not say whether there is one.
    pub async fn by_id(&self, id: &str) -> Result<Option<Arc<App>>, LookupError> {
        match &self.source {
            Source::Fixed(fixed) => Ok(fixed.by_id.get(id).map(LiveApp::load_full)),
            Source::Cached(cache) => Ok(cache.by_id(id).await?.as_ref().map(LiveApp::load_full)),
        }
    }

    /// The app with this key, as clients name it.
    ///
    /// # Errors
    /// If the store does not say whether there is one.
    pub async fn by_key(&self, key: &str) -> Result<Option<Arc<App>>, LookupError> {
        Ok(self.live_by_key(key).await?.as_ref().map(LiveApp::load_full))
    }

    /// The same for somebody who goes on using it: as long as it is held, it is kept as fresh as everything else.
    ///
    /// # Errors
    /// If the store does not say whether there is one.
    pub async fn live_by_key(&self, key: &str) -> Result<Option<LiveApp>, LookupError> {
        match &self.source {
            Source::Fixed(fixed) => Ok(fixed.by_key.get(key).cloned()),
            Source::Cached(cache) => cache.by_key(key).await,
        }
    }

    /// What is known of the app with this id without asking anybody, however old that is.
    pub fn known(&self, id: &str) -> Option<Arc<App>> {
        match &self.source {
            Source::Fixed(fixed) => fixed.by_id.get(id).map(LiveApp::load_full),
            Source::Cached(cache) => cache.known(id).as_ref().map(LiveApp::load_full),
        }
    }

    /// Somebody has changed, created or deleted the app with this id: what is known of it is looked up anew. Nobody waits
    /// for that.
    pub fn changed(&self, id: &str) {
        if let Source::Cached(cache) = &self.source {
            cache.changed(id);
        }
    }

    /// Tells of the apps that are found changed in what concerns those who are connected: switched on or off, gone, with
    /// other webhooks or another bound for connections. Who is told too much at once should look at all that it has.
    /// `None` if nothing ever changes.
    pub fn changes(&self) -> Option<broadcast::Receiver<AppId>> {
        match &self.source {
            Source::Fixed(_) => None,
            Source::Cached(cache) => Some(cache.changes()),
        }
    }

    /// The apps that somebody holds, as far as they can change.
    pub fn held(&self) -> Vec<AppId> {
        match &self.source {
            Source::Fixed(_) => Vec::new(),
            Source::Cached(cache) => cache.held(),
        }
    }

    /// Looks after the apps that somebody holds, so that their changes are found within the time for which an answer is
    /// good. It never ends where apps can change.
    pub async fn keep_fresh(self) {
        if let Source::Cached(cache) = self.source {
            cache.keep_fresh().await;
        }
    }

    /// What was counted. All of it is nought where no store has to be asked, but for the apps that are known.
    pub fn figures(&self) -> AppsFigures {
        match &self.source {
            Source::Fixed(fixed) => AppsFigures { known: fixed.by_id.len(), ..AppsFigures::default() },
            Source::Cached(cache) => cache.figures(),
        }
    }
}

impl fmt::Debug for Apps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Source::Fixed(fixed) => f.debug_tuple("Apps").field(&fixed.by_id.keys()).finish(),
            Source::Cached(cache) => f.debug_tuple("Apps").field(cache).finish(),
        }
    }
}
