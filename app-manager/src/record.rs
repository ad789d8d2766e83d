//! An app as a store keeps it.

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value as Json};

use crate::{
    app::{
        App,
        settings::{APP_SETTINGS, Problems, Setting, Values, build},
    },
    store::LookupError,
};

/// Bytes of an app's settings as JSON. It leaves room for what a store adds in the narrowest of them, DynamoDB, whose
/// items have 400 KB.
const LARGEST: usize = 256 * 1024;

/// An app as a store keeps it: the settings that were given for it, under their canonical keys of
/// [`APP_SETTINGS`], and a version that only grows.
///
/// There is none that is not an app: what cannot be one was refused. `Debug` shows no values, because some are secret.
#[derive(Clone, PartialEq)]
pub struct AppRecord {
    settings: Map<String, Json>,
    version: u64,
}

impl AppRecord {
    /// A new app of these settings, in its first version. They are read as a config file's are: by any of their names,
    /// and numbers and switches as text too.
    ///
    /// # Errors
    /// Everything that is wrong, a line each, without any secret.
    pub fn new(settings: &Map<String, Json>) -> Result<Self, Vec<String>> {
        Self::read(settings, 1, Form::AsGiven)
    }

    /// The app that a store keeps as `id`. Here each value must have the type of its setting: whoever writes into a store by
    /// other ways is to find out early.
    ///
    /// # Errors
    /// [`LookupError::Unreadable`], which names the app and everything that is wrong with it.
    pub fn kept(id: &str, settings: &Map<String, Json>, version: u64) -> Result<Self, LookupError> {
        let read = Self::read(settings, version, Form::AsKept).and_then(|record| {
            let wrong = format!("app_id: is that of app {}", record.id());
            if record.id() == id { Ok(record) } else { Err(vec![wrong]) }
        });
        read.map_err(|problems| LookupError::Unreadable(format!("app {id}: {}", problems.join("; "))))
    }

    /// The next version of this app, with these settings changed. One that is `null` is as if it had never been given.
    ///
    /// # Errors
    /// Everything that is wrong with the app that it would be, a line each, without any secret.
    pub fn changed(&self, changes: &Map<String, Json>) -> Result<Self, Vec<String>> {
        let (mut settings, mut seen) = (self.settings.clone(), BTreeSet::new());
        let mut problems = Problems::default();
        for (name, value) in changes {
            // What is unknown is refused with everything else.
            let key = Setting::find_json(APP_SETTINGS, name).map_or(name.as_str(), |setting| setting.key);
            if !seen.insert(key) {
                problems.add(name.escape_debug(), format_args!("is the same setting as {key}"));
            }
            if value.is_null() {
                settings.remove(key);
            } else {
                settings.insert(key.to_owned(), value.clone());
            }
        }
        let read = Self::read(&settings, self.version + 1, Form::AsGiven);
        let mut lines = problems.into_lines();
        match read {
            Ok(next) if next.id() != self.id() => {
                lines.push("app_id: cannot be changed; it is what the app is known by".to_owned());
            }
            Ok(next) if lines.is_empty() => return Ok(next),
            Ok(_) => {}
            Err(further) => lines.extend(further),
        }
        Err(lines)
    }

    /// The settings that were given, in the types of their settings. The secrets are among them.
    pub fn settings(&self) -> &Map<String, Json> {
        &self.settings
    }

    /// 1 for a new app, and one more with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Names the app in the HTTP API.
    pub fn id(&self) -> &str {
        self.text("app_id")
    }

    /// Names the app in client connections.
    pub fn key(&self) -> &str {
        self.text("app_key")
    }

    /// The app, made as those of a config file are.
    pub fn to_app(&self) -> App {
        let mut problems = Problems::default();
        let values = values_of(&self.settings, Form::AsKept, &mut problems);
        build(&values, "the app", &mut problems).expect("it was an app when the record was made")
    }

    fn read(settings: &Map<String, Json>, version: u64, form: Form) -> Result<Self, Vec<String>> {
        let mut problems = Problems::default();
        let values = values_of(settings, form, &mut problems);
        // Only its problems are of interest.
        let _app = build(&values, "the app", &mut problems);
        if !problems.is_empty() {
            return Err(problems.into_lines());
        }
        let settings = canonical(settings, &values);
        let size = Json::from(settings.clone()).to_string().len();
        if size > LARGEST {
            return Err(vec![format!("the app: has {size} bytes of settings, and may have {LARGEST}")]);
        }
        Ok(Self { settings, version })
    }

    fn text(&self, key: &str) -> &str {
        self.settings.get(key).and_then(Json::as_str).expect("no record is without its credentials")
    }
}

impl fmt::Debug for AppRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.settings.keys().collect();
        f.debug_struct("AppRecord")
            .field("id", &self.id())
            .field("version", &self.version)
            .field("settings", &keys)
            .finish()
    }
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// In any way in which a config file may have them.
    AsGiven,
    /// In the type of their setting.
    AsKept,
}

/// The values of these settings, by whichever of their names.
fn values_of(settings: &Map<String, Json>, form: Form, problems: &mut Problems) -> Values {
    let mut values = Values::new(APP_SETTINGS);
    for (name, value) in settings {
        let source = name.escape_debug().to_string();
        match Setting::find_json(APP_SETTINGS, name) {
            None => problems.add(source, "is unknown"),
            Some(setting) => match setting.kind.check_type(value) {
                Err(what) if form == Form::AsKept => problems.add(source, what),
                _ => values.add(setting, value, source, problems),
            },
        }
    }
    values
}

/// The settings under their keys and in their types.
fn canonical(settings: &Map<String, Json>, values: &Values) -> Map<String, Json> {
    let read = settings.iter().filter_map(|(name, raw)| {
        let setting = Setting::find_json(APP_SETTINGS, name)?;
        let value = values.given(setting.key)?.value.as_ref()?;
        Some((setting.key.to_owned(), value.to_json(raw)))
    });
    read.collect()
}

#[cfg(test)]
mod tests;
