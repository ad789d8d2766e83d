//! The first event of the README: its own lines, run as a newcomer would paste them.

use std::{fs, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use super::suite::node;
use crate::support::node::Node;

/// How long the client may take to start.
const DEADLINE: Duration = Duration::from_secs(20);

/// How long an event may take before it is published once more: the client says that it is connected, but not when
/// it is subscribed.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often an event is published at the most.
const TRIES: usize = 20;

/// The README's block in this language that holds `text`, aimed at the node.
fn block(language: &str, text: &str, node: &Node) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(path).expect("the README is there");
    let fence = format!("```{language}\n");
    let mut blocks = readme.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.contains(text)).expect("the README has such a block");
    block.replace("6001", &node.address.port().to_string())
}

fn sdk_home() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/sdk"))
}

fn javascript(code: &str) -> Command {
    let mut command = Command::new("node");
    command.args(["--input-type=module", "-e", code]).current_dir(sdk_home()).stdin(Stdio::null());
    command
}

/// The README's client, connected.
async fn start_client(node: &Node) -> (Child, Lines<BufReader<ChildStdout>>) {
    let code = block("js", "pusher.subscribe", node);
    // Its complaints have a pipe of their own too: Node.js makes those that it is given non-blocking, also for whoever
    // shares them, and the test runner, whose they would be, gives up when one that is full takes no more.
    let (output, complaints) = (Stdio::piped(), Stdio::piped());
    let client = javascript(&code).stdout(output).stderr(complaints).kill_on_drop(true).spawn();
    let mut client = client.expect("node starts");
    let mut lines = BufReader::new(client.stdout.take().expect("it is piped")).lines();
    let first = timeout(DEADLINE, lines.next_line()).await.ok().and_then(Result::ok).flatten();
    if first.as_deref() != Some("connected") {
        client.start_kill().expect("it is our child");
        let ended = client.wait_with_output().await.expect("it is our child");
        panic!("it said {first:?} and complained {:?}", String::from_utf8_lossy(&ended.stderr));
    }
    (client, lines)
}

/// Runs the publisher until the client has printed what it was sent.
async fn publish_until_printed(mut publisher: impl FnMut() -> Command, node: &Node) {
    let (_client, mut lines) = start_client(node).await;
    for _ in 0..TRIES {
        let output = publisher().output().await.expect("the publisher starts");
        assert!(output.status.success(), "{output:?}");
        if let Ok(line) = timeout(PATIENCE, lines.next_line()).await {
            return assert_eq!(line.expect("text").as_deref(), Some("It works"));
        }
    }
    panic!("the client heard nothing of {TRIES} events");
}

#[tokio::test]
async fn the_readmes_client_prints_what_the_readmes_shell_publishes() {
    let node = node(&[]);
    let code = block("bash", "publish()", &node);
    let shell = || {
        let mut command = Command::new("bash");
        command.args(["-euc", &code]).stdin(Stdio::null());
        command
    };
    publish_until_printed(shell, &node).await;
}

#[tokio::test]
async fn the_readmes_client_prints_what_the_readmes_backend_publishes() {
    let node = node(&[]);
    let code = block("js", "pusher.trigger", &node);
    publish_until_printed(|| javascript(&code), &node).await;
}
