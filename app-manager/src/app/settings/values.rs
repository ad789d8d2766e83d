//! The values that one source, or several of them laid over each other, give to the settings of one table.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Problems, Setting, Value};
use crate::webhook::WebhookTarget;

/// The values given to the settings of a table, each checked as it came in.
///
/// What is asked for and was not given, or was refused, is the setting's default: by then the refusal is in the
/// [`Problems`], and going on finds the others.
#[derive(Clone, Debug)]
pub struct Values {
    table: &'static [Setting],
    given: BTreeMap<&'static str, Given>,
}

/// A value that somebody gave.
#[derive(Clone, Debug)]
pub struct Given {
    /// The value; `None` if it was refused.
    pub value: Option<Value>,
    /// Where it stands, as errors name it: a flag, a variable, a path in a file.
    pub source: String,
}

impl Values {
    /// No values for the settings of this table.
    pub fn new(table: &'static [Setting]) -> Self {
        Self { table, given: BTreeMap::new() }
    }

    /// Takes a value in, or says in `problems` why not. The same setting twice, under whatever names, must be given
    /// the same value.
    pub fn add(&mut self, setting: &'static Setting, raw: &Json, source: String, problems: &mut Problems) {
        let value = setting.read(raw, &source, problems);
        let Some(earlier) = self.given.get(setting.key) else {
            self.given.insert(setting.key, Given { value, source });
            return;
        };
        if let (Some(earlier_value), Some(value)) = (&earlier.value, &value)
            && earlier_value != value
        {
            if earlier.source == source {
                problems.add(source, "is given twice, with different values");
            } else {
                let what = format!("is the same setting as {}, but has another value", earlier.source);
                problems.add(source, what);
            }
        }
    }

    /// These values, and where they say nothing, the weaker ones.
    #[must_use]
    pub fn or(mut self, weaker: &Self) -> Self {
        for (key, given) in &weaker.given {
            self.given.entry(key).or_insert_with(|| given.clone());
        }
        self
    }

    /// The table whose settings these are.
    pub fn table(&self) -> &'static [Setting] {
        self.table
    }

    /// Everything that was given, by the settings' keys.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Given)> {
        self.given.iter().map(|(key, given)| (*key, given))
    }

    /// What was given for this key.
    pub fn given(&self, key: &str) -> Option<&Given> {
        self.given.get(key)
    }

    /// What was given for this key and not refused, or else its default.
    ///
    /// # Panics
    /// If the table has no such key.
    pub fn value(&self, key: &str) -> Option<Value> {
        let setting = self.table.iter().find(|setting| setting.key == key);
        let setting = setting.expect("whoever asks for a key has read the table");
        let given = self.given.get(key).and_then(|given| given.value.clone());
        given.or_else(|| {
            let default = Json::from(setting.default?);
            setting.read(&default, key, &mut Problems::default())
        })
    }

    /// Where this key was given; its own name if it was not.
    pub fn source<'a>(&'a self, key: &'a str) -> &'a str {
        self.given.get(key).map_or(key, |given| &given.source)
    }

    /// Whether this is on.
    ///
    /// # Panics
    /// If the table has no such switch.
    pub fn is_on(&self, key: &str) -> bool {
        let Some(Value::Bool(on)) = self.value(key) else { unreachable!("{key} is a switch with a default") };
        on
    }

    /// This number. `T` holds everything within the setting's bounds.
    ///
    /// # Panics
    /// If the table has no such number.
    pub fn number<T: TryFrom<u64>>(&self, key: &str) -> T {
        let Some(Value::Number(number)) = self.value(key) else {
            unreachable!("{key} is a number with a default")
        };
        T::try_from(number).unwrap_or_else(|_| unreachable!("the bounds of {key} are within its type"))
    }

    /// This limit; `None` is unlimited.
    ///
    /// # Panics
    /// If the table has no such limit.
    pub fn limit(&self, key: &str) -> Option<u32> {
        let Some(Value::Limit(limit)) = self.value(key) else {
            unreachable!("{key} is a limit with a default")
        };
        limit
    }

    /// This text, if it was given or has a default.
    pub fn text(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::Text(text) | Value::Url(text) => Some(text),
            other => unreachable!("{key} is a text, not {other}"),
        }
    }

    /// These texts.
    ///
    /// # Panics
    /// If the table has no such list.
    pub fn list(&self, key: &str) -> Vec<String> {
        let Some(Value::List(texts)) = self.value(key) else {
            unreachable!("{key} is a list with a default")
        };
        texts
    }

    /// This password of the server's, if it was given: for whoever asks for it, never for a log.
    ///
    /// # Panics
    /// If the table has no such password.
    pub fn password(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::Password(password) => Some(password),
            other => unreachable!("{key} is a password, not {other}"),
        }
    }

    pub(super) fn secret(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::Secret(secret) => Some(secret.0),
            other => unreachable!("{key} is a secret, not {other}"),
        }
    }

    pub(super) fn webhooks(&self, key: &str) -> Vec<WebhookTarget> {
        match self.value(key) {
            Some(Value::Webhooks(targets)) => targets,
            Some(other) => unreachable!("{key} are webhooks, not {other}"),
            None => Vec::new(),
        }
    }
}
