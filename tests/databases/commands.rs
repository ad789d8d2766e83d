//! `socket-rush apps` on a database.

use std::{thread, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{SECRET, add, each, each_with_an_app, node_on};
use crate::support::{
    api::Api,
    client::QUERY,
    database::{Database, PASSWORD},
    node::{Ending, Launch},
    signing::Credentials,
};

/// How a command ends whose database does not do what it is asked.
const FAILURE: Option<i32> = Some(1);

/// A command on a database, with this file beside it.
fn launch(database: &Database, words: &str, file: &Value) -> Launch {
    let url = database.url();
    let database = ["--app-manager", database.app_manager(), "--database-url", &url];
    Launch::unset().file("apps.json", &file.to_string()).flags(words.split(' ')).flags(database)
}

/// What a command says.
fn command(database: &Database, words: &str) -> Ending {
    command_with(database, words, &json!({}))
}

fn command_with(database: &Database, words: &str, file: &Value) -> Ending {
    let ending = launch(database, words, file).run();
    let said = [&ending.stdout, &ending.stderr];
    assert!(!said.iter().any(|text| text.contains(PASSWORD)), "{ending:?}");
    ending
}

/// What a command said that did all of it.
fn done(ending: Ending) -> String {
    assert_eq!(ending.code, Some(0), "{ending:?}");
    ending.stdout
}

#[tokio::test]
async fn three_processes_prepare_a_database_at_once_and_it_is_prepared_once() {
    for database in each() {
        let ending = command(&database, "apps list");
        assert_eq!(ending.code, FAILURE, "{ending:?}");
        assert!(ending.stderr.contains("`socket-rush apps --create-table` makes it"), "{ending:?}");
        thread::scope(|scope| {
            let running: Vec<_> =
                (0..3).map(|_| scope.spawn(|| command(&database, "apps --create-table"))).collect();
            for running in running {
                done(running.join().expect("it does not panic"));
            }
        });
        done(command(&database, "apps --create-table"));
        assert_eq!(database.numbers("SELECT version FROM socket_rush_migrations").await, [1]);
        assert_eq!(database.numbers("SELECT count(*) FROM socket_rush_apps").await, [0]);
    }
}

#[tokio::test]
async fn an_app_lives_from_its_creation_to_its_deletion_and_its_node_follows() {
    for database in each() {
        done(command(&database, "apps --create-table"));
        let created = done(command(&database, "apps create --app-max-connections 1 --as-json"));
        let created: Value = serde_json::from_str(&created).expect("JSON");
        let text = |key: &str| created[key].as_str().expect("a text").to_owned();
        let app = Credentials::new(&text("app_id"), &text("app_key"), &text("app_secret"));
        let node = node_on(&database).flags(["--app-cache-ttl-seconds", "1"]).credentials(app.clone());
        let node = node.start_alone();
        let client = node.connect().await;
        node.connect_to(&format!("/app/{}?{QUERY}", app.key)).await.expect_end(4004).await;
        client.close().await;
        done(command(&database, &format!("apps update {} --app-max-connections 0", app.id)));
        done(command(&database, &format!("apps disable {}", app.id)));
        until_answered(&Api::of(&node, &app), 403).await;
        done(command(&database, &format!("apps enable {}", app.id)));
        until_answered(&Api::of(&node, &app), 200).await;
        done(command(&database, &format!("apps delete {}", app.id)));
        until_answered(&Api::of(&node, &app), 404).await;
        assert_eq!(command(&database, "apps list").code, FAILURE);
    }
}

/// A node notices what nobody has told it of.
async fn until_answered(api: &Api, status: u16) {
    let mut last = 0;
    // Ten seconds, of which a calm machine takes one or two.
    for _ in 0..200 {
        last = api.get("/channels").await.status;
        if last == status {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("it still answers {last} instead of {status}");
}

#[tokio::test]
async fn what_one_database_exports_the_other_imports() {
    let [postgres, mariadb] = each_with_an_app().await;
    add(&postgres, "2").await;
    done(command(&mariadb, "apps delete 1"));
    let exported: Value = serde_json::from_str(&done(command(&postgres, "apps export"))).expect("JSON");
    done(command_with(&mariadb, "apps import apps.json", &exported));
    let again: Value = serde_json::from_str(&done(command(&mariadb, "apps export"))).expect("JSON");
    assert_eq!(exported, again);
    assert!(exported.to_string().contains(SECRET), "{exported}");
    let listed = done(command(&mariadb, "apps list"));
    assert!(listed.lines().count() >= 2 && !listed.contains(SECRET), "{listed}");
}
