//! What the repository shows of the settings is what they are.

use std::{fs, path::PathBuf};

use super::super::{SERVER_SETTINGS, environment::read_file, table};
use super::{nothing, one_app};
use crate::config::environment::{IfMissing, Variables};
use app_manager::app::settings::{APP_SETTINGS, Problems, Setting};

const BEGIN: &str = "<!-- settings:begin -->";
const END: &str = "<!-- settings:end -->";

fn in_repository(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// `UPDATE_README=1 cargo test -p socket-node the_readme` writes the section anew.
#[test]
fn the_readme_shows_the_settings_as_they_are() {
    let path = in_repository("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README marks where the settings begin");
    let (shown, after) = rest.split_once(END).expect("the README marks where the settings end");
    let section = format!("\n{}\n", table());
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{section}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(shown, section, "run the test again with UPDATE_README=1");
}

#[test]
fn the_example_config_file_is_taken() {
    let text = fs::read_to_string(in_repository("config.json")).unwrap();
    let config = nothing().config_file(&text).config();
    assert_eq!((config.apps.len(), config.apps[0].webhooks.targets.len()), (2, 1));
}

/// The lines that are commented out are as valid as the others.
#[test]
fn every_line_of_the_example_env_file_is_a_setting() {
    let text = fs::read_to_string(in_repository(".env.example")).unwrap();
    let uncommented = text.replace("\n#", "\n").lines().filter(|line| line.contains('=')).fold(
        String::new(),
        |text, line| {
            if line.starts_with(char::is_uppercase) && !line.contains(": ") {
                text + line + "\n"
            } else {
                text
            }
        },
    );
    let operator = nothing().file("all.env", &uncommented);
    let mut problems = Problems::default();
    let directory = operator.directory.path();
    let variables = read_file(directory, "all.env", IfMissing::Refuse, &Variables::new(), &mut problems);
    assert!(problems.is_empty() && variables.len() > 15);
    let known: Vec<_> =
        SERVER_SETTINGS.iter().chain(APP_SETTINGS).flat_map(Setting::environment_names).collect();
    for name in variables.keys() {
        assert!(known.iter().any(|known| name == known.as_str()), "{name:?}");
    }
    let config = operator.args("--env-file all.env").file("config.json", "{}").config();
    assert_eq!(config.apps[0].webhooks.targets.len(), 1);
}

#[test]
fn every_default_is_a_value_that_its_setting_takes() {
    for setting in SERVER_SETTINGS.iter().chain(APP_SETTINGS) {
        let mut problems = Problems::default();
        if let Some(default) = setting.default {
            assert!(setting.read(&default.into(), setting.key, &mut problems).is_some(), "{}", setting.key);
        }
    }
}

#[test]
fn the_checked_configuration_says_where_each_setting_comes_from() {
    let operator = one_app().env("PORT", "7").file(".env", "LOG_LEVEL=warn").args("--check-config -a local");
    let text = operator.printed();
    for line in [
        "port = 7  (environment variable PORT)",
        "log_level = warn  (./.env LOG_LEVEL)",
        "adapter_driver = local  (-a)",
        "bind_address = 0.0.0.0  (default)",
        "app_max_connections = unlimited  (default)",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}
