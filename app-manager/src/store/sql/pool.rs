//! The connections to a database: few, and none of them trusted for longer than it answers.

use std::time::Duration;

use futures_util::future::FutureExt as _;
use sqlx::{
    AnyPool, ConnectOptions as _, Connection as _,
    any::{AnyConnectOptions, AnyPoolOptions},
};
use tokio::time::timeout;

use super::{super::DatabaseUrl, dialect::Dialect};

/// Connections of one process. Lookups are few, thanks to the cache, and a database has some hundred for everybody.
const CONNECTIONS: u32 = 4;

/// Time to come by a connection.
pub(super) const ACQUIRE: Duration = Duration::from_secs(3);

/// Time for a lookup or a change, with its connection.
pub(super) const DEADLINE: Duration = Duration::from_secs(5);

/// Time for a sign of life of a connection that is given back.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);

/// Opens none yet. What breaks is replaced when it is needed the next time, so that a database that was away is found
/// again by itself.
pub(super) fn open(url: &DatabaseUrl, dialect: &'static Dialect) -> AnyPool {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url.with_password().parse().expect("what is a URL was checked");
    AnyPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE)
        .after_connect(|connection, _| {
            async { sqlx::query(dialect.session).execute(connection).await.map(drop) }.boxed()
        })
        // The pool asks for a sign of life too, but without a deadline: if the way to the database was cut, or if who asked
        // went away before the answer, it would have that connection waited for until the kernel gives it up.
        .after_release(|connection, _| {
            async {
                let alive = timeout(SIGN_OF_LIFE, connection.ping()).await;
                alive.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
            }
            .boxed()
        })
        .connect_lazy_with(options.disable_statement_logging())
}
