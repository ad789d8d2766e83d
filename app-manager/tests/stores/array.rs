//! Apps in memory.

use app_manager::store::{ArrayStore, LookupError, Records as _, WriteError};

use crate::{fixtures::app, suite_on};

async fn empty() -> ArrayStore {
    ArrayStore::default()
}

suite_on!(empty);

#[tokio::test]
async fn an_app_of_the_settings_is_changed_in_the_settings() {
    let record = app("1", "key");
    let store = ArrayStore::new([record.to_app()]).unwrap();
    let Err(LookupError::Unreadable(text)) = store.get("1").await else { panic!("it has no record") };
    assert!(text.starts_with("app 1: "), "{text}");
    assert_eq!(store.delete("1", 1).await, Err(WriteError::Unreadable(text.clone())));
    assert_eq!(store.create(&record).await, Err(WriteError::IdTaken));
    assert_eq!(store.list(None, 10).await.unwrap()[0].record, Err(text));
}
