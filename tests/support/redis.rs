//! A Redis of a test's own, which it may kill, restart and freeze.

use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Cmd, Connection, FromRedisValue};
use tempfile::TempDir;

use super::process::{freeze, thaw};

/// How long a server may take to start, and any one command.
const DEADLINE: Duration = Duration::from_secs(10);

/// Time between two attempts to reach a server that is starting.
const PAUSE: Duration = Duration::from_millis(5);

/// A server that keeps everything in memory, so that it is empty after every start. It ends with this value.
#[derive(Debug)]
pub(crate) struct Redis {
    /// Where it listens, also while it does not run.
    pub(crate) address: SocketAddr,
    process: Child,
    /// Where it runs. It writes nothing there that anybody reads.
    home: TempDir,
}

impl Redis {
    /// A server on a free port of the loopback address, once it answers.
    pub(crate) fn start() -> Self {
        let home = TempDir::new().expect("a directory for temporary files");
        // Somebody else may take the port before the server does: then it ends, and another port is tried.
        for _ in 0..10 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = listener.local_addr().expect("it listens");
            drop(listener);
            let mut process = spawn(address, home.path());
            if answers(address, &mut process) {
                return Self { address, process, home };
            }
            let _status = process.wait();
        }
        panic!("no redis-server stays up; is {} one?", program().display());
    }

    /// Ends it without warning, as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("it is our child");
        self.process.wait().expect("it is our child");
    }

    /// Starts it again on the same port, with nothing in it, once it answers.
    pub(crate) fn restart(&mut self) {
        assert!(self.process.try_wait().expect("it is our child").is_some(), "it still runs");
        self.process = spawn(self.address, self.home.path());
        assert!(answers(self.address, &mut self.process), "somebody has taken {}", self.address);
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
        let mut connection = connect(self.address).expect("it listens");
        let (name, arguments) = command.split_first().expect("a command has a name");
        let answer = Cmd::new().arg(*name).arg(arguments).query(&mut connection);
        answer.unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // A frozen process can be killed too. It may have been already.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

fn spawn(address: SocketAddr, home: &Path) -> Child {
    let program = program();
    Command::new(&program)
        .args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{} does not start ({error}): `tests/run` provides it", program.display())
        })
}

/// Waits until the server answers; whether it did before it ended.
fn answers(address: SocketAddr, process: &mut Child) -> bool {
    let deadline = Instant::now() + DEADLINE;
    while process.try_wait().expect("it is our child").is_none() {
        if connect(address).is_ok_and(|mut connection| is_this(process, &mut connection)) {
            return true;
        }
        assert!(Instant::now() < deadline, "Redis does not answer on {address}");
        thread::sleep(PAUSE);
    }
    false
}

/// Whether it is this very process that answers, and not one that had the port before.
fn is_this(process: &Child, connection: &mut Connection) -> bool {
    let server: redis::RedisResult<String> = Cmd::new().arg("INFO").arg("server").query(connection);
    server.is_ok_and(|server| server.contains(&format!("process_id:{}\r\n", process.id())))
}

fn connect(address: SocketAddr) -> redis::RedisResult<Connection> {
    let client = Client::open(format!("redis://{address}"))?;
    let connection = client.get_connection_with_timeout(DEADLINE)?;
    connection.set_read_timeout(Some(DEADLINE))?;
    Ok(connection)
}

/// The server's program: the one named in the environment, else the one that `tests/run` has unpacked, else the
/// system's.
fn program() -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/redis/bin/redis-server");
    env::var_os("REDIS_SERVER")
        .map_or_else(|| if unpacked.exists() { unpacked } else { "redis-server".into() }, PathBuf::from)
}

#[cfg(test)]
mod tests {
    use redis::RedisError;

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
        connection.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout above zero");
        redis.freeze();
        let answer: Result<String, RedisError> = Cmd::new().arg("PING").query(&mut connection);
        assert!(answer.expect_err("it is frozen").is_timeout());
        redis.thaw();
        assert_eq!(redis.ask::<String>(&["PING"]), "PONG");
    }

    #[test]
    fn a_redis_ends_with_the_test_that_started_it() {
        let redis = Redis::start();
        let address = redis.address;
        drop(redis);
        assert!(connect(address).is_err(), "it still listens");
    }
}
