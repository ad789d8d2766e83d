//! The suite that every store of apps passes.

use crate::support::{database::Database, stores::pass_suite};

#[tokio::test]
async fn postgres_is_a_store_of_apps() {
    let database = Database::postgres();
    pass_suite("postgres", vec![("SOCKET_RUSH_TEST_POSTGRES", database.url())]).await;
}

#[tokio::test]
async fn mariadb_is_a_store_of_apps() {
    let database = Database::mariadb();
    pass_suite("mysql", vec![("SOCKET_RUSH_TEST_MYSQL", database.url())]).await;
}
