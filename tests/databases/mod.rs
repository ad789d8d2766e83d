//! Apps in a SQL database: PostgreSQL, and MariaDB, which stands for MySQL too.

mod commands;
mod node;
mod outages;
mod stores;
mod tls;

use std::net::SocketAddr;

use serde_json::json;

use crate::support::{database::Database, node::Launch, signing::Credentials};

/// A secret that nobody may be told.
const SECRET: &str = "canary-5d20-secret";

/// One of each kind.
fn each() -> [Database; 2] {
    [Database::postgres(), Database::mariadb()]
}

/// The same, with a table of apps that has app 1.
pub(crate) async fn each_with_an_app() -> [Database; 2] {
    with_an_app(each()).await
}

async fn with_an_app(databases: [Database; 2]) -> [Database; 2] {
    for database in &databases {
        database.execute(table(database)).await;
        add(database, "1").await;
    }
    databases
}

/// What makes the table, as an operator may hand it in.
fn table(database: &Database) -> &'static str {
    match database.app_manager() {
        "postgres" => include_str!("../../app-manager/src/store/sql/migrations/postgres/1_apps.sql"),
        _ => include_str!("../../app-manager/src/store/sql/migrations/mysql/1_apps.sql"),
    }
}

pub(crate) fn credentials(id: &str) -> Credentials {
    Credentials::new(id, &format!("key-{id}"), SECRET)
}

/// Adds an app, as somebody with a tool for SQL would.
pub(crate) async fn add(database: &Database, id: &str) {
    let app = credentials(id);
    let document = json!({"app_id": app.id, "app_key": app.key, "app_secret": app.secret});
    let values = format!("'{}', '{}', '{document}', 1", app.id, app.key);
    let insert = "INSERT INTO socket_rush_apps (id, app_key, document, version)";
    database.execute(&format!("{insert} VALUES ({values})")).await;
}

/// A node that has its apps from a database, seen through whatever is at this address; it tells everything.
fn node_at(database: &Database, address: SocketAddr) -> Launch {
    with_url(database, &database.url_at(address))
}

pub(crate) fn node_on(database: &Database) -> Launch {
    node_at(database, database.address)
}

fn with_url(database: &Database, url: &str) -> Launch {
    Launch::bare()
        .flags(["--app-manager", database.app_manager(), "--database-url", url, "--log-level", "trace"])
        .credentials(credentials("1"))
}
