//! The settings of apps in a SQL database.

use super::{Operator, nothing, one_app};
#[cfg(feature = "sql")]
use crate::config::AppManager;

const URL: &str = "postgres://rush:canary@db.example:5433/apps?sslmode=verify-full";

fn on(url: &str) -> Operator {
    nothing().args("--app-manager postgres").arg(&format!("--database-url={url}"))
}

#[cfg(feature = "sql")]
#[test]
fn a_database_can_be_named_in_every_place() {
    let file = format!(r#"{{"app_manager": "postgres", "database_url": "{URL}"}}"#);
    for operator in [
        on(URL),
        nothing().env("APP_MANAGER", "postgres").env("DATABASE_URL", URL),
        nothing().config_file(&file),
    ] {
        let config = operator.config();
        let AppManager::Sql(url) = &config.app_manager else { panic!("it is chosen") };
        assert_eq!(url.with_password(), URL);
        assert_eq!(config.apps.len(), 0);
        assert!(!format!("{config:?}").contains("canary"), "{config:?}");
    }
    let mysql = nothing().args("--app-manager mysql --database-url mariadb://rush@localhost/apps");
    assert!(matches!(mysql.config().app_manager, AppManager::Sql(_)));
    // It may be there for later.
    assert_eq!(one_app().args("--database-url mysql://u@h/d").config().app_manager, AppManager::Array);
}

#[cfg(feature = "sql")]
#[test]
fn a_url_that_does_not_fit_is_refused_and_not_shown() {
    let wrong = on("mysql://rush:canary@db/apps").error();
    assert_eq!(wrong, "--database-url: must begin with postgres://, because app_manager is postgres");
    let wrong = nothing().args("--app-manager mysql --database-url postgres://rush:canary@db/apps").error();
    assert_eq!(wrong, "--database-url: must begin with mysql://, because app_manager is mysql");
    assert_eq!(nothing().args("--app-manager mysql").error(), "--app-manager: needs database_url as well");
    for url in
        ["canary", "redis://canary@db/apps", "postgres://u:canary@db", "postgres://db/apps?sslmode=canary"]
    {
        let error = on(url).error();
        assert!(error.starts_with("--database-url: ") && !error.contains("canary"), "{error}");
    }
}

#[cfg(feature = "sql")]
#[test]
fn the_settings_in_effect_are_shown_without_the_password() {
    let shown = on(URL).args("--check-config").printed();
    assert!(shown.contains("db.example:5433") && !shown.contains("canary"), "{shown}");
}

#[cfg(not(feature = "sql"))]
#[test]
fn a_server_without_sql_says_how_to_come_by_it() {
    let what = "--app-manager: this server was built without SQL; build one with: \
                cargo build --release --features sql";
    assert_eq!(on(URL).error(), what);
    let mysql = nothing().args("--app-manager mysql --database-url mysql://rush:canary@db/apps");
    assert_eq!(mysql.error(), what);
    assert!(one_app().arg(&format!("--database-url={URL}")).config().notices.is_empty());
}
