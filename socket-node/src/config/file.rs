//! The JSON file: settings of the server, in a `server` block or beside it, and `applications`.

use std::{fs, path::Path};

use app_manager::app::settings::{APP_SETTINGS, Problems, Setting, Values};
use serde_json::{Map, Value as Json};

use super::{json, server_settings::SERVER_SETTINGS, suggest::did_you_mean};

/// What a JSON file says.
#[derive(Debug)]
pub(super) struct File {
    /// About the server.
    pub(super) server: Values,
    /// About each app.
    pub(super) apps: Vec<FileApp>,
    /// Whether something in it could not be read as an app, so that no conclusion can be drawn from one missing.
    pub(super) incomplete: bool,
}

/// An app in the file.
#[derive(Debug)]
pub(super) struct FileApp {
    /// Where it stands, such as `config.json: applications[1]`.
    pub(super) origin: String,
    /// What the file says about it.
    pub(super) values: Values,
}

impl File {
    /// A file that says nothing.
    pub(super) fn empty() -> Self {
        Self { server: Values::new(SERVER_SETTINGS), apps: Vec::new(), incomplete: false }
    }

    /// The file at this path in `directory`. What cannot be read, or is not known, goes to `problems`.
    pub(super) fn read(directory: &Path, path: &str, problems: &mut Problems) -> Self {
        let mut file = Self { incomplete: true, ..Self::empty() };
        let text = match fs::read_to_string(directory.join(path)) {
            Ok(text) => text,
            Err(error) => {
                problems.add(path, format_args!("cannot be read: {error}"));
                return file;
            }
        };
        match json::parse(text.trim_start_matches('\u{feff}')) {
            Ok(Json::Object(entries)) => {
                file.incomplete = false;
                Reader { path, file: &mut file, problems }.top(&entries);
            }
            Ok(_) => problems.add(path, "must hold a JSON object"),
            Err(error) => problems.add(path, error),
        }
        file
    }
}

/// Reads one file; knows its path, for errors.
struct Reader<'a> {
    path: &'a str,
    file: &'a mut File,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    fn top(&mut self, entries: &Map<String, Json>) {
        for (name, value) in entries {
            match (name.as_str(), value) {
                ("server", Json::Object(server)) => self.server_block(server),
                ("server", _) => self.refuse("server", "must be an object"),
                ("applications", Json::Array(apps)) => self.applications(apps),
                ("applications", _) => {
                    self.file.incomplete = true;
                    self.refuse("applications", "must be an array of objects");
                }
                _ => self.server_setting(name, name, value),
            }
        }
    }

    fn server_block(&mut self, entries: &Map<String, Json>) {
        for (name, value) in entries {
            self.server_setting(&format!("server.{name}"), name, value);
        }
    }

    fn server_setting(&mut self, at: &str, name: &str, value: &Json) {
        if let Some(setting) = Setting::find_json(SERVER_SETTINGS, name) {
            let source = format!("{}: {at}", self.path);
            self.file.server.add(setting, value, source, self.problems);
        } else if Setting::find_json(APP_SETTINGS, name).is_some() {
            self.refuse(at, "is a setting of an app and belongs into an entry of 'applications'");
        } else {
            let further = ["server", "applications"].map(str::to_owned);
            self.refuse_unknown(at, name, names(SERVER_SETTINGS).chain(further));
        }
    }

    fn applications(&mut self, apps: &[Json]) {
        for (index, app) in apps.iter().enumerate() {
            let at = format!("applications[{index}]");
            let Json::Object(entries) = app else {
                self.file.incomplete = true;
                self.refuse(&at, "must be an object");
                continue;
            };
            let values = self.application(&at, entries);
            self.file.apps.push(FileApp { origin: format!("{}: {at}", self.path), values });
        }
    }

    fn application(&mut self, app_at: &str, entries: &Map<String, Json>) -> Values {
        let mut values = Values::new(APP_SETTINGS);
        for (name, value) in entries {
            let at = format!("{app_at}.{name}");
            if let Some(setting) = Setting::find_json(APP_SETTINGS, name) {
                values.add(setting, value, format!("{}: {at}", self.path), self.problems);
            } else if Setting::find_json(SERVER_SETTINGS, name).is_some() {
                self.refuse(&at, "is a setting of the server and belongs into 'server'");
            } else {
                self.refuse_unknown(&at, name, names(APP_SETTINGS));
            }
        }
        values
    }

    fn refuse_unknown(&mut self, at: &str, name: &str, known: impl Iterator<Item = String>) {
        let suggestion = did_you_mean(name, known);
        self.refuse(at, &format!("is unknown{suggestion}"));
    }

    fn refuse(&mut self, at: &str, what: &str) {
        self.problems.add(format_args!("{}: {}", self.path, at.escape_debug()), what);
    }
}

fn names(table: &'static [Setting]) -> impl Iterator<Item = String> {
    table.iter().flat_map(Setting::json_names).map(str::to_owned)
}
