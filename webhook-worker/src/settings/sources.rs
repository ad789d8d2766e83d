//! Flags, environment and config file in, values and apps out.

use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};
#[cfg(feature = "aws")]
use std::{sync::Arc, time::Duration};

use app_manager::{
    app::{
        App,
        settings::{APP_SETTINGS, CREDENTIALS, Kind, Places, Problems, Setting, Values, build},
    },
    apps::Apps,
    store::ArrayStore,
};
#[cfg(feature = "aws")]
use app_manager::{apps::Freshness, store::dynamodb::DynamoDbStore};
use serde_json::{Map, Value as Json};

use super::APP_MANAGER;
#[cfg(feature = "aws")]
use super::{DYNAMODB_TABLE, access};

/// For how long a worker takes an app for what it was. A secret that was replaced signs so long, which its overlap covers.
#[cfg(feature = "aws")]
const FRESHNESS: Freshness = Freshness { app: Duration::from_secs(60), miss: Duration::from_secs(5) };

/// The variable that holds the apps as a JSON array, where there is no file to put them into.
const APPS: &str = "APPS";

/// What a program was told.
#[derive(Debug)]
pub struct Settings {
    /// The values of its table; flags win over the environment, and that over the file.
    pub values: Values,
    /// The apps of the file, of the variable `APPS`, and the one that `APP_ID` and its kin describe.
    pub apps: Apps,
}

/// Reads the settings of a program with this table out of its arguments, without its name, and its environment.
///
/// What a config file says beyond the table and `applications` is for the nodes that share it.
///
/// # Errors
/// Everything that is wrong, a line each, without any secret.
pub fn read(
    table: &'static [Setting],
    args: Vec<OsString>,
    environment: &HashMap<OsString, OsString>,
) -> Result<Settings, Vec<String>> {
    let mut problems = Problems::default();
    let flags = of_flags(table, args, &mut problems);
    let values = flags.or(&of_environment(table, environment, &mut problems));
    let (mut apps, mut file) = (Vec::new(), Values::new(table));
    if let Some(path) = values.text("config_file") {
        of_file(&path, &mut file, &mut apps, &mut problems);
    }
    of_variable(environment, &mut apps, &mut problems);
    of_credentials(environment, &mut apps, &mut problems);
    let values = values.or(&file);
    let apps = match values.text(APP_MANAGER.key).as_deref() {
        Some("dynamodb") => of_table(&values, &apps, &mut problems),
        _ => of_settings(apps, &mut problems),
    };
    match apps {
        Some(apps) if problems.is_empty() => Ok(Settings { values, apps }),
        _ => Err(problems.into_lines()),
    }
}

/// The apps of the settings.
fn of_settings(apps: Vec<App>, problems: &mut Problems) -> Option<Apps> {
    if apps.is_empty() && problems.is_empty() {
        let what = "none is configured; name a config file with 'applications', or set APPS to a JSON array of them, \
                    or APP_ID, APP_KEY and APP_SECRET";
        problems.add("app", what);
    }
    ArrayStore::new(apps).map(Apps::new).map_err(|error| problems.add("app", error)).ok()
}

/// The apps of the table that the settings name, which nobody has asked yet. Nobody would find any of the settings.
#[cfg(feature = "aws")]
fn of_table(values: &Values, of_settings: &[App], problems: &mut Problems) -> Option<Apps> {
    if !of_settings.is_empty() {
        let what = "is in the settings, and with app_manager dynamodb apps are in a table; \
                    'socket-rush apps import' puts them there";
        of_settings.iter().for_each(|app| problems.add(format_args!("app {}", app.id), what));
    }
    let table = values.text(DYNAMODB_TABLE.key)?;
    let store = DynamoDbStore::new(access(values), &table);
    Some(Apps::cached(Arc::new(store), FRESHNESS))
}

/// Only who reads the table of a program that has no such choice gets here.
#[cfg(not(feature = "aws"))]
fn of_table(values: &Values, _of_settings: &[App], problems: &mut Problems) -> Option<Apps> {
    let what = "this program was built without DynamoDB (the cargo feature 'dynamodb')";
    problems.add(values.source(APP_MANAGER.key), what);
    None
}

/// `--name value`, `--name=value`, and `--name` alone for a switch.
fn of_flags(table: &'static [Setting], args: Vec<OsString>, problems: &mut Problems) -> Values {
    let mut values = Values::new(table);
    let mut args = args.into_iter().enumerate();
    while let Some((index, arg)) = args.next() {
        let place = format!("argument {}", index + 1);
        let Ok(arg) = arg.into_string() else {
            problems.add(place, "must be UTF-8 text");
            continue;
        };
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        let bare = name.trim_start_matches('-');
        let is_flag = name.starts_with("--") || (name.starts_with('-') && bare.len() == 1);
        let setting = table.iter().find(|setting| is_flag && setting.flag_names().any(|known| known == bare));
        let Some(setting) = setting else {
            // It may be a secret in the wrong place.
            problems
                .add(place, "is no flag of this program, or a value without one; it is not repeated here");
            continue;
        };
        let value = match (value, setting.kind) {
            (Some(value), _) => Some(value),
            (None, Kind::Bool) => Some("true".to_owned()),
            (None, _) => args.next().and_then(|(_, value)| value.into_string().ok()),
        };
        match value {
            Some(value) => values.add(setting, &Json::from(value), name.to_owned(), problems),
            None => problems.add(name, "needs a value of UTF-8 text"),
        }
    }
    values
}

/// A variable that is empty is not set.
fn of_environment(
    table: &'static [Setting],
    environment: &HashMap<OsString, OsString>,
    problems: &mut Problems,
) -> Values {
    let mut values = Values::new(table);
    for setting in table {
        for name in setting.environment_names() {
            let Some(value) = environment.get(OsStr::new(&name)).filter(|value| !value.is_empty()) else {
                continue;
            };
            let source = format!("environment variable {name}");
            match value.to_str() {
                Some(text) => values.add(setting, &Json::from(text), source, problems),
                None => problems.add(source, "must be UTF-8 text"),
            }
        }
    }
    values
}

fn of_file(path: &str, values: &mut Values, apps: &mut Vec<App>, problems: &mut Problems) {
    let text = match fs::read_to_string(Path::new(path)) {
        Ok(text) => text,
        Err(error) => return problems.add(path, format_args!("cannot be read: {error}")),
    };
    let entries = match serde_json::from_str(text.trim_start_matches('\u{feff}')) {
        Ok(Json::Object(entries)) => entries,
        Ok(_) => return problems.add(path, "must hold a JSON object"),
        Err(error) => return problems.add(path, error),
    };
    let server = match entries.get("server") {
        Some(Json::Object(server)) => server.clone(),
        _ => Map::new(),
    };
    for (name, value) in entries.iter().chain(&server) {
        let known =
            Setting::find_json(values.table(), name).filter(|known| known.places == Places::Everywhere);
        if let Some(setting) = known {
            values.add(setting, value, format!("{path}: {name}"), problems);
        }
    }
    if let Some(applications) = entries.get("applications") {
        add_apps(applications, &format!("{path}: applications"), apps, problems);
    }
}

fn of_variable(environment: &HashMap<OsString, OsString>, apps: &mut Vec<App>, problems: &mut Problems) {
    let source = format!("environment variable {APPS}");
    let Some(text) = environment.get(OsStr::new(APPS)).filter(|value| !value.is_empty()) else { return };
    match text.to_str().map(serde_json::from_str) {
        Some(Ok(applications)) => add_apps(&applications, &source, apps, problems),
        Some(Err(error)) => problems.add(source, error),
        None => problems.add(source, "must be UTF-8 text"),
    }
}

/// The app that the environment describes, if it has any of its credentials.
fn of_credentials(environment: &HashMap<OsString, OsString>, apps: &mut Vec<App>, problems: &mut Problems) {
    let values = of_environment(APP_SETTINGS, environment, problems);
    if CREDENTIALS.iter().any(|key| values.given(key).is_some()) {
        apps.extend(build(&values, "the app of the environment", problems));
    }
}

fn add_apps(applications: &Json, source: &str, apps: &mut Vec<App>, problems: &mut Problems) {
    let Json::Array(applications) = applications else {
        return problems.add(source, "must be an array of objects");
    };
    for (index, app) in applications.iter().enumerate() {
        let origin = format!("{source}[{index}]");
        let Json::Object(entries) = app else {
            problems.add(origin, "must be an object");
            continue;
        };
        let mut values = Values::new(APP_SETTINGS);
        for (name, value) in entries {
            let at = format!("{origin}.{}", name.escape_debug());
            match Setting::find_json(APP_SETTINGS, name) {
                Some(setting) => values.add(setting, value, at, problems),
                None => problems.add(at, "is unknown"),
            }
        }
        apps.extend(build(&values, &origin, problems));
    }
}
