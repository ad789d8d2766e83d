//! The promises. Each function gets an empty store.

use std::collections::BTreeSet;

use app_manager::{
    record::AppRecord,
    store::{Records, WriteError},
};
use futures_util::future::join_all;
use serde_json::json;

use crate::fixtures::{app, app_with, changed};

/// How many do the same thing at the same time.
const CROWD: usize = 20;

/// Expects the app to be found in every way, in exactly this version.
async fn holds(store: &dyn Records, record: &AppRecord) {
    assert_eq!(store.get(record.id()).await.expect("the store answers").as_ref(), Some(record));
    for found in [store.by_id(record.id()).await, store.by_key(record.key()).await] {
        // Apps cannot be compared, but their `Debug` has everything but the secret.
        let (found, expected) = (found.expect("the store answers").expect("it is there"), record.to_app());
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        assert_eq!(found.sign_webhook(b"body"), expected.sign_webhook(b"body"));
    }
}

async fn has_no_key(store: &dyn Records, key: &str) {
    assert!(store.by_key(key).await.expect("the store answers").is_none(), "{key}");
}

async fn has_no_id(store: &dyn Records, id: &str) {
    assert!(store.by_id(id).await.expect("the store answers").is_none(), "{id}");
    assert_eq!(store.get(id).await.expect("the store answers"), None);
}

/// Every id in the store, in its order, read in pages of this size.
async fn ids(store: &dyn Records, limit: usize) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let page = store.list(ids.last().map(String::as_str), limit).await.expect("the store answers");
        assert!(page.len() <= limit);
        let is_last = page.len() < limit;
        for listed in page {
            assert_eq!(listed.record.expect("it is an app").id(), listed.id);
            ids.push(listed.id);
        }
        if is_last {
            return ids;
        }
    }
}

pub(crate) async fn what_is_created_is_found_as_it_was(store: &dyn Records) {
    let records = [app("1", "one"), app_with("2", "two", json!({"app_enabled": false}))];
    for record in &records {
        assert_eq!(store.create(record).await, Ok(()));
        // At once: no index may lag behind.
        holds(store, record).await;
    }
    for record in &records {
        holds(store, record).await;
    }
}

pub(crate) async fn what_is_not_there_is_not_found(store: &dyn Records) {
    has_no_id(store, "1").await;
    has_no_key(store, "one").await;
    store.create(&app("1", "one")).await.expect("the store answers");
    // Neither the other way round nor by a part.
    has_no_id(store, "one").await;
    has_no_key(store, "1").await;
    has_no_key(store, "on").await;
    has_no_key(store, "ONE").await;
    has_no_id(store, "01").await;
    assert_eq!(store.delete("2", 1).await, Err(WriteError::NotFound));
    let second = changed(&app("2", "two"), json!({}));
    assert_eq!(store.replace(&second).await, Err(WriteError::NotFound));
    has_no_key(store, "two").await;
}

pub(crate) async fn an_id_is_that_of_one_app(store: &dyn Records) {
    let first = app("1", "one");
    store.create(&first).await.expect("the store answers");
    assert_eq!(store.create(&app("1", "other")).await, Err(WriteError::IdTaken));
    assert_eq!(store.create(&first).await, Err(WriteError::IdTaken));
    holds(store, &first).await;
    has_no_key(store, "other").await;
}

pub(crate) async fn a_key_is_that_of_one_app(store: &dyn Records) {
    let (first, second) = (app("1", "one"), app("2", "two"));
    store.create(&first).await.expect("the store answers");
    assert_eq!(store.create(&app("2", "one")).await, Err(WriteError::KeyTaken));
    has_no_id(store, "2").await;
    store.create(&second).await.expect("the store answers");
    let thief = changed(&second, json!({"app_key": "one"}));
    assert_eq!(store.replace(&thief).await, Err(WriteError::KeyTaken));
    holds(store, &first).await;
    holds(store, &second).await;
    // Keys that differ in case alone are two.
    let third = app("3", "ONE");
    store.create(&third).await.expect("the store answers");
    holds(store, &first).await;
    holds(store, &third).await;
}

pub(crate) async fn a_change_takes_the_place_of_the_version_before(store: &dyn Records) {
    let mut record = app_with("1", "one", json!({"app_max_connections": 5}));
    store.create(&record).await.expect("the store answers");
    for changes in [
        json!({"app_enabled": false}),
        json!({"app_secret": "another", "app_max_connections": null}),
        json!({}),
    ] {
        record = changed(&record, changes);
        assert_eq!(store.replace(&record).await, Ok(()));
        holds(store, &record).await;
    }
    assert_eq!(record.version(), 4);
}

pub(crate) async fn a_change_of_something_out_of_date_is_refused(store: &dyn Records) {
    let first = app("1", "one");
    store.create(&first).await.expect("the store answers");
    let second = changed(&first, json!({"app_enabled": false}));
    store.replace(&second).await.expect("the store answers");
    let stale = changed(&first, json!({"app_key": "other"}));
    assert_eq!(store.replace(&stale).await, Err(WriteError::Changed));
    let early = changed(&changed(&second, json!({})), json!({}));
    assert_eq!(store.replace(&early).await, Err(WriteError::Changed));
    holds(store, &second).await;
    has_no_key(store, "other").await;
}

pub(crate) async fn a_changed_key_is_free_and_the_new_one_is_taken(store: &dyn Records) {
    let first = app("1", "old");
    store.create(&first).await.expect("the store answers");
    let second = changed(&first, json!({"app_key": "new"}));
    store.replace(&second).await.expect("the store answers");
    holds(store, &second).await;
    has_no_key(store, "old").await;
    assert_eq!(store.create(&app("2", "new")).await, Err(WriteError::KeyTaken));
    let heir = app("2", "old");
    store.create(&heir).await.expect("the store answers");
    holds(store, &heir).await;
    holds(store, &second).await;
    // And there is no way back, now that it is another one's.
    let third = changed(&second, json!({"app_key": "old"}));
    assert_eq!(store.replace(&third).await, Err(WriteError::KeyTaken));
}

pub(crate) async fn a_deleted_app_frees_its_id_and_its_key(store: &dyn Records) {
    let (first, other) = (app("1", "one"), app("2", "two"));
    store.create(&first).await.expect("the store answers");
    store.create(&other).await.expect("the store answers");
    let second = changed(&first, json!({"app_key": "uno"}));
    store.replace(&second).await.expect("the store answers");
    assert_eq!(store.delete("1", 2).await, Ok(()));
    has_no_id(store, "1").await;
    has_no_key(store, "one").await;
    has_no_key(store, "uno").await;
    assert_eq!(store.delete("1", 2).await, Err(WriteError::NotFound));
    holds(store, &other).await;
    let again = app("1", "uno");
    store.create(&again).await.expect("the store answers");
    holds(store, &again).await;
}

pub(crate) async fn a_deletion_of_something_out_of_date_is_refused(store: &dyn Records) {
    let first = app("1", "one");
    store.create(&first).await.expect("the store answers");
    let second = changed(&first, json!({"app_enabled": false}));
    store.replace(&second).await.expect("the store answers");
    assert_eq!(store.delete("1", 1).await, Err(WriteError::Changed));
    holds(store, &second).await;
}

pub(crate) async fn all_apps_are_listed_once_whatever_the_page(store: &dyn Records) {
    assert!(store.list(None, 10).await.expect("the store answers").is_empty());
    let created: BTreeSet<_> = (1..=25).map(|id| id.to_string()).collect();
    for id in &created {
        store.create(&app(id, &format!("key-{id}"))).await.expect("the store answers");
    }
    let in_order = ids(store, 100).await;
    assert_eq!(in_order.iter().cloned().collect::<BTreeSet<_>>(), created);
    assert_eq!(in_order.len(), created.len());
    for limit in [1, 7, 25, 26] {
        assert_eq!(ids(store, limit).await, in_order, "{limit}");
    }
    // One that is deleted can still be the place to go on from.
    store.delete(&in_order[9], 1).await.expect("the store answers");
    let rest = store.list(Some(&in_order[9]), 100).await.expect("the store answers");
    assert_eq!(rest.into_iter().map(|listed| listed.id).collect::<Vec<_>>(), in_order[10..]);
}

/// What became of many changes at the same time: one that was made, and this for all others.
fn one_won(outcomes: &[Result<(), WriteError>], others: &WriteError) {
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(won, 1, "{outcomes:?}");
    let lost = outcomes.iter().filter(|outcome| outcome.as_ref() == Err(others)).count();
    assert_eq!(lost, outcomes.len() - 1, "{outcomes:?}");
}

pub(crate) async fn one_of_many_creations_with_the_same_key_wins(store: &dyn Records) {
    let records: Vec<_> = (0..CROWD).map(|id| app(&id.to_string(), "same")).collect();
    let outcomes = join_all(records.iter().map(|record| store.create(record))).await;
    one_won(&outcomes, &WriteError::KeyTaken);
    let winner = outcomes.iter().position(Result::is_ok).expect("there is one");
    assert_eq!(ids(store, 100).await, [winner.to_string()]);
    holds(store, &records[winner]).await;
}

pub(crate) async fn one_of_many_creations_with_the_same_id_wins(store: &dyn Records) {
    let records: Vec<_> = (0..CROWD).map(|key| app("1", &format!("key-{key}"))).collect();
    let outcomes = join_all(records.iter().map(|record| store.create(record))).await;
    one_won(&outcomes, &WriteError::IdTaken);
    for (record, outcome) in records.iter().zip(&outcomes) {
        match outcome {
            Ok(()) => holds(store, record).await,
            Err(_) => has_no_key(store, record.key()).await,
        }
    }
}

pub(crate) async fn one_of_many_changes_of_the_same_version_wins(store: &dyn Records) {
    let first = app("1", "one");
    store.create(&first).await.expect("the store answers");
    let changes: Vec<_> =
        (0..CROWD).map(|key| changed(&first, json!({"app_key": format!("key-{key}")}))).collect();
    let outcomes = join_all(changes.iter().map(|record| store.replace(record))).await;
    one_won(&outcomes, &WriteError::Changed);
    has_no_key(store, "one").await;
    for (record, outcome) in changes.iter().zip(&outcomes) {
        match outcome {
            Ok(()) => holds(store, record).await,
            Err(_) => has_no_key(store, record.key()).await,
        }
    }
}

pub(crate) async fn two_apps_that_want_each_others_key_do_not_both_lose_theirs(store: &dyn Records) {
    let (first, second) = (app("1", "one"), app("2", "two"));
    store.create(&first).await.expect("the store answers");
    store.create(&second).await.expect("the store answers");
    let wishes = [changed(&first, json!({"app_key": "two"})), changed(&second, json!({"app_key": "one"}))];
    let outcomes = join_all(wishes.iter().map(|record| store.replace(record))).await;
    // Each key is somebody's at every moment, so neither can have it.
    assert!(outcomes.iter().all(|outcome| *outcome == Err(WriteError::KeyTaken)), "{outcomes:?}");
    holds(store, &first).await;
    holds(store, &second).await;
}

pub(crate) async fn settings_of_every_kind_come_back_as_they_were(store: &dyn Records) {
    let long = "ä".repeat(20_000);
    let all = app_with(
        &"9".repeat(64),
        &"k".repeat(200),
        json!({
            "app_secret": "秘密 \"quoted\" \\ 🔑 '; drop table apps; --",
            "app_enabled": false,
            "app_activity_timeout": 86_400,
            "app_max_connections": u32::MAX,
            "app_max_client_events_per_second": -1,
            "app_allowed_origins": ["https://a.example", "*.b.example"],
            "app_webhooks_enabled": true,
            "app_webhook_url": "https://a.example/hook?a=b&c=%20",
            "app_webhook_filter_prefix": "prefix-ü",
            "webhooks": [{
                "url": "http://127.0.0.1:1/hook",
                "event_types": ["channel_occupied", "cache_miss"],
                "filter": {"channel_name_starts_with": long, "channel_name_ends_with": "🙂"},
                "headers": {"Authorization": "Bearer x"},
            }, {"url": "http://b.example"}],
        }),
    );
    let plain = app_with("0", "-_", json!({"app_allowed_origins": [], "webhooks": []}));
    for record in [&all, &plain] {
        store.create(record).await.expect("the store answers");
        holds(store, record).await;
    }
    let next = changed(&all, json!({"app_enabled": true, "webhooks": []}));
    store.replace(&next).await.expect("the store answers");
    holds(store, &next).await;
}

pub(crate) async fn strange_ids_and_keys_are_those_of_no_app(store: &dyn Records) {
    store.create(&app("1", "one")).await.expect("the store answers");
    let long = "1".repeat(10_000);
    for name in ["", " ", "1 ", "one ", "'", "%", "_ne", "\0", "é", "app#1", "key#one", "1\n", &long] {
        has_no_id(store, name).await;
        has_no_key(store, name).await;
    }
}
