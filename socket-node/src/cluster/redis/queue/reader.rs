//! The task that works streams off: those of this node's share.

use std::{
    collections::HashMap,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use redis::{Cmd, Pipeline, RedisResult, Script, Value, aio::MultiplexedConnection, from_redis_value};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};
use tracing::{info, warn};
use webhook_worker::{
    job::Job,
    worker::{Fate, Lanes, NotTaken, Pending},
};

use super::{
    BATCH, Bounds, Streams,
    figures::Figures,
    part::{EntryId, Part},
};
use crate::cluster::redis::{keys::Shard, line::Line, share::Share};

/// For so long, a read waits for something to come: as long as a stream that has just become ours may lie still.
const WAIT_MS: u32 = 500;

/// How often the share is looked after, and looked at.
const TICK: Duration = Duration::from_secs(1);

/// How often the lanes are offered again what they had no room for. They have work for much longer.
const OFFER_AGAIN: Duration = Duration::from_millis(100);

/// For so long, a connection must stand for the next one to be tried without a pause.
const STEADY: Duration = Duration::from_secs(5);

static BURY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("bury.lua")));

/// The fate of an entry.
type Settled = (Shard, EntryId, Fate);

/// What an entry holds.
type Fields = HashMap<Vec<u8>, Vec<u8>>;

/// What a read brought, and from which position it began in each stream.
type Read = (Vec<(Shard, EntryId)>, RedisResult<Value>);

#[derive(Debug)]
pub(super) struct Reader {
    line: Line,
    streams: Streams,
    lanes: Lanes,
    figures: Arc<Figures>,
    bounds: Bounds,
    leaving: watch::Receiver<bool>,
    share: Share,
    /// By shard.
    parts: Vec<Part>,
    /// What the lanes have.
    under_way: FuturesUnordered<UnderWay>,
    /// What is through and may still be in its stream.
    settled: Vec<Settled>,
    offer_at: Instant,
    is_leaving: bool,
}

/// An entry in the lanes.
#[derive(Debug)]
struct UnderWay {
    entry: Option<(Shard, EntryId)>,
    pending: Pending,
}

impl Future for UnderWay {
    type Output = Settled;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Settled> {
        self.pending.poll_unpin(context).map(|fate| {
            let (shard, id) = self.entry.take().expect("nobody polls what is ready");
            (shard, id, fate)
        })
    }
}

impl Reader {
    pub(super) fn new(
        line: Line,
        share: Share,
        lanes: Lanes,
        figures: Arc<Figures>,
        bounds: Bounds,
        leaving: watch::Receiver<bool>,
    ) -> Self {
        let streams = Streams { keys: line.keys.clone() };
        let parts = Shard::all().map(|_| Part::new()).collect();
        let (under_way, settled) = (FuturesUnordered::new(), Vec::new());
        Self {
            line,
            streams,
            lanes,
            figures,
            bounds,
            leaving,
            share,
            parts,
            under_way,
            settled,
            offer_at: Instant::now(),
            is_leaving: false,
        }
    }

    /// Works until the node takes leave.
    pub(super) async fn run(mut self) {
        let (mut failures, mut is_told) = (0, false);
        loop {
            let began = Instant::now();
            let error = match self.connect().await {
                Ok((asking, reading)) => match self.serve(&asking, &reading).await {
                    Ok(()) => return,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            (failures, is_told) = if began.elapsed() > STEADY { (0, false) } else { (failures + 1, is_told) };
            // Told once for each time that it goes away, and not for each try.
            if !std::mem::replace(&mut is_told, true) {
                self.figures.reconnects.one();
                warn!(%error, "the queue of webhooks is away; what is in it will be delivered when Redis is back");
            }
            sleep(self.line.pause(failures)).await;
        }
    }

    /// A connection to ask on, and one that waits for new entries.
    async fn connect(&self) -> RedisResult<(MultiplexedConnection, MultiplexedConnection)> {
        let (mut asking, reading) = (self.line.link.connect().await?, self.line.link.connect().await?);
        BURY.load_async(&mut asking).await?;
        info!("working off webhooks from Redis");
        Ok((asking, reading))
    }

    /// Works until the node has taken leave, or a connection fails.
    async fn serve(
        &mut self,
        asking: &MultiplexedConnection,
        reading: &MultiplexedConnection,
    ) -> RedisResult<()> {
        // Redis may have died and come back with what was removed a moment before.
        self.parts.iter_mut().for_each(Part::rewind);
        self.settle(asking).await?;
        // It may also have forgotten whose the streams are: nothing is read before that is known.
        self.tick(asking).await?;
        let mut leaving = self.leaving.clone();
        let mut ticks = interval_at(Instant::now() + TICK, TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut read: Option<Pin<Box<dyn Future<Output = Read> + Send>>> = None;
        loop {
            if self.is_leaving && self.under_way.is_empty() {
                return self.share.leave(asking).await;
            }
            if read.is_none()
                && let Some((from, command)) = self.next_read()
            {
                read = Some(Box::pin(perform(from, command, reading.clone())));
            }
            let answer = async {
                match &mut read {
                    Some(read) => read.await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = asked_to_leave(&mut leaving), if !self.is_leaving => {
                    self.begin_to_leave(asking).await?;
                }
                _ = ticks.tick() => self.tick(asking).await?,
                () = sleep_until(self.offer_at), if self.has_waiting() => self.offer_again(),
                Some(settled) = self.under_way.next() => {
                    self.settled.push(settled);
                    self.settle(asking).await?;
                }
                (from, answer) = answer => {
                    read = None;
                    self.take(&from, answer?)?;
                    self.settle(asking).await?;
                }
            }
        }
    }

    /// What to read next: from all streams that are ours, and whose entries we can still hold.
    fn next_read(&self) -> Option<(Vec<(Shard, EntryId)>, Cmd)> {
        let from: Vec<_> = self
            .line
            .shards()
            .filter(|shard| self.reads(*shard))
            .map(|shard| (shard, self.parts[shard.index()].position.clone()))
            .collect();
        let mut command = redis::cmd("XREAD");
        command.arg("COUNT").arg(BATCH).arg("BLOCK").arg(WAIT_MS).arg("STREAMS");
        for (shard, _) in &from {
            command.arg(self.streams.queue(*shard));
        }
        for (_, position) in &from {
            command.arg(&**position);
        }
        (!from.is_empty()).then_some((from, command))
    }

    fn reads(&self, shard: Shard) -> bool {
        let part = &self.parts[shard.index()];
        let has_room = part.waiting() < self.bounds.waiting;
        part.is_ours && !part.is_paused && has_room && !self.is_leaving && self.share.owns(shard)
    }

    /// Takes what a read brought. Where something has changed since it was begun, its answer is no longer the next
    /// that there is.
    fn take(&mut self, from: &[(Shard, EntryId)], answer: Value) -> RedisResult<()> {
        let streams: Option<HashMap<String, Value>> = from_redis_value(answer)?;
        let mut streams = streams.unwrap_or_default();
        for (shard, position) in from {
            let Some(entries) = streams.remove(&self.streams.queue(*shard)) else { continue };
            if self.reads(*shard) && self.parts[shard.index()].position == *position {
                for (id, fields) in from_redis_value::<Vec<(String, Fields)>>(entries)? {
                    self.take_entry(*shard, id.into(), &fields);
                }
            }
        }
        Ok(())
    }

    fn take_entry(&mut self, shard: Shard, id: EntryId, fields: &Fields) {
        let part = &mut self.parts[shard.index()];
        part.position = id.clone();
        if !part.held.insert(id.clone()) {
            return;
        }
        let json = fields.get(b"job".as_slice()).map_or(&[][..], Vec::as_slice);
        match Job::from_json(json) {
            Ok(job) if part.has_waiting_for(&job.endpoint) => part.wait(id, job),
            Ok(job) => {
                if let Some((id, job)) = hand_over(&self.lanes, &self.under_way, shard, id, job) {
                    part.wait(id, job);
                }
            }
            Err(error) => {
                let cause = format!("this release does not understand the job: {error}");
                self.settled.push((shard, id, Fate::Dead { cause, attempts: 0 }));
            }
        }
    }

    fn has_waiting(&self) -> bool {
        self.parts.iter().any(|part| part.waiting() > 0)
    }

    fn offer_again(&mut self) {
        self.offer_at = Instant::now() + OFFER_AGAIN;
        for shard in self.line.shards().filter(|shard| self.share.owns(*shard)) {
            let (lanes, under_way) = (&self.lanes, &self.under_way);
            self.parts[shard.index()].offer_again(|id, job| hand_over(lanes, under_way, shard, id, job));
        }
    }

    /// Removes what is through from its stream, also whatever else has come through meanwhile.
    async fn settle(&mut self, asking: &MultiplexedConnection) -> RedisResult<()> {
        while let Some(Some(settled)) = self.under_way.next().now_or_never() {
            self.settled.push(settled);
        }
        let mut pipeline = redis::pipe();
        for (shard, id, fate) in &self.settled {
            match fate {
                Fate::Delivered => {
                    pipeline.cmd("XDEL").arg(self.streams.queue(*shard)).arg(&**id);
                }
                Fate::Dead { cause, attempts } => {
                    let mut bury = BURY.key(self.streams.queue(*shard));
                    bury.key(self.streams.dead_letters(*shard));
                    bury.arg(&**id).arg(cause).arg(*attempts).arg(self.bounds.dead_letters);
                    pipeline.invoke_script(&bury);
                }
                Fate::Abandoned => {}
            }
        }
        ask(asking, &pipeline).await?;
        for (shard, id, fate) in self.settled.drain(..) {
            let part = &mut self.parts[shard.index()];
            part.held.remove(&id);
            if fate == Fate::Abandoned {
                part.rewind();
            }
        }
        if self.is_leaving { self.give_up_what_is_idle(asking).await } else { Ok(()) }
    }

    /// What is done once a second.
    async fn tick(&mut self, asking: &MultiplexedConnection) -> RedisResult<()> {
        self.share.renew(asking).await?;
        for shard in self.line.shards() {
            self.parts[shard.index()].set_ours(self.share.owns(shard));
        }
        self.shed(asking).await?;
        self.look(asking).await
    }

    /// Gives up streams that others should have. Each is paused for a moment before, and kept if that is not enough for
    /// it to become idle: what is under way may be so for minutes, and nobody else is to wait for that.
    async fn shed(&mut self, asking: &MultiplexedConnection) -> RedisResult<()> {
        let mut busy = Vec::new();
        for shard in self.line.shards() {
            let part = &mut self.parts[shard.index()];
            if !std::mem::take(&mut part.is_paused) {
                continue;
            }
            if part.is_idle() && self.share.shed(shard, asking).await? {
                part.set_ours(false);
            } else {
                busy.push(shard);
            }
        }
        let mut candidates: Vec<_> = self
            .line
            .shards()
            .filter(|shard| self.parts[shard.index()].is_ours && !busy.contains(shard))
            .collect();
        candidates.sort_by_key(|shard| self.parts[shard.index()].held.len());
        for shard in candidates.into_iter().take(self.share.surplus()) {
            self.parts[shard.index()].is_paused = true;
        }
        Ok(())
    }

    /// Looks how much there is in all streams.
    async fn look(&self, asking: &MultiplexedConnection) -> RedisResult<()> {
        let mut pipeline = redis::pipe();
        for shard in self.line.shards() {
            pipeline.cmd("XLEN").arg(self.streams.queue(shard));
            pipeline.cmd("XLEN").arg(self.streams.dead_letters(shard));
        }
        let lengths = ask(asking, &pipeline).await?;
        let mut lengths = lengths.into_iter().map(from_redis_value);
        for shard in self.line.shards() {
            let mut length = || lengths.next().transpose().map(Option::unwrap_or_default);
            self.figures.saw(shard, length()?, length()?, self.parts[shard.index()].is_ours);
        }
        Ok(())
    }

    /// Reads no more, and leaves to others whatever the lanes do not have.
    async fn begin_to_leave(&mut self, asking: &MultiplexedConnection) -> RedisResult<()> {
        self.is_leaving = true;
        self.parts.iter_mut().for_each(Part::forget_waiting);
        self.share.retire(asking).await?;
        self.give_up_what_is_idle(asking).await
    }

    async fn give_up_what_is_idle(&mut self, asking: &MultiplexedConnection) -> RedisResult<()> {
        for shard in self.line.shards() {
            let part = &mut self.parts[shard.index()];
            if part.is_ours && part.is_idle() {
                part.set_ours(false);
                self.share.give_up(shard, asking).await?;
            }
        }
        Ok(())
    }
}

async fn asked_to_leave(leaving: &mut watch::Receiver<bool>) {
    // An error would say that nobody has the queue any more: a reason to leave as well.
    let _ = leaving.wait_for(|is_leaving| *is_leaving).await;
}

/// Hands a job to the lanes. It comes back if they have no room.
fn hand_over(
    lanes: &Lanes,
    under_way: &FuturesUnordered<UnderWay>,
    shard: Shard,
    id: EntryId,
    job: Job,
) -> Option<(EntryId, Job)> {
    match lanes.push(job) {
        Ok(pending) => {
            under_way.push(UnderWay { entry: Some((shard, id)), pending });
            None
        }
        Err(NotTaken::Full(job) | NotTaken::Draining(job)) => Some((id, *job)),
    }
}

async fn perform(from: Vec<(Shard, EntryId)>, command: Cmd, mut connection: MultiplexedConnection) -> Read {
    let answer = connection.send_packed_command(&command).await;
    (from, answer.and_then(Value::extract_error))
}

/// Sends a pipeline of which every command has to succeed.
async fn ask(connection: &MultiplexedConnection, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    let answers = connection.clone().send_packed_commands(pipeline, 0, pipeline.len()).await?;
    answers.into_iter().map(Value::extract_error).collect()
}
