//! A Redis of a test's own, which it may kill, restart and freeze.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Cmd, Connection, FromRedisValue};
use tempfile::TempDir;

use super::{
    port::Port,
    process::{freeze, thaw},
    program,
    tls::{CERTIFICATE, Identity, KEY},
};

/// How long a server may take to start, and what it does afterwards.
const DEADLINE: Duration = Duration::from_secs(10);

/// Time between two attempts to reach a server that is starting.
const PAUSE: Duration = Duration::from_millis(5);

/// The file in a server's home that takes its log.
const LOG: &str = "redis.log";

/// A server that keeps everything in memory, so that it is empty after every start. It ends with this value.
#[derive(Debug)]
pub(crate) struct Redis {
    /// Where it listens, also while it does not run.
    pub(crate) address: SocketAddr,
    _ports: [Port; 2],
    process: Child,
    setup: Setup,
}

/// What a server is started with.
#[derive(Debug)]
struct Setup {
    arguments: Vec<String>,
    /// The argument before the port.
    port: &'static str,
    /// The port on which it speaks with the others of a cluster, if it is made for one.
    bus: Option<u16>,
    /// Where it runs.
    home: TempDir,
}

impl Redis {
    /// A server on a free port of the loopback address, once it answers.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with further arguments.
    pub(crate) fn with(arguments: &[&str]) -> Self {
        let home = TempDir::new().expect("a directory for temporary files");
        Self::start_as(Setup { arguments: owned(arguments), port: "--port", bus: None, home })
    }

    /// A server whose port speaks TLS and nothing else, and shows this certificate.
    pub(crate) fn over_tls(identity: &Identity) -> Self {
        let home = TempDir::new().expect("a directory for temporary files");
        identity.put_into(home.path());
        let files = ["--tls-cert-file", CERTIFICATE, "--tls-key-file", KEY];
        let arguments = owned(&[&files[..], &["--tls-auth-clients", "no", "--port", "0"]].concat());
        Self::start_as(Setup { arguments, port: "--tls-port", bus: None, home })
    }

    /// A server that can be one of a cluster.
    pub(crate) fn in_cluster(arguments: &[&str]) -> Self {
        let home = TempDir::new().expect("a directory for temporary files");
        let arguments = owned(&[&["--cluster-enabled", "yes"], arguments].concat());
        Self::start_as(Setup { arguments, port: "--port", bus: Some(0), home })
    }

    fn start_as(mut setup: Setup) -> Self {
        let ports = [Port::reserve(), Port::reserve()];
        let [address, bus] = [&ports[0], &ports[1]].map(|port| port.address);
        setup.bus = setup.bus.map(|_| bus.port());
        let process = setup.spawn(address).unwrap_or_else(|| {
            panic!("redis-server does not stay up; is {} one? Its log:\n{}", program().display(), setup.log())
        });
        Self { address, _ports: ports, process, setup }
    }

    /// The port on which it speaks with the others of its cluster.
    pub(crate) fn bus_port(&self) -> u16 {
        self.setup.bus.expect("it is made for a cluster")
    }

    /// Ends it without warning, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Starts it again on the same port, with nothing in it, once it answers.
    pub(crate) fn restart(&mut self) {
        assert!(self.process.try_wait().expect("it is our child").is_some(), "it still runs");
        let process = self.setup.spawn(self.address);
        self.process = process.unwrap_or_else(|| panic!("it does not start again:\n{}", self.setup.log()));
    }

    /// Stops its process in the middle of what it does. Its connections stay open, and nothing on them is answered.
    pub(crate) fn freeze(&self) {
        freeze(&self.process);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        thaw(&self.process);
    }

    /// What it answers to a command.
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.query(Cmd::new().arg(command))
    }

    /// The password that it was started with.
    fn password(&self) -> Option<&str> {
        let arguments = &self.setup.arguments;
        let at = arguments.iter().position(|argument| argument == "--requirepass")?;
        arguments.get(at + 1).map(String::as_str)
    }

    /// The same for a command that is not text.
    pub(crate) fn query<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let mut connection = connect(self.address).expect("it listens");
        if let Some(password) = self.password() {
            Cmd::new().arg("AUTH").arg(password).exec(&mut connection).expect("its own password");
        }
        command.query(&mut connection).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A frozen process can be killed too. It may have been already.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Setup {
    /// Starts a server and waits until it answers; `None` if it ends instead.
    fn spawn(&self, address: SocketAddr) -> Option<Child> {
        let (program, home) = (program(), self.home.path());
        // What an earlier one has logged says nothing of this one.
        fs::write(home.join(LOG), "").expect("the directory is ours");
        let mut process = Command::new(&program)
            .args(["--bind", &address.ip().to_string(), self.port, &address.port().to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", LOG])
            .args(&self.arguments)
            .args(self.bus.iter().flat_map(|port| ["--cluster-port".to_owned(), port.to_string()]))
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{} does not start ({error}): `tests/run` provides it", program.display())
            });
        let deadline = Instant::now() + DEADLINE;
        // Its own word for it: whoever answers on the port may be another one.
        while !self.log().contains("Ready to accept connections") {
            if process.try_wait().expect("it is our child").is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "Redis does not listen on {address}:\n{}", self.log());
            thread::sleep(PAUSE);
        }
        Some(process)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join(LOG)).expect("the directory is ours")
    }
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(ToString::to_string).collect()
}

/// A connection without timeouts: a read that has one ends with an error whenever this process gets a signal, and it gets
/// one for each of its children that ends.
fn connect(address: SocketAddr) -> redis::RedisResult<Connection> {
    Client::open(format!("redis://{address}"))?.get_connection()
}

/// The server's program.
pub(super) fn program() -> PathBuf {
    program::find("REDIS_SERVER", "redis", "redis-server")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, RecvTimeoutError};

    use super::*;

    #[test]
    fn a_redis_that_was_killed_comes_back_empty_on_the_same_port() {
        let mut redis = Redis::start();
        redis.ask::<()>(&["SET", "key", "value"]);
        assert_eq!(redis.ask::<String>(&["GET", "key"]), "value");
        let before = redis.address;
        redis.kill();
        assert!(connect(before).is_err(), "it still listens");
        redis.restart();
        assert_eq!(redis.address, before);
        assert_eq!(redis.ask::<Option<String>>(&["GET", "key"]), None);
    }

    #[test]
    fn a_frozen_redis_answers_only_once_it_is_thawed() {
        let redis = Redis::start();
        let mut connection = connect(redis.address).expect("it listens");
        redis.freeze();
        let (sender, answer) = mpsc::channel();
        thread::spawn(move || {
            let pong: String = Cmd::new().arg("PING").query(&mut connection).expect("it answers in the end");
            // Nobody waits for it any more if the test has failed.
            let _ = sender.send(pong);
        });
        assert_eq!(answer.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout));
        redis.thaw();
        assert_eq!(answer.recv_timeout(DEADLINE).as_deref(), Ok("PONG"));
    }

    #[test]
    fn a_redis_ends_with_the_test_that_started_it() {
        let redis = Redis::start();
        let address = redis.address;
        drop(redis);
        assert!(connect(address).is_err(), "it still listens");
    }
}
