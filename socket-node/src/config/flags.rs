//! The command line.

use std::ffi::OsString;

use app_manager::app::settings::{APP_SETTINGS, Kind, Problems, Setting};
use clap::{
    Arg, ArgAction, ArgMatches, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use serde_json::Value as Json;

use super::{gather::Layer, server_settings::SERVER_SETTINGS, suggest::did_you_mean};

const TABLES: [(&str, &[Setting]); 2] = [("Server", SERVER_SETTINGS), ("One app", APP_SETTINGS)];

/// Reads the arguments, without the program's name. Those that make no sense go to `problems`, all of them.
pub(super) fn read(args: Vec<OsString>, problems: &mut Problems) -> Layer {
    let matches = parse(utf8(args, problems), problems);
    let mut layer = Layer::empty();
    layer.for_each_table(|values| {
        for setting in values.table() {
            for name in setting.flag_names() {
                for value in matches.get_many::<String>(&name).into_iter().flatten() {
                    values.add(setting, &Json::from(value.as_str()), dashed(&name), problems);
                }
            }
        }
    });
    layer
}

/// What `--help` prints.
pub(super) fn help() -> String {
    command().render_long_help().to_string()
}

fn command() -> Command {
    let args = TABLES.into_iter().flat_map(|(heading, table)| {
        let args = table.iter().flat_map(|setting| {
            setting.flag_names().enumerate().map(|(index, name)| arg(setting, name).hide(index > 0))
        });
        args.map(move |arg| arg.help_heading(heading))
    });
    Command::new("socket-rush")
        .about("A self-hosted realtime server that speaks the Pusher protocol")
        .override_usage("socket-rush --app-id <ID> --app-key <KEY> --app-secret <SECRET> [flags]")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .no_binary_name(true)
        .max_term_width(100)
        .args(args)
}

/// One spelling of a setting. Each is an argument of its own, so that an error can name the one that was used.
fn arg(setting: &'static Setting, name: String) -> Arg {
    let arg = Arg::new(name.clone()).action(ArgAction::Append).help(help_of(setting));
    let arg = match name.chars().next() {
        Some(letter) if name.len() == 1 => arg.short(letter),
        _ => arg.long(name),
    };
    match setting.kind {
        Kind::Bool => {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("true|false")
        }
        Kind::Number { .. } | Kind::Limit => {
            arg.num_args(1).value_name("number").allow_negative_numbers(true)
        }
        Kind::Choice(words) => arg.num_args(1).value_name(words.join("|")),
        Kind::Text(_)
        | Kind::Digits
        | Kind::Url(_)
        | Kind::Secret(_)
        | Kind::Password(_)
        | Kind::List(_)
        | Kind::Webhooks => arg.num_args(1).value_name(setting.kind.type_name()),
    }
}

fn help_of(setting: &'static Setting) -> String {
    let also: Vec<_> = setting.flag_names().skip(1).map(|name| dashed(&name)).collect();
    let also = if also.is_empty() { String::new() } else { format!(" [also {}]", also.join(", ")) };
    let environment = setting.environment_names().next();
    let environment = environment.map(|name| format!(" [env {name}]")).unwrap_or_default();
    let default = setting.default.filter(|_| setting.environment_names().next().is_some());
    let default = default.filter(|text| !text.is_empty()).map(|text| format!(" [default {text}]"));
    format!("{}{also}{environment}{}", setting.help, default.unwrap_or_default())
}

fn dashed(name: &str) -> String {
    format!("{}{name}", if name.len() == 1 { "-" } else { "--" })
}

/// An argument and its place on the command line, counted from 1.
#[derive(Debug)]
struct Argument {
    place: usize,
    text: String,
}

fn utf8(args: Vec<OsString>, problems: &mut Problems) -> Vec<Argument> {
    let mut read = Vec::new();
    for (index, arg) in args.into_iter().enumerate() {
        let place = index + 1;
        match arg.into_string() {
            // All that could follow it are arguments without a flag, which there are none of.
            Ok(text) if text == "--" => problems.add(format_args!("argument {place}"), "'--' is not a flag"),
            Ok(text) => read.push(Argument { place, text }),
            Err(_) => problems.add(format_args!("argument {place}"), "must be UTF-8 text"),
        }
    }
    read
}

/// The parser stops at the first mistake. So that all are found, each is taken out and the rest parsed again.
fn parse(mut args: Vec<Argument>, problems: &mut Problems) -> ArgMatches {
    loop {
        let error = match command().try_get_matches_from(args.iter().map(|arg| &arg.text)) {
            Ok(matches) => return matches,
            Err(error) => error,
        };
        let at = report(&error, &args, problems);
        let value_follows =
            args.get(at + 1).is_some_and(|next| belongs_to_mistake(&args[at].text, &next.text));
        args.drain(at..=at + usize::from(value_follows));
    }
}

/// Whether what follows a mistaken flag was meant as its value: left behind, it would be the next mistake. A value
/// that begins with a single dash would even be taken for short flags.
fn belongs_to_mistake(flag: &str, next: &str) -> bool {
    let several_letters = next.len() > 2 && next.starts_with('-') && !next.starts_with("--");
    flag.starts_with("--") && !flag.contains('=') && (several_letters || !next.starts_with('-'))
}

/// What is wrong with one argument. The parser's own texts are not used: they repeat what was given, and that may be
/// a secret in the wrong place.
struct Mistake {
    /// Which of the arguments.
    index: usize,
    /// What to call it.
    name: String,
    what: String,
}

/// Says what the parser found wrong, and returns which argument it was.
fn report(error: &clap::Error, args: &[Argument], problems: &mut Problems) -> usize {
    let invalid = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let mistake = match error.kind() {
        ErrorKind::UnknownArgument if invalid.starts_with("--") => unknown_flag(invalid, args),
        ErrorKind::UnknownArgument if invalid.len() > 1 && invalid.starts_with('-') => {
            unknown_letter(invalid, args)
        }
        ErrorKind::InvalidValue | ErrorKind::WrongNumberOfValues | ErrorKind::TooFewValues => {
            // The parser shows what the value is called behind the flag.
            missing_value(invalid.split(' ').next().unwrap_or_default(), args)
        }
        _ => stray(invalid, args),
    };
    problems.add(mistake.name, mistake.what);
    mistake.index
}

fn unknown_flag(flag: &str, args: &[Argument]) -> Mistake {
    let spelled = |arg: &Argument| {
        arg.text.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let index = args.iter().position(spelled).unwrap_or_default();
    let known = || known_flags().filter(|known| known.len() > 1).map(|known| dashed(&known));
    // Somebody may have left out the space or the '=' between a flag and its value.
    let glued = known().filter(|known| flag.starts_with(known)).max_by_key(String::len);
    if let Some(known) = glued {
        return Mistake {
            index,
            name: format!("{known}…"),
            what: format!("is unknown; did you mean '{known}=…'?"),
        };
    }
    let suggestion = did_you_mean(flag, known());
    Mistake { index, name: flag.escape_debug().to_string(), what: format!("is unknown{suggestion}") }
}

/// Short flags may stand together behind one dash.
fn unknown_letter(dashed_letter: &str, args: &[Argument]) -> Mistake {
    let letter = dashed_letter.trim_start_matches('-');
    let has_it = |index: &usize| {
        let text = &args[*index].text;
        text.starts_with('-') && !text.starts_with("--") && text.contains(letter) && !is_value(args, *index)
    };
    let index = (0..args.len()).find(has_it).unwrap_or_default();
    Mistake { index, name: dashed_letter.escape_debug().to_string(), what: "is unknown".to_owned() }
}

fn missing_value(flag: &str, args: &[Argument]) -> Mistake {
    let followed = |index: usize| args.get(index + 1).is_some_and(|next| !next.text.starts_with('-'));
    let bare = |index: &usize| args[*index].text == flag && !followed(*index);
    let index = (0..args.len()).find(bare).unwrap_or_default();
    let what = "needs a value; if it begins with '-', write --flag=value".to_owned();
    Mistake { index, name: flag.to_owned(), what }
}

fn stray(text: &str, args: &[Argument]) -> Mistake {
    let is_it = |index: &usize| args[*index].text == text && !is_value(args, *index);
    let index = (0..args.len()).find(is_it).unwrap_or_default();
    let what = "belongs to no flag (a switch takes its value as --flag=true); \
                it is not repeated here, as it may be a secret";
    Mistake { index, name: format!("argument {}", args[index].place), what: what.to_owned() }
}

/// Whether the argument at this place is the value of the flag before it.
fn is_value(args: &[Argument], index: usize) -> bool {
    let Some(before) = index.checked_sub(1).map(|before| args[before].text.trim_start_matches('-')) else {
        return false;
    };
    let takes_value = |setting: &&Setting| !matches!(setting.kind, Kind::Bool);
    let settings = TABLES.into_iter().flat_map(|(_, table)| table).filter(takes_value);
    settings.flat_map(Setting::flag_names).any(|name| name == before)
}

fn known_flags() -> impl Iterator<Item = String> {
    TABLES.into_iter().flat_map(|(_, table)| table).flat_map(Setting::flag_names)
}
