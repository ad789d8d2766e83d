//! The table itself: made where there is none, and looked over where there is.

use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, IndexStatus, KeySchemaElement, KeyType,
    Projection, ProjectionType, ScalarAttributeType, TableDescription, TableStatus,
};
use thiserror::Error;
use tokio::time::{Instant, sleep};

use super::{APP_KEY, DynamoDbStore, INDEX, failure::Failure, item::PK};

/// Time for a new table to be there. AWS takes some seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// Time between two looks at it.
const PAUSE: Duration = Duration::from_millis(500);

/// What became of the wish for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It was made.
    Created,
    /// It was there.
    AlreadyThere,
}

/// There is no table that can be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TableError {
    /// The one that there is serves another purpose.
    #[error("the table '{table}' is there, but it is no table of apps: {}", .problems.join("; "))]
    Otherwise {
        /// Its name.
        table: String,
        /// Everything that is not as it must be.
        problems: Vec<String>,
    },
    /// It is not ready yet. It can be asked for again.
    #[error("the table '{0}' is not ready after {PATIENCE:?}; try again")]
    NotReady(String),
    /// DynamoDB refused, or cannot be asked.
    #[error("{0}")]
    Failed(String),
}

impl From<Failure> for TableError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.to_string())
    }
}

impl DynamoDbStore {
    /// Makes the table unless there is one, and waits until it is ready.
    ///
    /// # Errors
    /// If there is another one of this name, or it is not ready in time.
    pub async fn create_table(&self) -> Result<Creation, TableError> {
        let creation = match self.describe().await? {
            Some(_) => Creation::AlreadyThere,
            None => self.create().await?,
        };
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Right after its creation a table may not be found yet.
            if let Some(table) = self.describe().await? {
                let problems = problems(&table);
                if !problems.is_empty() {
                    return Err(TableError::Otherwise { table: self.table.clone(), problems });
                }
                if is_ready(&table) {
                    return Ok(creation);
                }
            }
            if Instant::now() > deadline {
                return Err(TableError::NotReady(self.table.clone()));
            }
            sleep(PAUSE).await;
        }
    }

    async fn describe(&self) -> Result<Option<TableDescription>, Failure> {
        match self.client().await?.describe_table().table_name(&self.table).send().await {
            Ok(answer) => Ok(answer.table),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn create(&self) -> Result<Creation, Failure> {
        let request = self
            .client()
            .await?
            .create_table()
            .table_name(&self.table)
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(text(PK))
            .attribute_definitions(text(APP_KEY))
            .key_schema(hash(PK))
            .global_secondary_indexes(index());
        match request.send().await {
            Ok(_) => Ok(Creation::Created),
            // Somebody else was faster.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => {
                Ok(Creation::AlreadyThere)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The index has keys alone: what it says of an app is read from the table anyway.
fn index() -> GlobalSecondaryIndex {
    let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let index = GlobalSecondaryIndex::builder().index_name(INDEX).key_schema(hash(APP_KEY));
    index.projection(projection).build().expect("it has a name and a key")
}

fn text(name: &str) -> AttributeDefinition {
    let definition = AttributeDefinition::builder().attribute_name(name);
    definition.attribute_type(ScalarAttributeType::S).build().expect("it has a name and a type")
}

fn hash(name: &str) -> KeySchemaElement {
    let element = KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash);
    element.build().expect("it has a name and a type")
}

/// Everything about a table that keeps apps from being kept in it.
fn problems(table: &TableDescription) -> Vec<String> {
    let is_text = |name: &str| table.attribute_definitions().contains(&text(name));
    let mut problems = Vec::new();
    if table.key_schema() != [hash(PK)] || !is_text(PK) {
        problems.push(format!("its key must be '{PK}' (S) alone"));
    }
    let index = table.global_secondary_indexes().iter().find(|index| index.index_name() == Some(INDEX));
    match index {
        None => problems.push(format!("it must have a global secondary index '{INDEX}' on '{APP_KEY}' (S)")),
        Some(index) if index.key_schema() != [hash(APP_KEY)] || !is_text(APP_KEY) => {
            problems.push(format!("the key of its index '{INDEX}' must be '{APP_KEY}' (S) alone"));
        }
        Some(_) => {}
    }
    problems
}

fn is_ready(table: &TableDescription) -> bool {
    let mut indexes = table.global_secondary_indexes().iter();
    table.table_status() == Some(&TableStatus::Active)
        && indexes.all(|index| index.index_status().is_none_or(|status| *status == IndexStatus::Active))
}
