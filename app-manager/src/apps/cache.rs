//! The cache over a store: what it knows, how good that is, and when the store is looked at for it.

mod lookup;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::{
    sync::broadcast,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use self::lookup::{Flight, landed};
use super::{
    AppsFigures, Freshness, LiveApp,
    figures::Counts,
    gate::{Gate, Purpose},
    known::Known,
    misses::Misses,
};
use crate::{
    app::{AppId, AppKey, settings},
    store::{Lookup, LookupError},
};

/// How long somebody waits for a new answer who can have an old one.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lookups that are begun in one go to keep apps fresh.
const REFRESHES: usize = 256;

/// Changes that are remembered for those who want to hear of them.
const CHANGES: usize = 1_024;

/// How often apps are forgotten that nobody uses.
const FORGET_EVERY: Duration = Duration::from_secs(60);

/// What an app is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Name {
    Id(AppId),
    Key(AppKey),
}

/// What a lookup ends with, for all who wait for it.
type Answer = Result<Option<LiveApp>, LookupError>;

pub(super) struct Cache {
    store: Arc<dyn Lookup>,
    freshness: Freshness,
    gate: Gate,
    known: RwLock<Known>,
    misses: Mutex<Misses>,
    flights: Mutex<HashMap<Name, Flight>>,
    /// Grows with each change that this node is told of: what was asked before may be older.
    epoch: AtomicU64,
    /// It was logged that the store does not answer.
    is_away: AtomicBool,
    changes: broadcast::Sender<AppId>,
    counts: Counts,
    began: Instant,
}

/// How good what is known is.
enum Quality {
    Fresh,
    /// Good, and soon too old.
    Due,
    /// Too old.
    Expired,
    /// Too old, and the store did not answer when it was asked.
    Stale,
}

impl Cache {
    pub(super) fn new(store: Arc<dyn Lookup>, freshness: Freshness) -> Self {
        Self {
            store,
            freshness,
            gate: Gate::new(),
            known: RwLock::default(),
            misses: Mutex::default(),
            flights: Mutex::default(),
            epoch: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            changes: broadcast::channel(CHANGES).0,
            counts: Counts::default(),
            began: Instant::now(),
        }
    }

    pub(super) async fn by_id(self: &Arc<Self>, id: &str) -> Answer {
        let known = self.known.read().by_id(id).cloned();
        match known {
            Some(live) => self.look_at(live).await,
            None if is_id(id) => self.discover(Name::Id(id.into())).await,
            None => Ok(None),
        }
    }

    pub(super) async fn by_key(self: &Arc<Self>, key: &str) -> Answer {
        let known = self.known.read().by_key(key).cloned();
        let live = match known {
            Some(live) => self.look_at(live).await?,
            None if settings::is_app_key(key) => self.discover(Name::Key(key.into())).await?,
            None => None,
        };
        // It may have had another key when it was looked at last.
        Ok(live.filter(|live| live.load().key.as_str() == key))
    }

    pub(super) fn known(&self, id: &str) -> Option<LiveApp> {
        self.known.read().by_id(id).cloned()
    }

    /// An app that is known: how it is, after a look at the store if need be.
    async fn look_at(self: &Arc<Self>, live: LiveApp) -> Answer {
        match self.quality(&live) {
            Quality::Fresh => self.counts.hits.one(),
            Quality::Due => {
                self.refresh(&live);
                self.counts.hits.one();
            }
            Quality::Stale => {
                self.refresh(&live);
                self.counts.stale.one();
            }
            Quality::Expired => {
                let name = Name::Id(live.load().id.clone());
                if let Ok(flight) = self.fly(name, Purpose::Refresh)
                    && let Ok(Ok(answer)) = timeout(PATIENCE, landed(flight)).await
                {
                    return Ok(answer);
                }
                self.counts.stale.one();
            }
        }
        Ok(Some(live))
    }

    fn quality(&self, live: &LiveApp) -> Quality {
        let (now, age) = (self.now(), live.age());
        // Once a second is enough, and leaves the memory of it to those who read.
        if age.used_at.load(Relaxed) + 1_000 <= now {
            age.used_at.store(now, Relaxed);
        }
        match (now < age.refresh_at.load(Relaxed), now < age.expires_at.load(Relaxed)) {
            (true, true) => Quality::Fresh,
            (false, true) => Quality::Due,
            (_, false) if age.is_failing.load(Relaxed) => Quality::Stale,
            (_, false) => Quality::Expired,
        }
    }

    /// Something that is not known, unless it is known that there is no such thing.
    async fn discover(self: &Arc<Self>, name: Name) -> Answer {
        if let Some(miss) = self.missed(&name) {
            self.counts.hits.one();
            return miss;
        }
        let flight = self.fly(name, Purpose::Discovery)?;
        if !self.is_away.load(Relaxed) {
            return landed(flight).await;
        }
        // It goes on, but nobody is to wait long for a store that has not answered of late.
        let late = || LookupError::Unavailable("it has not answered of late".to_owned());
        timeout(PATIENCE, landed(flight)).await.unwrap_or_else(|_| Err(late()))
    }

    fn missed(&self, name: &Name) -> Option<Answer> {
        let misses = self.misses.lock();
        misses.get(name, self.now()).map(|miss| miss.clone().map(|()| None))
    }

    /// Begins to look at an app anew if that is due. Nobody waits for it.
    fn refresh(self: &Arc<Self>, live: &LiveApp) {
        if live.age().refresh_at.load(Relaxed) <= self.now() {
            // If there are too many lookups under way, it is due again when somebody asks next.
            let _ = self.fly(Name::Id(live.load().id.clone()), Purpose::Refresh);
        }
    }

    pub(super) fn changes(&self) -> broadcast::Receiver<AppId> {
        self.changes.subscribe()
    }

    pub(super) fn held(&self) -> Vec<AppId> {
        self.known.read().held().map(|live| live.load().id.clone()).collect()
    }

    /// A new app may have any key, so that all misses are forgotten.
    pub(super) fn changed(self: &Arc<Self>, id: &str) {
        self.epoch.fetch_add(1, SeqCst);
        self.misses.lock().clear();
        if let Some(live) = self.known(id) {
            live.age().refresh_at.store(0, Relaxed);
            self.refresh(&live);
        }
    }

    /// See [`Apps::keep_fresh`](super::Apps::keep_fresh).
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        let often = (self.freshness.app / 10).clamp(Duration::from_millis(100), Duration::from_secs(1));
        let (mut looking, mut forgetting) = (interval(often), interval(FORGET_EVERY));
        looking.set_missed_tick_behavior(MissedTickBehavior::Delay);
        forgetting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looking.tick() => {
                    let now = self.now();
                    let due: Vec<_> = {
                        let known = self.known.read();
                        let is_due = |live: &&LiveApp| live.age().refresh_at.load(Relaxed) <= now;
                        known.held().filter(is_due).take(REFRESHES).cloned().collect()
                    };
                    due.iter().for_each(|live| self.refresh(live));
                    self.misses.lock().forget_old(now);
                }
                _ = forgetting.tick() => self.known.write().make_room(self.now()),
            }
        }
    }

    pub(super) fn figures(&self) -> AppsFigures {
        let counts = &self.counts;
        AppsFigures {
            hits: counts.hits.total(),
            lookups: counts.lookups.total(),
            errors: counts.errors.total(),
            stale: counts.stale.total(),
            refused: counts.refused.total(),
            known: self.known.read().len(),
            misses: self.misses.lock().len(),
        }
    }

    /// Milliseconds since the cache began.
    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("store", &self.store)
            .field("freshness", &self.freshness)
            .finish_non_exhaustive()
    }
}

/// An id as the settings allow it: nobody has another one.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
