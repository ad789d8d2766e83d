//! A running server: the real binary, on a port of its own, with nothing in its environment but what the test gives.

mod figures;
mod launch;
mod pair;

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, ExitStatus},
    sync::{
        Mutex,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use launch::LOG;
pub(crate) use launch::{Ending, Launch, METRICS, binary};
use pair::Twin;
pub(crate) use pair::{Doors, unique_prefix};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::{
    api::Api,
    client::Client,
    process::{freeze, print_log, signal, thaw},
    signing::Credentials,
};

/// How long a node may take to start, and to end once it has no clients.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server that listens, or two that are one to their clients. Dropping it asks it to end and fails the test unless it
/// ends cleanly and in time.
///
/// Of two, the address, the standard output, the files and the process are those of the first.
#[derive(Debug)]
pub(crate) struct Node {
    /// Where it listens. Clients and requests that might as well go to its twin go through [`Node::door`].
    pub(crate) address: SocketAddr,
    /// Where it serves metrics, if it was asked to.
    pub(crate) metrics: Option<SocketAddr>,
    /// The app that `connect` connects to.
    pub(crate) credentials: Credentials,
    /// The first line of its standard output.
    pub(crate) greeting: String,
    process: Child,
    /// Disconnects when the process closes its standard output, which is when it ends.
    output: Mutex<Receiver<String>>,
    home: TempDir,
    stopped: bool,
    /// Where clients go.
    clients: Doors,
    /// Where requests go.
    requests: Doors,
    twin: Option<Twin>,
}

impl Node {
    /// A node with one app that allows client events.
    pub(crate) fn start() -> Self {
        Launch::new().start()
    }

    /// The same, with further flags.
    pub(crate) fn with<T: Into<String>>(flags: impl IntoIterator<Item = T>) -> Self {
        Launch::new().flags(flags).start()
    }

    /// A node whose apps and settings come from a configuration file alone; `connect` connects to its first app.
    pub(crate) fn from_config(config: &Value) -> Self {
        Launch::bare().config(config).start()
    }

    /// Where the next client is to connect to.
    pub(crate) fn door(&self) -> SocketAddr {
        self.clients.next()
    }

    /// Where requests go.
    pub(crate) fn requests(&self) -> &Doors {
        &self.requests
    }

    /// A client of the node's app, past the handshake.
    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.door(), &self.credentials).await
    }

    /// A client that asked for any path, before its first frame.
    pub(crate) async fn connect_to(&self, path_and_query: &str) -> Client {
        Client::open(self.door(), &self.credentials, path_and_query, &[]).await
    }

    /// A client of another of the node's apps, past the handshake.
    pub(crate) async fn connect_as(&self, credentials: &Credentials) -> Client {
        Client::connect(self.door(), credentials).await
    }

    /// The HTTP API of the node's app.
    pub(crate) fn api(&self) -> Api {
        Api::on(self)
    }

    /// Everything that it has logged until now.
    pub(crate) fn log(&self) -> String {
        let mut log = fs::read_to_string(self.home.path().join(LOG)).expect("the log file is ours");
        if let Some(twin) = &self.twin {
            log += &twin.node.log();
        }
        log
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The directory where it runs.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits until it has logged this.
    pub(crate) async fn wait_for_log(&self, text: &str) {
        let logged = timeout(DEADLINE, async {
            while !self.log().contains(text) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        logged.await.unwrap_or_else(|_| panic!("{text:?} was not logged; its log:\n{}", self.log()));
    }

    /// Asks it to end, without waiting.
    pub(crate) fn terminate(&self) {
        signal(&self.process, Signal::TERM);
        if let Some(twin) = &self.twin {
            twin.node.terminate();
        }
    }

    /// Asks it to read its certificate again.
    pub(crate) fn hang_up(&self) {
        signal(&self.process, Signal::HUP);
    }

    /// Ends it without warning, as a crash of its machine does; its descriptors are closed by the kernel.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
        self.stopped = true;
    }

    /// Stops its process in the middle of what it does. Its connections stay open, and nothing on them is answered.
    pub(crate) fn freeze(&self) {
        freeze(&self.process);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        thaw(&self.process);
    }

    /// Asks it to end and waits until it has, cleanly, while the test's own tasks go on.
    pub(crate) async fn stop(&mut self) {
        self.terminate();
        self.stopped = true;
        let ended = async {
            loop {
                match self.process.try_wait().expect("it is our child") {
                    Some(status) => return status,
                    None => sleep(Duration::from_millis(5)).await,
                }
            }
        };
        let status = timeout(DEADLINE, ended).await;
        let status = status.unwrap_or_else(|_| panic!("the node did not end within {DEADLINE:?}"));
        assert!(status.success(), "the node ended with {status}; its log:\n{}", self.log());
        if let Some(twin) = &mut self.twin {
            Box::pin(twin.node.stop()).await;
        }
    }

    /// Waits until it has ended by itself. A twin's end is judged when this value is dropped.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.stopped = true;
        let output = self.output.get_mut().expect("nobody panics with it locked");
        if output.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
            self.process.kill().expect("it still runs");
            panic!("the node did not end within {DEADLINE:?}; its log:\n{}", self.log());
        }
        self.process.wait().expect("it is our child")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() {
            let _ended = self.process.kill();
            let _status = self.process.wait();
            print_log(&format!("the node at {}", self.address), &self.home.path().join(LOG));
            return;
        }
        if !self.stopped {
            // One that was frozen would not hear of it.
            thaw(&self.process);
            // A twin is dropped after this, and would take a second signal for impatience.
            signal(&self.process, Signal::TERM);
            let status = self.ended();
            assert!(status.success(), "the node ended with {status}; its log:\n{}", self.log());
        }
        assert!(!self.log().contains("panicked at"), "the node panicked; its log:\n{}", self.log());
    }
}
