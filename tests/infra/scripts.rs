//! The scripts and programs of an installation, run as users run them.

use std::{path::Path, process::Output, time::Duration};

use tokio::{process::Command, time::timeout};

use super::{home, installed};
use crate::support::{
    aws::{Aws, binary},
    node,
};

/// How long a script may take: it only cuts off what hangs.
const DEADLINE: Duration = Duration::from_secs(300);

/// Runs a script with nothing in its environment but the emulator, and the tools that it asks for.
pub(super) async fn run(script: &str, aws: Option<&Aws>, arguments: &[&str]) -> Output {
    let tools = installed("aws", "aws").parent().expect("it is in a folder").to_owned();
    let mut command = Command::new(home("infra").join(script));
    command
        .args(arguments)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
        .env("HOME", "/nonexistent")
        .env("SOCKET_RUSH_BIN", node::binary())
        .kill_on_drop(true);
    if let Some(aws) = aws {
        command.envs(Aws::variables(aws.address));
    }
    timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs")
}

/// What a script says, if it succeeds.
pub(super) async fn succeed(script: &str, aws: &Aws, arguments: &[&str]) -> String {
    let output = run(script, Some(aws), arguments).await;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} {arguments:?}: {said}");
    said.into_owned()
}

/// What the AWS CLI prints.
pub(super) async fn ask(aws: &Aws, arguments: &[&str]) -> String {
    let mut command = Command::new(installed("aws", "aws"));
    command.args(arguments).args(["--output", "text"]).env_clear().env("PATH", "/usr/bin:/bin");
    command.envs(Aws::variables(aws.address)).env("AWS_DEFAULT_REGION", "us-east-1").kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// What the program says of the apps of an installation.
pub(super) async fn apps(aws: &Aws, arguments: &[&str]) -> String {
    let mut command = Command::new(node::binary());
    command.arg("apps").args(arguments).args(["--app-manager", "dynamodb", "--dynamodb-table", "rush-apps"]);
    command.env_clear().envs(Aws::variables(aws.address)).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// A package of the function that was built with the tests: a script that becomes it.
pub(super) fn package(folder: &Path) -> String {
    const PACK: &str = "import sys, zipfile
file = zipfile.ZipInfo('bootstrap')
file.external_attr = 0o755 << 16
with zipfile.ZipFile(sys.argv[1], 'w') as archive:
    archive.writestr(file, sys.argv[2])";
    let package = folder.join("worker.zip").display().to_string();
    let script = format!("#!/bin/sh\nexec '{}'\n", binary("webhook-lambda").display());
    let packed = std::process::Command::new("python3").args(["-c", PACK, &package, &script]).status();
    assert!(packed.expect("Python is there").success());
    package
}

/// What `smoke.sh` says of a server, and whether it is content.
pub(super) async fn smoke(url: &str, secret: &str) -> (bool, String) {
    let mut command = Command::new(home("infra/smoke.sh"));
    command.args(["--url", url, "--within", "2"]).env_clear().env("PATH", "/usr/bin:/bin");
    command.envs([("APP_ID", "1"), ("APP_KEY", "app-key"), ("APP_SECRET", secret)]).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said.into_owned())
}
