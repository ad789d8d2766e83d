//! A real Redis, started for one test and killed with it.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use socket_node::{
    cluster::redis::link::Link,
    config::{RedisConfig, RedisUrl},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep},
};

/// Time for a server to answer after it was started.
const START: Duration = Duration::from_secs(10);

/// A server on a port of its own, without persistence: when it is started again it is empty.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl RedisServer {
    /// Starts the server that `REDIS_SERVER` names, or `redis-server`.
    pub(crate) async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let port = free_port();
        let mut server = Self { child: spawn(port, &directory), port, directory };
        // Somebody else may have taken the port meanwhile.
        while !server.answers().await {
            server.port = free_port();
            server.child = spawn(server.port, &server.directory);
        }
        server
    }

    /// The way to it.
    pub(crate) fn link(&self) -> Link {
        let urls = vec![RedisUrl::parse(&format!("127.0.0.1:{}", self.port)).unwrap()];
        let config = RedisConfig { urls, prefix: "test".to_owned(), tls: false, cluster: false };
        Link::new(&config).unwrap()
    }

    /// Kills it, so that it has no time for anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again, empty and on the same port.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.port, &self.directory);
        assert!(self.answers().await, "somebody else has taken port {}", self.port);
    }

    /// Freezes it.
    pub(crate) fn freeze(&self) {
        kill_process(self.pid(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        kill_process(self.pid(), Signal::CONT).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until it answers; `false` if it has ended instead.
    async fn answers(&mut self) -> bool {
        let began = Instant::now();
        while !is_answering(self.port, self.child.id()).await {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(began.elapsed() < START, "redis-server was started and does not answer");
            sleep(Duration::from_millis(10)).await;
        }
        true
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, directory: &TempDir) -> Child {
    let binary = std::env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&binary);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
    command.arg("--dir").arg(directory.path()).stdout(Stdio::null());
    command.spawn().unwrap_or_else(|error| {
        panic!("these tests need a Redis 7 server, and {binary} cannot be started: {error}; set REDIS_SERVER")
    })
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Whether there is an answer on the port, and from this process.
async fn is_answering(port: u16, process: u32) -> bool {
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return false };
    let mut answer = String::new();
    stream.write_all(b"INFO server\r\nQUIT\r\n").await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.lines().any(|line| line == format!("process_id:{process}"))
}
