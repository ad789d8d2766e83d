//! How a node is started: with which arguments, in which environment, beside which files.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{self, Receiver},
    },
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{DEADLINE, Doors, Node, pair};
use crate::support::signing::Credentials;

/// Flags with which a node serves metrics, on any free port.
pub(crate) const METRICS: [&str; 3] = ["--metrics-enabled", "--metrics-port", "0"];

/// How a node is to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    credentials: Credentials,
    home: TempDir,
}

/// The file in a node's home that takes its standard error.
pub(super) const LOG: &str = "stderr.log";

impl Launch {
    /// On a free port of the loopback address, with the usual app.
    pub(crate) fn new() -> Self {
        Self::bare().flags([
            "--app-id",
            "1",
            "--app-key",
            "app-key",
            "--app-secret",
            "app-secret",
            "--app-enable-client-messages",
        ])
    }

    /// On a free port of the loopback address, and no other setting.
    pub(crate) fn bare() -> Self {
        Self::unset().flags(["--port", "0", "--bind-address", "127.0.0.1"])
    }

    /// Without a single setting.
    pub(crate) fn unset() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            credentials: Credentials::default(),
            home: TempDir::new().expect("a directory for temporary files"),
        }
    }

    /// Adds flags and their values.
    pub(crate) fn flags<T: Into<String>>(mut self, flags: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(flags.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Puts a file into the directory where the node will run.
    pub(crate) fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.home.path().join(name), text).expect("the directory is ours");
        self
    }

    /// Gives it a configuration file. Where that has apps, the first of them is the one to connect to.
    pub(crate) fn config(mut self, config: &Value) -> Self {
        let app = &config["applications"][0];
        let text = |key: &str| app[key].as_str().map(ToOwned::to_owned);
        if let (Some(id), Some(key), Some(secret)) = (text("app_id"), text("app_key"), text("app_secret")) {
            self.credentials = Credentials { id, key, secret };
        }
        self.file("config.json", &config.to_string()).flags(["--config-file", "config.json"])
    }

    /// Says to which app `connect` connects.
    pub(crate) fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = credentials;
        self
    }

    /// Has it share what is in a Redis under this prefix with all nodes that are given the same.
    pub(crate) fn on_redis(self, redis: SocketAddr, prefix: &str) -> Self {
        self.on_redis_at(&redis.to_string(), prefix)
    }

    /// The same for what is at a URL, or at several.
    pub(crate) fn on_redis_at(self, url: &str, prefix: &str) -> Self {
        self.flags(["--adapter-driver", "redis", "--redis-url", url, "--redis-prefix", prefix])
    }

    /// The same launch once more, in a directory of its own with the same files.
    pub(super) fn duplicate(&self) -> Self {
        let home = TempDir::new().expect("a directory for temporary files");
        for file in fs::read_dir(self.home.path()).expect("the directory is ours") {
            let file = file.expect("the directory is ours");
            fs::copy(file.path(), home.path().join(file.file_name())).expect("launches have plain files");
        }
        let Self { arguments, environment, credentials, .. } = self;
        Self {
            arguments: arguments.clone(),
            environment: environment.clone(),
            credentials: credentials.clone(),
            home,
        }
    }

    /// Starts it, and waits until it listens: twice, where tests are run against two nodes.
    pub(crate) fn start(self) -> Node {
        if pair::is_wanted() { pair::start(self) } else { self.start_alone() }
    }

    /// Starts one process in any case, and waits until it listens.
    pub(crate) fn start_alone(self) -> Node {
        let mut process = self.spawn();
        let output = lines_of(process.stdout.take().expect("standard output is a pipe"));
        let log = || fs::read_to_string(self.home.path().join(LOG)).expect("the log file is ours");
        let Ok(greeting) = output.recv_timeout(DEADLINE) else {
            let _ended = process.kill();
            let status = process.wait().expect("it is our child");
            panic!(
                "the node does not listen ({status}); arguments {:?}; its log:\n{}",
                self.arguments,
                log()
            );
        };
        let metrics = self.asks_for_metrics().then(|| {
            let line = output.recv_timeout(DEADLINE).expect("a second line");
            let address = line.strip_prefix("metrics on ").and_then(|address| address.parse().ok());
            address.unwrap_or_else(|| panic!("no address in the second line {line:?}"))
        });
        let address = greeting.rsplit(' ').next().and_then(|address| address.parse().ok());
        let Some(address) = address else { panic!("no address in the first line {greeting:?}") };
        let Self { credentials, home, .. } = self;
        Node {
            address,
            metrics,
            credentials,
            greeting,
            process,
            output: Mutex::new(output),
            home,
            stopped: false,
            clients: Doors::new(&[address], 0),
            requests: Doors::new(&[address], 0),
            twin: None,
        }
    }

    /// Runs it to its end: for settings with which it does not listen at all.
    pub(crate) fn run(self) -> Ending {
        let mut process = self.spawn();
        let mut output = process.stdout.take().expect("standard output is a pipe");
        let (sender, ended) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let mut text = String::new();
            let _read = output.read_to_string(&mut text);
            let _received = sender.send(text);
        });
        let stdout = ended.recv_timeout(DEADLINE).ok();
        if stdout.is_none() {
            let _ended = process.kill();
        }
        let status = process.wait().expect("it is our child");
        let stderr = fs::read_to_string(self.home.path().join(LOG)).expect("the log file is ours");
        let stdout = stdout.unwrap_or_else(|| panic!("it did not end; its log:\n{stderr}"));
        Ending { code: status.code(), stdout, stderr }
    }

    /// Whether a flag, the environment or the configuration file switches metrics on. Tests that do not want them
    /// leave the setting out.
    fn asks_for_metrics(&self) -> bool {
        let config = fs::read_to_string(self.home.path().join("config.json")).unwrap_or_default();
        self.arguments.iter().any(|argument| argument.starts_with("--metrics-enabled"))
            || self.environment.iter().any(|(name, _)| name == "METRICS_ENABLED")
            || config.contains("metrics_enabled")
    }

    fn spawn(&self) -> Child {
        let log = fs::File::create(self.home.path().join(LOG)).expect("the directory is ours");
        let binary = binary();
        Command::new(&binary)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()))
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ending {
    /// The exit code, unless a signal ended it.
    pub(crate) code: Option<i32>,
    /// All that it said.
    pub(crate) stdout: String,
    /// All that it complained of.
    pub(crate) stderr: String,
}

/// The first two lines, then nothing until the end. A thread of its own, so that waiting for either has a deadline and a
/// node that says more than it should is never blocked by a full pipe.
fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::sync_channel(2);
    thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        for line in lines.by_ref().take(2) {
            let _received = sender.try_send(line);
        }
        lines.for_each(drop);
    });
    receiver
}

/// The server under test: the one named in the environment, else the one that was built beside this test.
pub(crate) fn binary() -> PathBuf {
    env::var_os("SOCKET_RUSH_BIN").map(PathBuf::from).unwrap_or_else(|| {
        let test = env::current_exe().expect("this test has a path");
        let profile = test.ancestors().nth(2).expect("tests are built into target/<profile>/deps");
        let binary = profile.join("socket-rush");
        assert!(binary.exists(), "{} is missing: run `cargo build -p socket-node` first", binary.display());
        binary
    })
}
