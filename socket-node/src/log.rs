//! Where the log goes and how it looks.

use tracing::Level;
use tracing_subscriber::fmt;

use crate::config::{Log, LogFormat, LogLevel};

/// Sends the log to standard error from now on: standard output is for the facts of the run.
pub fn begin(log: &Log) {
    let lines = fmt().with_max_level(level(log.level)).with_writer(std::io::stderr).with_target(false);
    match log.format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

const fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Trace => Level::TRACE,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Info => Level::INFO,
        LogLevel::Warn => Level::WARN,
        LogLevel::Error => Level::ERROR,
    }
}
