//! Changes: transactions over the app's item and those of its keys.
//!
//! Every change is a transaction, even where one item would do: those have a token by which a request that is sent
//! again, because its answer was lost, is known to be the same.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Delete, Put, TransactWriteItem},
};
use tokio::time::sleep;

use super::{
    APP_KEY, DynamoDbStore, OWNER,
    failure::{Failure, unavailable},
    item::{self, PK, VERSION},
    key_of,
};
use crate::{
    record::AppRecord,
    store::{LookupError, WriteError},
};

/// Time between two tries of transactions that got in each other's way, at first.
const PAUSE: Duration = Duration::from_millis(20);

/// How often such a transaction is tried.
const TRIES: u32 = 6;

/// The attribute is not there, or is this: of a key's item that is ours or that nobody made.
const FREE_OR_OURS: &str = "attribute_not_exists(#pk) OR #owner = :id";

/// The app is as we know it.
const UNCHANGED: &str = "#version = :version AND #key = :key";

impl DynamoDbStore {
    pub(super) async fn put_new(&self, record: &AppRecord) -> Result<(), WriteError> {
        let absent = "attribute_not_exists(#pk)";
        let app = put(&self.table, item::write(record)).condition_expression(absent);
        let app = app.expression_attribute_names("#pk", PK);
        let key = put(&self.table, guard(record)).condition_expression(absent);
        let key = key.expression_attribute_names("#pk", PK);
        let parts = [(putting(app), WriteError::IdTaken), (putting(key), WriteError::KeyTaken)];
        self.transact(parts.into()).await
    }

    pub(super) async fn put_again(&self, record: &AppRecord) -> Result<(), WriteError> {
        let version = record.version() - 1;
        let old_key = self.key_at(record.id(), version).await?;
        let app = put(&self.table, item::write(record))
            .condition_expression(UNCHANGED)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#key", APP_KEY)
            .expression_attribute_values(":version", AttributeValue::N(version.to_string()))
            .expression_attribute_values(":key", AttributeValue::S(old_key.clone()));
        let key = put(&self.table, guard(record))
            .condition_expression(FREE_OR_OURS)
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_values(":id", AttributeValue::S(record.id().to_owned()));
        let mut parts = vec![(putting(app), WriteError::Changed), (putting(key), WriteError::KeyTaken)];
        if old_key != record.key() {
            parts.push((self.freeing(record.id(), &old_key), of_another(&old_key)));
        }
        self.transact(parts).await
    }

    pub(super) async fn remove(&self, id: &str, version: u64) -> Result<(), WriteError> {
        let key = self.key_at(id, version).await?;
        let app = deletion(&self.table, &item::of_app(id))
            .condition_expression(UNCHANGED)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#key", APP_KEY)
            .expression_attribute_values(":version", AttributeValue::N(version.to_string()))
            .expression_attribute_values(":key", AttributeValue::S(key.clone()));
        let parts = [(deleting(app), WriteError::Changed), (self.freeing(id, &key), of_another(&key))];
        self.transact(parts.into()).await
    }

    /// The key of an app in this version.
    async fn key_at(&self, id: &str, version: u64) -> Result<String, WriteError> {
        let record = self.record(id).await?.ok_or(WriteError::NotFound)?;
        if record.version() == version { Ok(record.key().to_owned()) } else { Err(WriteError::Changed) }
    }

    /// Gives up a key that is this app's.
    fn freeing(&self, id: &str, key: &str) -> TransactWriteItem {
        deleting(
            deletion(&self.table, &item::of_key(key))
                .condition_expression(FREE_OR_OURS)
                .expression_attribute_names("#pk", PK)
                .expression_attribute_names("#owner", OWNER)
                .expression_attribute_values(":id", AttributeValue::S(id.to_owned())),
        )
    }

    /// All of these or none; if a condition does not hold, what that means. The first that does not counts.
    async fn transact(&self, parts: Vec<(TransactWriteItem, WriteError)>) -> Result<(), WriteError> {
        let (items, meanings): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        for attempt in 1.. {
            let client = self.client().await.map_err(|failure| WriteError::from(unavailable(failure)))?;
            let request = client.transact_write_items().set_transact_items(Some(items.clone()));
            let Err(error) = request.send().await else { return Ok(()) };
            let codes = reasons(error.as_service_error());
            let failed = codes.iter().position(|code| code == "ConditionalCheckFailed");
            if let Some(meaning) = failed.and_then(|index| meanings.get(index)) {
                return Err(meaning.clone());
            }
            // Others write to the same items at this moment, which says nothing about what they will be.
            if attempt == TRIES || !codes.iter().any(|code| code == "TransactionConflict") {
                return Err(unavailable(Failure::from(error)).into());
            }
            sleep(PAUSE * 2_u32.pow(attempt)).await;
        }
        unreachable!("the loop has no end of its own")
    }
}

/// Why a transaction was cancelled, for each of its parts.
fn reasons(error: Option<&TransactWriteItemsError>) -> Vec<String> {
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error else {
        return Vec::new();
    };
    let codes = cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or_default());
    codes.map(str::to_owned).collect()
}

/// Only who writes into the table by other ways gets it there.
fn of_another(key: &str) -> WriteError {
    let what = format!("the key '{key}': its item names another app, which does not have it");
    LookupError::Unreadable(what).into()
}

fn guard(record: &AppRecord) -> item::Item {
    let mut guard = key_of(&item::of_key(record.key()));
    guard.insert(OWNER.to_owned(), AttributeValue::S(record.id().to_owned()));
    guard
}

fn put(table: &str, item: item::Item) -> aws_sdk_dynamodb::types::builders::PutBuilder {
    Put::builder().table_name(table).set_item(Some(item))
}

fn putting(put: aws_sdk_dynamodb::types::builders::PutBuilder) -> TransactWriteItem {
    TransactWriteItem::builder().put(put.build().expect("it has a table and an item")).build()
}

fn deletion(table: &str, pk: &str) -> aws_sdk_dynamodb::types::builders::DeleteBuilder {
    Delete::builder().table_name(table).set_key(Some(key_of(pk)))
}

fn deleting(delete: aws_sdk_dynamodb::types::builders::DeleteBuilder) -> TransactWriteItem {
    TransactWriteItem::builder().delete(delete.build().expect("it has a table and a key")).build()
}
