//! What webhooks are to tell of, as the scripts have written it down. Each line has a reader. Each shard is read by one
//! node at a time, so that what happens to a channel is told in its order; if that node is gone, or does not say in
//! time that it took care of something, another one reads it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{Pipeline, RedisError, RedisResult, Value, aio::MultiplexedConnection, from_redis_value};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{
    clerk::send,
    holder::Holder,
    scripts::{self, Script},
};
use crate::{
    cluster::redis::{
        keys::{Keys, SHARDS, Shard, read_name},
        line::{Line, Lines},
        share::Share,
    },
    hub::Topic,
};

/// The name under which all nodes read together.
const GROUP: &str = "webhooks";

/// Events read at once from each shard.
const BATCH: u32 = 100;

/// For so long, a read waits for something to come. Less than the deadline of the connection, and than a lease.
const WAIT_MS: u32 = 500;

/// How often a node's share is looked after.
const RENEW: Duration = Duration::from_millis(500);

/// Events that somebody has had for so long are handed to somebody else.
const ABANDONED: Duration = Duration::from_secs(8);

/// A reader of the journals of a line's shards, with a connection of its own: it waits on it.
#[derive(Debug)]
pub struct Journal {
    line: Line,
    reader: Holder,
    abandoned: Duration,
    connection: Option<MultiplexedConnection>,
    /// The shards that this node reads, and nobody else: what webhooks are told of a channel keeps its order.
    share: Share,
    /// When the share is to be looked after.
    renews_at: Instant,
    /// When to look for what others have abandoned.
    claims_at: Instant,
    under_way: Arc<UnderWay>,
    failures: u32,
}

/// How many records of each shard are read and not through.
type UnderWay = [AtomicUsize; SHARDS as usize];

/// Something that webhooks are to tell of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What names it: the same for all who may ever read it.
    pub id: RecordId,
    /// When it became certain, in milliseconds of the Unix epoch by Redis's clock.
    pub time_ms: u64,
    /// Where it happened.
    pub topic: Topic,
    /// What happened.
    pub event: Transition,
}

/// Names a record among all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordId {
    shard: Shard,
    id: Box<str>,
}

/// What can happen to a channel as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transition {
    /// It has its first subscriber.
    Occupied,
    /// It has lost its last subscriber.
    Vacated,
    /// This user has the first connection.
    MemberAdded(Box<str>),
    /// This user has lost the last connection.
    MemberRemoved(Box<str>),
}

impl Journal {
    /// A reader on each of the lines, that has not read yet.
    pub fn on_each(lines: &Lines) -> Vec<Self> {
        Self::with_abandoned_after(lines, ABANDONED)
    }

    /// Readers that take over from others what they have had for so long.
    pub fn with_abandoned_after(lines: &Lines, abandoned: Duration) -> Vec<Self> {
        // Whoever takes a dead node's shard over finds its records abandoned.
        let shares = Share::on_each(lines, "journal", abandoned * 3 / 2);
        lines.iter().zip(shares).map(|(line, share)| Self::new(line.clone(), share, abandoned)).collect()
    }

    fn new(line: Line, share: Share, abandoned: Duration) -> Self {
        let (reader, now, under_way) = (Holder::random(), Instant::now(), Arc::default());
        let (renews_at, claims_at) = (now, now);
        Self {
            line,
            reader,
            abandoned,
            connection: None,
            share,
            renews_at,
            claims_at,
            under_way,
            failures: 0,
        }
    }

    /// Waits for records, for half a second or so: there may be none. Those of one channel come in the order in which they
    /// were written; who reads them again after another has had them, reads them later. A call that is given up may have
    /// read some: they come again.
    pub async fn next(&mut self) -> Vec<Record> {
        match self.read().await {
            Ok(records) => {
                for record in &records {
                    self.under_way[record.id.shard.index()].fetch_add(1, Relaxed);
                }
                records
            }
            Err(error) => {
                self.away(&error).await;
                Vec::new()
            }
        }
    }

    /// What is to be said of the records that this reader gets.
    pub fn desk(&self) -> JournalDesk {
        JournalDesk {
            line: self.line.clone(),
            reader: self.reader.clone(),
            abandoned: self.abandoned,
            connection: None,
            under_way: Arc::clone(&self.under_way),
        }
    }

    /// Takes no further shard, and leaves each that it has to others as soon as nothing of it is under way here. Until then
    /// nobody else reads it, who would tell of what comes later at the same time. For ever: to be given up when all records
    /// are through.
    pub async fn withdraw(&mut self) {
        loop {
            if let Err(error) = self.leave_what_is_through().await {
                debug!(%error, "the journal of webhooks is away; others read on when this node's leases end");
                self.connection = None;
            }
            sleep(RENEW).await;
        }
    }

    async fn leave_what_is_through(&mut self) -> RedisResult<()> {
        let connection = self.connection().await?;
        self.share.retire(&connection).await?;
        self.look_after_share(&connection).await
    }

    /// Leaves everything to others, at once. To be called when all records are through.
    pub async fn leave(mut self) {
        if let Ok(connection) = self.line.link.connect().await {
            // If it fails, others have it when the leases end.
            let _ = self.share.leave(&connection).await;
        }
    }

    async fn read(&mut self) -> RedisResult<Vec<Record>> {
        let connection = self.connection().await?;
        if self.renews_at <= Instant::now() {
            self.renews_at = Instant::now() + RENEW;
            self.look_after_share(&connection).await?;
        }
        if self.claims_at <= Instant::now() {
            self.claims_at = Instant::now() + self.abandoned / 3;
            let records = self.claim(&connection).await?;
            if !records.is_empty() {
                // Nothing new is read until all is read that came before it.
                self.claims_at = Instant::now();
                return Ok(records);
            }
        }
        self.read_new(&connection).await
    }

    async fn look_after_share(&mut self, connection: &MultiplexedConnection) -> RedisResult<()> {
        let before = self.own();
        self.share.renew(connection).await?;
        for shard in self.own() {
            // Only what nobody is being told of: the next reader would tell of what comes after it at the same time.
            if self.under_way[shard.index()].load(Relaxed) == 0 {
                self.share.shed(shard, connection).await?;
            }
        }
        if self.own() != before {
            // What others have left in a new shard comes before what is new there.
            self.claims_at = Instant::now();
        }
        Ok(())
    }

    /// The shards that are this node's to read.
    fn own(&self) -> Vec<Shard> {
        self.line.shards().filter(|shard| self.share.owns(*shard)).collect()
    }

    async fn read_new(&self, connection: &MultiplexedConnection) -> RedisResult<Vec<Record>> {
        let shards = self.own();
        if shards.is_empty() {
            sleep(RENEW).await;
            return Ok(Vec::new());
        }
        let mut call = redis::cmd("XREADGROUP");
        call.arg("GROUP").arg(GROUP).arg(self.reader.as_str()).arg("COUNT").arg(BATCH);
        call.arg("BLOCK").arg(WAIT_MS).arg("STREAMS");
        for shard in &shards {
            call.arg(key(&self.line.keys, *shard));
        }
        for _ in &shards {
            call.arg(">");
        }
        let mut connection = connection.clone();
        let answer = connection.send_packed_command(&call).await?.extract_error()?;
        let streams: Option<HashMap<String, Value>> = from_redis_value(answer)?;
        let mut streams = streams.unwrap_or_default();
        let mut records = Vec::new();
        for shard in shards {
            if let Some(entries) = streams.remove(&key(&self.line.keys, shard)) {
                records.extend(read_records(shard, entries)?);
            }
        }
        Ok(records)
    }

    async fn claim(&self, connection: &MultiplexedConnection) -> RedisResult<Vec<Record>> {
        let idle_ms = u64::try_from(self.abandoned.as_millis()).unwrap_or(u64::MAX);
        let shards = self.own();
        let mut pipeline = redis::pipe();
        for shard in &shards {
            let mut call = Script::Claim.call(&self.line, *shard);
            call.arg(GROUP).arg(self.reader.as_str()).arg(idle_ms).arg(BATCH);
            pipeline.add_command(call);
        }
        if pipeline.is_empty() {
            return Ok(Vec::new());
        }
        let mut records = Vec::new();
        for (shard, answer) in shards.into_iter().zip(send(connection, &pipeline).await?) {
            records.extend(read_records(shard, answer.extract_error()?)?);
        }
        Ok(records)
    }

    async fn connection(&mut self) -> RedisResult<MultiplexedConnection> {
        match &self.connection {
            Some(connection) => Ok(connection.clone()),
            None => self.connect().await,
        }
    }

    /// Connects, and sees to it that there is something to read from.
    async fn connect(&mut self) -> RedisResult<MultiplexedConnection> {
        let connection = self.line.link.connect().await?;
        let mut pipeline: Pipeline = scripts::load(self.line.dialect);
        for shard in self.line.shards() {
            let create = ["CREATE", &key(&self.line.keys, shard), GROUP, "0", "MKSTREAM"];
            pipeline.cmd("XGROUP").arg(&create);
        }
        for answer in send(&connection, &pipeline).await? {
            // The group may be there already.
            match answer.extract_error() {
                Err(error) if error.code() != Some("BUSYGROUP") => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        self.failures = 0;
        (self.renews_at, self.claims_at) = (Instant::now(), Instant::now());
        Ok(self.connection.insert(connection).clone())
    }

    async fn away(&mut self, error: &RedisError) {
        self.connection = None;
        if self.failures == 0 {
            warn!(%error, "the journal of webhooks is away; what is in it will be read when Redis is back");
        }
        sleep(self.line.pause(self.failures)).await;
        self.failures += 1;
    }
}

/// Where a reader says what becomes of its records, on a connection of its own: the other one waits for more.
#[derive(Debug)]
pub struct JournalDesk {
    line: Line,
    reader: Holder,
    abandoned: Duration,
    connection: Option<MultiplexedConnection>,
    under_way: Arc<UnderWay>,
}

impl JournalDesk {
    /// These have been taken care of, and nobody is to read them again. If Redis is away now, they will be read
    /// again, with the same ids.
    pub async fn done(&mut self, records: &[RecordId]) {
        self.let_go(records);
        self.say(records, |pipeline, key, ids| {
            // In this order: what is deleted is never claimed, but what is only taken off would stay for ever.
            pipeline.cmd("XDEL").arg(key).arg(ids);
            pipeline.cmd("XACK").arg(key).arg(GROUP).arg(ids);
        })
        .await;
    }

    /// This node will not tell of these, nor of anything that comes after them: the next reader of their shards is to begin
    /// with them. If Redis is away now, they come to it when they count as abandoned.
    pub async fn hand_on(&mut self, records: &[RecordId]) {
        let reader = self.reader.clone();
        let idle_ms = u64::try_from(self.abandoned.as_millis()).unwrap_or(u64::MAX);
        self.say(records, |pipeline, key, ids| {
            let claim = pipeline.cmd("XCLAIM").arg(key).arg(GROUP).arg(reader.as_str()).arg(0);
            claim.arg(ids).arg("IDLE").arg(idle_ms).arg("JUSTID");
        })
        .await;
        self.let_go(records);
    }

    /// This node will not tell of these: another one may, or this one later.
    pub fn let_go(&self, records: &[RecordId]) {
        for record in records {
            self.under_way[record.shard.index()].fetch_sub(1, Relaxed);
        }
    }

    /// These are still being taken care of, and nobody else is to do it. To be said again before they count as
    /// abandoned.
    pub async fn keep(&mut self, records: &[RecordId]) {
        let reader = self.reader.clone();
        self.say(records, |pipeline, key, ids| {
            let claim = pipeline.cmd("XCLAIM").arg(key).arg(GROUP).arg(reader.as_str()).arg(0);
            claim.arg(ids).arg("JUSTID");
        })
        .await;
    }

    async fn say(&mut self, records: &[RecordId], mut say: impl FnMut(&mut Pipeline, &str, &[&str])) {
        let mut pipeline = redis::pipe();
        for shard in self.line.shards() {
            let ids: Vec<_> = records.iter().filter(|id| id.shard == shard).map(|id| &*id.id).collect();
            if !ids.is_empty() {
                say(&mut pipeline, &key(&self.line.keys, shard), &ids);
            }
        }
        if pipeline.is_empty() {
            return;
        }
        if self.connection.is_none() {
            self.connection = self.line.link.connect().await.ok();
        }
        let Some(connection) = &self.connection else { return };
        if let Err(error) = send(connection, &pipeline).await {
            debug!(%error, "the journal of webhooks did not take an answer");
            self.connection = None;
        }
    }
}

impl RecordId {
    /// Text that names the record among all of the same Redis.
    pub fn text(&self) -> String {
        format!("{}/{}", self.shard.index(), self.id)
    }

    /// The first part of what Redis calls it is the time.
    fn time_ms(&self) -> u64 {
        self.id.split('-').next().and_then(|time| time.parse().ok()).unwrap_or_default()
    }
}

fn key(keys: &Keys, shard: Shard) -> String {
    format!("{}journal", keys.of_shard(shard))
}

/// Reads entries of a stream. What newer nodes have written and this one does not know is left to them.
fn read_records(shard: Shard, entries: Value) -> RedisResult<Vec<Record>> {
    let entries: Vec<(String, HashMap<String, String>)> = from_redis_value(entries)?;
    let records = entries.into_iter().filter_map(|(id, fields)| {
        let user_id = || fields.get("user").map(|user| Box::from(user.as_str()));
        let event = match fields.get("kind")?.as_str() {
            "occupied" => Transition::Occupied,
            "vacated" => Transition::Vacated,
            "added" => Transition::MemberAdded(user_id()?),
            "removed" => Transition::MemberRemoved(user_id()?),
            _ => return None,
        };
        let id = RecordId { shard, id: id.into() };
        Some(Record { time_ms: id.time_ms(), topic: read_name(fields.get("name")?)?, id, event })
    });
    Ok(records.collect())
}
