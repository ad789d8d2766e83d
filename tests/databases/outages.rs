//! A database that dies or falls silent, and comes back, while nodes have their apps from it.

use std::time::{Duration, Instant};

use super::{add, credentials, each_with_an_app, node_at, node_on};
use crate::support::{
    api::Api,
    client::QUERY,
    database::Database,
    node::Node,
    proxy::{Line, Proxy},
};

/// How long a node may take to find a database again. It looks whenever somebody asks.
const RECOVERY: Duration = Duration::from_secs(20);

/// How long somebody may wait for an app that nobody knows: the time that a lookup has, and some for the way.
const ASKED: Duration = Duration::from_secs(7);

/// Connects until the app is found; meanwhile nobody may be told that there is none.
async fn until_found(node: &Node, id: &str) {
    let deadline = Instant::now() + RECOVERY;
    loop {
        let answer = Api::of(node, &credentials(id)).get("/channels").await;
        match answer.status {
            200 => return,
            status => assert_eq!(status, 503, "{}", answer.text()),
        }
        assert!(Instant::now() < deadline, "app {id} is not found: {}", node.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// App 1 is known, and goes on being served however old that is.
async fn serves_what_it_knows(node: &Node) {
    let before = Instant::now();
    let mut client = node.connect().await;
    assert!(before.elapsed() < Duration::from_secs(2), "it waited for the database: {:?}", before.elapsed());
    client.subscribe("room").await;
    node.api().publish("room", "event", 1).await;
    client.expect_on("room", "event").await;
    client.close().await;
}

async fn survives(mut database: Database) {
    let node = node_on(&database).flags(["--app-cache-ttl-seconds", "1"]).start_alone();
    let mut faithful = node.connect().await;
    faithful.subscribe("room").await;
    database.kill();
    // Twice as long as what it knows is good.
    let later = Instant::now() + Duration::from_secs(2);
    while Instant::now() < later {
        serves_what_it_knows(&node).await;
        faithful.expect_on("room", "event").await;
        // Nobody can say whether there is an app 2.
        node.connect_to(&format!("/app/key-2?{QUERY}")).await.expect_end(4100).await;
    }
    database.restart();
    add(&database, "2").await;
    until_found(&node, "2").await;
    serves_app(&node, "1").await;
    node.connect_to(&format!("/app/nobody?{QUERY}")).await.expect_end(4001).await;
    faithful.close().await;
}

/// On the way to the database everything vanishes, so that no connection breaks and none comes about.
async fn survives_silence(database: Database) {
    let way = Proxy::to(database.address).await;
    let seen = node_at(&database, way.address);
    let node = seen.flags(["--app-cache-ttl-seconds", "1"]).start_alone();
    let mut faithful = node.connect().await;
    faithful.subscribe("room").await;
    way.set(Line::BlackHole);
    let asked = Instant::now();
    let stranger = Api::of(&node, &credentials("2"));
    let stranger = tokio::spawn(async move { stranger.get("/channels").await });
    while !stranger.is_finished() {
        serves_what_it_knows(&node).await;
        faithful.expect_on("room", "event").await;
    }
    let (answer, took) = (stranger.await.expect("it does not panic"), asked.elapsed());
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(took < ASKED, "the database was waited for {took:?}");
    way.set(Line::Sound);
    add(&database, "2").await;
    until_found(&node, "2").await;
    serves_app(&node, "1").await;
    faithful.close().await;
}

async fn serves_app(node: &Node, id: &str) {
    node.connect_as(&credentials(id)).await.close().await;
}

#[tokio::test]
async fn known_apps_go_on_while_a_postgres_is_away_and_others_come_with_it() {
    let [postgres, _] = each_with_an_app().await;
    survives(postgres).await;
}

#[tokio::test]
async fn known_apps_go_on_while_a_mariadb_is_away_and_others_come_with_it() {
    let [_, mariadb] = each_with_an_app().await;
    survives(mariadb).await;
}

#[tokio::test]
async fn known_apps_go_on_while_a_postgres_is_silent_and_others_come_with_it() {
    let [postgres, _] = each_with_an_app().await;
    survives_silence(postgres).await;
}

#[tokio::test]
async fn known_apps_go_on_while_a_mariadb_is_silent_and_others_come_with_it() {
    let [_, mariadb] = each_with_an_app().await;
    survives_silence(mariadb).await;
}

#[tokio::test]
async fn a_node_that_starts_while_its_database_is_away_knows_its_apps_later() {
    for mut database in each_with_an_app().await {
        database.kill();
        let node = node_on(&database).start_alone();
        assert!(node.log().contains("cannot be asked"), "{}", node.log());
        node.connect_to(&format!("/app/key-1?{QUERY}")).await.expect_end(4100).await;
        database.restart();
        until_found(&node, "1").await;
        serves_app(&node, "1").await;
    }
}
