//! The cache over a store: one lookup at a time for each name, and what becomes of its answer.

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
    sync::{broadcast, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tracing::{error, info, warn};

use super::{
    AppsFigures, Freshness, LiveApp,
    figures::Counts,
    gate::{Gate, Purpose},
    known::Known,
    misses::Misses,
};
use crate::{
    app::{App, AppId, AppKey, settings},
    store::{Lookup, LookupError},
};

/// Time for an answer of the store, the wait for its turn among it.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long somebody waits for a new answer who can have an old one.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long the store is left alone with an app for which it had no answer.
const RETRY_MS: u64 = 1_000;

/// Lookups that are under way or wait for their turn. Beyond, who asks is told to come again.
const FLIGHTS: usize = 1_024;

/// Of these, how many are begun in one go to keep apps fresh.
const REFRESHES: usize = 256;

/// How often a lookup is made anew because the app was changed while it was under way.
const ATTEMPTS: u32 = 3;

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

/// Where the answer of a lookup will be.
type Flight = watch::Receiver<Option<Answer>>;

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

    /// The lookup of this name that is under way, or a new one. It goes on when nobody waits for it any more.
    fn fly(self: &Arc<Self>, name: Name, purpose: Purpose) -> Result<Flight, LookupError> {
        let mut flights = self.flights.lock();
        if let Some(flight) = flights.get(&name) {
            return Ok(flight.clone());
        }
        // It may have landed between the caller's look and this one.
        if purpose == Purpose::Discovery
            && let Some(answer) = self.found(&name)
        {
            return Ok(watch::channel(Some(answer)).1);
        }
        if flights.len() >= FLIGHTS {
            self.counts.refused.one();
            return Err(too_much());
        }
        let (landing, flight) = watch::channel(None);
        flights.insert(name.clone(), flight.clone());
        let flying = Flying { cache: Arc::clone(self), name };
        tokio::spawn(async move {
            let answer = flying.cache.answer(&flying.name, purpose).await;
            // What it found is known by now, so whoever finds no flight finds that.
            drop(flying);
            landing.send_replace(Some(answer));
        });
        Ok(flight)
    }

    fn found(&self, name: &Name) -> Option<Answer> {
        let known = {
            let known = self.known.read();
            match name {
                Name::Id(id) => known.by_id(id.as_str()).cloned(),
                Name::Key(key) => known.by_key(key.as_str()).cloned(),
            }
        };
        known.map(|live| Ok(Some(live))).or_else(|| self.missed(name))
    }

    /// Looks a name up, and anew if something was changed meanwhile: the answer may be of before that.
    async fn answer(&self, name: &Name, purpose: Purpose) -> Answer {
        let mut attempt = 1;
        loop {
            let epoch = self.epoch.load(SeqCst);
            let answer = self.look_up(name, purpose).await;
            if self.epoch.load(SeqCst) == epoch || attempt == ATTEMPTS {
                return answer;
            }
            // What is only known to be nobody's may be somebody's by now.
            self.misses.lock().remove(name);
            attempt += 1;
        }
    }

    async fn look_up(&self, name: &Name, purpose: Purpose) -> Answer {
        let asked = async {
            let Ok(pass) = self.gate.pass(purpose).await else {
                self.counts.refused.one();
                return Err(too_much());
            };
            let result = self.ask(name).await;
            if matches!(result, Ok(Some(_))) {
                pass.found();
            }
            self.take_note(&result);
            Ok(result)
        };
        let result = match timeout(DEADLINE, asked).await {
            Ok(Ok(result)) => result,
            Ok(Err(refused)) => return Err(refused),
            Err(_) => {
                let late = format!("it did not answer within {} ms", DEADLINE.as_millis());
                let result = Err(LookupError::Unavailable(late));
                self.take_note(&result);
                result
            }
        };
        self.land(name, result)
    }

    async fn ask(&self, name: &Name) -> Result<Option<App>, LookupError> {
        self.counts.lookups.one();
        match name {
            Name::Id(id) => self.store.by_id(id.as_str()).await,
            Name::Key(key) => self.store.by_key(key.as_str()).await,
        }
    }

    /// Counts what the store said, and logs once when it goes away and when it is back.
    fn take_note(&self, result: &Result<Option<App>, LookupError>) {
        match result {
            Ok(_) => {
                if self.is_away.swap(false, Relaxed) {
                    info!("the store of apps answers again");
                }
            }
            Err(LookupError::Unavailable(_)) => {
                self.counts.errors.one();
                if !self.is_away.swap(true, Relaxed)
                    && let Err(error) = result
                {
                    warn!(%error, "{error}: apps that are known go on as they are");
                }
            }
            Err(LookupError::Unreadable(_)) => self.counts.errors.one(),
        }
    }

    /// Remembers what the store said.
    fn land(&self, name: &Name, result: Result<Option<App>, LookupError>) -> Answer {
        match result {
            Ok(Some(app)) => Ok(Some(self.take_in(app))),
            Ok(None) => {
                if let Name::Id(id) = name {
                    self.give_up(id);
                }
                self.remember_miss(name, Ok(()));
                Ok(None)
            }
            Err(error) => {
                let known = match name {
                    Name::Id(id) => self.known(id.as_str()),
                    Name::Key(_) => None,
                };
                let is_news = match &known {
                    Some(live) => self.go_on_with(live),
                    None => true,
                };
                if let LookupError::Unreadable(what) = &error {
                    if is_news {
                        error!("an app cannot be used: {what}");
                    }
                    if known.is_none() {
                        self.remember_miss(name, Err(error.clone()));
                    }
                }
                Err(error)
            }
        }
    }

    fn take_in(&self, app: App) -> LiveApp {
        let (id, key) = (app.id.clone(), app.key.clone());
        let now = self.now();
        let (live, before) = {
            let mut known = self.known.write();
            known.make_room_for_one(now);
            known.put(app)
        };
        {
            let mut misses = self.misses.lock();
            misses.remove(&Name::Id(id.clone()));
            misses.remove(&Name::Key(key));
        }
        let (ttl, age) = (millis(self.freshness.app), live.age());
        // Apps that were found together are not looked at together for ever.
        age.refresh_at.store(now + ttl * u64::from(70 + jitter(15)) / 100, Relaxed);
        age.expires_at.store(now + ttl, Relaxed);
        age.is_failing.store(false, Relaxed);
        match before {
            None => age.used_at.store(now, Relaxed),
            Some(before) if concerns_the_connected(&before, &live.load()) => self.tell(id),
            Some(_) => {}
        }
        live
    }

    /// There is no such app any more, if there was one.
    fn give_up(&self, id: &AppId) {
        let gone = self.known.write().remove(id.as_str());
        if let Some(live) = gone {
            live.vanish();
            self.tell(id.clone());
        }
    }

    /// The store has no answer: what was known goes on being true. Says whether it had one before.
    fn go_on_with(&self, live: &LiveApp) -> bool {
        let age = live.age();
        age.refresh_at.store(self.now() + RETRY_MS + u64::from(jitter(250)), Relaxed);
        !age.is_failing.swap(true, Relaxed)
    }

    fn remember_miss(&self, name: &Name, miss: Result<(), LookupError>) {
        let now = self.now();
        self.misses.lock().put(name.clone(), miss, now, now + millis(self.freshness.miss));
    }

    fn tell(&self, id: AppId) {
        // An error would say that nobody listens.
        let _ = self.changes.send(id);
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

/// A lookup under way. It is not any more when this is dropped, also when the store panics.
struct Flying {
    cache: Arc<Cache>,
    name: Name,
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.cache.flights.lock().remove(&self.name);
    }
}

/// The answer of a lookup, when it is there.
async fn landed(mut flight: Flight) -> Answer {
    match flight.wait_for(Option::is_some).await {
        Ok(answer) => answer.clone().expect("it was waited for"),
        Err(_) => Err(LookupError::Unavailable("the lookup broke off".to_owned())),
    }
}

fn too_much() -> LookupError {
    LookupError::Unavailable("it is asked for too much that it does not have".to_owned())
}

/// Whether a change is one that those who are connected must not wait for until they ask.
fn concerns_the_connected(before: &App, now: &App) -> bool {
    before.enabled != now.enabled
        || before.webhooks != now.webhooks
        || before.limits.max_connections != now.limits.max_connections
}

/// An id as the settings allow it: nobody has another one.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A random number up to this one. Without random numbers from the system, there is none to be had.
fn jitter(most: u32) -> u32 {
    getrandom::u32().map_or(0, |bits| bits % (most + 1))
}
