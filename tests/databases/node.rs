//! A node that has its apps from a database.

use super::{SECRET, add, credentials, each, each_with_an_app, node_on, with_url};
use crate::support::{api::Api, client::QUERY, database::PASSWORD};

/// How a node ends that cannot work with its settings or with what they name.
const USAGE: Option<i32> = Some(64);
const FAILURE: Option<i32> = Some(1);

#[tokio::test]
async fn apps_of_a_database_are_served_and_nothing_secret_is_logged() {
    for database in each_with_an_app().await {
        add(&database, "2").await;
        let mut node = node_on(&database).start_alone();
        let mut client = node.connect().await;
        client.subscribe_private("private-room").await;
        node.api().publish("private-room", "event", 1).await;
        client.expect_on("private-room", "event").await;
        // The other app's channel of this name is another one.
        let mut stranger = node.connect_as(&credentials("2")).await;
        stranger.subscribe("room").await;
        Api::of(&node, &credentials("2")).publish("room", "event", 2).await;
        stranger.expect_on("room", "event").await;
        // Ids and keys are compared byte for byte.
        for key in ["nobody", "KEY-1", "key-1%20", "key-1%00", "%25"] {
            node.connect_to(&format!("/app/{key}?{QUERY}")).await.expect_end(4001).await;
        }
        client.close().await;
        stranger.close().await;
        node.stop().await;
        let log = node.log();
        assert!(log.contains("TRACE") || log.contains("DEBUG"), "it was told to log everything: {log}");
        assert!(!log.contains(PASSWORD) && !log.contains(SECRET), "{log}");
    }
}

#[tokio::test]
async fn an_app_that_cannot_be_read_is_named_and_takes_no_other_down() {
    for database in each_with_an_app().await {
        add(&database, "2").await;
        let broken = format!(r#"{{"app_id": "2", "app_key": "key-2", "app_secret": 7, "x": "{SECRET}"}}"#);
        database.execute(&format!("UPDATE socket_rush_apps SET document = '{broken}' WHERE id = '2'")).await;
        let node = node_on(&database).start_alone();
        node.connect_to(&format!("/app/key-2?{QUERY}")).await.expect_end(4100).await;
        node.wait_for_log("app 2: ").await;
        node.connect().await.close().await;
        assert!(!node.log().contains(SECRET), "{}", node.log());
    }
}

#[tokio::test]
async fn a_node_without_a_table_says_what_makes_one_and_makes_none_itself() {
    for database in each() {
        let ending = node_on(&database).run();
        assert_eq!(ending.code, FAILURE, "{}", ending.stderr);
        let what = "has no table of apps; make it with `socket-rush apps --create-table`";
        assert!(ending.stderr.contains(what), "{}", ending.stderr);
        let tables = "SELECT count(*) FROM information_schema.tables WHERE table_name LIKE 'socket_rush%'";
        assert_eq!(database.numbers(tables).await, [0]);
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_used_as_it_is_set_stops_the_start_without_telling_the_password() {
    for database in each_with_an_app().await {
        let url = database.url();
        let tls = if url.starts_with("mysql") { "ssl-mode=verify_identity" } else { "sslmode=verify-full" };
        let others = if url.starts_with("mysql") { "postgres" } else { "mysql" };
        let (_, rest) = url.split_once("://").expect("a URL");
        for (url, code, what) in [
            (url.replace(PASSWORD, &format!("{PASSWORD}-no")), FAILURE, "rush"),
            (format!("{url}-no"), FAILURE, "rush-no"),
            (format!("{url}?{tls}"), FAILURE, "TLS"),
            (format!("{url}?{PASSWORD}=1"), USAGE, "has a parameter that is not one of"),
            (format!("{others}://{rest}"), USAGE, "--database-url: must begin with "),
            (format!("sqlite://{rest}"), USAGE, "--database-url: must be "),
        ] {
            let ending = with_url(&database, &url).run();
            assert_eq!(ending.code, code, "{}", ending.stderr);
            assert!(ending.stderr.contains(what), "{what}: {}", ending.stderr);
            assert!(!ending.stderr.contains(PASSWORD), "{}", ending.stderr);
        }
    }
}
