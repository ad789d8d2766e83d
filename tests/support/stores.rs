//! The suite that every store of apps passes. It is the app manager's; what a store needs beside it is started here.

use std::{fs, path::PathBuf, process::Command, time::SystemTime};

use super::node;

/// Runs the suite's tests of a store, with these variables and no others in its environment.
///
/// The suite's binary is the newest that cargo has built: `cargo test --workspace` builds it before this runs.
pub(crate) async fn pass_suite(store: &'static str, variables: Vec<(&'static str, String)>) {
    let running = tokio::task::spawn_blocking(move || {
        let mut suite = Command::new(binary(store));
        suite.arg(format!("{store}::")).arg("--include-ignored").env_clear().envs(variables);
        suite.output().expect("it was built")
    });
    let output = running.await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(" 0 ignored") && !text.contains("running 0 tests"), "{text}");
}

/// The newest of the suite's binaries that knows this store; others were built without its feature.
fn binary(store: &str) -> PathBuf {
    let directory = node::binary().with_file_name("deps");
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.expect("the directory can be read").path());
    let mut built: Vec<(SystemTime, PathBuf)> = paths
        .filter(|path| path.extension().is_none())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("stores-")))
        .map(|path| (fs::metadata(&path).and_then(|file| file.modified()).expect("it is there"), path))
        .collect();
    built.sort();
    let knows = |path: &PathBuf| {
        let output = Command::new(path).arg("--list").output().expect("it is a test binary");
        String::from_utf8_lossy(&output.stdout).contains(&format!("{store}::"))
    };
    let found = built.into_iter().rev().map(|(_, path)| path).find(knows);
    found.unwrap_or_else(|| panic!("the suite is missing: run `cargo test --workspace --no-run` first"))
}
