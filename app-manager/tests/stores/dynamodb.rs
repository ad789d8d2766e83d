//! Apps in DynamoDB.

use std::{
    env, process,
    sync::atomic::{AtomicU32, Ordering},
};

use app_manager::{
    access::Access,
    store::{
        Lookup as _, LookupError, Records as _,
        dynamodb::{Creation, DynamoDbStore, ProbeError, TableError},
    },
};
use aws_sdk_dynamodb::{
    Client,
    types::{
        AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    },
};
use serde_json::json;

use crate::{
    fixtures::{app, changed},
    suite_on,
};
/// Names the endpoint of a DynamoDB; region and credentials are where the SDK looks for them.
const ENDPOINT: &str = "SOCKET_RUSH_TEST_DYNAMODB";

fn access() -> Access {
    let endpoint_url = env::var(ENDPOINT).unwrap_or_else(|_| panic!("{ENDPOINT} names no DynamoDB"));
    Access { region: Some("us-east-1".to_owned()), endpoint_url: Some(endpoint_url) }
}

/// A name that no table has.
fn name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("apps-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

async fn empty() -> DynamoDbStore {
    let store = DynamoDbStore::new(access(), &name());
    assert_eq!(store.create_table().await, Ok(Creation::Created));
    store
}

suite_on!(empty, #[ignore = "needs a DynamoDB: tests/cloud runs it"]);

/// Writes into a table by other ways.
async fn client() -> Client {
    Client::new(&access().open().await.expect("it has a region"))
}

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[tokio::test]
#[ignore = "needs a DynamoDB: tests/cloud runs it"]
async fn an_app_that_cannot_be_read_is_named_and_takes_no_other_down() {
    let table = name();
    let store = DynamoDbStore::new(access(), &table);
    store.create_table().await.unwrap();
    let sound = app("1", "one");
    store.create(&sound).await.unwrap();
    let item = |attributes: &[(&str, AttributeValue)]| {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let broken = item(&[
        ("pk", s("app#2")),
        ("version", AttributeValue::N("1".to_owned())),
        ("app_id", s("2")),
        ("app_key", s("two")),
        ("app_secret", s("canary")),
        ("app_enabled", s("canary")),
    ]);
    client().await.put_item().table_name(&table).set_item(Some(broken)).send().await.unwrap();
    let wrong = "app 2: app_enabled: must be kept as a boolean".to_owned();
    assert_eq!(store.by_id("2").await.unwrap_err(), LookupError::Unreadable(wrong.clone()));
    assert_eq!(store.by_key("two").await.unwrap_err(), LookupError::Unreadable(wrong.clone()));
    assert_eq!(store.get("2").await, Err(LookupError::Unreadable(wrong.clone())));
    assert_eq!(store.get("1").await, Ok(Some(sound.clone())));
    let mut listed = store.list(None, 10).await.unwrap();
    listed.sort_by(|a, b| a.id.cmp(&b.id));
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0].record, &listed[1].record), (&Ok(sound), &Err(wrong)));
}

/// Such as one that was put there by hand.
#[tokio::test]
#[ignore = "needs a DynamoDB: tests/cloud runs it"]
async fn an_app_without_an_item_of_its_key_is_found_and_gets_one_with_its_next_change() {
    let table = name();
    let store = DynamoDbStore::new(access(), &table);
    store.create_table().await.unwrap();
    let first = app("1", "one");
    store.create(&first).await.unwrap();
    let client = client().await;
    let guard = || client.get_item().table_name(&table).key("pk", s("key#one"));
    let owner = guard().send().await.unwrap().item.expect("it is there");
    assert_eq!(owner["owner"], s("1"));
    client.delete_item().table_name(&table).key("pk", s("key#one")).send().await.unwrap();
    assert!(store.by_key("one").await.unwrap().is_some());
    store.replace(&changed(&first, json!({}))).await.unwrap();
    assert!(guard().send().await.unwrap().item.is_some());
}

#[tokio::test]
#[ignore = "needs a DynamoDB: tests/cloud runs it"]
async fn a_table_is_made_once_and_another_one_of_its_name_is_refused() {
    let store = empty().await;
    assert_eq!(store.create_table().await, Ok(Creation::AlreadyThere));
    assert_eq!(store.probe().await, Ok(()));

    let table = name();
    let store = DynamoDbStore::new(access(), &table);
    let Err(ProbeError::Unusable(_, what)) = store.probe().await else { panic!("there is no table") };
    assert!(what.contains("ResourceNotFoundException"), "{what}");
    let key = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash);
    let other = client().await.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
    let other = other.attribute_definitions(key.build().unwrap()).key_schema(schema.build().unwrap());
    other.send().await.unwrap();
    let Err(TableError::Otherwise { problems, .. }) = store.create_table().await else {
        panic!("it is another table")
    };
    assert_eq!(
        problems,
        ["its key must be 'pk' (S) alone", "it must have a global secondary index 'by_key' on 'app_key' (S)"]
    );
}

#[tokio::test]
#[ignore = "needs credentials: tests/cloud runs it"]
async fn what_cannot_be_reached_is_unavailable_within_the_time() {
    // Nobody listens on this port.
    let access =
        Access { region: Some("us-east-1".to_owned()), endpoint_url: Some("http://127.0.0.1:1".to_owned()) };
    let store = DynamoDbStore::new(access, "apps");
    assert!(matches!(store.by_key("one").await, Err(LookupError::Unavailable(_))));
    assert!(matches!(store.probe().await, Err(ProbeError::Unavailable(..))));
}
