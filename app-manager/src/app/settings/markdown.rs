//! Settings as a README shows them.

use super::{Kind, Setting};

/// A table of settings, in Markdown. `json_path` is what their JSON keys stand under, if that is not the file's top.
pub fn markdown(settings: &[Setting], json_path: &str) -> String {
    let head =
        "| Flag | Environment | JSON key | Type | Default | Description |\n|---|---|---|---|---|---|\n";
    settings.iter().fold(head.to_owned(), |text, setting| text + &row(setting, json_path))
}

fn row(setting: &Setting, json_path: &str) -> String {
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
