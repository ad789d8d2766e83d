//! What `--check-config` prints: every setting in effect and where it comes from, without secrets.

use std::fmt::Write;

use app_manager::app::settings::{Places, Values};

use super::apps::AppValues;

/// The settings in effect, one a line.
pub(super) fn text(server: &Values, apps: &[AppValues]) -> String {
    let mut text = "The configuration is in order.\n\nserver\n".to_owned();
    write_values(&mut text, server);
    for app in apps {
        let id = app.values.text("app_id").unwrap_or_default();
        write!(text, "\napp {id}\n").expect("writing to a string cannot fail");
        write_values(&mut text, &app.values);
    }
    text
}

fn write_values(text: &mut String, values: &Values) {
    for setting in values.table().iter().filter(|setting| setting.places != Places::Flag) {
        let Some(value) = values.value(setting.key) else { continue };
        let source = values.given(setting.key).map_or("default", |given| &given.source);
        let value = value.to_string();
        let value = if value.is_empty() { "(none)" } else { &value };
        writeln!(text, "  {} = {value}  ({source})", setting.key).expect("writing to a string cannot fail");
    }
}
