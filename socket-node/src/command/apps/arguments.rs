//! The words of `socket-rush apps`, and its flags.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use app_manager::app::settings::{APP_SETTINGS, Kind, Setting};
use serde_json::{Map, Value as Json};

use crate::config::parse_json;

/// What the words may be.
pub(in crate::command) const USAGE: &str = "\
socket-rush apps create [--json FILE|-] [--app-… …] [settings]
socket-rush apps list [--limit N] [--after ID] [settings]
socket-rush apps show ID [--show-secret] [settings]
socket-rush apps update ID [--json FILE|-] [--app-… …] [settings]
socket-rush apps enable|disable|delete ID [settings]
socket-rush apps rotate ID [--overlap SECONDS] [settings]
socket-rush apps import FILE|- [--replace] [settings]
socket-rush apps export [settings]
socket-rush apps --create-table [settings]

flags:
  --json FILE|-      settings of the app as a JSON object, out of a file or standard input; for an update, those that
                     change, where null takes one back
  --app-…            the same, one by one: --app-key, --app-max-connections and so on
  --limit N          list at most so many apps
  --after ID         begin after this app of the list
  --show-secret      show secrets too
  --overlap SECONDS  how long the old secret still counts; a day if not said, and 0 for not at all
  --replace          let an import change apps that are there
  --create-table     make the table in DynamoDB, unless there is one
  --as-json          answer in JSON

settings are those of a node: --config-file, --app-manager, --dynamodb-table and so on, see socket-rush --help";

/// How long an old secret counts if nothing is said about it.
const OVERLAP: Duration = Duration::from_secs(86_400);

/// How many seconds may be said: a year.
const LONGEST_OVERLAP: u64 = 31_536_000;

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verb {
    CreateTable,
    List {
        after: Option<String>,
        limit: Option<usize>,
    },
    Show {
        id: String,
        with_secret: bool,
    },
    Create(Given),
    Update(String, Given),
    /// Enable or disable.
    Switch {
        id: String,
        on: bool,
    },
    Rotate {
        id: String,
        overlap: Duration,
    },
    Delete(String),
    Import {
        source: Source,
        replaces: bool,
    },
    Export,
}

/// Where JSON comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Standard input.
    Input,
    File(PathBuf),
}

/// Settings of an app: out of JSON, and by flags.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Given {
    json: Option<Source>,
    /// By the settings' keys.
    flags: Map<String, Json>,
}

/// Leaves values out: there are secrets among them.
impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let flags: Vec<_> = self.flags.keys().collect();
        f.debug_struct("Given").field("json", &self.json).field("flags", &flags).finish()
    }
}

#[derive(Debug, PartialEq)]
pub(in crate::command) struct Arguments {
    pub(super) verb: Verb,
    pub(super) as_json: bool,
}

/// Whether a flag of the command takes a value; `None` if it is none of the command's.
fn takes_value(name: &str) -> Option<bool> {
    match name {
        "--show-secret" | "--replace" | "--create-table" | "--as-json" => Some(false),
        "--json" | "--limit" | "--after" | "--overlap" => Some(true),
        _ => setting_of(name).map(|setting| !matches!(setting.kind, Kind::Bool)),
    }
}

/// The app's setting that a flag is about.
fn setting_of(flag: &str) -> Option<&'static Setting> {
    let bare = flag.strip_prefix("--")?;
    APP_SETTINGS.iter().find(|setting| setting.flag_names().any(|name| name == bare))
}

/// Tells the words and flags of the command from the settings of a node.
pub(in crate::command) fn split(args: &[OsString]) -> (Vec<OsString>, Vec<OsString>) {
    let (mut ours, mut settings) = (Vec::new(), Vec::new());
    let mut args = args.iter().peekable();
    let is_word = |arg: &&OsString| *arg == "-" || !arg.to_string_lossy().starts_with('-');
    while let Some(word) = args.next_if(is_word) {
        ours.push(word.clone());
    }
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let (name, has_value) = text.split_once('=').map_or((&*text, false), |(name, _)| (name, true));
        match takes_value(name) {
            Some(with_value) => {
                ours.push(arg.clone());
                if with_value && !has_value {
                    ours.extend(args.next().cloned());
                }
            }
            None => settings.push(arg.clone()),
        }
    }
    (ours, settings)
}

/// The flags of one call. Each verb takes those that it knows, and what is left is a mistake.
#[derive(Default)]
struct Flags {
    own: BTreeMap<String, String>,
    app: Map<String, Json>,
}

impl Flags {
    fn read(args: &[&str]) -> Result<Self, Vec<String>> {
        let mut flags = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let (name, value) = arg.split_once('=').map_or((*arg, None), |(name, value)| (name, Some(value)));
            let value = match (value, takes_value(name)) {
                (Some(value), _) => Some(value),
                (None, Some(false)) => Some("true"),
                (None, _) => args.next().copied(),
            };
            let value = value.ok_or_else(|| vec![format!("{name}: needs a value")])?;
            let earlier = match setting_of(name) {
                Some(setting) => flags.app.insert(setting.key.to_owned(), Json::from(value)).is_some(),
                None => flags.own.insert(name.to_owned(), value.to_owned()).is_some(),
            };
            if earlier {
                return Err(vec![format!("{name}: is given twice")]);
            }
        }
        Ok(flags)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.own.remove(name)
    }

    /// Whether a flag without a value was given.
    fn has(&mut self, name: &str) -> bool {
        self.take(name).is_some()
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> Result<Option<u64>, Vec<String>> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| vec![format!("{name}: must be a whole number from {least} to {most}")])
    }

    fn given(&mut self) -> Given {
        Given {
            json: self.take("--json").as_deref().map(Source::named),
            flags: std::mem::take(&mut self.app),
        }
    }

    /// Refuses what nobody took.
    fn are_all_known(self, verb: &str) -> Result<(), Vec<String>> {
        let own = self.own.into_keys();
        let app = self.app.into_iter().map(|(key, _)| format!("--{}", key.replace('_', "-")));
        let lines: Vec<_> =
            own.chain(app).map(|name| format!("{name}: does nothing for 'apps {verb}'")).collect();
        if lines.is_empty() { Ok(()) } else { Err(lines) }
    }
}

impl Source {
    fn named(text: &str) -> Self {
        if text == "-" { Self::Input } else { Self::File(text.into()) }
    }
}

impl Given {
    /// All of it. What is given in both ways is refused.
    pub(super) fn read(&self) -> anyhow::Result<Map<String, Json>> {
        let Some(source) = &self.json else { return Ok(self.flags.clone()) };
        let Json::Object(mut settings) = parse_json(&source.read()?)? else {
            anyhow::bail!("--json: must hold a JSON object, the settings of one app");
        };
        for (key, value) in &self.flags {
            if settings.insert(key.clone(), value.clone()).is_some() {
                anyhow::bail!("--{}: is in the JSON too", key.replace('_', "-"));
            }
        }
        Ok(settings)
    }

    fn is_empty(&self) -> bool {
        self.json.is_none() && self.flags.is_empty()
    }
}

impl Arguments {
    pub(in crate::command) fn parse(args: &[OsString]) -> Result<Self, Vec<String>> {
        let texts: Option<Vec<_>> = args.iter().map(|arg| arg.to_str()).collect();
        let texts = texts.ok_or_else(|| vec!["the command must be UTF-8 text".to_owned()])?;
        let is_flag = |text: &&str| text.starts_with('-') && *text != "-";
        let at = texts.iter().position(is_flag).unwrap_or(texts.len());
        let (words, flags) = texts.split_at(at);
        let mut flags = Flags::read(flags)?;
        let as_json = flags.has("--as-json");
        let verb = verb(words, &mut flags)?;
        flags.are_all_known(words.get(1).copied().unwrap_or("--create-table"))?;
        Ok(Self { verb, as_json })
    }
}

fn verb(words: &[&str], flags: &mut Flags) -> Result<Verb, Vec<String>> {
    Ok(match words {
        ["apps"] if flags.has("--create-table") => Verb::CreateTable,
        ["apps", "list"] => Verb::List {
            after: flags.take("--after"),
            limit: flags.number("--limit", 1, 1_000_000)?.and_then(|limit| usize::try_from(limit).ok()),
        },
        ["apps", "show", id] => Verb::Show { id: (*id).to_owned(), with_secret: flags.has("--show-secret") },
        ["apps", "create"] => Verb::Create(flags.given()),
        ["apps", "update", id] => match flags.given() {
            given if given.is_empty() => {
                return Err(vec!["update: say what changes, by --json or --app-… flags".to_owned()]);
            }
            given => Verb::Update((*id).to_owned(), given),
        },
        ["apps", "enable", id] => Verb::Switch { id: (*id).to_owned(), on: true },
        ["apps", "disable", id] => Verb::Switch { id: (*id).to_owned(), on: false },
        ["apps", "rotate", id] => {
            let overlap = flags.number("--overlap", 0, LONGEST_OVERLAP)?;
            Verb::Rotate { id: (*id).to_owned(), overlap: overlap.map_or(OVERLAP, Duration::from_secs) }
        }
        ["apps", "delete", id] => Verb::Delete((*id).to_owned()),
        ["apps", "import", source] => {
            Verb::Import { source: Source::named(source), replaces: flags.has("--replace") }
        }
        ["apps", "export"] => Verb::Export,
        _ => return Err(vec![USAGE.to_owned()]),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(text: &str) -> Result<Arguments, Vec<String>> {
        let args: Vec<_> = text.split_whitespace().map(OsString::from).collect();
        Arguments::parse(&split(&args).0)
    }

    #[test]
    fn the_app_of_a_command_is_told_from_the_settings_around_it() {
        let args: Vec<_> =
            "apps create --app-manager dynamodb --app-key k --app-enabled --app-env=x --json - \
                            --dynamodb-table=t --app-max-connections=5 -a redis --as-json"
                .split_whitespace()
                .map(OsString::from)
                .collect();
        let (ours, settings) = split(&args);
        assert_eq!(
            ours,
            [
                "apps",
                "create",
                "--app-key",
                "k",
                "--app-enabled",
                "--json",
                "-",
                "--app-max-connections=5",
                "--as-json"
            ]
        );
        assert_eq!(
            settings,
            ["--app-manager", "dynamodb", "--app-env=x", "--dynamodb-table=t", "-a", "redis"]
        );
        let Json::Object(flags) = json!({"app_key": "k", "app_enabled": "true", "app_max_connections": "5"})
        else {
            unreachable!("it is an object")
        };
        let given = Given { json: Some(Source::Input), flags };
        assert_eq!(Arguments::parse(&ours).unwrap(), Arguments { verb: Verb::Create(given), as_json: true });
    }

    #[test]
    fn verbs_are_read_with_their_flags() {
        let day = Duration::from_secs(86_400);
        for (text, verb) in [
            ("apps --create-table", Verb::CreateTable),
            ("apps list", Verb::List { after: None, limit: None }),
            ("apps list --after 7 --limit=5", Verb::List { after: Some("7".into()), limit: Some(5) }),
            ("apps show 7", Verb::Show { id: "7".into(), with_secret: false }),
            ("apps show 7 --show-secret", Verb::Show { id: "7".into(), with_secret: true }),
            ("apps disable 7", Verb::Switch { id: "7".into(), on: false }),
            ("apps rotate 7", Verb::Rotate { id: "7".into(), overlap: day }),
            ("apps rotate 7 --overlap 0", Verb::Rotate { id: "7".into(), overlap: Duration::ZERO }),
            ("apps import - --replace", Verb::Import { source: Source::Input, replaces: true }),
            ("apps import a.json", Verb::Import { source: Source::File("a.json".into()), replaces: false }),
            ("apps export", Verb::Export),
        ] {
            assert_eq!(parse(text).unwrap().verb, verb, "{text}");
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for (text, what) in [
            ("apps", "socket-rush apps create"),
            ("apps list 7", "socket-rush apps create"),
            ("apps show", "socket-rush apps create"),
            ("apps import", "socket-rush apps create"),
            ("apps update 7", "update: say what changes"),
            ("apps list --limit none", "--limit: must be a whole number"),
            ("apps rotate 7 --overlap -1", "--overlap: must be a whole number"),
            ("apps rotate 7 --overlap", "--overlap: needs a value"),
            ("apps export --replace", "--replace: does nothing for 'apps export'"),
            ("apps delete 7 --app-key k", "--app-key: does nothing for 'apps delete'"),
            ("apps create --app-key k --app-key l", "--app-key: is given twice"),
            ("apps create --create-table", "--create-table: does nothing"),
        ] {
            let lines = parse(text).unwrap_err();
            assert!(lines[0].starts_with(what), "{text}: {lines:?}");
        }
    }
}
