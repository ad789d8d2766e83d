//! How long the Lambda function takes to start, and then for each event, beside a stand-in for Lambda's runtime interface: the
//! emulator's has a tick of a tenth of a second, in which such times are lost.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    cloud::{apps, job},
    support::{aws::binary, aws_faults::message, receiver::Receiver},
};

/// Functions that are started.
const STARTS: usize = 20;

/// Events that each gets after its first.
const FURTHER: usize = 20;

/// What any of it takes at most, which is far more than it does.
const DEADLINE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_delivers_soon_after_its_start_and_sooner_then() {
    let mut receiver = Receiver::start().await;
    let (mut cold, mut warm) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let began = Instant::now();
        let mut function = Function::start().await;
        for number in 0..=FURTHER {
            let event = event(&job(&receiver, "/hook", "a", number));
            let asked = if number == 0 { began } else { Instant::now() };
            timeout(DEADLINE, function.delivers(&event)).await.expect("it answers in time");
            let times = if number == 0 { &mut cold } else { &mut warm };
            times.push(asked.elapsed());
            receiver.next().await;
        }
    }
    let (cold, warm) = (median(cold), median(warm));
    println!(
        "from the start to the first delivery {cold:?}, then {warm:?} each; medians of {STARTS} functions"
    );
    assert!(warm < cold);
}

/// What a queue hands to a function: a message with this job.
fn event(job: &str) -> Value {
    json!({"Records": [{
        "messageId": "m", "receiptHandle": "h", "body": job, "attributes": {"ApproximateReceiveCount": "1"},
        "messageAttributes": {}, "md5OfBody": "x", "eventSource": "aws:sqs", "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:webhooks",
    }]})
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The function's process, killed when it is dropped, and the interface by which it asks for events.
struct Function {
    process: Child,
    interface: TcpListener,
    connection: Option<BufReader<TcpStream>>,
}

impl Function {
    async fn start() -> Self {
        let interface = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = interface.local_addr().expect("it listens");
        let process = Command::new(binary("webhook-lambda"))
            .env_clear()
            .env("APPS", apps().to_string())
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "worker")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .stdin(Stdio::null())
            .spawn()
            .expect("it was built");
        Self { process, interface, connection: None }
    }

    /// Hands it an event, and waits until it says that nothing of it failed.
    async fn delivers(&mut self, event: &Value) {
        let (head, _) = self.request().await;
        assert!(head.starts_with("GET /2018-06-01/runtime/invocation/next "), "{head}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
        let head = format!(
            "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 17\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
             Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:x:1:function:worker\r\n",
            (now + Duration::from_secs(30)).as_millis()
        );
        self.respond(&head, &event.to_string()).await;
        let (head, body) = self.request().await;
        assert!(head.starts_with("POST /2018-06-01/runtime/invocation/17/response "), "{head}");
        let answer: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(answer, json!({"batchItemFailures": []}));
        self.respond("HTTP/1.1 202 Accepted\r\n", "").await;
    }

    /// Its next request, on whichever connection.
    async fn request(&mut self) -> (String, Vec<u8>) {
        loop {
            let stream = match &mut self.connection {
                Some(stream) => stream,
                None => {
                    let (stream, _) = self.interface.accept().await.expect("it listens");
                    stream.set_nodelay(true).expect("a TCP socket");
                    self.connection.insert(BufReader::new(stream))
                }
            };
            match message(stream).await {
                Ok(request) => return request,
                Err(_) => self.connection = None,
            }
        }
    }

    async fn respond(&mut self, head: &str, body: &str) {
        let stream = self.connection.as_mut().expect("it has asked");
        let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).await.expect("it waits");
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
