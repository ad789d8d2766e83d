//! How the tables come about.

use std::{borrow::Cow, time::Duration};

use sqlx::{
    AnyPool, SqlSafeStr as _,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use tokio::time::timeout;

use super::{dialect::Dialect, trouble::Trouble};
use crate::store::LookupError;

/// Which steps were taken, in a table that nobody else's migrations use.
const TABLE: &str = "socket_rush_migrations";

/// Time for all of it, others who do the same included.
const DEADLINE: Duration = Duration::from_secs(60);

/// Takes the steps that have not been taken yet. A lock in the database lets one at a time do so.
pub(super) async fn run(pool: &AnyPool, dialect: &Dialect) -> Result<(), LookupError> {
    let late = || LookupError::Unavailable(format!("the migrations did not end within {DEADLINE:?}"));
    timeout(DEADLINE, take_steps(pool, dialect)).await.unwrap_or_else(|_| Err(late()))
}

async fn take_steps(pool: &AnyPool, dialect: &Dialect) -> Result<(), LookupError> {
    let mut connection = pool.acquire().await.map_err(Trouble::from)?;
    // However this ends, the lock goes with the connection.
    connection.close_on_drop();
    let locked = sqlx::query_scalar(dialect.before_migrations).fetch_one(&mut *connection).await;
    let locked: Option<i64> = locked.map_err(Trouble::from)?;
    if locked != Some(1) {
        return Err(LookupError::Unavailable("others are at the migrations, and do not end".to_owned()));
    }
    let ran = migrator(dialect).run(&mut *connection).await;
    ran.map_err(|error| LookupError::Unavailable(told(error)))
}

fn migrator(dialect: &Dialect) -> Migrator {
    let steps = (1..).zip(dialect.migrations).map(|(version, (name, sql))| {
        Migration::new(version, Cow::Borrowed(*name), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(steps.collect());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

fn told(error: MigrateError) -> String {
    match error {
        MigrateError::Execute(error) => Trouble::from(error).to_string(),
        MigrateError::ExecuteMigration(error, step) => {
            format!("step {step} of the migrations: {}", Trouble::from(error))
        }
        MigrateError::VersionMissing(step) => {
            format!(
                "a newer version of the server has prepared this database (step {step} of the migrations)"
            )
        }
        MigrateError::Dirty(step) => {
            format!(
                "step {step} of the migrations was broken off; look at what it made, then delete its row in {TABLE}"
            )
        }
        other => other.to_string(),
    }
}
