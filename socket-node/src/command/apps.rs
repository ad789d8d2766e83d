//! `socket-rush apps …`: looks after the apps of a database. It finds the database by the settings of a node, from the
//! same places; which apps those settings have themselves is of no interest to it.

mod announcement;
mod arguments;
mod credentials;
mod edits;
mod exchange;
mod views;

use std::{io::Write, sync::Arc};

use anyhow::Context as _;
use app_manager::store::Records;

pub(super) use self::arguments::{Arguments, USAGE, split};
use self::arguments::{Source, Verb};
use crate::{config::Config, node::app_store::AppStore};

/// What to do instead where there is no database.
const NO_DATABASE: &str = "\
apps that are in the settings (app_manager array) are looked after there: change the config file, the environment or the \
flags, and start the node again; to keep them in a database, set app_manager";

/// Carries it out with the settings of a node, and tells of it. `false` if some of it was refused.
///
/// # Errors
/// If there is no database, it cannot be reached, or all of it was refused.
pub(super) async fn run(
    arguments: Arguments,
    config: &Config,
    output: &mut impl Write,
) -> anyhow::Result<bool> {
    let store = AppStore::of(&config.app_manager)?.context(NO_DATABASE)?;
    if let Verb::CreateTable = arguments.verb {
        writeln!(output, "{}", store.create_table().await?)?;
        return Ok(true);
    }
    let desk = Desk { records: store.records(), config, as_json: arguments.as_json };
    match arguments.verb {
        Verb::CreateTable => unreachable!("it is done"),
        Verb::List { after, limit } => desk.list(after, limit, output).await,
        Verb::Show { id, with_secret } => desk.show(&id, with_secret, output).await,
        Verb::Create(given) => desk.create(&given.read()?, output).await,
        Verb::Update(id, given) => desk.update(&id, &given.read()?, output).await,
        Verb::Switch { id, on } => desk.switch(&id, on, output).await,
        Verb::Rotate { id, overlap } => desk.rotate(&id, overlap, output).await,
        Verb::Delete(id) => desk.delete(&id, output).await,
        Verb::Import { source, replaces } => desk.import(&source, replaces, output).await,
        Verb::Export => desk.export(output).await,
    }
}

/// Where apps are looked after.
struct Desk<'c> {
    records: Arc<dyn Records>,
    config: &'c Config,
    /// Whether a machine reads the output.
    as_json: bool,
}

impl Source {
    /// The text, and what to call it.
    fn read(&self) -> anyhow::Result<String> {
        match self {
            Self::Input => std::io::read_to_string(std::io::stdin()).context("standard input cannot be read"),
            Self::File(path) => {
                std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
            }
        }
    }
}
