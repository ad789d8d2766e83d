//! A Prometheus of a test's own, which reads what a configuration of the repository tells it to.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpStream, time::sleep};

use super::{
    api::{Response, escaped, raw_request},
    port::Port,
    program,
};

/// How long it may take to start.
const DEADLINE: Duration = Duration::from_secs(30);

/// Time between two attempts to reach it.
const PAUSE: Duration = Duration::from_millis(50);

/// The files in its home that have its settings, and take its log.
const CONFIGURATION: &str = "prometheus.yml";
const LOG: &str = "prometheus.log";

/// A server, with all that it has read. It ends with this value.
#[derive(Debug)]
pub(crate) struct Prometheus {
    port: Port,
    process: Child,
    home: TempDir,
}

impl Prometheus {
    /// A server with this configuration on a free port of the loopback address, once it answers.
    pub(crate) async fn start(configuration: &str) -> Self {
        let (port, home) = (Port::reserve(), TempDir::new().expect("a directory for temporary files"));
        fs::write(home.path().join(CONFIGURATION), configuration).expect("the directory is ours");
        let log = fs::File::create(home.path().join(LOG)).expect("the directory is ours");
        let program = program::find("PROMETHEUS", "prometheus", "prometheus");
        let process = Command::new(&program)
            .args(["--config.file", CONFIGURATION, "--storage.tsdb.path", "data"])
            .arg(format!("--web.listen-address={}", port.address))
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let process = process.unwrap_or_else(|error| {
            panic!("{} does not start ({error}): `tests/run` provides it", program.display())
        });
        let mut server = Self { port, process, home };
        let deadline = Instant::now() + DEADLINE;
        while server.get("/-/ready").await.is_none_or(|answer| answer.status != 200) {
            let has_ended = server.process.try_wait().expect("it is our child").is_some();
            assert!(!has_ended && Instant::now() < deadline, "it does not answer:\n{}", server.log());
            sleep(PAUSE).await;
        }
        server
    }

    /// What it makes of an expression at this moment, a value for each set of labels.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/query?query={}", escaped(expression))).await;
        let answer = answer.unwrap_or_else(|| panic!("no answer:\n{}", self.log())).json();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().expect("a list").clone()
    }

    async fn get(&self, path: &str) -> Option<Response> {
        TcpStream::connect(self.port.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: prometheus\r\nConnection: close\r\n\r\n");
        raw_request(self.port.address, request).await
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join(LOG)).expect("the directory is ours")
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
