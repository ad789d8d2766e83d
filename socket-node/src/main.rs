//! The story of a run: settings, build, say where we listen, serve, drain.

use std::{ffi::OsString, io::Write as _, process::ExitCode};

use anyhow::Context as _;
use socket_node::{
    command::{Command, Subject},
    config::{self, AppManager, Config, Purpose, Startup},
    log,
    node::Node,
    shutdown::Signals,
};
use tracing::{info, warn};

/// Packs the many small things of many connections closer than the system's allocator: two fifths less memory for
/// each connection, and a little less work.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The exit code of a program that was called with settings it cannot use (`EX_USAGE` of sysexits.h).
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    match Subject::of(&args[1..]) {
        Some(subject) => carry_out(subject, &args[1..]),
        None => serve(args),
    }
}

fn serve(args: Vec<OsString>) -> ExitCode {
    match config::load(args, std::env::vars_os(), Purpose::Serving) {
        Ok(Startup::Print(text)) => {
            // Nobody reads on: that is no failure of ours.
            let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
            ExitCode::SUCCESS
        }
        Ok(Startup::Run(config)) => match run_to_the_end(*config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        },
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(EX_USAGE)
        }
    }
}

/// A command: it ends with 0 if all of it is done, and with 1 if there was nothing to be done or some of it was refused.
fn carry_out(subject: Subject, args: &[OsString]) -> ExitCode {
    let (words, settings) = subject.split(args);
    if settings.iter().any(|flag| flag == "--help" || flag == "-h") {
        println!("{}", subject.usage());
        return ExitCode::SUCCESS;
    }
    let settings = std::iter::once(OsString::new()).chain(settings);
    let read = Command::parse(subject, &words).and_then(|command| {
        let startup = subject.load(settings, std::env::vars_os()).map_err(|errors| errors.lines)?;
        Ok((command, startup))
    });
    let (command, config) = match read {
        Ok((command, Startup::Run(config))) => (command, *config),
        Ok((_, Startup::Print(text))) => {
            println!("{}", text.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(lines) => {
            eprintln!("{}", lines.join("\n"));
            return ExitCode::from(EX_USAGE);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command.run(config, &mut std::io::stdout())) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What still runs in the end, such as a look-up of an address that nobody answers, is not waited for.
fn run_to_the_end(config: Config) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let ran = runtime.block_on(run(config));
    runtime.shutdown_background();
    ran
}

async fn run(config: Config) -> anyhow::Result<()> {
    log::begin(&config.log);
    log::report_panics();
    let mut signals = Signals::take_over().context("cannot listen for signals")?;
    raise_descriptor_limit();
    let app_env = &config.app_env;
    match &config.app_manager {
        AppManager::Array => {
            info!(%app_env, apps = config.apps.len(), "starting with {} apps", config.apps.len())
        }
        AppManager::DynamoDb(table) => {
            info!(%app_env, "starting with the apps of the table '{}'", table.name)
        }
        AppManager::Sql(url) => info!(%app_env, "starting with the apps of the database at {url}"),
    }
    for notice in &config.notices {
        warn!("{notice}");
    }
    let node = Node::build(config)?;
    let address = node.address().context("cannot tell the address")?;
    tokio::select! {
        joined = node.join() => joined?,
        () = signals.next() => return Ok(()),
    }
    writeln!(std::io::stdout(), "socket-rush {} listening on {address}", env!("CARGO_PKG_VERSION"))
        .context("cannot write to standard output")?;
    if let Some(address) = node.metrics_address() {
        let address = address.context("cannot tell the address of the metrics")?;
        writeln!(std::io::stdout(), "metrics on {address}").context("cannot write to standard output")?;
    }
    let node = node.start();

    signals.next().await;
    info!("going away; a second signal ends the process at once");
    tokio::select! {
        () = node.stop() => info!("all connections are closed"),
        () = signals.next() => warn!("ended by a second signal"),
    }
    Ok(())
}

/// Every connection needs a descriptor; the usual limit of 1,024 would be reached soon.
fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => info!(limit, "up to {limit} descriptors may be open"),
        Err(error) => warn!(%error, "the limit of open descriptors stays as it is: {error}"),
    }
}
