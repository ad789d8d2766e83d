//! Apps in a table of DynamoDB.
//!
//! The table has one key, `pk`, a string, and an index `by_key` on `app_key`. An app is two items:
//!
//! | `pk` | further attributes |
//! |---|---|
//! | `app#<id>` | the settings that were given, each under its key and in its own type: text as S, numbers as N, switches as BOOL, lists and objects as L and M; and `version`, an N that counts the changes |
//! | `key#<key>` | `owner`, an S: the id of the app that has this key. DynamoDB can keep one attribute unique, and that is `pk` |
//!
//! Both change in one transaction, so that neither an id nor a key is ever that of two apps. The second kind has no
//! `app_key`, so the index has apps alone.
//!
//! The index lags behind, by no promised time, so what it says is taken as a hint: the app that it names is read from
//! the table itself, consistently. So a lookup right after a change, such as a node makes when it hears of one, sees the
//! change. Where the index has no hint, or a wrong one, the key's own item decides. A known key costs two reads, an
//! unknown one two, an id one.

mod failure;
mod item;
mod table;
mod writes;

use std::{collections::HashMap, time::Duration};

use aws_config::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_dynamodb::{Client, config::Builder, types::AttributeValue};
use futures_util::future::{BoxFuture, FutureExt as _};
use thiserror::Error;
use tokio::{sync::OnceCell, time::timeout};

pub use self::table::{Creation, TableError};
use self::{
    failure::{Failure, unavailable},
    item::{Item, PK},
};
use super::{Listed, Lookup, LookupError, Records, WriteError};
use crate::{access::Access, app::App, record::AppRecord};

/// The index in which apps are found by key.
const INDEX: &str = "by_key";

/// The attribute that it is on.
const APP_KEY: &str = "app_key";

/// The attribute of a key's item that names the app.
const OWNER: &str = "owner";

/// Time for one answer, and for one request with all of its repetitions.
const ATTEMPT: Duration = Duration::from_millis(1_500);
const REQUEST: Duration = Duration::from_secs(3);

/// How often a request is sent at most.
const ATTEMPTS: u32 = 3;

/// Time for a lookup, or a change, with all of its requests.
const DEADLINE: Duration = Duration::from_secs(5);

/// A table of apps.
#[derive(Debug)]
pub struct DynamoDbStore {
    access: Access,
    table: String,
    /// Made by the first who asks: finding region and credentials may take a moment.
    client: OnceCell<Client>,
}

/// Why a table does not answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ProbeError {
    /// It cannot be asked now, which passes.
    #[error("the table '{0}' of apps cannot be asked: {1}")]
    Unavailable(String, String),
    /// There is none, or it is made otherwise.
    #[error("the table '{0}' of apps cannot be used; socket-rush apps --create-table makes one: {1}")]
    Unusable(String, String),
}

impl DynamoDbStore {
    /// The table of this name. Nobody is asked yet.
    pub fn new(access: Access, table: &str) -> Self {
        Self { access, table: table.to_owned(), client: OnceCell::new() }
    }

    /// Whether apps can be looked up here, as far as can be told without knowing one.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        // Both ways, of an app that there need not be. The index is asked first.
        let asked = async {
            self.hinted("probe").await?;
            self.item("app#0").await.map(drop)
        };
        let table = self.table.clone();
        match timeout(DEADLINE, asked).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(failure)) if failure.is_final() => Err(ProbeError::Unusable(table, failure.to_string())),
            Ok(Err(failure)) => Err(ProbeError::Unavailable(table, failure.to_string())),
            Err(_) => Err(ProbeError::Unavailable(table, format!("no answer within {DEADLINE:?}"))),
        }
    }

    async fn client(&self) -> Result<&Client, Failure> {
        let make = async {
            let timeouts = TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(REQUEST)
                .build();
            let config = Builder::from(&self.access.open().await?)
                .timeout_config(timeouts)
                .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
            Ok(Client::from_conf(config.build()))
        };
        self.client.get_or_try_init(|| make).await
    }

    /// What stands under this key of the table, after everything that was written before.
    async fn item(&self, pk: &str) -> Result<Option<Item>, Failure> {
        let request = self.client().await?.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.key(PK, AttributeValue::S(pk.to_owned())).send().await?;
        Ok(answer.item)
    }

    /// The app with this id.
    async fn record(&self, id: &str) -> Result<Option<AppRecord>, LookupError> {
        // DynamoDB takes no key of any length.
        if !id.bytes().all(|byte| byte.is_ascii_digit()) || id.len() > LONGEST_ID {
            return Ok(None);
        }
        let item = self.item(&item::of_app(id)).await.map_err(unavailable)?;
        item.map(|item| item::read(id, &item)).transpose()
    }

    /// The app with this key.
    async fn record_by_key(&self, key: &str) -> Result<Option<AppRecord>, LookupError> {
        if key.is_empty() || key.len() > LONGEST_KEY {
            return Ok(None);
        }
        if let [id] = &self.hinted(key).await.map_err(unavailable)?[..]
            && let Some(record) = self.record(id).await?
            && record.key() == key
        {
            return Ok(Some(record));
        }
        // Who changes an app's key changes both items at once, but they are read one after the other.
        for _ in 0..2 {
            let Some(owner) = self.owner(key).await? else { return Ok(None) };
            match self.record(&owner).await? {
                Some(record) if record.key() == key => return Ok(Some(record)),
                _ => {}
            }
        }
        let what = format!("the owner of the key '{key}' changes while it is read, or does not have it");
        Err(LookupError::Unavailable(what))
    }

    /// The ids of the apps that the index has for this key: at most two, of which one is out of date.
    async fn hinted(&self, key: &str) -> Result<Vec<String>, Failure> {
        let request = self.client().await?.query().table_name(&self.table).index_name(INDEX);
        let request = request
            .key_condition_expression("#key = :key")
            .expression_attribute_names("#key", APP_KEY)
            .expression_attribute_values(":key", AttributeValue::S(key.to_owned()))
            .projection_expression(PK)
            .limit(2);
        let answer = request.send().await?;
        Ok(answer.items().iter().filter_map(item::app_id).map(str::to_owned).collect())
    }

    /// Who the key's own item says has it.
    async fn owner(&self, key: &str) -> Result<Option<String>, LookupError> {
        let Some(item) = self.item(&item::of_key(key)).await.map_err(unavailable)? else { return Ok(None) };
        match item.get(OWNER) {
            Some(AttributeValue::S(owner)) => Ok(Some(owner.clone())),
            _ => {
                let what = format!("the key '{key}': {OWNER} must be kept as a string (S)");
                Err(LookupError::Unreadable(what))
            }
        }
    }

    async fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Listed>, LookupError> {
        let mut start = after.map(|id| key_of(&item::of_app(id)));
        let mut listed = Vec::new();
        while listed.len() < limit {
            // As many keys as apps are on the way.
            let least = i32::try_from(2 * (limit - listed.len())).unwrap_or(i32::MAX);
            let client = self.client().await.map_err(unavailable)?;
            let request = client
                .scan()
                .table_name(&self.table)
                .consistent_read(true)
                .limit(least)
                .filter_expression("begins_with(#pk, :app)")
                .expression_attribute_names("#pk", PK)
                .expression_attribute_values(":app", AttributeValue::S(item::of_app("")))
                .set_exclusive_start_key(start);
            let answer = request.send().await.map_err(|error| unavailable(error.into()))?;
            listed.extend(answer.items().iter().filter_map(|item| {
                let id = item::app_id(item)?.to_owned();
                let record = item::read(&id, item).map_err(|error| error.to_string());
                Some(Listed { id, record })
            }));
            start = answer.last_evaluated_key;
            if start.is_none() {
                break;
            }
        }
        listed.truncate(limit);
        Ok(listed)
    }
}

/// As app settings have it. What is longer is no id and no key of an app.
const LONGEST_ID: usize = 64;
const LONGEST_KEY: usize = 200;

fn key_of(pk: &str) -> Item {
    HashMap::from([(PK.to_owned(), AttributeValue::S(pk.to_owned()))])
}

/// A lookup or a change within its time.
async fn within<T, E: From<LookupError>>(asking: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let late = || LookupError::Unavailable(format!("no answer within {DEADLINE:?}")).into();
    timeout(DEADLINE, asking).await.unwrap_or_else(|_| Err(late()))
}

impl Lookup for DynamoDbStore {
    fn by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        within(async move { Ok(self.record(id).await?.map(|record| record.to_app())) }).boxed()
    }

    fn by_key<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<App>, LookupError>> {
        within(async move { Ok(self.record_by_key(key).await?.map(|record| record.to_app())) }).boxed()
    }
}

impl Records for DynamoDbStore {
    fn list<'a>(
        &'a self,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, LookupError>> {
        // A page of many large apps takes many requests, each of which has its time.
        self.page(after, limit).boxed()
    }

    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<AppRecord>, LookupError>> {
        within(self.record(id)).boxed()
    }

    fn create<'a>(&'a self, record: &'a AppRecord) -> BoxFuture<'a, Result<(), WriteError>> {
        within(self.put_new(record)).boxed()
    }

    fn replace<'a>(&'a self, record: &'a AppRecord) -> BoxFuture<'a, Result<(), WriteError>> {
        within(self.put_again(record)).boxed()
    }

    fn delete<'a>(&'a self, id: &'a str, version: u64) -> BoxFuture<'a, Result<(), WriteError>> {
        within(self.remove(id, version)).boxed()
    }
}
