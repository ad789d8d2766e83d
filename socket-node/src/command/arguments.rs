//! The words of a command, and its filters.

use std::{ffi::OsString, time::Duration};

use super::Filter;

/// What the words may be.
pub(super) const USAGE: &str = "\
socket-rush webhooks dlq ls|show|replay|purge [ID…] [filters] [settings]
socket-rush webhooks test URL|ARN [--app ID] [settings]

filters:
  --app ID              only webhooks of this app
  --url TEXT            only those to a URL, topic or function whose name contains this
  --older-than SECONDS  only those that died at least so long ago
  --all                 needed to purge without an id or a filter

settings are those of a node: --config-file, --queue-driver and so on, see socket-rush --help";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    List,
    Show,
    Replay,
    Purge,
    /// Send a webhook to this URL, topic or function.
    Test(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) verb: Verb,
    pub(super) filter: Filter,
}

/// Tells the words and filters of a command, which come first here, from the settings of a node.
pub(super) fn split(args: &[OsString]) -> (Vec<OsString>, Vec<OsString>) {
    let (mut ours, mut settings) = (Vec::new(), Vec::new());
    let mut args = args.iter().peekable();
    while args.peek().is_some_and(|arg| !arg.to_string_lossy().starts_with('-')) {
        ours.extend(args.next().cloned());
    }
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let (name, has_value) = text.split_once('=').map_or((&*text, false), |(name, _)| (name, true));
        match name {
            "--all" => ours.push(arg.clone()),
            "--app" | "--url" | "--older-than" => {
                ours.push(arg.clone());
                if !has_value {
                    ours.extend(args.next().cloned());
                }
            }
            _ => settings.push(arg.clone()),
        }
    }
    (ours, settings)
}

impl Arguments {
    pub(super) fn parse(args: &[OsString]) -> Result<Self, Vec<String>> {
        let texts: Option<Vec<_>> = args.iter().map(|arg| arg.to_str()).collect();
        let texts = texts.ok_or_else(|| vec!["the command must be UTF-8 text".to_owned()])?;
        let at = texts.iter().position(|text| text.starts_with('-')).unwrap_or(texts.len());
        let (words, flags) = texts.split_at(at);
        let (mut filter, mut is_for_all) = (Filter::default(), false);
        let mut flags = flags.iter().copied();
        while let Some(flag) = flags.next() {
            let (name, value) =
                flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            if name == "--all" {
                is_for_all = true;
                continue;
            }
            let Some(value) = value.or_else(|| flags.next()) else {
                return Err(vec![format!("{name}: needs a value")]);
            };
            match name {
                "--app" => filter.app = Some(value.to_owned()),
                "--url" => filter.url = Some(value.to_owned()),
                _ => {
                    let seconds =
                        value.parse().map_err(|_| vec![format!("{name}: must be a number of seconds")])?;
                    filter.older_than = Some(Duration::from_secs(seconds));
                }
            }
        }
        let verb = match words {
            ["webhooks", "test", url] => Verb::Test((*url).to_owned()),
            ["webhooks", "dlq", verb, ids @ ..] => {
                filter.ids = ids.iter().map(ToString::to_string).collect();
                match *verb {
                    "ls" => Verb::List,
                    "show" => Verb::Show,
                    "replay" => Verb::Replay,
                    "purge" if is_for_all || filter != Filter::default() => Verb::Purge,
                    "purge" => return Err(vec!["purge: name an id or a filter, or say --all".to_owned()]),
                    _ => return Err(vec![USAGE.to_owned()]),
                }
            }
            _ => return Err(vec![USAGE.to_owned()]),
        };
        Ok(Self { verb, filter })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, Vec<String>> {
        let args: Vec<_> = text.split_whitespace().map(OsString::from).collect();
        let (ours, _) = split(&args);
        Arguments::parse(&ours)
    }

    #[test]
    fn a_command_is_told_from_the_settings_around_it() {
        let args: Vec<_> = "webhooks dlq ls 1 --queue-driver redis --app 7 --redis-url=a --url=x --all"
            .split(' ')
            .map(OsString::from)
            .collect();
        let (ours, settings) = split(&args);
        assert_eq!(ours, ["webhooks", "dlq", "ls", "1", "--app", "7", "--url=x", "--all"]);
        assert_eq!(settings, ["--queue-driver", "redis", "--redis-url=a"]);
    }

    #[test]
    fn filters_are_read() {
        let arguments = parse("webhooks dlq show a b --app 7 --url=x.example --older-than 60").unwrap();
        assert_eq!(arguments.verb, Verb::Show);
        let filter = arguments.filter;
        assert_eq!(filter.ids, ["a", "b"]);
        assert_eq!((filter.app.as_deref(), filter.url.as_deref()), (Some("7"), Some("x.example")));
        assert_eq!(filter.older_than, Some(Duration::from_secs(60)));
        assert_eq!(parse("webhooks test http://a").unwrap().verb, Verb::Test("http://a".into()));
    }

    #[test]
    fn nothing_is_purged_by_mistake() {
        assert!(parse("webhooks dlq purge").is_err());
        for purge in ["purge 1", "purge --app 1", "purge --all", "purge --older-than=0"] {
            assert_eq!(parse(&format!("webhooks dlq {purge}")).unwrap().verb, Verb::Purge);
        }
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for text in [
            "webhooks",
            "webhooks dlq",
            "webhooks dlq rm",
            "webhooks test",
            "webhooks test a b",
            "webhooks dlq ls --app",
            "webhooks dlq ls --older-than soon",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
