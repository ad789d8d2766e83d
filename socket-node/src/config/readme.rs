//! The settings as the README shows them.

use app_manager::app::settings::{APP_SETTINGS, Kind, Setting};

use super::server_settings::SERVER_SETTINGS;

/// The README's section on settings, in Markdown: the server's table, then an app's.
pub fn table() -> String {
    let server = rows(SERVER_SETTINGS, "");
    let app = rows(APP_SETTINGS, "applications[].");
    format!("### Server\n\n{server}\n### Apps\n\n{app}")
}

fn rows(table: &'static [Setting], json_path: &str) -> String {
    let head =
        "| Flag | Environment | JSON key | Type | Default | Description |\n|---|---|---|---|---|---|\n";
    table.iter().fold(head.to_owned(), |text, setting| text + &row(setting, json_path))
}

fn row(setting: &'static Setting, json_path: &str) -> String {
    let dashes = |name: String| if name.len() == 1 { format!("-{name}") } else { format!("--{name}") };
    let flags = code(setting.flag_names().map(dashes));
    let environment = code(setting.environment_names());
    let json = code(setting.json_names().map(|name| format!("{json_path}{name}")));
    let default = match setting.default {
        None => "none".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{text}`"),
    };
    let words = match setting.kind {
        Kind::Choice(words) => format!(" ({})", code(words.iter().map(|word| (*word).to_owned()))),
        _ => String::new(),
    };
    let [kind, help] = [setting.kind.type_name(), setting.help];
    format!("| {flags} | {environment} | {json} | {kind} | {default} | {help}{words} |\n")
}

fn code(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}
