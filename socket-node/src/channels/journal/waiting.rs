//! What was read and cannot be told yet, because its app is being looked up.

use std::{collections::HashMap, sync::Arc, time::Duration};

use app_manager::{
    app::{App, AppId},
    apps::Apps,
    store::LookupError,
};
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::sleep;

/// How many wait for apps of which nothing is known. What comes beyond is refused: apps whose lookups fail for long are not
/// to hold up all others.
const MAX_WAITING: usize = 5_000;

/// The same for one app.
const MAX_OF_APP: usize = 1_000;

/// Time between two lookups of an app, of which the first has failed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Things of apps, each in the order in which they came. An app is looked up as long as something of it waits, so that what
/// comes later stays behind that; nothing waits for the lookup of another app.
pub(super) struct Waiting<T> {
    apps: Apps,
    of_app: HashMap<AppId, Vec<T>>,
    /// How many there are.
    count: usize,
    /// One for each app.
    lookups: FuturesUnordered<BoxFuture<'static, Answer>>,
}

/// What the apps say of one of them.
type Answer = (AppId, Result<Option<Arc<App>>, LookupError>);

impl<T> Waiting<T> {
    pub(super) fn new(apps: Apps) -> Self {
        Self { apps, of_app: HashMap::new(), count: 0, lookups: FuturesUnordered::new() }
    }

    /// Has something wait for its app, behind everything else of the same app. If there is no room, it is dropped.
    pub(super) fn push(&mut self, app: AppId, thing: T) {
        let of_app = self.of_app.get(&app).map_or(0, Vec::len);
        let is_full = self.count >= MAX_WAITING || of_app >= MAX_OF_APP;
        // An app that is known need not be waited for, or not for long.
        if is_full && self.apps.known(app.as_str()).is_none() {
            return;
        }
        self.count += 1;
        self.of_app.entry(app.clone()).or_default().push(thing);
        if of_app == 0 {
            self.look_up(app, Duration::ZERO);
        }
    }

    /// Waits for an app, with all that waited for it; `None` for one that does not exist. For ever, if nothing waits.
    /// A call that is given up has lost nothing.
    pub(super) async fn next(&mut self) -> (Option<Arc<App>>, Vec<T>) {
        loop {
            let Some((id, answer)) = self.lookups.next().await else { return std::future::pending().await };
            match answer {
                Ok(app) => {
                    let things = self.of_app.remove(&id).unwrap_or_default();
                    self.count -= things.len();
                    return (app, things);
                }
                Err(_) => self.look_up(id, LOOK_AGAIN),
            }
        }
    }

    fn look_up(&self, id: AppId, after: Duration) {
        let apps = self.apps.clone();
        self.lookups.push(Box::pin(async move {
            if !after.is_zero() {
                sleep(after).await;
            }
            let answer = apps.by_id(id.as_str()).await;
            (id, answer)
        }));
    }
}

#[cfg(test)]
mod tests {
    use app_manager::{
        app::settings::{APP_SETTINGS, Problems, Setting, Values, build},
        apps::Freshness,
        store::{ArrayStore, Lookup},
    };
    use futures_util::{FutureExt as _, future::ready};
    use parking_lot::Mutex;

    use super::*;

    fn app(id: &str) -> App {
        let (mut values, mut problems) = (Values::new(APP_SETTINGS), Problems::default());
        for (name, value) in [("app_id", id), ("app_key", &format!("key-{id}")), ("app_secret", "secret")] {
            let setting = Setting::find_json(APP_SETTINGS, name).expect("every app has one");
            values.add(setting, &value.into(), name.into(), &mut problems);
        }
        build(&values, "test", &mut problems).expect("the three suffice")
    }

    /// A store that does not say anything of one app for a while.
    #[derive(Debug, Default)]
    struct Silent {
        of: Mutex<Option<&'static str>>,
    }

    impl Lookup for Silent {
        fn by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
            let is_silent = *self.of.lock() == Some(id);
            ready(if is_silent { Err(LookupError::Unavailable("away".into())) } else { Ok(Some(app(id))) })
                .boxed()
        }

        fn by_key<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
            ready(Ok(None)).boxed()
        }
    }

    /// Nothing, and a store that says nothing of app 1.
    fn silent_of_1() -> (Waiting<usize>, Arc<Silent>) {
        let silent = Arc::new(Silent { of: Mutex::new(Some("1")) });
        let freshness = Freshness { app: Duration::from_secs(3600), miss: Duration::from_secs(5) };
        let store: Arc<dyn Lookup> = Arc::<Silent>::clone(&silent);
        (Waiting::new(Apps::cached(store, freshness)), silent)
    }

    async fn next(waiting: &mut Waiting<usize>) -> (String, Vec<usize>) {
        let (app, things) = waiting.next().await;
        (app.expect("it exists").id.to_string(), things)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_later_of_an_app_waits_behind_the_first_and_what_is_of_others_does_not() {
        let (mut waiting, store) = silent_of_1();
        for (app, thing) in [("1", 1), ("2", 2), ("1", 3)] {
            waiting.push(app.into(), thing);
        }
        assert_eq!(next(&mut waiting).await, ("2".to_owned(), vec![2]));
        let patience = tokio::time::timeout(10 * LOOK_AGAIN, waiting.next()).await;
        assert!(patience.is_err(), "nobody knows the app");
        waiting.push("1".into(), 4);
        *store.of.lock() = None;
        assert_eq!(next(&mut waiting).await, ("1".to_owned(), vec![1, 3, 4]));
        waiting.push("1".into(), 5);
        assert_eq!(next(&mut waiting).await, ("1".to_owned(), vec![5]));
        assert_eq!(waiting.count, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_that_cannot_be_looked_up_takes_its_room_and_no_more() {
        let (mut waiting, store) = silent_of_1();
        (0..2 * MAX_OF_APP).for_each(|number| waiting.push("1".into(), number));
        waiting.push("2".into(), 0);
        assert_eq!(next(&mut waiting).await, ("2".to_owned(), vec![0]));
        *store.of.lock() = None;
        let (id, things) = next(&mut waiting).await;
        assert!(id == "1" && things.into_iter().eq(0..MAX_OF_APP));
    }

    #[tokio::test]
    async fn of_an_app_that_is_known_everything_has_room() {
        let apps = Apps::new(ArrayStore::new([app("1")]).expect("there is one"));
        let mut waiting = Waiting::new(apps);
        (0..2 * MAX_OF_APP).for_each(|number| waiting.push("1".into(), number));
        let (id, things) = next(&mut waiting).await;
        assert!(id == "1" && things.into_iter().eq(0..2 * MAX_OF_APP));
    }
}
