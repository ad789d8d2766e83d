//! A Redis server of a test's own: on a free port of the loopback, without files, and with everything that can befall
//! one.
//!
//! The binary is the one that the variable `REDIS_SERVER` names, or else `redis-server` in the path. Without one, tests
//! fail: a cluster that was never tried would look like one that works.

use std::{
    env, fs,
    net::TcpListener,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use socket_node::{
    cluster::redis::link::Link,
    config::{RedisConfig, RedisUrl},
};
use tempfile::TempDir;

/// Time for a server to listen.
const START: Duration = Duration::from_secs(20);

/// The file that takes its log.
const LOG: &str = "redis.log";

/// A running server; it dies with this value.
#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    child: Child,
    directory: TempDir,
}

impl Redis {
    /// Starts a server and waits until it listens.
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        // Another process may take the free port before the server does: then the next one is tried.
        (0..5)
            .find_map(|_| {
                let port = free_port();
                Some((port, spawn(port, &directory)?))
            })
            .map(|(port, child)| Self { port, child, directory })
            .expect("redis-server ends as soon as it is started")
    }

    /// Where it is.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Kills it as a crash would: it says goodbye to nobody.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the server runs");
        self.child.wait().expect("it is our child");
    }

    /// Starts it again, empty, on the port that it had, after a [`kill`](Self::kill).
    pub(crate) fn restart(&mut self) {
        let child = spawn(self.port, &self.directory);
        self.child = child.expect("nobody has taken its port");
    }

    /// Stops it in its tracks: connections stay, and nothing is answered.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the server runs");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The way to what listens on a port: a server, or something in front of one.
pub(crate) fn link(port: u16) -> Link {
    Link::new(&settings(port)).expect("the client takes it")
}

/// The settings of it.
pub(crate) fn settings(port: u16) -> RedisConfig {
    let url = RedisUrl::parse(&format!("127.0.0.1:{port}")).expect("a good URL");
    RedisConfig { urls: vec![url], prefix: "test".to_owned(), tls: false, cluster: false, sentinel: None }
}

/// Starts a server and waits until it listens; `None` if it ends instead.
fn spawn(port: u16, directory: &TempDir) -> Option<Child> {
    let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let log = directory.path().join(LOG);
    // What an earlier one has logged says nothing of this one.
    fs::write(&log, "").expect("the directory is ours");
    let mut child = Command::new(&program)
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--logfile", LOG])
        .args(["--port", &port.to_string()])
        .current_dir(directory)
        .stdin(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{} cannot be started ({error}): install redis-server (on Debian: apt-get install redis-server) or \
                 name one in the variable REDIS_SERVER",
                program.display()
            )
        });
    let deadline = Instant::now() + START;
    // Its own word for it: whoever answers on the port may be another one.
    while !fs::read_to_string(&log).expect("the directory is ours").contains("Ready to accept connections") {
        if child.try_wait().expect("it is our child").is_some() {
            return None;
        }
        assert!(Instant::now() < deadline, "redis-server does not listen on port {port}");
        sleep(Duration::from_millis(10));
    }
    Some(child)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
