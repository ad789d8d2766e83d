//! A database that speaks TLS alone, and with nobody who has no certificate.

use std::fs;

use super::{with_an_app, with_url};
use crate::support::{database::Database, tls::Identity};

async fn each(identity: &Identity) -> [Database; 2] {
    let databases = [Database::postgres_over_tls(identity), Database::mariadb_over_tls(identity)];
    with_an_app(databases).await
}

#[tokio::test]
async fn a_node_and_a_database_show_each_other_who_they_are() {
    for database in each(&Identity::new()).await {
        let node = with_url(&database, &database.url()).start_alone();
        node.connect().await.close().await;
    }
}

#[tokio::test]
async fn a_database_of_another_authority_or_one_that_refuses_us_stops_the_start_with_the_reason() {
    let stranger = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&stranger, Identity::new().certificate).expect("it is ours");
    for database in each(&Identity::new()).await {
        let url = database.url();
        let (bare, parameters) = url.split_once('?').expect("it has parameters");
        let parameters: Vec<_> = parameters.split('&').collect();
        let [mode, authority, certificate, key] = parameters[..] else { panic!("{url}") };
        let (name, _) = authority.split_once('=').expect("a name");
        let strange = format!("{name}={}", stranger.path().display());
        let (without, refusals) = match database.app_manager() {
            "postgres" => ("sslmode=disable", ["requires a valid client certificate", "no encryption"]),
            _ => ("ssl-mode=disabled", ["Access denied"; 2]),
        };
        for (parameters, what) in [
            (format!("{mode}&{strange}&{certificate}&{key}"), "invalid peer certificate"),
            (format!("{mode}&{name}=/nowhere"), "a file that its URL names cannot be read"),
            (format!("{mode}&{authority}"), refusals[0]),
            (without.to_owned(), refusals[1]),
        ] {
            let ending = with_url(&database, &format!("{bare}?{parameters}")).run();
            assert!(
                ending.code == Some(1) && ending.stderr.contains(what),
                "{parameters}: {}",
                ending.stderr
            );
        }
    }
}
