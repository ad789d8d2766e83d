//! Which apps there are: those of the config file, and the one that flags and environment describe.

use app_manager::app::settings::{APP_SETTINGS, CREDENTIALS, Problems, Setting, Value, Values};

use super::gather::Gathered;

/// The setting that says where apps are.
pub(super) const APP_MANAGER: &str = "app_manager";

/// The values of one app, from all sources.
#[derive(Debug)]
pub(super) struct AppValues {
    /// How errors name the app as a whole.
    pub(super) origin: String,
    /// The values, by precedence.
    pub(super) values: Values,
}

/// Brings the app of flags and environment together with those of the file.
///
/// The same id is the same app, and flags and environment speak of it key by key; another id is one more app.
pub(super) fn settle(gathered: &Gathered, problems: &mut Problems) -> Vec<AppValues> {
    let manager = gathered.server.text(APP_MANAGER).unwrap_or_default();
    if manager != "array" {
        refuse_apps_of_settings(gathered, &manager, problems);
        return Vec::new();
    }
    let mut apps: Vec<_> = gathered
        .file_apps
        .iter()
        .map(|app| AppValues { origin: app.origin.clone(), values: app.values.clone() })
        .collect();
    let given = gathered.flags_app.clone().or(&gathered.environment_app);
    if given.given("app_id").is_some() {
        add_given_app(&mut apps, given, gathered, problems);
    } else {
        refuse_app_without_id(&given, gathered, problems);
    }
    refuse_duplicates(&apps, problems);
    apps
}

/// Where apps are in a database, nobody would find those of the settings.
fn refuse_apps_of_settings(gathered: &Gathered, manager: &str, problems: &mut Problems) {
    let given = gathered.flags_app.clone().or(&gathered.environment_app);
    let origins = gathered.file_apps.iter().map(|app| app.origin.as_str());
    for origin in given.iter().map(|(_, value)| value.source.as_str()).chain(origins) {
        let what = format!(
            "is about an app, and with app_manager {manager} apps are in a database; \
             'socket-rush apps create' and 'import' put them there"
        );
        problems.add(origin, what);
    }
}

fn add_given_app(apps: &mut Vec<AppValues>, given: Values, gathered: &Gathered, problems: &mut Problems) {
    let id = given.text("app_id");
    let same = apps.iter_mut().find(|app| id.is_some() && app.values.text("app_id") == id);
    if let Some(app) = same {
        app.values = gathered.lay_over(&app.values);
        return;
    }
    let missing = missing_credentials(&given);
    if missing.is_empty() {
        apps.push(AppValues { origin: "the app of flags and environment".to_owned(), values: given });
    } else {
        refuse_incomplete(&given, &missing, gathered, problems);
    }
}

/// Without an id there is no app that the other values could belong to.
fn refuse_app_without_id(given: &Values, gathered: &Gathered, problems: &mut Problems) {
    let missing = missing_credentials(given);
    if missing.len() < CREDENTIALS.len() {
        refuse_incomplete(given, &missing, gathered, problems);
    } else if !gathered.file_apps.is_empty() {
        for (_, value) in given.iter() {
            let what = "applies only to the app that --app-id (or APP_ID) names, and none is named; \
                        set it in 'applications' of the config file";
            problems.add(&value.source, what);
        }
    } else if !gathered.file_incomplete {
        let what = "none is configured; give --app-id, --app-key and --app-secret \
                    (or APP_ID, APP_KEY and APP_SECRET), or 'applications' in a config file";
        problems.add("app", what);
    }
}

fn missing_credentials(given: &Values) -> Vec<&'static str> {
    CREDENTIALS.into_iter().filter(|key| given.given(key).is_none()).collect()
}

/// Credentials are there, but not all. Where the file could not be read, the rest may be in there.
fn refuse_incomplete(given: &Values, missing: &[&str], gathered: &Gathered, problems: &mut Problems) {
    if gathered.file_incomplete {
        return;
    }
    let settings = APP_SETTINGS.iter().filter(|setting| missing.contains(&setting.key));
    let names: Vec<_> = settings.map(flag_and_variable).collect();
    let there = CREDENTIALS.iter().find_map(|key| given.given(key)).map_or("app", |given| &given.source);
    problems.add(there, format_args!("the app is incomplete without {}", names.join(" and ")));
}

/// `--app-key (APP_KEY)`.
fn flag_and_variable(setting: &Setting) -> String {
    let flag = setting.flag_names().next().unwrap_or_default();
    let variable = setting.environment_names().next().unwrap_or_default();
    format!("--{flag} ({variable})")
}

/// An id or key that two apps have would make one of them unreachable.
fn refuse_duplicates(apps: &[AppValues], problems: &mut Problems) {
    for key in ["app_id", "app_key"] {
        for (index, app) in apps.iter().enumerate() {
            let Some(Value::Text(text)) = app.values.value(key) else { continue };
            let earlier = apps[..index].iter().find(|other| other.values.text(key).as_ref() == Some(&text));
            if let Some(earlier) = earlier {
                let what = format!("'{text}' is taken by {}", earlier.values.source(key));
                problems.add(app.values.source(key), what);
            }
        }
    }
}
