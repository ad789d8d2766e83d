//! A script that drives a node with a real SDK.

use std::{
    ffi::OsString,
    fmt::Display,
    fs::File,
    io::{Read, Seek},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::support::{
    node::{Launch, Node},
    proxy::Proxy,
};

/// How long a suite may take. Each of its own waits has a shorter one and says what it waited for, so this only cuts
/// off a script that hangs.
const DEADLINE: Duration = Duration::from_secs(120);

/// The app that every suite speaks for: number, key and secret.
const APP: [&str; 3] = ["1", "app-key", "app-secret"];

/// A node with that app, and with these flags besides: a suite asks for every feature that it needs.
pub(crate) fn node(flags: &[&str]) -> Node {
    let [id, key, secret] = APP;
    let app = ["--app-id", id, "--app-key", key, "--app-secret", secret];
    Launch::bare().flags(app).flags(flags.iter().copied()).start()
}

/// An endpoint for webhooks that a suite will open. Each test has an address of the loopback interface for itself, so that
/// the port stays free until then.
pub(crate) fn endpoint(address: &str) -> SocketAddr {
    TcpListener::bind((address, 0)).and_then(|listener| listener.local_addr()).expect("a free port")
}

/// One file of `suites/`, about to be run.
#[derive(Debug)]
pub(crate) struct Suite {
    interpreter: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, String)>,
}

impl Suite {
    /// A suite that runs on Node.js with the packages of `package.json`.
    pub(crate) fn javascript(file: &str) -> Self {
        assert_installed(&home().join("node_modules/pusher-js"));
        // pusher-js leaves a timer of 30 seconds behind when the server has closed its socket; once the last case has
        // ended there is nothing to wait for.
        let options = ["--test-reporter=spec", "--test-force-exit"];
        Self::new(PathBuf::from("node"), &options, file)
    }

    /// A suite that runs on Python with the packages of `requirements.txt`.
    pub(crate) fn python(file: &str) -> Self {
        let interpreter = home().join("../.cache/python/bin/python");
        assert_installed(&interpreter);
        // Without bytecode files, which would turn up beside the sources.
        Self::new(interpreter, &["-B"], file)
    }

    fn new(interpreter: PathBuf, options: &[&str], file: &str) -> Self {
        let script = home().join("suites").join(file);
        let arguments = options.iter().map(Into::into).chain([script.into()]).collect();
        Self { interpreter, arguments, environment: Vec::new() }
    }

    /// Tells the script one thing more.
    pub(crate) fn with(mut self, name: &'static str, value: &impl Display) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    /// Runs it against the node and fails with everything that it said unless all of its cases passed.
    pub(crate) async fn run(self, node: &Node) {
        let mut output = tempfile::tempfile().expect("a file for the output");
        let command = format!("{} {:?}", self.interpreter.display(), self.arguments);
        let ended = timeout(DEADLINE, self.execute(node, &output)).await;

        let mut said = String::new();
        output.rewind().expect("it is a plain file");
        output.read_to_string(&mut said).expect("the suites write UTF-8");
        match ended {
            Ok(status) if status.success() => println!("{said}"),
            Ok(status) => panic!("{command} failed with {status}:\n{said}"),
            Err(_) => panic!("{command} did not end within {DEADLINE:?}:\n{said}"),
        }
    }

    async fn execute(self, node: &Node, output: &File) -> ExitStatus {
        let copy = || output.try_clone().expect("the file can be shared");
        // A suite knows one port. Where the node is two processes, its connections are led to both by turns.
        let proxy = match node.requests().addresses() {
            [_] => None,
            several => Some(Proxy::before(several).await),
        };
        let address = proxy.as_ref().map_or(node.address, |proxy| proxy.address);
        let [id, key, secret] = APP;
        let mut script = Command::new(&self.interpreter);
        script
            .args(&self.arguments)
            // Nothing else of the caller's environment, so that a proxy or an option set there changes no result.
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("SOCKET_RUSH_HOST", address.ip().to_string())
            .env("SOCKET_RUSH_PORT", address.port().to_string())
            .env("SOCKET_RUSH_APP_ID", id)
            .env("SOCKET_RUSH_APP_KEY", key)
            .env("SOCKET_RUSH_APP_SECRET", secret)
            .envs(self.environment)
            .stdin(Stdio::null())
            .stdout(copy())
            .stderr(copy())
            .kill_on_drop(true);
        let started = script.spawn();
        let mut started =
            started.unwrap_or_else(|error| panic!("{} does not start: {error}", self.interpreter.display()));
        started.wait().await.expect("it is our child")
    }
}

/// The folder of the suites and of what is installed for them.
fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk")
}

fn assert_installed(path: &Path) {
    assert!(path.exists(), "{} is missing: `tests/run` installs what the SDK suites need", path.display());
}
