//! Where PostgreSQL and MySQL differ.

use super::super::DatabaseKind;

/// The statements of one kind of database. Their parameters come in the same order in all of them.
#[derive(Debug)]
pub(super) struct Dialect {
    /// What every connection begins with: the server gives up a statement before we give up on it.
    pub(super) session: &'static str,
    /// `(id)` → id, key, document and version.
    pub(super) by_id: &'static str,
    /// `(key)` → the same.
    pub(super) by_key: &'static str,
    /// `(after, limit)` → the same, in the order of ids.
    pub(super) list: &'static str,
    /// `(id)` → version.
    pub(super) version: &'static str,
    /// `(id, key, document, version)`.
    pub(super) insert: &'static str,
    /// `(key, document, version, id, former version)`.
    pub(super) update: &'static str,
    /// `(id, version)`.
    pub(super) delete: &'static str,
    /// Gives the connection that is going to make the tables the time for it → 1, or something else if others have taken
    /// too long with that.
    pub(super) before_migrations: &'static str,
    /// What makes the tables, each step with its name, in order. A step that was released never changes.
    pub(super) migrations: &'static [(&'static str, &'static str)],
}

impl Dialect {
    pub(super) fn of(kind: DatabaseKind) -> &'static Self {
        match kind {
            DatabaseKind::Postgres => &POSTGRES,
            DatabaseKind::MySql => &MYSQL,
        }
    }
}

static POSTGRES: Dialect = Dialect {
    session: "SET statement_timeout = 4000",
    by_id: "SELECT id, app_key, document::text, version FROM socket_rush_apps WHERE id = $1",
    by_key: "SELECT id, app_key, document::text, version FROM socket_rush_apps WHERE app_key = $1",
    list: "SELECT id, app_key, document::text, version FROM socket_rush_apps WHERE id > $1 ORDER BY id LIMIT $2",
    version: "SELECT version FROM socket_rush_apps WHERE id = $1",
    insert: "INSERT INTO socket_rush_apps (id, app_key, document, version) VALUES ($1, $2, $3::json, $4)",
    update: "UPDATE socket_rush_apps SET app_key = $1, document = $2::json, version = $3 WHERE id = $4 AND version = $5",
    delete: "DELETE FROM socket_rush_apps WHERE id = $1 AND version = $2",
    before_migrations: "SELECT 1::bigint FROM set_config('statement_timeout', '50000', false)",
    migrations: &[("apps", include_str!("migrations/postgres/1_apps.sql"))],
};

/// MySQL and MariaDB. What is binary or of a type of its own is read as text.
static MYSQL: Dialect = Dialect {
    // Neither has a deadline for all statements that the other knows; what they may wait for here are locks.
    session: "SET innodb_lock_wait_timeout = 4",
    by_id: "SELECT CONVERT(id USING utf8mb4), CONVERT(app_key USING utf8mb4), CAST(document AS char), version \
            FROM socket_rush_apps WHERE id = ?",
    by_key: "SELECT CONVERT(id USING utf8mb4), CONVERT(app_key USING utf8mb4), CAST(document AS char), version \
             FROM socket_rush_apps WHERE app_key = ?",
    list: "SELECT CONVERT(id USING utf8mb4), CONVERT(app_key USING utf8mb4), CAST(document AS char), version \
           FROM socket_rush_apps WHERE id > ? ORDER BY id LIMIT ?",
    version: "SELECT version FROM socket_rush_apps WHERE id = ?",
    insert: "INSERT INTO socket_rush_apps (id, app_key, document, version) VALUES (?, ?, ?, ?)",
    update: "UPDATE socket_rush_apps SET app_key = ?, document = ?, version = ? WHERE id = ? AND version = ?",
    delete: "DELETE FROM socket_rush_apps WHERE id = ? AND version = ?",
    // The lock that sqlx asks for itself, without a deadline, is one that MariaDB does not give.
    before_migrations: "SELECT CAST(GET_LOCK(LEFT(CONCAT('socket_rush.', DATABASE()), 64), 50) AS signed)",
    migrations: &[("apps", include_str!("migrations/mysql/1_apps.sql"))],
};
