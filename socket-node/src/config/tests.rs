//! The settings, through the front door: arguments, variables and files in, a configuration or errors out.

mod apps;
mod bad_input;
mod cloud;
mod database;
mod defaults;
mod files;
mod names;
mod precedence;
mod published;
mod robustness;
mod secrets;

use std::{ffi::OsString, fs};

use tempfile::TempDir;

use super::{Config, ConfigErrors, Purpose, Startup, environment::Variables, load_in};

/// Stands for every secret. No test may ever see it in an error or in any other output.
const CANARY: &str = "canary-5ecret";

/// Settings as an operator gives them, in a directory of their own.
struct Operator {
    directory: TempDir,
    args: Vec<OsString>,
    environment: Variables,
}

/// Nothing given.
fn nothing() -> Operator {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    Operator { directory, args: Vec::new(), environment: Variables::new() }
}

/// The three flags that an app needs, and nothing else.
fn one_app() -> Operator {
    nothing().args("--app-id 1 --app-key key1").arg(&format!("--app-secret={CANARY}"))
}

/// A config file with these entries in its top level, after one complete app.
fn file_with(entries: &str) -> String {
    format!(r#"{{"applications": [{}]{entries}}}"#, app("1", ""))
}

/// A complete app in a config file, with these further entries.
fn app(id: &str, entries: &str) -> String {
    format!(r#"{{"app_id": "{id}", "app_key": "key{id}", "app_secret": "{CANARY}"{entries}}}"#)
}

impl Operator {
    /// Further arguments, separated by spaces.
    fn args(mut self, args: &str) -> Self {
        self.args.extend(args.split_whitespace().map(OsString::from));
        self
    }

    /// One further argument, taken as it is.
    fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.into());
        self
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.directory.path().join(name), text).expect("a temporary file can be written");
        self
    }

    /// A config file, named by a flag.
    fn config_file(self, text: &str) -> Self {
        self.file("config.json", text).args("--config-file config.json")
    }

    fn load(&self) -> Result<Startup, ConfigErrors> {
        load_in(self.directory.path(), self.args.clone(), &self.environment, Purpose::Serving)
    }

    fn config(&self) -> Config {
        match self.load() {
            Ok(Startup::Run(config)) => *config,
            Ok(Startup::Print(text)) => panic!("only a text came: {text}"),
            Err(errors) => panic!("refused: {errors}"),
        }
    }

    fn printed(&self) -> String {
        match self.load() {
            Ok(Startup::Print(text)) => text,
            Ok(Startup::Run(_)) => panic!("a server would start"),
            Err(errors) => panic!("refused: {errors}"),
        }
    }

    /// What is wrong; fails if any of it gives the secret away or takes more than one line.
    fn errors(&self) -> Vec<String> {
        let errors = self.load().expect_err("this is refused");
        assert!(!format!("{errors} {errors:?}").contains(CANARY), "the secret got out: {errors}");
        assert_eq!(errors.to_string().lines().count(), errors.lines.len(), "one line each: {errors}");
        errors.lines
    }

    /// The one thing that is wrong.
    fn error(&self) -> String {
        let mut errors = self.errors();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors.remove(0)
    }
}
