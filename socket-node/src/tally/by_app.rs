//! What is counted for each app.

use std::{collections::HashMap, sync::Arc};

use app_manager::app::AppId;
use arc_swap::ArcSwap;

use super::Count;

/// Apps that are counted apart. All others share one tally, so that the number of apps cannot make what is counted
/// grow without bound.
const MAX_APPS: usize = 100;

/// A tally for each of the first apps that are seen, and one for all others.
///
/// Nobody waits for a lock to count. Which apps are counted apart is one map that is never changed, but replaced when
/// another app comes, and that happens a hundred times.
///
/// An app keeps its tally, whose counts only grow, although it is deleted or is not used any more. It loses it when all are
/// taken and the node does not know it any more ([`make_room`](Self::make_room)), so that apps that are gone do not send all
/// later ones to the others. What it counted is not added to the others': who looks at rates would see them leap.
#[derive(Debug, Default)]
pub struct ByApp {
    apart: ArcSwap<HashMap<AppId, Arc<AppTally>>>,
    others: Arc<AppTally>,
}

/// What is counted for an app.
#[derive(Debug, Default)]
pub struct AppTally {
    /// Connections that began.
    pub connections: Count,
    /// Connections that ended.
    pub disconnections: Count,
    /// Events that its backend published, each channel's apart.
    pub api_events: Count,
    /// Events that its clients sent and that went out.
    pub client_events: Count,
}

impl ByApp {
    pub(super) fn new(apps: impl IntoIterator<Item = AppId>) -> Self {
        let apart: HashMap<_, _> = apps.into_iter().take(MAX_APPS).map(|app| (app, Arc::default())).collect();
        Self { apart: ArcSwap::from_pointee(apart), others: Arc::default() }
    }

    /// Where this app is counted. To be held by who counts a beginning until the end is counted: the app may be counted
    /// elsewhere by then.
    pub fn of(&self, app: &AppId) -> Arc<AppTally> {
        self.with(app, Arc::clone)
    }

    /// The same for who counts something at once, and shares no reference count with others who do.
    pub fn with<T>(&self, app: &AppId, count: impl FnOnce(&Arc<AppTally>) -> T) -> T {
        let apart = self.apart.load();
        match apart.get(app) {
            Some(tally) => count(tally),
            None if apart.len() < MAX_APPS => count(&self.admit(app)),
            None => count(&self.others),
        }
    }

    /// Gives an app a tally of its own, if there is one left when it comes to that.
    fn admit(&self, app: &AppId) -> Arc<AppTally> {
        self.apart.rcu(|apart| {
            if apart.len() >= MAX_APPS || apart.contains_key(app) {
                return Arc::clone(apart);
            }
            let mut more = HashMap::clone(apart);
            more.insert(app.clone(), Arc::default());
            Arc::new(more)
        });
        Arc::clone(self.apart.load().get(app).unwrap_or(&self.others))
    }

    /// If all tallies are taken, gives up those of apps that nobody is connected to and that are not known. Should one of them
    /// come again, it begins at nought. What is counted for it at this very moment is lost.
    pub fn make_room(&self, is_known: impl Fn(&AppId) -> bool) {
        let is_to_stay = |app: &AppId, tally: &AppTally| tally.active() > 0 || is_known(app);
        self.apart.rcu(|apart| {
            if apart.len() < MAX_APPS || apart.iter().all(|(app, tally)| is_to_stay(app, tally)) {
                return Arc::clone(apart);
            }
            let mut fewer = HashMap::clone(apart);
            fewer.retain(|app, tally| is_to_stay(app, tally));
            Arc::new(fewer)
        });
    }

    /// All tallies of this moment, that of the apps without one of their own under no id. In no particular order.
    pub fn all(&self) -> Vec<(Option<AppId>, Arc<AppTally>)> {
        let apart = self.apart.load();
        let apart = apart.iter().map(|(app, tally)| (Some(app.clone()), Arc::clone(tally)));
        apart.chain([(None, Arc::clone(&self.others))]).collect()
    }
}

impl AppTally {
    /// Connections that have begun and not ended.
    pub fn active(&self) -> u64 {
        // Ends are read first, so that no connection has ended before it began.
        let ended = self.disconnections.total();
        self.connections.total().saturating_sub(ended)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn app(number: usize) -> AppId {
        AppId::from(number.to_string().as_str())
    }

    /// The tallies, all taken by apps that came one after the other.
    fn full() -> ByApp {
        let apps = ByApp::default();
        for number in 0..MAX_APPS {
            apps.with(&app(number), |tally| tally.api_events.one());
        }
        assert_eq!(apps.all().len(), MAX_APPS + 1);
        apps
    }

    /// Events of an app's backend that were counted for it alone; `None` if it has no tally of its own.
    fn events(apps: &ByApp, number: usize) -> Option<u64> {
        let all = apps.all();
        let own = all.iter().find(|(id, _)| id.as_ref() == Some(&app(number)));
        own.map(|(_, tally)| tally.api_events.total())
    }

    #[test]
    fn apps_beyond_the_bound_share_a_tally() {
        let apps = ByApp::default();
        for number in 0..2 * MAX_APPS {
            apps.of(&app(number)).connections.one();
        }
        assert_eq!(apps.all().len(), MAX_APPS + 1);
        assert_eq!(apps.of(&app(0)).active(), 1);
        assert_eq!(apps.of(&app(MAX_APPS)).active(), MAX_APPS as u64);
    }

    #[test]
    fn apps_of_the_settings_come_first_and_are_there_before_they_are_seen() {
        let apps = ByApp::new((0..2 * MAX_APPS).map(app));
        assert_eq!(events(&apps, MAX_APPS - 1), Some(0));
        assert_eq!(events(&apps, MAX_APPS), None);
        apps.with(&app(MAX_APPS), |tally| tally.api_events.one());
        assert_eq!(apps.others.api_events.total(), 1);
    }

    #[test]
    fn many_threads_that_race_for_the_last_tallies_lose_no_count() {
        const THREADS: usize = 8;
        const APPS: usize = MAX_APPS + 20;
        for round in 0..50 {
            let apps = ByApp::new((0..MAX_APPS - 10).map(app));
            let start = Barrier::new(THREADS);
            std::thread::scope(|scope| {
                for thread in 0..THREADS {
                    let (apps, start) = (&apps, &start);
                    scope.spawn(move || {
                        start.wait();
                        // Each begins with another one, so that they do not agree on which are the last.
                        for step in 0..APPS {
                            let number = (step + thread * APPS / THREADS) % APPS;
                            apps.with(&app(number), |tally| tally.api_events.one());
                        }
                    });
                }
            });
            let counted: Vec<_> = (0..APPS).filter_map(|number| events(&apps, number)).collect();
            assert_eq!(counted, [THREADS as u64; MAX_APPS], "round {round}: all of an app's, or none");
            assert_eq!(apps.others.api_events.total(), (THREADS * 20) as u64, "round {round}");
        }
    }

    #[test]
    fn as_many_connections_end_as_began_wherever_room_is_made_meanwhile() {
        const THREADS: usize = 8;
        let (apps, start) = (full(), Barrier::new(THREADS + 1));
        let staying = apps.of(&app(0));
        staying.connections.one();
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (apps, start) = (&apps, &start);
                scope.spawn(move || {
                    start.wait();
                    for number in 0..2_000 {
                        let tally = apps.of(&app(thread + number));
                        tally.connections.one();
                        tally.disconnections.one();
                    }
                });
            }
            start.wait();
            for _ in 0..500 {
                apps.make_room(|_| false);
                assert!(apps.all().len() <= MAX_APPS + 1);
            }
        });
        assert!(Arc::ptr_eq(&staying, &apps.of(&app(0))), "somebody is connected all the while");
        staying.disconnections.one();
        for (app, tally) in apps.all() {
            assert_eq!(tally.connections.total(), tally.disconnections.total(), "{app:?}");
        }
    }

    #[test]
    fn a_connection_ends_where_it_began() {
        let apps = full();
        let late = app(MAX_APPS);
        let connected = apps.of(&late);
        connected.connections.one();
        apps.make_room(|known| *known != app(0));
        apps.of(&late).connections.one();
        assert_eq!((apps.of(&late).active(), apps.others.active()), (1, 1));
        connected.disconnections.one();
        assert_eq!((apps.of(&late).active(), apps.others.active()), (1, 0));
    }

    #[test]
    fn apps_that_are_gone_make_room_for_later_ones_when_all_tallies_are_taken() {
        let apps = full();
        apps.make_room(|known| *known != app(0));
        assert_eq!(events(&apps, 0), None);
        assert_eq!(apps.others.api_events.total(), 0, "what it counted leaps nowhere");
        // There is room now, so the next one that is gone stays.
        apps.make_room(|known| *known != app(1));
        assert_eq!(events(&apps, 1), Some(1));
        apps.with(&app(MAX_APPS), |tally| tally.api_events.one());
        assert_eq!(events(&apps, MAX_APPS), Some(1));
        apps.with(&app(MAX_APPS + 1), |tally| tally.api_events.one());
        assert_eq!(events(&apps, MAX_APPS + 1), None);
    }

    #[test]
    fn an_app_that_is_gone_keeps_its_tally_until_the_last_connection_has_ended() {
        let apps = full();
        let connected = apps.of(&app(0));
        connected.connections.one();
        apps.make_room(|known| *known != app(0));
        assert_eq!(events(&apps, 0), Some(1));
        connected.disconnections.one();
        apps.make_room(|known| *known != app(0));
        assert_eq!(events(&apps, 0), None);
    }

    #[test]
    fn short_lived_apps_without_number_never_take_more_than_the_bound() {
        let apps = ByApp::default();
        for number in 0..10 * MAX_APPS {
            let tally = apps.of(&app(number));
            tally.connections.one();
            tally.disconnections.one();
            apps.make_room(|known| *known == app(number));
            assert!(apps.all().len() <= MAX_APPS + 1);
            assert!(Arc::ptr_eq(&apps.of(&app(number)), &tally), "{number} has one of its own");
        }
        assert_eq!(apps.others.connections.total(), 0);
    }
}
