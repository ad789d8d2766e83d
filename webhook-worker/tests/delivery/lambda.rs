//! The function itself, as a process that speaks with the Lambda service: a stand-in for its runtime API.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    fixtures::{PATIENCE, SECRET, event, job},
    receiver::{Answer, Receiver},
};

/// A function's process, killed when it is dropped, and the service that it asks for events.
struct Function {
    process: Child,
    service: TcpListener,
    connection: Option<BufReader<TcpStream>>,
}

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// A process with the variables that the service sets, and these.
fn function(api: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-lambda"));
    command
        .env_clear()
        .envs([
            ("AWS_LAMBDA_RUNTIME_API", api),
            ("AWS_LAMBDA_FUNCTION_NAME", "worker"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ])
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    command
}

impl Function {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let service = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = service.local_addr().expect("it listens").to_string();
        let apps = json!([{"app_id": "1", "app_key": "key-1", "app_secret": SECRET}]).to_string();
        let mut command = function(&address, &[("APPS", &*apps)]);
        let process = command.envs(variables.iter().copied()).spawn().expect("it was built");
        Self { process, service, connection: None }
    }

    /// A request of the function: its first line and its body.
    async fn request(&mut self) -> (String, String) {
        loop {
            let stream = match &mut self.connection {
                Some(stream) => stream,
                None => {
                    let (stream, _) = self.service.accept().await.expect("it listens");
                    self.connection.insert(BufReader::new(stream))
                }
            };
            let (mut head, mut length) = (Vec::new(), 0);
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.expect("the function speaks HTTP") == 0 {
                    break;
                }
                if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = text.trim().parse().expect("a number");
                }
                if line == "\r\n" {
                    break;
                }
                head.push(line);
            }
            if head.is_empty() {
                self.connection = None;
                continue;
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.expect("a whole body");
            return (head.remove(0), String::from_utf8(body).expect("JSON"));
        }
    }

    async fn respond(&mut self, head: &str, body: &str) {
        let stream = self.connection.as_mut().expect("it has asked");
        let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).await.expect("it waits");
    }

    /// What the function answers to an event, for which it has so much time: the path and the body.
    async fn invoke(&mut self, event: &Value, time: Duration) -> (String, Value) {
        let invoking = async {
            let (line, _) = self.request().await;
            assert!(line.starts_with("GET /2018-06-01/runtime/invocation/next"), "{line}");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
            let head = format!(
                "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 17\r\nLambda-Runtime-Deadline-Ms: {}\r\n\
                 Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:x:1:function:worker\r\n",
                (now + time).as_millis()
            );
            self.respond(&head, &event.to_string()).await;
            let (line, body) = self.request().await;
            self.respond("HTTP/1.1 202 Accepted\r\n", "").await;
            let path = line.split(' ').nth(1).expect("a path").to_owned();
            (path, serde_json::from_str(&body).expect("JSON"))
        };
        timeout(PATIENCE, invoking).await.expect("an answer in time")
    }
}

/// An event of these messages: id, group, body.
fn sqs_event(messages: &[(&str, Option<&str>, String)]) -> Value {
    let records = messages.iter().map(|(id, group, body)| {
        let mut attributes = json!({"ApproximateReceiveCount": "1", "SentTimestamp": "1"});
        if let Some(group) = group {
            attributes["MessageGroupId"] = json!(group);
        }
        json!({
            "messageId": id, "receiptHandle": "handle", "body": body, "attributes": attributes,
            "messageAttributes": {}, "md5OfBody": "x", "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:1:q", "awsRegion": "us-east-1",
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

const RESPONSE: &str = "/2018-06-01/runtime/invocation/17/response";

#[tokio::test]
async fn the_function_delivers_signed_and_names_what_failed() {
    let receiver =
        Receiver::scripted(|request| if request.data() == ["bad"] { Answer::ERROR } else { Answer::OK })
            .await;
    let job = |data| job(&receiver.url(), &[event("a", data)]);
    let envelope = json!({"Type": "Notification", "Message": job("by topic").to_json()}).to_string();
    let event = sqs_event(&[
        ("m1", Some("x"), job("good").to_json()),
        ("m2", Some("x"), job("bad").to_json()),
        ("m3", Some("x"), job("later").to_json()),
        ("m4", Some("y"), envelope),
    ]);
    assert!(!event.to_string().contains(SECRET));
    let mut function = Function::start(&[]).await;
    for _ in 0..2 {
        let (path, answer) = function.invoke(&event, PATIENCE).await;
        assert_eq!(path, RESPONSE);
        assert_eq!(
            answer,
            json!({"batchItemFailures": [{"itemIdentifier": "m2"}, {"itemIdentifier": "m3"}]})
        );
    }
    let received = receiver.received();
    assert_eq!(received.len(), 6);
    for request in received {
        assert_eq!(request.header("X-Pusher-Key"), Some("key-1"));
        assert!(request.header("X-Pusher-Signature").is_some_and(|signature| signature.len() == 64));
    }
}

#[tokio::test]
async fn the_function_answers_before_its_time_is_over() {
    let receiver = Receiver::always(Answer::Hang).await;
    let event = sqs_event(&[("m1", None, job(&receiver.url(), &[event("a", 1)]).to_json())]);
    let mut function = Function::start(&[]).await;
    let (path, answer) = function.invoke(&event, Duration::from_millis(1_500)).await;
    assert_eq!(path, RESPONSE);
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "m1"}]}));
}

#[tokio::test]
async fn private_addresses_are_blocked_where_that_is_set() {
    let receiver = Receiver::always(Answer::OK).await;
    let event = sqs_event(&[("m1", None, job(&receiver.url(), &[event("a", 1)]).to_json())]);
    let mut function = Function::start(&[("WEBHOOK_BLOCK_PRIVATE_ADDRESSES", "true")]).await;
    let (_, answer) = function.invoke(&event, PATIENCE).await;
    assert_eq!(answer, json!({"batchItemFailures": [{"itemIdentifier": "m1"}]}));
    assert_eq!(receiver.seen().connections, 0);
}

#[test]
fn a_function_that_cannot_use_its_settings_says_so_and_ends() {
    let output = function("127.0.0.1:1", &[("WEBHOOK_RETRY_SECONDS", "x")]).output().expect("it was built");
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.starts_with("environment variable WEBHOOK_RETRY_SECONDS: must be"), "{said}");
}
