//! Where apps are that a SQL database has.

use app_manager::{
    app::settings::{Problems, Values},
    store::{DatabaseKind, DatabaseUrl},
};

/// The setting that says where.
const DATABASE_URL: &str = "database_url";

/// The database that `app_manager`, given at this source, chooses by its word for that kind. What is wrong goes to
/// `problems`.
pub(super) fn build(
    server: &Values,
    kind: DatabaseKind,
    source: &str,
    problems: &mut Problems,
) -> Option<DatabaseUrl> {
    if cfg!(not(feature = "sql")) {
        let what = "this server was built without SQL; build one with: cargo build --release --features sql";
        problems.add(source, what);
    }
    let Some(text) = server.text(DATABASE_URL) else {
        // If it was given and refused, that is said already.
        if server.given(DATABASE_URL).is_none() {
            problems.add(source, format_args!("needs {DATABASE_URL} as well"));
        }
        return None;
    };
    let url = DatabaseUrl::parse(&text).expect("only what is one is taken");
    if url.kind() != kind {
        let word = match kind {
            DatabaseKind::Postgres => "postgres",
            DatabaseKind::MySql => "mysql",
        };
        let what = format!("must begin with {word}://, because app_manager is {word}");
        problems.add(server.source(DATABASE_URL), what);
    }
    Some(url)
}

/// Reads the URL of a database.
pub(super) fn read_database_url(text: &str) -> Result<String, String> {
    DatabaseUrl::parse(text).map(|url| url.with_password().to_owned())
}
