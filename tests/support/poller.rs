//! A running poller: the real binary, with nothing in its environment but what the test gives.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{
    api::{Response, raw_request},
    aws::{Aws, binary},
    process::{cpu_time, print_log, signal},
};

/// How long it may take to start, and to end.
const DEADLINE: Duration = Duration::from_secs(20);

/// The file in its home that takes its standard error.
const LOG: &str = "stderr.log";

/// A poller. It is killed with this value, unless it was stopped.
#[derive(Debug)]
pub(crate) struct Poller {
    /// Where it serves health and metrics.
    pub(crate) address: SocketAddr,
    process: Child,
    home: TempDir,
}

impl Poller {
    /// A poller of this queue, which knows these apps and finds AWS at this address.
    pub(crate) fn start(aws: SocketAddr, queue: &str, apps: &str, flags: &[&str]) -> Self {
        let home = TempDir::new().expect("a directory for temporary files");
        let log = fs::File::create(home.path().join(LOG)).expect("the directory is ours");
        let mut process = Command::new(binary("webhook-poller"))
            .args(["--poller-port", "0", "--bind-address", "127.0.0.1", "--sqs-queue-url", queue])
            .args(flags)
            .env_clear()
            .envs(Aws::variables(aws))
            .env("APPS", apps)
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("it was built");
        let output = process.stdout.take().expect("standard output is a pipe");
        let (sender, first) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let mut lines = BufReader::new(output).lines().map_while(Result::ok);
            let _received = sender.send(lines.next());
            lines.for_each(drop);
        });
        let line = first.recv_timeout(DEADLINE).ok().flatten();
        let address = line.as_ref().and_then(|line| line.rsplit(' ').next()?.parse().ok());
        let Some(address) = address else {
            let _ended = process.kill();
            let _status = process.wait();
            let log = fs::read_to_string(home.path().join(LOG)).expect("the directory is ours");
            panic!("no address in the first line {line:?}; its log:\n{log}");
        };
        Self { address, process, home }
    }

    /// Everything that it has logged until now.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.path().join(LOG)).expect("the log file is ours")
    }

    /// What it answers on its own port.
    pub(crate) async fn get(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: poller\r\nConnection: close\r\n\r\n");
        raw_request(self.address, request).await.expect("it listens")
    }

    /// One of its metrics.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let page = self.get("/metrics").await.expect_status(200);
        let value = page.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {}", page.text()))
    }

    /// What it has used of all processors so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_time(self.process.id())
    }

    /// Waits until `/ready` answers this.
    pub(crate) async fn answers_ready(&self, status: u16) {
        let asking = async {
            while self.get("/ready").await.status != status {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("/ready never answers {status}"));
    }

    /// Ends it without warning.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Asks it to end, and waits until it has, cleanly.
    pub(crate) async fn stop(mut self) {
        signal(&self.process, Signal::TERM);
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            match self.process.try_wait().expect("it is our child") {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("it does not end; its log:\n{}", self.log()),
                None => sleep(Duration::from_millis(5)).await,
            }
        };
        assert!(status.success(), "it ended with {status}; its log:\n{}", self.log());
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill();
        let _status = self.process.wait();
        if thread::panicking() {
            print_log("the poller", &self.home.path().join(LOG));
        }
    }
}
