//! The same on one machine without Docker, from nothing to a webhook.

use std::time::Duration;

use tokio::{net::TcpStream, process::Command, time::timeout};

use super::home;
use crate::support::node::binary;

/// It installs nothing that `tests/run` has not installed, and builds nothing.
const DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test]
async fn one_command_leads_from_nothing_to_a_webhook_and_leaves_nothing() {
    let mut command = Command::new(home("localstack/run"));
    command.env("SOCKET_RUSH_BIN", binary()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for step in [
        r#"the client got what a backend said at node b: headline {"text":"It works"}"#,
        "the function delivered a webhook: channel_occupied of news, signed by the app",
        "everything works",
    ] {
        assert!(said.contains(step), "{said}");
    }
    let mut count = 0;
    for address in said.lines().filter_map(|line| line.split_once(" is at http://")) {
        assert!(TcpStream::connect(address.1).await.is_err(), "{} still listens", address.0);
        count += 1;
    }
    assert_eq!(count, 3, "{said}");
}

#[tokio::test]
async fn the_command_says_what_it_does_and_refuses_what_it_does_not_know() {
    for (argument, code, text) in
        [("--help", 0, "localstack/run --stay"), ("--lost", 1, "unknown argument --lost")]
    {
        let mut command = Command::new(home("localstack/run"));
        let output =
            timeout(DEADLINE, command.arg(argument).output()).await.expect("it ends").expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(text), "{said}");
    }
}
