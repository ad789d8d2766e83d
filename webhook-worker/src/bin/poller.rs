//! The poller: works a queue of webhooks in SQS off, where there is no Lambda or none is wanted. The story of a run:
//! settings, build, say where we listen, work, drain.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tracing::{info, warn};
use webhook_worker::{
    cloud::Cloud,
    deliver::Deliverer,
    log,
    poller::{self, Figures, Poller, health},
    settings::{self, POLLER_SETTINGS, SQS_QUEUE_URL, Settings},
    worker::{Lanes, Limits},
};

/// The exit code of a program that was called with settings it cannot use (`EX_USAGE` of sysexits.h).
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let (args, environment) = (std::env::args_os().skip(1).collect(), std::env::vars_os().collect());
    let read = settings::read(POLLER_SETTINGS, args, &environment).and_then(|settings| {
        let queue = settings.values.text(SQS_QUEUE_URL.key);
        queue.map(|queue| (settings, queue)).ok_or_else(|| vec!["sqs_queue_url: is missing".to_owned()])
    });
    let (settings, queue) = match read {
        Ok(read) => read,
        Err(lines) => {
            eprintln!("{}", lines.join("\n"));
            return ExitCode::from(EX_USAGE);
        }
    };
    log::begin(&settings.values);
    match run(settings, &queue) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(settings: Settings, queue: &str) -> anyhow::Result<()> {
    let mut signals = Signals::take_over().context("cannot listen for signals")?;
    let values = &settings.values;
    let ip: IpAddr = values.text("bind_address").unwrap_or_default().parse().context("bind_address")?;
    let address = SocketAddr::from((ip, values.number("poller_port")));
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot tell the address")?;
    let limits = Limits { schedule: settings::schedule(values), ..Limits::default() };
    let deliverer = Deliverer::new(settings::delivery(values));
    let (figures, mut tasks) = (Figures::default(), JoinSet::new());
    let apps = settings.apps.clone();
    tasks.spawn(async {
        apps.keep_fresh().await;
        Ok(())
    });
    let lanes = Lanes::new(deliverer, settings.apps, poller::limits(limits));
    tasks.spawn(health::serve(listener, lanes.clone(), figures.clone()));
    writeln!(std::io::stdout(), "webhook-poller {} listening on {address}", env!("CARGO_PKG_VERSION"))
        .context("cannot write to standard output")?;

    let finding = async {
        let cloud = Cloud::open(&settings::access(values)).await?;
        poller::find(&cloud, queue).await
    };
    let found = tokio::select! {
        found = finding => found.with_context(|| format!("the queue '{queue}' cannot be used"))?,
        () = signals.next() => return Ok(()),
    };
    info!(queue, "receiving from {queue}");
    let poller = Poller::start(found, lanes, figures);

    signals.next().await;
    info!("going away; a second signal ends the process at once");
    let grace = Duration::from_secs(values.number("shutdown_grace_seconds"));
    tokio::select! {
        left = poller.stop(grace) => info!(left, "going, with {left} webhooks left to others"),
        () = signals.next() => warn!("ended by a second signal"),
    }
    Ok(())
}

/// SIGTERM and SIGINT, each of which asks the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn take_over() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
