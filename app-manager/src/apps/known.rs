//! The apps that are remembered.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::live::LiveApp;
use crate::app::{App, AppId, AppKey};

/// Apps that are remembered. Those that somebody holds stay beyond it: they are in memory as it is.
pub(super) const MOST: usize = 10_000;

/// How many leave at once when there is no room: looking for them costs a pass over all.
const LEAVING: usize = MOST / 10;

/// Milliseconds after which an app that nobody has asked for, and nobody holds, is forgotten.
const IDLE_MS: u64 = 3_600_000;

/// Apps by id and by key.
#[derive(Debug, Default)]
pub(super) struct Known {
    by_id: HashMap<AppId, LiveApp>,
    ids: HashMap<AppKey, AppId>,
    /// How many there were when room was last looked for in vain.
    looked_at: usize,
}

impl Known {
    pub(super) fn by_id(&self, id: &str) -> Option<&LiveApp> {
        self.by_id.get(id)
    }

    pub(super) fn by_key(&self, key: &str) -> Option<&LiveApp> {
        self.by_id.get(self.ids.get(key)?)
    }

    /// Remembers an app, or how it is now. What it was before comes back, if it was known.
    pub(super) fn put(&mut self, app: App) -> (LiveApp, Option<Arc<App>>) {
        let (id, key) = (app.id.clone(), app.key.clone());
        let (live, before) = match self.by_id.entry(id.clone()) {
            Entry::Occupied(known) => {
                let before = known.get().replace(app);
                (known.get().clone(), Some(before))
            }
            Entry::Vacant(free) => (free.insert(LiveApp::new(Arc::new(app))).clone(), None),
        };
        if let Some(before) = before.as_ref().filter(|before| before.key != key) {
            self.forget_key(before);
        }
        self.ids.insert(key, id);
        (live, before)
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<LiveApp> {
        let live = self.by_id.remove(id)?;
        self.forget_key(&live.load());
        Some(live)
    }

    /// Another app may have the key by now.
    fn forget_key(&mut self, app: &App) {
        if self.ids.get(&app.key) == Some(&app.id) {
            self.ids.remove(&app.key);
        }
    }

    /// Makes room if there is none. Where nearly all are held, it is not looked for again before there are many more.
    pub(super) fn make_room_for_one(&mut self, now: u64) {
        if self.by_id.len() >= MOST.max(self.looked_at + LEAVING) {
            self.make_room(now);
            self.looked_at = if self.by_id.len() >= MOST { self.by_id.len() } else { 0 };
        }
    }

    /// Forgets apps that nobody holds: those that have been idle for long, and if there are too many, those that have been
    /// so for longest.
    pub(super) fn make_room(&mut self, now: u64) {
        let used_at = |live: &LiveApp| live.age().used_at.load(Relaxed);
        let mut unheld: Vec<_> = self.by_id.iter().filter(|(_, live)| !live.is_held()).collect();
        unheld.sort_unstable_by_key(|(_, live)| used_at(live));
        let idle = unheld.iter().take_while(|(_, live)| used_at(live) + IDLE_MS <= now).count();
        let surplus = if self.by_id.len() >= MOST { self.by_id.len() - MOST + LEAVING } else { 0 };
        let leaving: Vec<_> = unheld.iter().take(idle.max(surplus)).map(|(id, _)| (*id).clone()).collect();
        for id in leaving {
            self.remove(id.as_str());
        }
    }

    /// Those that somebody holds.
    pub(super) fn held(&self) -> impl Iterator<Item = &LiveApp> {
        self.by_id.values().filter(|live| live.is_held())
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}
