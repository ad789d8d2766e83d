//! Where a SQL database is: a URL that is checked as a whole, and never shown whole.

use std::fmt;

use crate::app::settings::host_and_port;

/// The URL of a database. `Debug` and `Display` leave out user, password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    text: String,
    /// What may be shown of it.
    place: String,
    kind: DatabaseKind,
}

/// A kind of database, by the language that it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

impl DatabaseUrl {
    /// Reads `scheme://[user[:password]@]host[:port]/database[?parameter=value&…]`. What is unknown in it is refused,
    /// because the drivers would leave it out in silence.
    ///
    /// # Errors
    /// What it must be, without anything of it but the names of parameters.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(shape)?;
        let kind = match scheme {
            "postgres" | "postgresql" => DatabaseKind::Postgres,
            "mysql" | "mariadb" => DatabaseKind::MySql,
            _ => return Err(shape()),
        };
        // Commas would pass for the end of a URL where it is shown without its password.
        if text.contains(['#', ',']) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(shape());
        }
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').ok_or_else(shape)?;
        let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
        if host_and_port(address).is_none() || database.is_empty() || database.contains(['/', '@']) {
            return Err(shape());
        }
        check_parameters(kind, parameters)?;
        Ok(Self { text: text.to_owned(), place: format!("{scheme}://{address}/{database}"), kind })
    }

    /// Which kind of database is there.
    pub fn kind(&self) -> DatabaseKind {
        self.kind
    }

    /// The whole URL, password and all: for the driver that connects, never for a log.
    pub fn with_password(&self) -> &str {
        &self.text
    }
}

impl DatabaseKind {
    /// The parameters that its URLs may have, each with the words that it takes; any where there are none.
    const fn parameters(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Postgres => &[
                // Not `allow`, which would never do what it says: the driver takes it for `disable`.
                ("sslmode", &["disable", "prefer", "require", "verify-ca", "verify-full"]),
                ("sslrootcert", &[]),
                ("sslcert", &[]),
                ("sslkey", &[]),
                ("application_name", &[]),
                ("options", &[]),
            ],
            Self::MySql => &[
                ("ssl-mode", &["disabled", "preferred", "required", "verify_ca", "verify_identity"]),
                ("ssl-ca", &[]),
                ("ssl-cert", &[]),
                ("ssl-key", &[]),
            ],
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

fn shape() -> String {
    "must be 'postgres://user:password@host[:port]/database' or 'mysql://user:password@host[:port]/database', where \
     '/', '?', '#', ',', '%' and blanks in a password are written as %2F and so on"
        .to_owned()
}

fn check_parameters(kind: DatabaseKind, parameters: &str) -> Result<(), String> {
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let known = kind.parameters().iter().find(|(known, _)| *known == name);
        let Some((_, words)) = known else {
            let names: Vec<_> = kind.parameters().iter().map(|(known, _)| *known).collect();
            return Err(format!("has a parameter that is not one of {}", names.join(", ")));
        };
        if !words.is_empty() && !words.contains(&value.to_ascii_lowercase().as_str()) {
            return Err(format!("has a {name} that is not one of {}", words.join(", ")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_the_kind_of_database_and_are_shown_without_what_is_nobodys_business() {
        for (text, kind, shown) in [
            ("postgres://u:pw@db.example/apps", DatabaseKind::Postgres, "postgres://db.example/apps"),
            (
                "postgresql://u@[::1]:5433/apps?sslmode=verify-full",
                DatabaseKind::Postgres,
                "postgresql://[::1]:5433/apps",
            ),
            (
                "mysql://u:p%40w@10.0.0.1:3306/apps?ssl-mode=REQUIRED&ssl-ca=%2Fca.pem",
                DatabaseKind::MySql,
                "mysql://10.0.0.1:3306/apps",
            ),
            ("mariadb://db/apps", DatabaseKind::MySql, "mariadb://db/apps"),
        ] {
            let url = DatabaseUrl::parse(text).unwrap();
            assert_eq!((url.kind(), url.to_string()), (kind, shown.to_owned()), "{text}");
            assert_eq!(url.with_password(), text);
            assert_eq!(format!("{url:?}"), format!("DatabaseUrl({shown})"));
        }
    }

    #[test]
    fn what_is_no_url_of_a_database_is_refused_without_being_told() {
        for text in [
            "",
            "canary",
            "db.example/canary",
            "redis://canary@db/apps",
            "sqlite://canary/apps",
            "Postgres://canary@db/apps",
            "postgres://canary@db",
            "postgres://canary@db/",
            "postgres://canary@/apps",
            "postgres://u:canary/1@db/apps",
            "postgres://u:canary?1@db/apps",
            "postgres://u:canary#1@db/apps",
            "postgres://u:canary,1@db/apps",
            "postgres://u:canary 1@db/apps",
            "postgres://u:canary@db:0/apps",
            "postgres://u@db/apps/canary",
            "postgres://u@db/apps?canary=1",
            "postgres://u@db/apps?sslmode=canary",
            "postgres://canary@db/apps?sslmode=allow",
            "postgres://u@db/apps?ssl-mode=required",
            "mysql://u@db/apps?sslmode=require",
            "mysql://u@db/apps?ssl-mode=canary",
            "mysql://u@db/apps?password=canary",
        ] {
            let error = DatabaseUrl::parse(text).expect_err(text);
            assert!(!error.contains("canary"), "{text}: {error}");
        }
    }
}
