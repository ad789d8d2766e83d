//! A lookup: one at a time for each name, and what becomes of its answer.

use std::{
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use tracing::{error, info, warn};

use super::{Answer, Cache, Name, millis};
use crate::{
    app::{App, AppId},
    apps::{LiveApp, gate::Purpose},
    store::LookupError,
};

/// Time for an answer of the store, the wait for its turn among it.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long the store is left alone with an app for which it had no answer.
const RETRY_MS: u64 = 1_000;

/// Lookups that are under way or wait for their turn. Beyond, who asks is told to come again.
const FLIGHTS: usize = 1_024;

/// How often a lookup is made anew because the app was changed while it was under way.
const ATTEMPTS: u32 = 3;

/// Where the answer of a lookup will be.
pub(super) type Flight = watch::Receiver<Option<Answer>>;

impl Cache {
    /// The lookup of this name that is under way, or a new one. It goes on when nobody waits for it any more.
    pub(super) fn fly(self: &Arc<Self>, name: Name, purpose: Purpose) -> Result<Flight, LookupError> {
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
pub(super) async fn landed(mut flight: Flight) -> Answer {
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

/// A random number up to this one. Without random numbers from the system, there is none to be had.
fn jitter(most: u32) -> u32 {
    getrandom::u32().map_or(0, |bits| bits % (most + 1))
}
