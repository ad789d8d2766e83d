//! A stand-in for AWS of a test's own: queues, topics and functions, without accounts or a network.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    api::{Response, escaped, raw_request},
    node::Launch,
    process::{cpu_time, kill_started_by, print_log, signal},
};

/// How long it may take to start, and any state of it to come about.
const DEADLINE: Duration = Duration::from_secs(30);

/// Time between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);

/// The file in its home that takes its log.
const LOG: &str = "aws.log";

/// The region, and the account of everybody who names no other.
const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";

/// An emulator. Everything in it ends with this value, running functions too.
#[derive(Debug)]
pub(crate) struct Aws {
    /// Where all of its services listen.
    pub(crate) address: SocketAddr,
    process: Child,
    home: TempDir,
}

/// A message as a worker left it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) body: String,
    /// The values of its attributes, as text.
    pub(crate) attributes: Value,
    handle: String,
}

impl Aws {
    /// An emulator on a free port of the loopback address, once it answers.
    pub(crate) async fn start() -> Self {
        // Somebody else may take the port before it does: then it ends, and another port is tried.
        for _ in 0..5 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = listener.local_addr().expect("it listens");
            drop(listener);
            let home = TempDir::new().expect("a directory for temporary files");
            let process = spawn(address, home.path());
            let mut aws = Self { address, process, home };
            if aws.answers().await {
                return aws;
            }
        }
        panic!("no emulator stays up; is {} one?", program().display());
    }

    /// Waits until it answers; `false` if it ends instead.
    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + DEADLINE;
        while self.process.try_wait().expect("it is our child").is_none() {
            let request = "GET /_ministack/health HTTP/1.1\r\nHost: aws\r\nConnection: close\r\n\r\n";
            let listens = TcpStream::connect(self.address).await.is_ok();
            if listens && raw_request(self.address, request).await.is_some_and(|answer| answer.status == 200)
            {
                return true;
            }
            assert!(Instant::now() < deadline, "it does not listen:\n{}", self.log());
            sleep(PAUSE).await;
        }
        false
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.path().join(LOG)).expect("the directory is ours")
    }

    /// The variables by which a program finds it, here or through something in between.
    pub(crate) fn variables(address: SocketAddr) -> [(&'static str, String); 5] {
        [
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ENDPOINT_URL", format!("http://{address}")),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
            // Otherwise the SDK would look for credentials on the network.
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// What a service answers. Signatures are not looked at; who signs is.
    async fn call(&self, service: &str, path: &str, headers: &str, body: &str) -> Response {
        let credential = format!("Credential=test/20260101/{REGION}/{service}/aws4_request");
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\
             Authorization: AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=x\r\n\r\n{body}",
            self.address,
            body.len(),
        );
        raw_request(self.address, request).await.unwrap_or_else(|| panic!("no answer:\n{}", self.log()))
    }

    /// What SQS answers.
    async fn sqs(&self, action: &str, body: Value) -> Value {
        let headers =
            format!("X-Amz-Target: AmazonSQS.{action}\r\nContent-Type: application/x-amz-json-1.0\r\n");
        let answer = self.call("sqs", "/", &headers, &body.to_string()).await.expect_status(200);
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// What SNS answers.
    async fn sns(&self, parameters: &[(&str, &str)]) -> String {
        let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
        let body = pairs.collect::<Vec<_>>().join("&") + "&Version=2010-03-31";
        let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
        self.call("sns", "/", headers, &body).await.expect_status(200).text().to_owned()
    }

    /// Makes a queue, and one for what it has handed over this often in vain. A name that ends with `.fifo` makes both
    /// keep the order.
    pub(crate) async fn create_queue(&self, name: &str, visibility_seconds: u32, receives: u32) {
        let dead = dead_letters_of(name);
        let fifo = name.ends_with(".fifo");
        let with = |mut attributes: Value| {
            if fifo {
                attributes["FifoQueue"] = json!("true");
            }
            attributes
        };
        self.sqs("CreateQueue", json!({"QueueName": dead, "Attributes": with(json!({}))})).await;
        let redrive =
            json!({"deadLetterTargetArn": queue_arn(&dead), "maxReceiveCount": receives}).to_string();
        let attributes =
            json!({"VisibilityTimeout": visibility_seconds.to_string(), "RedrivePolicy": redrive});
        self.sqs("CreateQueue", json!({"QueueName": name, "Attributes": with(attributes)})).await;
    }

    /// Makes a topic, and has a queue get what is published there; raw, or in an envelope.
    pub(crate) async fn create_topic(&self, name: &str, queue: &str, raw: bool) -> String {
        self.sns(&[("Action", "CreateTopic"), ("Name", name)]).await;
        let arn = format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}");
        self.sns(&[
            ("Action", "Subscribe"),
            ("TopicArn", &arn),
            ("Protocol", "sqs"),
            ("Endpoint", &queue_arn(queue)),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", if raw { "true" } else { "false" }),
            ("Attributes.entry.2.key", "FilterPolicy"),
            ("Attributes.entry.2.value", r#"{"EventName": ["pusher-webhook"]}"#),
        ])
        .await;
        arn
    }

    /// Has the Lambda function work a queue off, with these variables.
    pub(crate) async fn create_function(&self, queue: &str, timeout_seconds: u32, variables: Value) {
        self.create_function_on(self.address, queue, timeout_seconds, variables).await;
    }

    /// The same for a function that finds AWS at this address.
    pub(crate) async fn create_function_on(
        &self,
        address: SocketAddr,
        queue: &str,
        timeout_seconds: u32,
        variables: Value,
    ) {
        // The package has a script that becomes the binary: packing that itself would take longer than most tests.
        // The emulator says where AWS is in the variable that it sets here.
        let script = format!(
            "#!/bin/sh\nAWS_ENDPOINT_URL=http://{address} exec '{}'\n",
            binary("webhook-lambda").display()
        );
        self.register(json!({
            "FunctionName": "worker", "Runtime": "provided.al2023", "Handler": "bootstrap",
            "Timeout": timeout_seconds, "Code": {"ZipFile": zipped("bootstrap", &script)},
            "Environment": {"Variables": variables},
        }))
        .await;
        let source = json!({
            "EventSourceArn": queue_arn(queue), "FunctionName": "worker", "BatchSize": 10,
            "FunctionResponseTypes": ["ReportBatchItemFailures"], "ScalingConfig": {"MaximumConcurrency": 2},
        });
        let (path, json) = ("/2015-03-31/event-source-mappings", "Content-Type: application/json\r\n");
        self.call("lambda", path, json, &source.to_string()).await.expect_status(202);
    }

    /// Kills the processes in which the function runs at the moment; how many that were.
    pub(crate) fn kill_function(&self) -> usize {
        kill_started_by(&self.process, &binary("webhook-lambda").canonicalize().expect("it is there"))
    }

    /// Makes a function of Python code with a `handler`, which has these variables.
    pub(crate) async fn create_python_function(&self, name: &str, code: &str, variables: Value) {
        self.register(json!({
            "FunctionName": name, "Runtime": "python3.12", "Handler": "function.handler", "Timeout": 10,
            "Code": {"ZipFile": zipped("function.py", code)}, "Environment": {"Variables": variables},
        }))
        .await;
    }

    async fn register(&self, mut function: Value) {
        function["Role"] = json!(format!("arn:aws:iam::{ACCOUNT}:role/worker"));
        let (path, json) = ("/2015-03-31/functions", "Content-Type: application/json\r\n");
        self.call("lambda", path, json, &function.to_string()).await.expect_status(201);
    }

    /// Puts messages into a queue; each in this group, if the queue has groups.
    pub(crate) async fn send(&self, queue: &str, messages: &[(&str, String)]) {
        for (index, chunk) in messages.chunks(10).enumerate() {
            let entries = chunk.iter().enumerate().map(|(place, (group, body))| {
                let mut entry = json!({"Id": place.to_string(), "MessageBody": body});
                if queue.ends_with(".fifo") {
                    entry["MessageGroupId"] = json!(group);
                    entry["MessageDeduplicationId"] =
                        json!(format!("{index}-{place}-{}", hex::encode(Sha256::digest(body))));
                }
                entry
            });
            let entries: Vec<_> = entries.collect();
            let answer =
                self.sqs("SendMessageBatch", json!({"QueueUrl": self.url(queue), "Entries": entries})).await;
            assert!(answer["Failed"].as_array().is_none_or(Vec::is_empty), "{answer}");
        }
    }

    /// Takes what is in a queue out of it, up to ten messages, without waiting.
    pub(crate) async fn take(&self, queue: &str) -> Vec<Message> {
        let request = json!({
            "QueueUrl": self.url(queue), "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"],
        });
        let answer = self.sqs("ReceiveMessage", request).await;
        let mut messages = Vec::new();
        for message in answer["Messages"].as_array().into_iter().flatten() {
            let text = |key: &str| message[key].as_str().expect("a text").to_owned();
            let attributes = message["MessageAttributes"].as_object().into_iter().flatten();
            let attributes = attributes.map(|(name, value)| (name.clone(), value["StringValue"].clone()));
            messages.push(Message {
                body: text("Body"),
                attributes: attributes.collect(),
                handle: text("ReceiptHandle"),
            });
        }
        for Message { handle, .. } in &messages {
            self.sqs("DeleteMessage", json!({"QueueUrl": self.url(queue), "ReceiptHandle": handle})).await;
        }
        messages
    }

    /// The next so many dead letters of a queue.
    pub(crate) async fn dead_letters(&self, queue: &str, count: usize) -> Vec<Message> {
        let (dead, mut messages) = (dead_letters_of(queue), Vec::new());
        let taking = async {
            while messages.len() < count {
                messages.extend(self.take(&dead).await);
                sleep(PAUSE).await;
            }
        };
        let taken = timeout(DEADLINE, taking).await;
        taken.unwrap_or_else(|_| panic!("only {} of {count} dead letters: {messages:?}", messages.len()));
        assert_eq!(messages.len(), count, "{messages:?}");
        messages
    }

    /// Waits until nothing is in a queue, neither waiting nor under way.
    pub(crate) async fn drained(&self, queue: &str) {
        self.drained_within(queue, DEADLINE).await;
    }

    /// The same, with another deadline.
    pub(crate) async fn drained_within(&self, queue: &str, deadline: Duration) {
        self.holds_within(queue, [0, 0], deadline).await;
    }

    /// Waits until so many messages of a queue wait, and somebody works on so many.
    pub(crate) async fn holds(&self, queue: &str, depth: [u64; 2]) {
        self.holds_within(queue, depth, DEADLINE).await;
    }

    async fn holds_within(&self, queue: &str, depth: [u64; 2], deadline: Duration) {
        let looking = async {
            while self.depth(queue).await != depth {
                sleep(PAUSE).await;
            }
        };
        if timeout(deadline, looking).await.is_err() {
            panic!("{queue} has {:?}, not {depth:?}", self.depth(queue).await);
        }
    }

    /// How many messages wait, and how many somebody works on.
    pub(crate) async fn depth(&self, queue: &str) -> [u64; 2] {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let request = json!({"QueueUrl": self.url(queue), "AttributeNames": ["All"]});
        let answer = self.sqs("GetQueueAttributes", request).await;
        names.map(|name| answer["Attributes"][name].as_str().and_then(|text| text.parse().ok()).expect(name))
    }

    /// What it has used of all processors so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        cpu_time(self.process.id())
    }

    /// A queue's URL.
    pub(crate) fn url(&self, queue: &str) -> String {
        format!("http://{}/{ACCOUNT}/{queue}", self.address)
    }
}

impl Drop for Aws {
    fn drop(&mut self) {
        // It takes the functions that it has started with it.
        signal(&self.process, Signal::TERM);
        let deadline = Instant::now() + DEADLINE;
        while self.process.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
            thread::sleep(PAUSE);
        }
        let _ended = self.process.kill();
        let _status = self.process.wait();
        if thread::panicking() {
            print_log("the emulator", &self.home.path().join(LOG));
        }
    }
}

impl Launch {
    /// Has the node find a stand-in for AWS at this address.
    pub(crate) fn on_aws(self, address: SocketAddr) -> Self {
        Aws::variables(address).iter().fold(self, |launch, (name, value)| launch.env(name, value))
    }
}

/// The queue for what a queue has handed over in vain.
pub(crate) fn dead_letters_of(queue: &str) -> String {
    match queue.strip_suffix(".fifo") {
        Some(name) => format!("{name}-dead.fifo"),
        None => format!("{queue}-dead"),
    }
}

fn queue_arn(queue: &str) -> String {
    format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}")
}

/// Starts it with nothing in its environment that functions could inherit.
fn spawn(address: SocketAddr, home: &Path) -> Child {
    let log = fs::File::create(home.join(LOG)).expect("the directory is ours");
    let program = program();
    Command::new(&program)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TMPDIR", home)
        .env("HOME", home)
        .env("BIND_HOST", address.ip().to_string())
        .env("GATEWAY_PORT", address.port().to_string())
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ENDPOINT_URL", format!("http://{address}"))
        .env("LOG_LEVEL", "INFO")
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{} does not start ({error}): `tests/run` provides it", program.display())
        })
}

/// The emulator's program: the one named in the environment, else the one that `tests/run` has installed.
fn program() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/aws/bin/ministack");
    env::var_os("MINISTACK").map_or(installed, PathBuf::from)
}

/// Another of the workspace's binaries, beside the server.
pub(crate) fn binary(name: &str) -> PathBuf {
    let binary = super::node::binary().with_file_name(name);
    assert!(binary.exists(), "{} is missing: run `cargo build -p webhook-worker` first", binary.display());
    binary
}

/// A package with one executable file, in base64.
fn zipped(name: &str, text: &str) -> String {
    const SCRIPT: &str = "import base64, io, sys, zipfile
file = zipfile.ZipInfo(sys.argv[1])
file.external_attr = 0o755 << 16
package = io.BytesIO()
with zipfile.ZipFile(package, 'w') as archive:
    archive.writestr(file, sys.argv[2])
print(base64.b64encode(package.getvalue()).decode(), end='')";
    let output = Command::new("python3").args(["-c", SCRIPT, name, text]).output().expect("Python is there");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("base64 is text")
}
