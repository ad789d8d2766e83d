//! Apps in PostgreSQL and in MariaDB.

use std::{
    env, process,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use app_manager::store::{
    DatabaseUrl, Listed, Lookup as _, LookupError, Records as _, WriteError,
    sql::{ProbeError, SqlStore},
};
use futures_util::future::join_all;
use serde_json::json;
use sqlx::{
    AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, any::AnyConnectOptions,
};

use crate::fixtures::{app, changed};

/// A server, by the variable that has the URL of a database of it, whose user may make others.
struct Server {
    variable: &'static str,
}

/// A database of a test's own.
struct Database {
    url: String,
}

impl Server {
    async fn empty_database(&self) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let url =
            env::var(self.variable).unwrap_or_else(|_| panic!("{} has no URL of a database", self.variable));
        let name = format!("apps_{}_{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        connect(&url).await.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.expect("it may");
        let (server, _) = url.rsplit_once('/').expect("a URL names a database");
        Database { url: format!("{server}/{name}") }
    }

    async fn empty(&self) -> SqlStore {
        let store = self.empty_database().await.store();
        store.migrate().await.expect("the database is there");
        store
    }
}

impl Database {
    fn store(&self) -> SqlStore {
        store(&self.url)
    }

    async fn execute(&self, statement: &str) {
        let done = connect(&self.url).await.execute(AssertSqlSafe(statement)).await;
        done.unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

fn store(url: &str) -> SqlStore {
    SqlStore::new(&DatabaseUrl::parse(url).expect("a URL"))
}

async fn connect(url: &str) -> AnyConnection {
    sqlx::any::install_default_drivers();
    let options: AnyConnectOptions = url.parse().expect("a URL");
    options.connect().await.expect("the database is there")
}

async fn an_app_that_cannot_be_read_is_named_and_takes_no_other_down(server: Server) {
    let database = server.empty_database().await;
    let store = database.store();
    store.migrate().await.unwrap();
    let sound = app("1", "one");
    store.create(&sound).await.unwrap();
    store.create(&app("2", "two")).await.unwrap();
    for (change, wrong) in [
        (
            r#"document = '{"app_id": "2", "app_key": "two", "app_secret": "canary", "app_enabled": "canary"}'"#,
            "app_enabled: ",
        ),
        (r#"document = '["canary"]'"#, "document: must be a JSON object"),
        (
            r#"document = '{"app_id": "2", "app_key": "canary", "app_secret": "canary"}'"#,
            "app_key: is not the one of its row",
        ),
        ("version = -5", "version: must be a number from 1 on"),
    ] {
        database.execute(&format!("UPDATE socket_rush_apps SET {change} WHERE id = '2'")).await;
        let Err(LookupError::Unreadable(told)) = store.by_id("2").await else { panic!("{change}") };
        assert!(told.starts_with("app 2: ") && told.contains(wrong) && !told.contains("canary"), "{told}");
        assert_eq!(store.by_key("two").await.unwrap_err(), LookupError::Unreadable(told.clone()));
        assert_eq!(store.get("2").await, Err(LookupError::Unreadable(told.clone())));
        let listed = [("1", Ok(sound.clone())), ("2", Err(told))];
        let listed = listed.map(|(id, record)| Listed { id: id.to_owned(), record });
        assert_eq!(store.list(None, 10).await.unwrap(), listed);
    }
}

async fn migrations_of_many_at_once_are_taken_once(server: Server) {
    let database = server.empty_database().await;
    let stores: Vec<_> = (0..8).map(|_| database.store()).collect();
    let ran = join_all(stores.iter().map(SqlStore::migrate)).await;
    assert!(ran.iter().all(Result::is_ok), "{ran:?}");
    stores[0].create(&app("1", "one")).await.unwrap();
    stores[1].migrate().await.unwrap();
    assert!(stores[2].by_key("one").await.unwrap().is_some());
    // What a newer server has done is not undone, nor repeated; and what is there can be read.
    database.execute("UPDATE socket_rush_migrations SET version = 99").await;
    let Err(LookupError::Unavailable(told)) = stores[3].migrate().await else { panic!("it is newer") };
    assert_eq!(told, "a newer version of the server has prepared this database (step 99 of the migrations)");
    assert_eq!(stores[4].probe().await, Ok(()));
}

async fn whoever_cannot_look_up_apps_is_told_why(server: Server) {
    let database = server.empty_database().await;
    let place = DatabaseUrl::parse(&database.url).unwrap().to_string();
    assert_eq!(database.store().probe().await, Err(ProbeError::Unprepared(place)));
    let Err(LookupError::Unavailable(told)) = database.store().by_key("one").await else {
        panic!("there is no table")
    };
    assert!(told.ends_with("`socket-rush apps --create-table` makes it"), "{told}");
    let (head, address) = database.url.split_once('@').unwrap();
    let (user, _) = head.rsplit_once(':').unwrap();
    let tls = if database.url.starts_with("mysql") { "ssl-mode=required" } else { "sslmode=require" };
    for (url, why) in [
        (format!("{user}:canary@{address}"), "rush"),
        (format!("{}-canary", database.url), "canary"),
        (format!("{}?{tls}", database.url), "server does not support TLS"),
    ] {
        let Err(ProbeError::Refused(_, told)) = store(&url).probe().await else { panic!("{why}") };
        assert!(told.contains(why), "{told}");
    }
    // Nobody listens on this port.
    let (scheme, _) = user.split_once("://").unwrap();
    let nobody = store(&format!("{scheme}://u:canary@127.0.0.1:1/apps"));
    let Err(error) = nobody.probe().await else { panic!("nobody is there") };
    assert!(matches!(error, ProbeError::Unavailable(..)) && !error.to_string().contains("canary"), "{error}");
}

async fn an_app_that_others_have_locked_is_unavailable_within_the_time(server: Server) {
    let database = server.empty_database().await;
    let store = database.store();
    store.migrate().await.unwrap();
    let first = app("1", "one");
    store.create(&first).await.unwrap();
    let mut other = connect(&database.url).await;
    let mut transaction = other.begin().await.unwrap();
    transaction.execute("SELECT id FROM socket_rush_apps WHERE id = '1' FOR UPDATE").await.unwrap();
    let (second, before) = (changed(&first, json!({"app_enabled": false})), Instant::now());
    assert!(matches!(store.replace(&second).await, Err(WriteError::Unavailable(_))));
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
    // Who reads does not wait for who writes.
    assert_eq!(store.get("1").await, Ok(Some(first)));
    transaction.rollback().await.unwrap();
    // It was given up by the server, and not left to come about later.
    assert_eq!(store.replace(&second).await, Ok(()));
}

/// More than there are connections, of whom nobody waits for the answer.
async fn lookups_that_nobody_waits_for_cost_no_connection(server: Server) {
    let store = server.empty().await;
    store.create(&app("1", "one")).await.unwrap();
    for _ in 0..50 {
        let asking = store.by_key("one");
        // Whoever asked has gone away again at once.
        let _ = tokio::time::timeout(Duration::from_micros(200), asking).await;
    }
    assert!(store.by_key("one").await.unwrap().is_some());
}

/// The suite, and what is about SQL, on one server.
macro_rules! tests_on {
    ($module:ident, $variable:literal, $($name:ident),*) => {
        mod $module {
            use super::{Server, SqlStore};
            use crate::suite_on;

            const SERVER: Server = Server { variable: $variable };

            async fn empty() -> SqlStore {
                SERVER.empty().await
            }

            suite_on!(empty, #[ignore = "needs a database server: tests/databases runs it"]);

            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs a database server: tests/databases runs it"]
            async fn $name() {
                super::$name(SERVER).await;
            })*
        }
    };
}

/// The tests of this file.
macro_rules! on {
    ($module:ident, $variable:literal) => {
        tests_on! {
            $module,
            $variable,
            an_app_that_cannot_be_read_is_named_and_takes_no_other_down,
            migrations_of_many_at_once_are_taken_once,
            whoever_cannot_look_up_apps_is_told_why,
            an_app_that_others_have_locked_is_unavailable_within_the_time,
            lookups_that_nobody_waits_for_cost_no_connection
        }
    };
}

on!(postgres, "SOCKET_RUSH_TEST_POSTGRES");
on!(mysql, "SOCKET_RUSH_TEST_MYSQL");
