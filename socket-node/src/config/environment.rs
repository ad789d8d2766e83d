//! Environment variables: those of the process, and those that a `.env` file adds.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs,
    io::ErrorKind,
    path::Path,
};

use app_manager::app::settings::{Problems, Setting, Values};
use serde_json::Value as Json;

use super::gather::Layer;

/// Variables by name.
pub(super) type Variables = HashMap<OsString, OsString>;

/// What may be said about a file that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfMissing {
    /// Somebody named it.
    Refuse,
    /// It is only where one would be looked for.
    Ignore,
}

/// What the variables say. `place` names them as a whole in errors: the environment or a file.
///
/// A variable that is empty is not set: that is how shells and container tools hand on one that they do not have.
pub(super) fn read(variables: &Variables, place: &str, problems: &mut Problems) -> Layer {
    let mut layer = Layer::empty();
    layer.for_each_table(|values| {
        for setting in values.table() {
            for name in setting.environment_names() {
                let Some(value) = variables.get(OsStr::new(&name)).filter(|value| !value.is_empty()) else {
                    continue;
                };
                add(values, setting, value, format!("{place} {name}"), problems);
            }
        }
    });
    layer
}

fn add(
    values: &mut Values,
    setting: &'static Setting,
    value: &OsStr,
    source: String,
    problems: &mut Problems,
) {
    match value.to_str() {
        Some(text) => values.add(setting, &Json::from(text), source, problems),
        None => problems.add(source, "must be UTF-8 text"),
    }
}

/// The variables of a `.env` file that the environment itself does not have.
///
/// The file is not loaded into the process: the environment stays what it was, and wins.
pub(super) fn read_file(
    directory: &Path,
    path: &str,
    if_missing: IfMissing,
    environment: &Variables,
    problems: &mut Problems,
) -> Variables {
    match fs::read_to_string(directory.join(path)) {
        Ok(text) => {
            let mut variables = parse_file(text.trim_start_matches('\u{feff}'), path, problems);
            variables.retain(|name, _| !environment.contains_key(name));
            variables
        }
        Err(error) if error.kind() == ErrorKind::NotFound && if_missing == IfMissing::Ignore => {
            Variables::new()
        }
        Err(error) => {
            problems.add(path, format_args!("cannot be read: {error}"));
            Variables::new()
        }
    }
}

fn parse_file(text: &str, path: &str, problems: &mut Problems) -> Variables {
    let mut variables = Variables::new();
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        match entry {
            Ok((name, _)) if name == "ENV_FILE" => {
                problems.add(format_args!("{path} {name}"), "has no effect in a .env file");
            }
            Ok((name, value)) => {
                let value = OsString::from(value);
                let earlier = variables.insert(OsString::from(&name), value.clone());
                if earlier.is_some_and(|earlier| earlier != value) {
                    problems.add(format_args!("{path} {name}"), "is set twice, to different values");
                }
            }
            // The line itself may hold a secret.
            Err(dotenvy::Error::LineParse(line, _)) => {
                let place = line_number(text, &line)
                    .map_or(path.to_owned(), |number| format!("{path} line {number}"));
                problems.add(place, "must be NAME=value, with quotes around a value that has spaces");
            }
            Err(_) => {
                problems.add(path, "cannot be read");
                break;
            }
        }
    }
    variables
}

/// Counted from 1.
fn line_number(text: &str, line: &str) -> Option<usize> {
    let first = line.lines().next()?.trim();
    text.lines().position(|candidate| candidate.trim() == first).map(|index| index + 1)
}
