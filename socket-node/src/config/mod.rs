//! The settings: flags, environment, `.env` and JSON file in, one typed [`Config`] out, or everything that is wrong.
//!
//! Every setting is defined once, in [`SERVER_SETTINGS`] or in the app manager's table; the command line, the names
//! in the environment and in JSON, `--help` and the README are readings of those definitions. Nothing here touches
//! the process: arguments and environment come in as values, and the answer is a value too.
//!
//! Suggested reading order: `typed`, `server_settings`, `flags`, `environment`, `file`, `gather`, `server`, `apps`,
//! `effective`, `readme`.

mod apps;
mod database;
mod effective;
mod environment;
mod file;
mod flags;
mod gather;
mod json;
mod readme;
mod redis;
mod server;
mod server_settings;
mod suggest;
#[cfg(test)]
mod tests;
mod typed;

use std::{ffi::OsString, fmt, path::Path};

use app_manager::app::settings::Problems;

pub(crate) use json::parse as parse_json;
pub use readme::table;
pub use redis::{Password, RedisConfig, RedisUrl, SentinelConfig};
pub use server_settings::SERVER_SETTINGS;
pub use typed::{
    AppManager, AppTable, CloudDestination, CloudOutlet, Config, CorsOrigins, Driver, Listen, Log, LogFormat,
    LogLevel, ProtocolOptions, QueueDriver, SubscriptionErrorStyle, TlsFiles,
};

/// What the command line asks for.
#[derive(Debug)]
pub enum Startup {
    /// A server with these settings.
    Run(Box<Config>),
    /// Only this text, such as the help or the version.
    Print(String),
}

/// Everything that is wrong with the settings, one line each, without any secret.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The lines; each names where its setting was given.
    pub lines: Vec<String>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Reads the settings out of the arguments (the program's name first), the environment and the files that these name.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load<A, E, N, V>(args: A, environment: E, purpose: Purpose) -> Result<Startup, ConfigErrors>
where
    A: IntoIterator,
    A::Item: Into<OsString>,
    E: IntoIterator<Item = (N, V)>,
    N: Into<OsString>,
    V: Into<OsString>,
{
    let args = args.into_iter().skip(1).map(Into::into).collect();
    let environment = environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    load_in(Path::new(""), args, &environment, purpose)
}

/// What the settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A node, which needs apps.
    Serving,
    /// Something else: which apps the settings have is of no interest.
    Other,
}

/// [`load`], with relative paths starting from `directory`.
fn load_in(
    directory: &Path,
    args: Vec<OsString>,
    environment: &environment::Variables,
    purpose: Purpose,
) -> Result<Startup, ConfigErrors> {
    let mut problems = Problems::default();
    let flags = flags::read(args, &mut problems);
    if flags.server.is_on("help") {
        return Ok(Startup::Print(flags::help()));
    }
    if flags.server.is_on("version") {
        return Ok(Startup::Print(format!("socket-rush {}\n", env!("CARGO_PKG_VERSION"))));
    }
    let gathered = gather::gather(directory, flags, environment, &mut problems);
    let apps = match purpose {
        Purpose::Serving => apps::settle(&gathered, &mut problems),
        Purpose::Other => Vec::new(),
    };
    let config = server::build(&gathered.server, &apps, &mut problems);
    if !problems.is_empty() {
        return Err(ConfigErrors { lines: problems.into_lines() });
    }
    if gathered.server.is_on("check_config") {
        return Ok(Startup::Print(effective::text(&gathered.server, &apps)));
    }
    Ok(Startup::Run(Box::new(config)))
}
