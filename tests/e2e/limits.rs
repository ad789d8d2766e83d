//! How many connections an app may have.

use serde_json::json;

use crate::support::{client::QUERY, node::Node, signing::Credentials};

#[tokio::test]
async fn a_place_is_free_again_as_soon_as_a_connection_has_ended() {
    let node = Node::with(["--app-max-connections", "2"]);
    let (_first, second) = (node.connect().await, node.connect().await);
    let path = format!("/app/app-key?{QUERY}");
    node.connect_to(&path).await.expect_end(4004).await;
    second.close().await;
    let mut third = node.connect().await;
    third.expect_quiet().await;
}

#[tokio::test]
async fn refused_connections_take_no_place() {
    let node = Node::with(["--app-max-connections", "1"]);
    let first = node.connect().await;
    for _ in 0..5 {
        node.connect_to(&format!("/app/app-key?{QUERY}")).await.expect_end(4004).await;
        node.connect_to("/app/app-key?protocol=3").await.expect_end(4007).await;
    }
    first.close().await;
    node.connect().await.expect_quiet().await;
}

#[tokio::test]
async fn a_full_app_leaves_the_places_of_others() {
    let app = |id: &str| json!({"app_id": id, "app_key": format!("key-{id}"), "app_secret": "same", "app_max_connections": 1});
    let node = Node::from_config(&json!({"applications": [app("1"), app("2")]}));
    let _full = node.connect().await;
    let mut other = node.connect_as(&Credentials::new("2", "key-2", "same")).await;
    other.expect_quiet().await;
}

#[tokio::test]
async fn no_limit_is_no_limit() {
    let node = Node::with(["--app-max-connections", "0"]);
    let connecting = (0..200).map(|_| node.connect());
    for mut client in futures_util::future::join_all(connecting).await {
        client.expect_quiet().await;
    }
}
