//! Where the log goes, how it looks, and what becomes of panics.

use std::{
    panic::{self, PanicHookInfo},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

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

/// Panics since the start. Of the process, as what counts them is.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// From now on a panic is counted and has a line in the log, like everything else that goes wrong. A task that
/// panics ends alone; its connection, if it had one, is taken out of everything as it is dropped.
pub fn report_panics() {
    panic::set_hook(Box::new(report));
}

/// How many panics were reported until now.
pub fn panics() -> u64 {
    PANICS.load(Relaxed)
}

/// What a panic says of itself stays out of the log: it may quote what a client has sent.
fn report(panic: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Relaxed);
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "a task panicked at {place}");
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
