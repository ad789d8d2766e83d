//! A store in memory.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::{
    app::{
        App,
        settings::{self, APP_SETTINGS, Problems, Setting, Values},
    },
    store::{Lookup, LookupError},
};

/// Apps that a test puts here, and how often somebody asked.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    apps: Mutex<HashMap<String, App>>,
    spoiled: Mutex<HashSet<String>>,
    state: Mutex<State>,
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// How the store is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum State {
    #[default]
    There,
    /// Its answers, read at once, take this long.
    Slow(Duration),
    /// It refuses.
    Away,
    /// It does not answer.
    Silent,
    /// It panics.
    Broken,
}

impl Shelf {
    /// An app with these settings beside its credentials, instead of the former one.
    pub(super) fn put(&self, id: &str, settings: &[(&str, &str)]) {
        self.apps.lock().insert(id.to_owned(), app(id, settings));
    }

    pub(super) fn remove(&self, id: &str) {
        self.apps.lock().remove(id);
    }

    /// What is kept of this app is no app any more.
    pub(super) fn spoil(&self, id: &str) {
        self.spoiled.lock().insert(id.to_owned());
    }

    pub(super) fn set(&self, state: State) {
        *self.state.lock() = state;
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(SeqCst)
    }

    pub(super) fn most_at_once(&self) -> usize {
        self.most_at_once.load(SeqCst)
    }

    async fn answer(&self, find: impl FnOnce(&Self) -> Option<App>) -> Result<Option<App>, LookupError> {
        self.asked.fetch_add(1, SeqCst);
        self.most_at_once.fetch_max(self.at_once.fetch_add(1, SeqCst) + 1, SeqCst);
        let found = find(self);
        let state = *self.state.lock();
        let is_there = match state {
            State::There => Ok(()),
            State::Slow(time) => {
                sleep(time).await;
                Ok(())
            }
            State::Away => Err(LookupError::Unavailable("away".to_owned())),
            State::Silent => std::future::pending().await,
            State::Broken => panic!("the store is broken"),
        };
        self.at_once.fetch_sub(1, SeqCst);
        is_there?;
        match found {
            Some(app) if self.spoiled.lock().contains(app.id.as_str()) => {
                Err(LookupError::Unreadable(format!("app {}: app_enabled must be true or false", app.id)))
            }
            found => Ok(found),
        }
    }
}

impl Lookup for Shelf {
    fn by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        self.answer(move |shelf| shelf.apps.lock().get(id).cloned()).boxed()
    }

    fn by_key<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        let has_it = move |app: &&App| app.key.as_str() == key;
        let find = move |shelf: &Self| shelf.apps.lock().values().find(has_it).cloned();
        self.answer(find).boxed()
    }
}

/// An app with these settings beside its credentials.
pub(super) fn app(id: &str, settings: &[(&str, &str)]) -> App {
    let (mut values, mut problems) = (Values::new(APP_SETTINGS), Problems::default());
    let own_key = format!("key-{id}");
    let credentials = [("app_id", id), ("app_key", &own_key), ("app_secret", "secret")];
    let is_given = |name: &str| settings.iter().any(|(given, _)| *given == name);
    for (name, text) in credentials.iter().filter(|(name, _)| !is_given(name)).chain(settings) {
        let setting = Setting::find_json(APP_SETTINGS, name).unwrap();
        values.add(setting, &(*text).into(), (*name).to_owned(), &mut problems);
    }
    settings::build(&values, "the test's app", &mut problems).filter(|_| problems.is_empty()).unwrap()
}
