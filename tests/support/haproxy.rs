//! A proxy of a test's own, which runs what a configuration of the repository says.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};

use super::{
    api::{Response, raw_request},
    port::Port,
    program,
};

/// How long it may take to start, and to find out anything about the servers behind it.
const DEADLINE: Duration = Duration::from_secs(30);

/// Time between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// The files in its home that have its settings, and take its log.
const CONFIGURATION: &str = "haproxy.cfg";
const LOG: &str = "haproxy.log";

/// A proxy. It ends with this value.
#[derive(Debug)]
pub(crate) struct Haproxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    _port: Port,
    process: Child,
    home: TempDir,
}

impl Haproxy {
    /// A proxy on a free port of the loopback address, with what is configured for that port, once it lets somebody through to
    /// a server that is ready. A configuration that it so much as warns of is none.
    pub(crate) async fn start(configured_for: impl FnOnce(SocketAddr) -> String) -> Self {
        let (port, home) = (Port::reserve(), TempDir::new().expect("a directory for temporary files"));
        fs::write(home.path().join(CONFIGURATION), configured_for(port.address))
            .expect("the directory is ours");
        let checked = command(home.path()).arg("-c").output().expect("it runs");
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && !said.contains("[WARNING]"), "{said}");
        let log = fs::File::create(home.path().join(LOG)).expect("the directory is ours");
        let mut running = command(home.path());
        running.arg("-db").stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let process = running.spawn().expect("it ran just now");
        let mut proxy = Self { address: port.address, _port: port, process, home };
        let is_open = async |it: &Self| it.ready().await.is_some_and(|answer| answer.status == 200);
        proxy.until("let anybody through", is_open).await;
        proxy
    }

    /// Waits until it has logged this.
    pub(crate) async fn wait_for_log(&mut self, text: &str) {
        self.until(&format!("log {text:?}"), async |it| it.log().contains(text)).await;
    }

    /// Waits until something holds of it; `what` names that.
    async fn until(&mut self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !holds(self).await {
            let has_ended = self.process.try_wait().expect("it is our child").is_some();
            assert!(!has_ended && Instant::now() < deadline, "it does not {what}; its log:\n{}", self.log());
            sleep(PAUSE).await;
        }
    }

    /// What a server behind it says of itself.
    async fn ready(&self) -> Option<Response> {
        TcpStream::connect(self.address).await.ok()?;
        raw_request(self.address, "GET /ready HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n").await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join(LOG)).expect("the directory is ours")
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// The program with the settings in this directory. It takes warnings for errors.
fn command(home: &Path) -> Command {
    let mut command = Command::new(program::find("HAPROXY", "haproxy", "haproxy"));
    command.args(["-dW", "-f", CONFIGURATION]).current_dir(home);
    command
}
