//! The cache over a store that counts what it is asked, and can be away.

mod shelf;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, advance, sleep, timeout};

use self::shelf::{Shelf, State};
use super::{Apps, Freshness, Standing, known};
use crate::store::LookupError;

const TTL: Duration = Duration::from_secs(60);
const MISS: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

fn cached(shelf: &Arc<Shelf>) -> Apps {
    Apps::cached(shelf.clone(), Freshness { app: TTL, miss: MISS })
}

/// Apps of a store that has this one.
fn with_app(id: &str) -> (Arc<Shelf>, Apps) {
    let shelf = Arc::new(Shelf::default());
    shelf.put(id, &[]);
    let apps = cached(&shelf);
    (shelf, apps)
}

fn key(id: &str) -> String {
    format!("key-{id}")
}

/// The limit by which versions of an app are told apart here.
async fn limit(apps: &Apps, id: &str) -> Option<u32> {
    apps.by_id(id).await.unwrap().unwrap().limits.max_connections
}

/// Lets everything happen that is due by now.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_who_ask_for_the_same_key_cost_one_lookup() {
    let (shelf, apps) = with_app("1");
    shelf.set(State::Slow(SECOND));
    let found = join_all((0..10_000).map(|_| apps.by_key("key-1"))).await;
    assert!(found.iter().all(|found| found.as_ref().unwrap().is_some()));
    assert_eq!(shelf.asked(), 1);
    apps.by_id("1").await.unwrap().unwrap();
    assert_eq!(shelf.asked(), 1, "who is known by key is known by id");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_does_not_cancel_the_lookup_of_the_others() {
    let (shelf, apps) = with_app("1");
    shelf.set(State::Slow(2 * SECOND));
    assert!(timeout(SECOND, apps.by_key("key-1")).await.is_err());
    assert!(apps.by_key("key-1").await.unwrap().is_some());
    assert_eq!(shelf.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_has_is_asked_for_again_only_after_its_time() {
    let (shelf, apps) = with_app("1");
    for _ in 0..3 {
        assert!(apps.by_key("key-2").await.unwrap().is_none());
    }
    assert_eq!(shelf.asked(), 1);
    shelf.put("2", &[]);
    assert!(apps.by_key("key-2").await.unwrap().is_none());
    advance(MISS).await;
    assert!(apps.by_key("key-2").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_can_be_no_id_and_no_key_costs_no_lookup() {
    let (shelf, apps) = with_app("1");
    for name in ["", "a b", "ä", &"k".repeat(201)] {
        assert!(apps.by_key(name).await.unwrap().is_none());
        assert!(apps.by_id(name).await.unwrap().is_none());
    }
    assert!(apps.by_id("abc").await.unwrap().is_none());
    assert_eq!(shelf.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn unknown_keys_cost_a_bounded_number_of_lookups_and_leave_nothing_behind() {
    let (shelf, apps) = with_app("1");
    tokio::spawn(apps.clone().keep_fresh());
    let keys: Vec<_> = (0..10_000).map(|number| format!("nobody-{number}")).collect();
    let answers = join_all(keys.iter().map(|key| apps.by_key(key))).await;
    let misses = answers.iter().filter(|answer| matches!(answer, Ok(None))).count();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(LookupError::Unavailable(_)))).count();
    assert_eq!((misses, refused), (200, 9_800));
    assert_eq!(shelf.asked(), 200);
    assert!(apps.figures().misses <= 1_000);
    sleep(SECOND).await;
    let answers = join_all(keys[5_000..].iter().map(|key| apps.by_key(key))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 100, "a second lets more through");
    sleep(2 * MISS).await;
    assert_eq!(apps.figures().misses, 0);
    assert!(apps.by_key("key-1").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_not_counted_against_those_who_ask_for_more() {
    let shelf = Arc::new(Shelf::default());
    (0..1_000).for_each(|number| shelf.put(&number.to_string(), &[]));
    shelf.set(State::Slow(Duration::from_millis(5)));
    let apps = cached(&shelf);
    let keys: Vec<_> = (0..1_000).map(|number| key(&number.to_string())).collect();
    let found = join_all(keys.iter().map(|key| apps.by_key(key))).await;
    assert!(found.into_iter().all(|found| found.unwrap().is_some()));
    assert!(shelf.most_at_once() <= 64, "{}", shelf.most_at_once());
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_what_was_known_goes_on_being_true() {
    let (shelf, apps) = with_app("1");
    assert!(apps.by_key("key-1").await.unwrap().is_some());
    for state in [State::Away, State::Silent] {
        shelf.set(state);
        for _ in 0..3_600 {
            advance(SECOND).await;
            let asked = Instant::now();
            assert!(apps.by_key("key-1").await.unwrap().is_some());
            assert!(asked.elapsed() <= Duration::from_millis(500), "{:?}", asked.elapsed());
        }
    }
    let figures = apps.figures();
    assert!(figures.stale > 7_000 && figures.errors > 1_000, "{figures:?}");
    shelf.set(State::There);
    shelf.put("1", &[("app_max_connections", "7")]);
    let back = Instant::now();
    while limit(&apps, "1").await != Some(7) {
        assert!(back.elapsed() < 8 * SECOND, "soon after it is back, what it says counts");
        advance(SECOND).await;
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_what_was_never_known_nobody_is_told_that_it_does_not_exist() {
    let (shelf, apps) = with_app("1");
    shelf.set(State::Away);
    assert!(matches!(apps.by_key("key-1").await, Err(LookupError::Unavailable(_))));
    shelf.set(State::Silent);
    let asked = Instant::now();
    assert!(matches!(apps.by_key("key-1").await, Err(LookupError::Unavailable(_))));
    assert!(asked.elapsed() <= SECOND, "nobody waits long for a store that is away: {:?}", asked.elapsed());
    shelf.set(State::There);
    sleep(5 * SECOND).await;
    assert!(
        apps.by_key("key-1").await.unwrap().is_some(),
        "as soon as nobody waits for the silent one any more"
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_who_finds_the_store_silent_waits_for_its_deadline() {
    let (shelf, apps) = with_app("1");
    shelf.set(State::Silent);
    let asked = Instant::now();
    assert!(matches!(apps.by_key("key-1").await, Err(LookupError::Unavailable(_))));
    assert_eq!(asked.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_takes_nobody_with_it() {
    let (shelf, apps) = with_app("1");
    shelf.set(State::Broken);
    assert!(matches!(apps.by_key("key-1").await, Err(LookupError::Unavailable(_))));
    shelf.set(State::There);
    assert!(apps.by_key("key-1").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_app_that_cannot_be_read_costs_the_others_nothing() {
    let (shelf, apps) = with_app("1");
    apps.by_id("1").await.unwrap().unwrap();
    shelf.put("2", &[]);
    shelf.spoil("2");
    for _ in 0..3 {
        let error = apps.by_key("key-2").await.unwrap_err();
        assert_eq!(error, LookupError::Unreadable("app 2: app_enabled must be true or false".to_owned()));
    }
    assert_eq!(shelf.asked(), 2);
    shelf.spoil("1");
    advance(TTL).await;
    assert!(apps.by_id("1").await.unwrap().is_some(), "as it was");
}

#[tokio::test(start_paused = true)]
async fn an_app_in_use_is_refreshed_ahead_and_nobody_waits_for_it() {
    let (shelf, apps) = with_app("1");
    apps.by_id("1").await.unwrap();
    shelf.set(State::Slow(SECOND));
    let begin = Instant::now();
    while begin.elapsed() < 10 * TTL {
        advance(Duration::from_millis(500)).await;
        let asked = Instant::now();
        let answers = join_all((0..10).map(|_| apps.by_id("1"))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().is_some()));
        assert_eq!(asked.elapsed(), Duration::ZERO);
        settle().await;
    }
    let refreshes = shelf.asked() - 1;
    assert!((10..=15).contains(&refreshes), "{refreshes}");
}

#[tokio::test(start_paused = true)]
async fn an_app_that_somebody_holds_is_looked_after_within_the_time() {
    let (shelf, apps) = with_app("1");
    let mut changes = apps.changes().unwrap();
    tokio::spawn(apps.clone().keep_fresh());
    let live = apps.live_by_key("key-1").await.unwrap().unwrap();
    assert_eq!(live.standing(), Standing::Active);
    shelf.put("1", &[("app_enabled", "false")]);
    let changed = Instant::now();
    assert_eq!(changes.recv().await.unwrap().as_str(), "1");
    assert!(changed.elapsed() <= TTL, "{:?}", changed.elapsed());
    assert_eq!(live.standing(), Standing::Disabled);
    shelf.put("1", &[]);
    changes.recv().await.unwrap();
    assert_eq!(live.standing(), Standing::Active);
    shelf.remove("1");
    changes.recv().await.unwrap();
    assert_eq!((live.standing(), live.load().enabled), (Standing::Gone, false));
    assert!(apps.by_key("key-1").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_holds_or_asks_for_is_not_refreshed() {
    let (shelf, apps) = with_app("1");
    tokio::spawn(apps.clone().keep_fresh());
    apps.by_id("1").await.unwrap();
    sleep(5 * TTL).await;
    assert_eq!(shelf.asked(), 1);
    assert_eq!(apps.figures().known, 1, "the store may be away just now");
    sleep(60 * TTL).await;
    assert_eq!(apps.figures().known, 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_told_is_known_at_once() {
    let (shelf, apps) = with_app("1");
    assert!(apps.by_key("key-2").await.unwrap().is_none());
    assert_eq!(limit(&apps, "1").await, None);
    shelf.put("1", &[("app_max_connections", "7")]);
    shelf.put("2", &[]);
    apps.changed("1");
    apps.changed("2");
    settle().await;
    assert_eq!(limit(&apps, "1").await, Some(7));
    assert!(apps.by_key("key-2").await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_told_during_a_lookup_is_not_overlooked() {
    let (shelf, apps) = with_app("1");
    shelf.set(State::Slow(SECOND));
    let (before, beside) = (apps.by_id("1"), async {
        // The store has read its answer by then.
        sleep(Duration::from_millis(900)).await;
        shelf.put("1", &[("app_max_connections", "7")]);
        apps.changed("1");
    });
    let (found, ()) = tokio::join!(before, beside);
    assert_eq!(found.unwrap().unwrap().limits.max_connections, Some(7));
}

#[tokio::test(start_paused = true)]
async fn an_app_with_another_key_is_not_found_by_the_former_one() {
    let (shelf, apps) = with_app("1");
    let mut changes = apps.changes().unwrap();
    assert!(apps.by_key("key-1").await.unwrap().is_some());
    shelf.put("1", &[("app_key", "other")]);
    assert!(apps.by_key("other").await.unwrap().is_some());
    assert!(apps.by_key("key-1").await.unwrap().is_none());
    assert!(changes.try_recv().is_err(), "who is connected is not concerned");
}

#[tokio::test(start_paused = true)]
async fn there_are_no_more_apps_than_the_bound_but_for_those_that_are_held() {
    let shelf = Arc::new(Shelf::default());
    let apps = cached(&shelf);
    let mut held = Vec::new();
    for number in 0..known::MOST + 500 {
        let id = number.to_string();
        shelf.put(&id, &[]);
        let live = apps.live_by_key(&key(&id)).await.unwrap().unwrap();
        if number < 10 {
            held.push(live);
        }
        shelf.remove(&id);
        advance(Duration::from_millis(10)).await;
    }
    let known = apps.figures().known;
    assert!(known <= known::MOST, "{known}");
    for live in held {
        assert!(apps.known(live.load().id.as_str()).is_some());
    }
    assert!(apps.known("10").is_none());
}

#[tokio::test]
async fn a_fixed_list_answers_without_waiting_and_never_changes() {
    use futures_util::FutureExt as _;
    let store = crate::store::ArrayStore::new([shelf::app("1", &[])]).unwrap();
    let apps = Apps::new(store);
    assert!(apps.by_id("1").now_or_never().unwrap().unwrap().is_some());
    assert!(apps.by_key("key-1").now_or_never().unwrap().unwrap().is_some());
    assert!(apps.by_key("key-2").now_or_never().unwrap().unwrap().is_none());
    assert!(apps.changes().is_none() && apps.figures().known == 1);
    apps.changed("1");
    assert_eq!(apps.live_by_key("key-1").await.unwrap().unwrap().standing(), Standing::Active);
}
