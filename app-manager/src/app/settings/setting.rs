//! The definition of one setting, and the names that it has in each place where it can be given.

/// Reads a text: the text to go on with, perhaps in its usual form, or what it must be (`must be …`).
pub type Check = fn(&str) -> Result<String, String>;

/// One setting. Its key is written `app_key` in JSON, `--app-key` as a flag and `APP_KEY` in the environment.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name by which the program itself asks for it, and the JSON key that is documented first.
    pub key: &'static str,
    /// Other names of the same setting, in every place.
    pub aliases: &'static [&'static str],
    /// Further names on the command line alone; one letter is a short flag.
    pub flags: &'static [&'static str],
    /// Where it can be given.
    pub places: Places,
    /// Which values it takes.
    pub kind: Kind,
    /// The value, as it would be written, when it is not given. `None`: there is none.
    pub default: Option<&'static str>,
    /// One sentence for `--help` and the README.
    pub help: &'static str,
}

/// Where a setting can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Places {
    /// As a flag, in the environment and in JSON.
    Everywhere,
    /// As a flag and in the environment: it decides how the JSON file is found or read.
    FlagAndEnvironment,
    /// As a flag only: it asks for something other than a running server.
    Flag,
    /// In JSON only: its value has parts.
    Json,
}

/// Which values a setting takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// On or off.
    Bool,
    /// A whole number within bounds, both included.
    Number {
        /// The smallest.
        least: u64,
        /// The largest.
        most: u64,
    },
    /// A whole number of which 0 and -1 mean "unlimited".
    Limit,
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
    /// A text.
    Text(Check),
    /// An id of digits, which JSON may give as a number.
    Digits,
    /// One or more URLs, which may carry a password: they are never shown whole.
    Url(Check),
    /// A text that is never shown.
    Secret(Check),
    /// The same, for what the server itself has to show to others.
    Password(Check),
    /// Texts, separated by commas where there are no arrays.
    List(Check),
    /// An array of webhook targets.
    Webhooks,
}

impl Setting {
    /// A setting that can be given everywhere, under one name.
    pub const fn new(
        key: &'static str,
        kind: Kind,
        default: Option<&'static str>,
        help: &'static str,
    ) -> Self {
        Self { key, aliases: &[], flags: &[], places: Places::Everywhere, kind, default, help }
    }

    /// The same with these aliases.
    #[must_use]
    pub const fn also(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The same with these further flags.
    #[must_use]
    pub const fn with_flags(self, flags: &'static [&'static str]) -> Self {
        Self { flags, ..self }
    }

    /// The same, given only here.
    #[must_use]
    pub const fn only(self, places: Places) -> Self {
        Self { places, ..self }
    }

    /// The definition under any of its JSON names, if this table has it.
    pub fn find_json<'t>(table: &'t [Self], name: &str) -> Option<&'t Self> {
        table.iter().find(|setting| setting.json_names().any(|known| known == name))
    }

    /// Its names on the command line without dashes, the usual one first.
    pub fn flag_names(&self) -> impl Iterator<Item = String> {
        let here = self.places != Places::Json;
        let further = self.flags.iter().map(|flag| (*flag).to_owned());
        self.names().map(|name| name.replace('_', "-")).chain(further).filter(move |_| here)
    }

    /// Its names in the environment, the usual one first.
    pub fn environment_names(&self) -> impl Iterator<Item = String> {
        let here = matches!(self.places, Places::Everywhere | Places::FlagAndEnvironment);
        self.names().filter(move |_| here).map(str::to_ascii_uppercase)
    }

    /// Its names in JSON, the usual one first.
    pub fn json_names(&self) -> impl Iterator<Item = &'static str> {
        let here = matches!(self.places, Places::Everywhere | Places::Json);
        self.names().filter(move |_| here)
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.key).chain(self.aliases.iter().copied())
    }
}

impl Kind {
    /// What the README calls it.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Number { .. } | Self::Limit => "int",
            Self::Choice(_)
            | Self::Text(_)
            | Self::Digits
            | Self::Url(_)
            | Self::Secret(_)
            | Self::Password(_) => "string",
            Self::List(_) => "list",
            Self::Webhooks => "array",
        }
    }
}
