//! One value: read from JSON or from text, checked, and shown without what is secret.

use std::fmt;

use serde_json::Value as Json;

use super::{Check, Kind, Problems, Setting, webhooks::read_targets};
use crate::webhook::{Endpoint, WebhookTarget};

/// A value that its setting takes. `Debug` and `Display` leave out what is secret.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// On or off.
    Bool(bool),
    /// A number within the setting's bounds.
    Number(u64),
    /// `None` is unlimited.
    Limit(Option<u32>),
    /// A text, or one of the setting's words.
    Text(String),
    /// One or more URLs.
    Url(String),
    /// A text that nobody outside this package reads.
    Secret(Hidden),
    /// A password that the server itself uses.
    Password(String),
    /// Texts.
    List(Vec<String>),
    /// Targets of webhooks.
    Webhooks(Vec<WebhookTarget>),
}

/// A secret's text on its way into a [`Secret`](crate::secret::Secret).
#[derive(Clone, PartialEq)]
pub struct Hidden(pub(super) String);

impl Setting {
    /// Reads a value as it was given; text from a flag or the environment is a JSON string here.
    ///
    /// `None` means that it was refused, and that `problems` says why.
    pub fn read(&self, raw: &Json, source: &str, problems: &mut Problems) -> Option<Value> {
        if let Kind::Webhooks = self.kind {
            return read_targets(raw, source, problems).map(Value::Webhooks);
        }
        match self.kind.read(raw) {
            Ok(value) => Some(value),
            Err(what) if self.kind.may_be_shown() => {
                problems.add(source, format_args!("{what}, not {}", shown(raw)));
                None
            }
            Err(what) => {
                problems.add(source, what);
                None
            }
        }
    }
}

impl Value {
    /// The value in the type of its setting, as stores keep it. Targets of webhooks stay as they were given: `raw`.
    ///
    /// Secrets come out whole, so nobody else may ask.
    pub(crate) fn to_json(&self, raw: &Json) -> Json {
        match self {
            Self::Bool(value) => Json::from(*value),
            Self::Number(number) => Json::from(*number),
            Self::Limit(limit) => Json::from(limit.unwrap_or_default()),
            Self::Text(text) | Self::Url(text) | Self::Secret(Hidden(text)) | Self::Password(text) => {
                Json::from(text.as_str())
            }
            Self::List(texts) => Json::from(texts.as_slice()),
            Self::Webhooks(_) => raw.clone(),
        }
    }
}

impl Kind {
    /// Whether a value has the type in which stores keep it.
    ///
    /// # Errors
    /// Which type that is.
    pub(crate) fn check_type(&self, raw: &Json) -> Result<(), String> {
        let (sound, name) = match self {
            Self::Bool => (raw.is_boolean(), "a boolean"),
            Self::Number { .. } | Self::Limit => (raw.is_number(), "a number"),
            Self::List(_) | Self::Webhooks => (raw.is_array(), "a list"),
            Self::Choice(_)
            | Self::Text(_)
            | Self::Digits
            | Self::Url(_)
            | Self::Secret(_)
            | Self::Password(_) => (raw.is_string(), "a string"),
        };
        if sound { Ok(()) } else { Err(format!("must be kept as {name}")) }
    }

    fn read(&self, raw: &Json) -> Result<Value, String> {
        match self {
            Self::Bool => bool_of(raw).map(Value::Bool).ok_or_else(|| "must be true or false".to_owned()),
            Self::Number { least, most } => whole_number(raw)
                .and_then(|number| u64::try_from(number).ok())
                .filter(|number| (least..=most).contains(&number))
                .map(Value::Number)
                .ok_or_else(|| format!("must be a whole number from {least} to {most}")),
            Self::Limit => limit_of(raw).map(Value::Limit).ok_or_else(|| {
                format!("must be a whole number from 0 to {}, where 0 means unlimited", u32::MAX)
            }),
            Self::Choice(words) => choice_of(words, raw)
                .map(|word| Value::Text((*word).to_owned()))
                .ok_or_else(|| format!("must be {}", words.join(" or "))),
            Self::Text(check) => text_of(raw).and_then(check).map(Value::Text),
            Self::Digits => {
                digits_of(raw).map(Value::Text).ok_or_else(|| "must be 1 to 64 digits".to_owned())
            }
            Self::Url(check) => text_of(raw).and_then(check).map(Value::Url),
            Self::Secret(check) => text_of(raw).and_then(check).map(|text| Value::Secret(Hidden(text))),
            Self::Password(check) => text_of(raw).and_then(check).map(Value::Password),
            Self::List(check) => list_of(*check, raw).map(Value::List),
            Self::Webhooks => Err("must be an array of webhook targets".to_owned()),
        }
    }

    /// Whether an error may repeat the value that it is about.
    const fn may_be_shown(&self) -> bool {
        match self {
            Self::Bool | Self::Number { .. } | Self::Limit | Self::Choice(_) => true,
            // Where a secret lands by mistake: id, key and secret in the wrong order.
            Self::Digits | Self::Text(_) | Self::List(_) => false,
            Self::Url(_) | Self::Secret(_) | Self::Password(_) => false,
            Self::Webhooks => false,
        }
    }
}

/// A refused value in an error: quoted, in one line, and not at any length.
fn shown(raw: &Json) -> String {
    const LONGEST: usize = 40;
    let text = match raw {
        Json::String(text) => text.clone(),
        Json::Null | Json::Bool(_) | Json::Number(_) => raw.to_string(),
        Json::Array(_) => return "an array".to_owned(),
        Json::Object(_) => return "an object".to_owned(),
    };
    let cut: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    let more = if text.chars().count() > LONGEST { "…" } else { "" };
    format!("'{cut}{more}'")
}

fn text_of(raw: &Json) -> Result<&str, String> {
    raw.as_str().ok_or_else(|| "must be text".to_owned())
}

fn bool_of(raw: &Json) -> Option<bool> {
    match raw {
        Json::Bool(value) => Some(*value),
        Json::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Some(true),
            "false" | "0" | "no" => Some(false),
            _ => None,
        },
        Json::Null | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

fn whole_number(raw: &Json) -> Option<i128> {
    match raw {
        Json::Number(number) => number.as_i128(),
        Json::String(text) => text.parse().ok(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// 0 is how the settings say "unlimited", -1 how apps that were made for the Go server do.
fn limit_of(raw: &Json) -> Option<Option<u32>> {
    match whole_number(raw)? {
        -1 | 0 => Some(None),
        number => u32::try_from(number).ok().map(Some),
    }
}

fn choice_of<'w>(words: &'w [&'static str], raw: &Json) -> Option<&'w &'static str> {
    let given = match raw {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
    };
    words.iter().find(|word| word.eq_ignore_ascii_case(&given))
}

fn digits_of(raw: &Json) -> Option<String> {
    let text = match raw {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => return None,
    };
    let digits = (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(text)
}

fn list_of(check: Check, raw: &Json) -> Result<Vec<String>, String> {
    match raw {
        Json::String(text) if text.trim().is_empty() => Ok(Vec::new()),
        Json::String(text) => text.split(',').map(|entry| check(entry.trim())).collect(),
        Json::Array(entries) => entries.iter().map(|entry| text_of(entry).and_then(check)).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
            Err("must be an array of texts, or a text with commas between them".to_owned())
        }
    }
}

/// URLs as they may be shown: without user name, password and query, which may all be secret.
pub fn without_credentials(urls: &str) -> String {
    let shown = urls.split(',').map(|url| {
        let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + "://".len()));
        let (address, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        let (user, host) = address.split_at(address.rfind('@').unwrap_or_default());
        let user = if user.is_empty() { "" } else { "***" };
        let query = if query.is_empty() { "" } else { "?***" };
        format!("{scheme}{user}{host}{query}")
    });
    shown.collect::<Vec<_>>().join(",")
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Limit(None) => f.write_str("unlimited"),
            Self::Limit(Some(number)) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Url(urls) => f.write_str(&without_credentials(urls)),
            Self::Secret(_) | Self::Password(_) => f.write_str("(hidden)"),
            Self::List(texts) => f.write_str(&texts.join(", ")),
            Self::Webhooks(targets) => {
                let names = targets.iter().map(|target| match &target.endpoint {
                    Endpoint::Url(url) => without_credentials(url),
                    endpoint @ (Endpoint::SnsTopicArn(_) | Endpoint::LambdaFunction(_)) => {
                        endpoint.name().to_owned()
                    }
                });
                f.write_str(&names.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn urls_are_shown_without_what_may_be_secret() {
        for (urls, shown) in [
            ("localhost:6379", "localhost:6379"),
            ("redis://user:password@host:1/2", "redis://***@host:1/2"),
            ("redis://:p@ss@host", "redis://***@host"),
            ("user:password@host", "***@host"),
            ("redis://a,rediss://:b@c", "redis://a,rediss://***@c"),
            ("https://a.example/hook?token=x@y", "https://a.example/hook?***"),
        ] {
            assert_eq!(without_credentials(urls), shown);
        }
    }
}
