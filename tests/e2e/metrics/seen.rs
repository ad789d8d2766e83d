//! Apps of a database: each has series of its own as soon as it is seen, as long as there is room.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{sleep, timeout};

use super::{DEADLINE, Values};
use crate::{
    cloud::live_apps::World,
    databases::{add, credentials, each_with_an_app, node_on},
    support::{
        api::Api,
        client::Client,
        node::{METRICS, Node},
        signing::Credentials,
    },
};

/// Apps that are counted apart.
const ROOM: usize = 100;

/// The apps that have series of their own.
fn named(values: &Values) -> BTreeSet<&str> {
    let named = values.0.keys().filter_map(|name| name.strip_prefix("connections_total{app_id=\""));
    named.map(|app| app.trim_end_matches("\"}")).filter(|app| *app != "other").collect()
}

/// An app's connections that began, ended and are there, and the events of its backend and of its clients.
fn counted(values: &Values, app: &str) -> [f64; 5] {
    let by_app = |name: &str| values.get(&format!("{name}{{app_id=\"{app}\"}}"));
    let events = |kind: &str| values.get(&format!("events_total{{app_id=\"{app}\",type=\"{kind}\"}}"));
    let [began, ended, there] =
        ["connections_total", "disconnections_total", "active_connections"].map(by_app);
    [began, ended, there, events("api"), events("client")]
}

/// Two clients of an app come, one of them speaks, and so does its backend.
async fn meet(node: &Node, app: &Credentials) -> [Client; 2] {
    let mut clients = [node.connect_as(app).await, node.connect_as(app).await];
    for client in &mut clients {
        client.subscribe_private("private-room").await;
    }
    clients[0].trigger("private-room", "client-x", 1).await;
    clients[1].expect("client-x").await;
    Api::of(node, app).publish("private-room", "news", 1).await;
    for client in &mut clients {
        client.expect("news").await;
    }
    clients
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_of_a_table_are_on_the_page_as_soon_as_they_are_seen_and_stay_when_they_are_deleted() {
    let world = World::start(1, &["--app-cache-ttl-seconds", "3600"]).await;
    let node = world.node(0);
    let nobody = Values::of(node).await;
    assert_eq!(named(&nobody), BTreeSet::new());

    let [_staying, leaving] = meet(node, &node.credentials).await;
    let first = Values::of(node).await;
    assert_eq!(counted(&first, "1"), [2.0, 0.0, 2.0, 1.0, 1.0]);
    leaving.close().await;
    Values::once(node, |values| counted(values, "1") == [2.0, 1.0, 1.0, 1.0, 1.0]).await;

    world.tell("create --app-id 2 --app-key another --app-secret s --app-enable-client-messages=true").await;
    let mut clients = meet(node, &Credentials::new("2", "another", "s")).await;
    let second = Values::of(node).await;
    assert_eq!(named(&second), BTreeSet::from(["1", "2"]));
    assert_eq!(counted(&second, "2"), [2.0, 0.0, 2.0, 1.0, 1.0]);

    world.tell("delete 2").await;
    for client in &mut clients {
        client.expect_end(4001).await;
    }
    drop(clients);
    let last = Values::once(node, |values| counted(values, "2") == [2.0, 2.0, 0.0, 1.0, 1.0]).await;
    assert_eq!(counted(&last, "1"), [2.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(counted(&last, "other"), [0.0; 5]);
}

/// Has its backend publish until this app has series of its own.
async fn publish_until_named(node: &Node, app: &str) {
    let api = Api::of(node, &credentials(app));
    let named = async {
        loop {
            api.publish("room", "e", 1).await;
            if named(&Values::of(node).await).contains(app) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, named).await.unwrap_or_else(|_| panic!("app {app} is never counted apart"));
}

/// Waits until the node has noticed that there is no such app any more.
async fn until_gone(node: &Node, app: &str) {
    let gone = async {
        while Api::of(node, &credentials(app)).get("/channels").await.status != 404 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, gone).await.unwrap_or_else(|_| panic!("app {app} is still there"));
}

#[tokio::test]
async fn when_there_is_no_room_apps_that_are_gone_make_it_and_connections_end_where_they_began() {
    const LATE: &str = "101";
    for database in each_with_an_app().await {
        for number in 2..=ROOM + 2 {
            add(&database, &number.to_string()).await;
        }
        let node = node_on(&database).flags(METRICS).flags(["--app-cache-ttl-seconds", "1"]).start_alone();
        for number in 1..=ROOM {
            Api::of(&node, &credentials(&number.to_string())).publish("room", "e", number).await;
        }
        let early = node.connect_as(&credentials(LATE)).await;
        let full = Values::of(&node).await;
        assert_eq!(named(&full).len(), ROOM);
        assert_eq!(counted(&full, "other"), [1.0, 0.0, 1.0, 0.0, 0.0]);

        database.execute("DELETE FROM socket_rush_apps WHERE id IN ('2', '3')").await;
        for gone in ["2", "3"] {
            until_gone(&node, gone).await;
        }
        publish_until_named(&node, "102").await;
        let _later = node.connect_as(&credentials(LATE)).await;
        let both = Values::of(&node).await;
        assert_eq!(named(&both).len(), ROOM);
        assert!(!named(&both).contains("2") && !named(&both).contains("3"), "{both:#?}");
        assert_eq!(counted(&both, "1"), [0.0, 0.0, 0.0, 1.0, 0.0]);
        assert_eq!([counted(&both, LATE)[2], counted(&both, "other")[2]], [1.0, 1.0]);

        early.close().await;
        let ended = Values::once(&node, |values| counted(values, "other")[1] == 1.0).await;
        assert_eq!([counted(&ended, LATE)[2], counted(&ended, "other")[2]], [1.0, 0.0]);
        assert_eq!(counted(&ended, LATE)[1], 0.0);
    }
}
