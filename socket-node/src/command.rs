//! What `socket-rush` does beside serving: `socket-rush webhooks …` looks after webhooks that nobody could deliver, and
//! tries whether an endpoint takes one; `socket-rush apps …` looks after the apps of a database. It reads the settings of
//! a node, from the same places, to find the queue and the apps.

mod apps;
mod arguments;
#[cfg(feature = "aws")]
mod cloud;
mod dead_letter;
mod probe;
mod redis;

use std::{collections::HashSet, ffi::OsString, io::Write};

use anyhow::Context as _;

use self::{
    arguments::{Arguments, Verb},
    dead_letter::{DeadLetter, Filter},
};
use crate::config::{self, Config, ConfigErrors, Purpose, QueueDriver, RedisConfig, Startup};

/// What a command is about: the first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Webhooks.
    Webhooks,
    /// Apps.
    Apps,
}

impl Subject {
    /// What the arguments, without the program's name, are about, if they are those of a command.
    pub fn of(args: &[OsString]) -> Option<Self> {
        match args.first()?.to_str()? {
            "webhooks" => Some(Self::Webhooks),
            "apps" => Some(Self::Apps),
            _ => None,
        }
    }

    /// What the words may be.
    pub const fn usage(self) -> &'static str {
        match self {
            Self::Webhooks => arguments::USAGE,
            Self::Apps => apps::USAGE,
        }
    }

    /// Tells the words and flags of a command, of which the words come first, from the settings of a node.
    pub fn split(self, args: &[OsString]) -> (Vec<OsString>, Vec<OsString>) {
        match self {
            Self::Webhooks => arguments::split(args),
            Self::Apps => apps::split(args),
        }
    }

    /// Reads the settings of a node, as far as such a command is concerned with them.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(
        self,
        args: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Startup, ConfigErrors> {
        let purpose = match self {
            Self::Webhooks => Purpose::Serving,
            Self::Apps => Purpose::Other,
        };
        config::load(args, environment, purpose)
    }
}

/// A command that can be carried out.
#[derive(Debug)]
pub struct Command(Arrangement);

#[derive(Debug)]
enum Arrangement {
    Webhooks(Arguments),
    Apps(apps::Arguments),
}

impl Command {
    /// Reads the words and flags of a command, which [`Subject::split`] has told apart from settings.
    ///
    /// # Errors
    /// What is wrong with them, one line each.
    pub fn parse(subject: Subject, words: &[OsString]) -> Result<Self, Vec<String>> {
        let arrangement = match subject {
            Subject::Webhooks => Arrangement::Webhooks(Arguments::parse(words)?),
            Subject::Apps => Arrangement::Apps(apps::Arguments::parse(words)?),
        };
        Ok(Self(arrangement))
    }

    /// Carries it out with the settings of a node, and tells of it. `false` if there was nothing to be done, or if some of it
    /// was refused.
    ///
    /// # Errors
    /// If the queue or the database cannot be reached, or all of it was refused.
    pub async fn run(self, config: Config, output: &mut impl Write) -> anyhow::Result<bool> {
        let Arguments { verb, filter } = match self.0 {
            Arrangement::Webhooks(arguments) => arguments,
            Arrangement::Apps(arguments) => return apps::run(arguments, &config, output).await,
        };
        if let Verb::Test(url) = verb {
            return probe::run(&config, &url, filter.app.as_deref(), output).await;
        }
        let mut letters = DeadLetters::open(&config.queue, &config.redis).await?;
        let done = letters.act(&verb, &filter, output).await;
        // What is only looked at is to be there for others afterwards, whatever happened.
        letters.close().await?;
        done
    }
}

/// Where dead letters are kept.
enum DeadLetters {
    Redis(redis::RedisLetters),
    #[cfg(feature = "aws")]
    Cloud(cloud::CloudLetters),
}

impl DeadLetters {
    async fn open(queue: &QueueDriver, redis: &RedisConfig) -> anyhow::Result<Self> {
        match queue {
            QueueDriver::Local => {
                anyhow::bail!("the queue in a node's process keeps no dead letters; set queue_driver")
            }
            QueueDriver::Redis => redis::RedisLetters::open(redis).await.map(Self::Redis),
            #[cfg(feature = "aws")]
            QueueDriver::Cloud(destination) => cloud::CloudLetters::open(destination).await.map(Self::Cloud),
            #[cfg(not(feature = "aws"))]
            QueueDriver::Cloud(destination) => anyhow::bail!("{destination} cannot be used without AWS"),
        }
    }

    /// Some that have not been seen yet; none if there are no more.
    async fn next(&mut self) -> anyhow::Result<Vec<DeadLetter>> {
        match self {
            Self::Redis(letters) => letters.next().await,
            #[cfg(feature = "aws")]
            Self::Cloud(letters) => letters.next().await,
        }
    }

    /// Puts one back into the queue that it died in.
    async fn replay(&mut self, letter: &DeadLetter) -> anyhow::Result<()> {
        match self {
            Self::Redis(letters) => letters.replay(letter).await,
            #[cfg(feature = "aws")]
            Self::Cloud(letters) => letters.replay(letter).await,
        }
    }

    /// Takes one away for ever.
    async fn purge(&mut self, letter: &DeadLetter) -> anyhow::Result<()> {
        match self {
            Self::Redis(letters) => letters.purge(letter).await,
            #[cfg(feature = "aws")]
            Self::Cloud(letters) => letters.purge(letter).await,
        }
    }

    async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Redis(_) => Ok(()),
            #[cfg(feature = "aws")]
            Self::Cloud(letters) => letters.close().await,
        }
    }

    /// Does this to all that pass the filter; whether there were any.
    async fn act(&mut self, verb: &Verb, filter: &Filter, output: &mut impl Write) -> anyhow::Result<bool> {
        let mut count = 0_u64;
        // What dies again while this goes on is not to be replayed for ever.
        let mut replayed = HashSet::new();
        loop {
            let letters = self.next().await?;
            if letters.is_empty() {
                break;
            }
            for letter in letters.iter().filter(|letter| filter.passes(letter)) {
                match verb {
                    Verb::List => writeln!(output, "{}", letter.line())?,
                    Verb::Show => writeln!(output, "{}", letter.page())?,
                    Verb::Replay => {
                        let Some(job) = &letter.job else {
                            writeln!(output, "{} holds no job and stays", letter.id)?;
                            continue;
                        };
                        if !replayed.insert(job.id) {
                            continue;
                        }
                        self.replay(letter).await.with_context(|| letter.id.clone())?;
                        writeln!(output, "{} is in the queue again", letter.id)?;
                    }
                    Verb::Purge => {
                        self.purge(letter).await.with_context(|| letter.id.clone())?;
                        writeln!(output, "{} is gone", letter.id)?;
                    }
                    Verb::Test(_) => unreachable!("it is not about dead letters"),
                }
                count += 1;
            }
        }
        if count == 0 {
            writeln!(output, "no dead letters")?;
        }
        Ok(count > 0)
    }
}
