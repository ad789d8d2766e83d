//! The image, as far as that can be tried without a builder of images.

use std::{fs, process::Command};

use tempfile::TempDir;

use super::{home, installed};

/// The paths that the builder is given: those that `.dockerignore` names with `!`, since it leaves all others out.
fn given() -> Vec<String> {
    let text = fs::read_to_string(home(".dockerignore")).expect("it is there");
    let lines: Vec<_> = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    assert_eq!(lines[0], "*", "everything else is left out");
    lines[1..].iter().map(|line| line.strip_prefix('!').expect("an exception").to_owned()).collect()
}

#[test]
fn the_builder_of_the_image_is_given_all_that_cargo_needs() {
    let folder = TempDir::new().expect("a directory for temporary files");
    for path in given() {
        let target = folder.path().join(&path);
        fs::create_dir_all(target.parent().expect("it is in a folder")).expect("the directory is ours");
        let copied = Command::new("cp").arg("-r").arg(home(&path)).arg(&target).status();
        assert!(copied.expect("cp is there").success(), "there is no {path}");
    }
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(folder.path())
        .output()
        .expect("cargo is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_image_is_built_with_the_compiler_of_the_workspace_and_runs_as_nobody() {
    let file = fs::read_to_string(home("Dockerfile")).expect("it is there");
    let cargo = fs::read_to_string(home("Cargo.toml")).expect("it is there");
    let version = cargo.lines().find_map(|line| line.strip_prefix("rust-version = ")).expect("it is set");
    assert!(file.contains(&format!("FROM rust:{}-", version.trim_matches('"'))), "not {version}");
    let last = file.rsplit("\nFROM ").next().expect("a stage");
    assert!(last.contains(":nonroot AS node"), "{last}");
    assert!(!last.contains("RUN "), "there is nothing that could run");
    let tests = fs::read_to_string(home("tests/aws.requirements.txt")).expect("it is there");
    let cli = file.split_whitespace().find(|word| word.starts_with("awscli==")).expect("a version");
    assert!(tests.lines().any(|line| line == cli), "tests run with another than {cli}");
}

#[test]
fn hadolint_finds_nothing_wrong_with_the_dockerfile() {
    let output =
        Command::new(installed("lint", "hadolint")).arg(home("Dockerfile")).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}
