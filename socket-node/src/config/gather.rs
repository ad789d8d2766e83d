//! All sources, read and laid over each other.

use std::path::Path;

use app_manager::app::settings::{APP_SETTINGS, Problems, Values};

use super::{
    environment::{self, IfMissing, Variables},
    file::{File, FileApp},
    server_settings::{DEFAULT_ENV_FILE, SERVER_SETTINGS},
};

/// What one source without structure says: flags or variables, which describe the server and one app.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// About the server.
    pub(super) server: Values,
    /// About the one app.
    pub(super) app: Values,
}

/// What all sources say.
#[derive(Debug)]
pub(super) struct Gathered {
    /// About the server, by precedence.
    pub(super) server: Values,
    /// Whether the environment or the file wins.
    precedence: Precedence,
    /// About the app that flags describe.
    pub(super) flags_app: Values,
    /// About the app that the environment, with its `.env`, describes.
    pub(super) environment_app: Values,
    /// The apps in the config file.
    pub(super) file_apps: Vec<FileApp>,
    /// Whether the config file could not be read so far that its apps are known.
    pub(super) file_incomplete: bool,
}

impl Layer {
    /// A source that says nothing.
    pub(super) fn empty() -> Self {
        Self { server: Values::new(SERVER_SETTINGS), app: Values::new(APP_SETTINGS) }
    }

    /// Does something with the values of each table.
    pub(super) fn for_each_table(&mut self, mut act: impl FnMut(&mut Values)) {
        act(&mut self.server);
        act(&mut self.app);
    }

    fn or(self, weaker: &Self) -> Self {
        Self { server: self.server.or(&weaker.server), app: self.app.or(&weaker.app) }
    }
}

/// Who wins below the flags, which always win.
#[derive(Clone, Copy, Debug)]
enum Precedence {
    EnvironmentOverFile,
    FileOverEnvironment,
}

impl Precedence {
    fn lay(self, flags: Values, environment: &Values, file: &Values) -> Values {
        match self {
            Self::EnvironmentOverFile => flags.or(environment).or(file),
            Self::FileOverEnvironment => flags.or(file).or(environment),
        }
    }
}

impl Gathered {
    /// What all sources together say about the app that the file describes with these values.
    pub(super) fn lay_over(&self, file_app: &Values) -> Values {
        self.precedence.lay(self.flags_app.clone(), &self.environment_app, file_app)
    }
}

/// Reads everything that the flags and the environment lead to.
///
/// Each names files: flags and environment the `.env` and the config file, the config file a `.env`, and a `.env` a
/// config file. Who names a file is read before it, and flags and environment come first.
pub(super) fn gather(
    directory: &Path,
    flags: Layer,
    variables: &Variables,
    problems: &mut Problems,
) -> Gathered {
    let environment = environment::read(variables, "environment variable", problems);
    let named = flags.server.clone().or(&environment.server);
    let mut file = named.text("config_file").map(|path| File::read(directory, &path, problems));

    let (env_file, if_missing) = env_file(&named, file.as_ref());
    let added = environment::read_file(directory, &env_file, if_missing, variables, problems);
    let environment = environment.or(&environment::read(&added, &env_file, problems));

    if file.is_none() {
        file = environment.server.text("config_file").map(|path| File::read(directory, &path, problems));
        if named.given("env_file").is_none() {
            refuse_other_env_file(&env_file, file.as_ref(), problems);
        }
    }
    let file = file.unwrap_or_else(File::empty);
    let prefers_file = flags.server.clone().or(&environment.server).is_on("prefer_config_file");
    let precedence =
        if prefers_file { Precedence::FileOverEnvironment } else { Precedence::EnvironmentOverFile };
    Gathered {
        server: precedence.lay(flags.server, &environment.server, &file.server),
        precedence,
        flags_app: flags.app,
        environment_app: environment.app,
        file_apps: file.apps,
        file_incomplete: file.incomplete,
    }
}

/// Which `.env` file to read.
fn env_file(named: &Values, file: Option<&File>) -> (String, IfMissing) {
    if named.given("env_file").is_some() {
        let path = named.text("env_file").expect("env_file has a default");
        // A path that was refused leaves the default, which nobody named.
        let refused = named.given("env_file").is_some_and(|given| given.value.is_none());
        return (path, if refused { IfMissing::Ignore } else { IfMissing::Refuse });
    }
    match file.and_then(|file| file.server.text("env_file")) {
        Some(path) if path != DEFAULT_ENV_FILE => (path, IfMissing::Refuse),
        _ => (DEFAULT_ENV_FILE.to_owned(), IfMissing::Ignore),
    }
}

/// A config file that was itself named by the default `.env` comes too late to name another one.
fn refuse_other_env_file(read: &str, file: Option<&File>, problems: &mut Problems) {
    let Some(named) = file.map(|file| &file.server).filter(|server| server.given("env_file").is_some())
    else {
        return;
    };
    if named.text("env_file").is_some_and(|path| path != read) {
        let what = format!("must be '{read}', the file that named this config file");
        problems.add(named.source("env_file"), what);
    }
}
