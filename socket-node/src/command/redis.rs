//! Dead letters in Redis: those of each shard's stream.

use std::collections::{HashMap, hash_map::Entry};

use anyhow::Context as _;
use redis::{Cmd, aio::MultiplexedConnection, pipe};
use webhook_worker::job::Job;

use super::DeadLetter;
use crate::{
    cluster::{Lines, Shard},
    config::RedisConfig,
};

/// How many are read at once.
const PAGE: usize = 500;

/// The dead letters of all shards.
pub(super) struct RedisLetters {
    lines: Lines,
    /// To each line that was needed so far, by its first shard.
    connections: HashMap<Shard, MultiplexedConnection>,
    /// Shards that are not read to their end, the next one last.
    shards: Vec<Shard>,
    /// The last entry that was read of that one.
    position: String,
}

/// What XRANGE answers.
type Entries = Vec<(String, HashMap<String, String>)>;

impl RedisLetters {
    pub(super) async fn open(config: &RedisConfig) -> anyhow::Result<Self> {
        let (lines, connections) = (Lines::new(config)?, HashMap::new());
        let mut shards: Vec<_> = Shard::all().collect();
        shards.reverse();
        let mut letters = Self { lines, connections, shards, position: String::new() };
        letters.connection(Shard::FIRST).await?;
        Ok(letters)
    }

    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<DeadLetter>> {
        while let Some(shard) = self.shards.last().copied() {
            let start = if self.position.is_empty() { "-".to_owned() } else { format!("({}", self.position) };
            let mut range = Cmd::new();
            range.arg("XRANGE").arg(self.dead_letters(shard)).arg(start).arg("+").arg("COUNT").arg(PAGE);
            let entries: Entries = range.query_async(self.connection(shard).await?).await?;
            match entries.last() {
                Some((last, _)) => self.position.clone_from(last),
                None => {
                    self.shards.pop();
                    self.position.clear();
                    continue;
                }
            }
            return Ok(entries.into_iter().map(|(entry, fields)| letter(shard, &entry, fields)).collect());
        }
        Ok(Vec::new())
    }

    /// Both in one step, so that it is neither lost nor there twice.
    pub(super) async fn replay(&mut self, letter: &DeadLetter) -> anyhow::Result<()> {
        let (shard, entry) = place(letter)?;
        let (queue, dead) = (format!("{}queue", self.tag(shard)), self.dead_letters(shard));
        let mut replay = pipe();
        replay.atomic();
        replay.cmd("XADD").arg(queue).arg("*").arg("job").arg(&letter.text).ignore();
        replay.cmd("XDEL").arg(dead).arg(entry).ignore();
        Ok(replay.query_async(self.connection(shard).await?).await?)
    }

    pub(super) async fn purge(&mut self, letter: &DeadLetter) -> anyhow::Result<()> {
        let (shard, entry) = place(letter)?;
        let dead = self.dead_letters(shard);
        Ok(Cmd::new().arg("XDEL").arg(dead).arg(entry).exec_async(self.connection(shard).await?).await?)
    }

    async fn connection(&mut self, shard: Shard) -> anyhow::Result<&mut MultiplexedConnection> {
        let line = self.lines.of(shard);
        match self.connections.entry(line.first()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(free) => {
                Ok(free.insert(line.link.connect().await.context("Redis cannot be reached")?))
            }
        }
    }

    fn tag(&self, shard: Shard) -> String {
        self.lines.of(shard).keys.of_shard(shard)
    }

    /// The stream that the queue moves them to.
    fn dead_letters(&self, shard: Shard) -> String {
        format!("{}queue-dead", self.tag(shard))
    }
}

fn letter(shard: Shard, entry: &str, mut fields: HashMap<String, String>) -> DeadLetter {
    let text = fields.remove("job").unwrap_or_default();
    let mut number = |name| fields.remove(name).and_then(|text: String| text.parse::<u64>().ok());
    let (attempts, dead_at_ms) = (number("attempts"), number("dead_at_ms"));
    let id = format!("{}:{entry}", shard.index());
    DeadLetter {
        handle: id.clone(),
        id,
        job: Job::from_json(text.as_bytes()).ok(),
        text,
        cause: fields.remove("cause"),
        attempts: attempts.and_then(|attempts| u32::try_from(attempts).ok()),
        dead_at_ms: dead_at_ms.unwrap_or(0),
    }
}

fn place(letter: &DeadLetter) -> anyhow::Result<(Shard, &str)> {
    let (shard, entry) = letter.handle.split_once(':').context("an id is SHARD:ENTRY")?;
    let shard =
        Shard::all().find(|known| known.index().to_string() == shard).context("there is no such shard")?;
    Ok((shard, entry))
}
