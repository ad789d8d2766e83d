//! Where the programs of this package log, and how.

use app_manager::app::settings::Values;
use tracing::Level;
use tracing_subscriber::fmt;

/// Sends the log to standard error from now on, as the settings `log_level` and `log_format` say.
pub fn begin(values: &Values) {
    let level = values.text("log_level").and_then(|level| level.parse().ok()).unwrap_or(Level::INFO);
    let lines = fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false).with_ansi(false);
    match values.text("log_format").as_deref() {
        Some("json") => lines.json().flatten_event(true).init(),
        _ => lines.init(),
    }
}
