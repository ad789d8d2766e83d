//! A Redis server of a test's own: on a free port of the loopback, without files, and with everything that can befall
//! one.
//!
//! The binary is the one that the variable `REDIS_SERVER` names, or else `redis-server` in the path. Without one, tests
//! fail: a cluster that was never tried would look like one that works.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Time for a server to answer its first question.
const START: Duration = Duration::from_secs(20);

/// A running server; it dies with this value.
#[derive(Debug)]
pub(crate) struct Redis {
    port: u16,
    child: Child,
    directory: TempDir,
}

impl Redis {
    /// Starts a server and waits until it answers.
    pub(crate) fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        // Another process may take the free port before the server does: then the next one is tried.
        (0..5)
            .find_map(|_| {
                let port = free_port();
                let mut child = spawn(port, &directory);
                answers(port, &mut child).then_some((port, child))
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
        self.child = spawn(self.port, &self.directory);
        assert!(answers(self.port, &mut self.child), "redis-server does not start on its port again");
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

fn spawn(port: u16, directory: &TempDir) -> Child {
    let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
    let port = port.to_string();
    Command::new(&program)
        .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{} cannot be started ({error}): install redis-server (on Debian: apt-get install redis-server) or \
                 name one in the variable REDIS_SERVER",
                program.display()
            )
        })
}

/// Whether the server on this port answers before it ends.
fn answers(port: u16, child: &mut Child) -> bool {
    let deadline = Instant::now() + START;
    while Instant::now() < deadline {
        if child.try_wait().expect("it is our child").is_some() {
            return false;
        }
        if ping(port).is_ok_and(|answer| &answer == b"+PONG") {
            return true;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("redis-server does not answer on port {port}");
}

fn ping(port: u16) -> std::io::Result<[u8; 5]> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    connection.write_all(b"PING\r\n")?;
    let mut answer = [0; 5];
    connection.read_exact(&mut answer)?;
    Ok(answer)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}
