//! A Redis with a replica, watched by three sentinels that make the replica the primary when the primary is gone.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Cmd, FromRedisValue};
use tempfile::TempDir;

use super::{
    redis::{Redis, program},
    tls::{CERTIFICATE, Identity, KEY},
};

/// The name that they have for the primary.
pub(crate) const MASTER: &str = "main";

/// How many of them there are. Two have to agree.
const COUNT: usize = 3;

/// How long anything may take that is bound to happen: a replica is copied to, and sentinels find each other.
const DEADLINE: Duration = Duration::from_secs(40);

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

const CONFIG: &str = "sentinel.conf";
const LOG: &str = "sentinel.log";

/// A sentinel alone that speaks TLS and nothing else, as the primary does that it watches; it shows this certificate, and
/// trusts it. It knows the primary, and nobody asks it for more.
pub(crate) fn start_alone_over_tls(identity: &Identity) -> (Redis, Sentinels) {
    let primary = Redis::over_tls(identity);
    let all = vec![Sentinel::start(primary.address, &Setup { lines: &[], identity: Some(identity) })];
    (primary, Sentinels { all, replica: None })
}

/// What is watched, and by whom. The primary belongs to the test.
#[derive(Debug)]
pub(crate) struct Sentinels {
    all: Vec<Sentinel>,
    /// The one that will be the primary, if there is one.
    replica: Option<Redis>,
}

/// What a sentinel is started with.
#[derive(Clone, Copy, Debug)]
struct Setup<'a> {
    /// Further lines of its file.
    lines: &'a [&'a str],
    /// Who it is, if it speaks TLS.
    identity: Option<&'a Identity>,
}

/// One of them. It ends with this value.
#[derive(Debug)]
struct Sentinel {
    address: SocketAddr,
    process: Child,
    home: TempDir,
    password: Option<String>,
}

/// Starts a primary, a replica and the sentinels, and waits until they know each other: a primary that ends before that
/// has no successor.
pub(crate) fn start() -> (Redis, Sentinels) {
    start_with(&[], &[])
}

/// The same with further arguments for the servers, and further lines in the sentinels' files.
pub(crate) fn start_with(arguments: &[&str], lines: &[&str]) -> (Redis, Sentinels) {
    // Where an automatic answer to a new replica takes five seconds by default.
    let arguments = [&["--repl-diskless-sync-delay", "0"][..], arguments].concat();
    let primary = Redis::with(&arguments);
    let (host, port) = (primary.address.ip().to_string(), primary.address.port().to_string());
    let replica = Redis::with(&[&["--replicaof", &host, &port][..], &arguments].concat());
    // Sentinels ask a primary for its replicas when they start, and then only every ten seconds.
    wait_for_a_copy(&replica);
    let all =
        (0..COUNT).map(|_| Sentinel::start(primary.address, &Setup { lines, identity: None })).collect();
    let sentinels = Sentinels { all, replica: Some(replica) };
    sentinels.wait_until_they_know_each_other();
    (primary, sentinels)
}

impl Sentinels {
    /// Where they are, as a setting.
    pub(crate) fn url(&self) -> String {
        let addresses = self.all.iter().map(|sentinel| sentinel.address.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// The server that will be the primary.
    pub(crate) fn replica(&self) -> &Redis {
        self.replica.as_ref().expect("it was started with one")
    }

    /// Ends one of them without warning.
    pub(crate) fn kill(&mut self, index: usize) {
        self.all[index].end();
    }

    /// Has the replica made the primary, and the primary a replica: without killing anybody.
    pub(crate) fn switch(&self) {
        let running = self.all.last().expect("there are some");
        assert_eq!(running.ask::<String>(&["SENTINEL", "FAILOVER", MASTER]), "OK");
    }

    fn wait_until_they_know_each_other(&self) {
        let deadline = Instant::now() + DEADLINE;
        let fields = [("num-slaves", "1".to_owned()), ("num-other-sentinels", (COUNT - 1).to_string())];
        for sentinel in &self.all {
            loop {
                let known: Vec<String> = sentinel.ask(&["SENTINEL", "MASTER", MASTER]);
                let known: Vec<_> = known.chunks(2).map(|pair| (pair[0].as_str(), pair[1].clone())).collect();
                if fields.iter().all(|field| known.contains(field)) {
                    break;
                }
                assert!(Instant::now() < deadline, "the sentinels do not know each other: {known:?}");
                thread::sleep(PAUSE);
            }
        }
    }
}

fn wait_for_a_copy(replica: &Redis) {
    let deadline = Instant::now() + DEADLINE;
    while !replica.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up") {
        assert!(Instant::now() < deadline, "the replica has no copy");
        thread::sleep(PAUSE);
    }
}

impl Sentinel {
    fn start(primary: SocketAddr, setup: &Setup<'_>) -> Self {
        // Somebody else may take the port before the sentinel does: then it ends, and another port is tried.
        let started = (0..10).find_map(|_| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = listener.local_addr().expect("it listens");
            drop(listener);
            Self::spawn(address, primary, setup)
        });
        started.expect("no sentinel stays up")
    }

    /// Starts one and waits until it answers; `None` if it ends instead.
    fn spawn(address: SocketAddr, primary: SocketAddr, setup: &Setup<'_>) -> Option<Self> {
        let home = TempDir::new().expect("a directory for temporary files");
        let (host, port, own) = (primary.ip(), primary.port(), address.port());
        let ports = match setup.identity {
            Some(identity) => {
                identity.put_into(home.path());
                format!(
                    "port 0\ntls-port {own}\ntls-replication yes\ntls-auth-clients no\ntls-cert-file {CERTIFICATE}\n\
                     tls-key-file {KEY}\ntls-ca-cert-file {CERTIFICATE}"
                )
            }
            None => format!("port {own}"),
        };
        let config = format!(
            "bind 127.0.0.1\n{ports}\nlogfile {LOG}\nsentinel monitor {MASTER} {host} {port} 2\n\
             sentinel down-after-milliseconds {MASTER} 3000\nsentinel failover-timeout {MASTER} 10000\n{}\n",
            setup.lines.join("\n"),
        );
        fs::write(home.path().join(CONFIG), config).expect("the directory is ours");
        let mut process = Command::new(program())
            .args([CONFIG, "--sentinel"])
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a sentinel starts");
        let deadline = Instant::now() + DEADLINE;
        let log = || fs::read_to_string(home.path().join(LOG)).unwrap_or_default();
        // Its own word for it: whoever answers on the port may be another one.
        while !log().contains("+monitor") {
            if process.try_wait().expect("it is our child").is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "a sentinel does not listen on {address}:\n{}", log());
            thread::sleep(PAUSE);
        }
        let password =
            setup.lines.iter().find_map(|line| line.strip_prefix("requirepass ")).map(ToOwned::to_owned);
        Some(Self { address, process, home, password })
    }

    fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let client = Client::open(format!("redis://{}", self.address)).expect("a good URL");
        let connection = client.get_connection_with_timeout(DEADLINE);
        let mut connection = connection.unwrap_or_else(|error| panic!("{error}:\n{}", self.log()));
        if let Some(password) = &self.password {
            Cmd::new().arg("AUTH").arg(password).exec(&mut connection).expect("its own password");
        }
        Cmd::new().arg(command).query(&mut connection).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join(LOG)).unwrap_or_default()
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.end();
    }
}
