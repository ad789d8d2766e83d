//! The task that owns the connection on which changes are made.
//!
//! It connects, takes a [`Holder`], enters everything that the [`desk`](super::desk) has, and sends what is handed in
//! there, everything that waits as one pipeline. Whenever it cannot be sure any more what Redis has, because an answer
//! is missing or the lease is gone, it begins again with another holder. While Redis is away nothing is sent and
//! nothing waits: what is recorded will be entered when Redis is back.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use redis::{RedisError, RedisResult, Value, aio::MultiplexedConnection};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{
    CensusState, Shared,
    desk::{Call, Work},
    holder::{Holder, about},
    scripts::{self, Outcome, Script},
    sweep::Sweeper,
};
use crate::cluster::redis::keys::Shard;

/// Changes that go into one pipeline: a few milliseconds, in between which other nodes are answered.
const BATCH: usize = 500;

/// Former holders that are remembered. Older ones end with their leases.
const MAX_FORMERS: usize = 8;

/// For so long, a connection must stand for the next one to be tried without a pause.
const STEADY: Duration = Duration::from_secs(5);

/// The clerk of one node.
#[derive(Debug)]
pub(super) struct Clerk {
    shared: Arc<Shared>,
    /// Under which entries of this node may still stand, the last one at the end. More than one if entering
    /// everything again did not come to its end.
    formers: Vec<Holder>,
    /// When the life of each shard began, as far as everything has been entered there.
    lives: Option<HashMap<Shard, u64>>,
    generation: u64,
}

/// Why a holder's time is over.
#[derive(Debug)]
enum End {
    /// What it has in Redis is gone or not complete, but Redis is there.
    Lost,
    /// Redis is not there.
    Failed(RedisError),
    /// It has been given up.
    Retired,
}

impl From<RedisError> for End {
    fn from(error: RedisError) -> Self {
        Self::Failed(error)
    }
}

impl Clerk {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, formers: Vec::new(), lives: None, generation: 0 }
    }

    /// Works until the node goes away.
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        let mut told = None;
        while !self.shared.desk.is_retiring() {
            let began = Instant::now();
            let error = match self.connect().await {
                Ok(connection) => match self.work(&connection).await {
                    End::Failed(error) => error,
                    End::Lost | End::Retired => break,
                },
                Err(error) => error,
            };
            failures = if began.elapsed() > STEADY { 0 } else { failures + 1 };
            // Told once for each time that it goes away, and not for each try.
            if told.replace(self.generation) != Some(self.generation) {
                warn!(%error, "the census is away from Redis; this node goes on with what it knows");
            }
            sleep(self.shared.line.pause(failures)).await;
        }
        self.shared.state.send_replace(CensusState::Retired);
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let connection = self.shared.line.link.connect().await?;
        let loads = scripts::load(self.shared.line.dialect);
        succeed(send(&connection, &loads).await?)?;
        Ok(connection)
    }

    /// One holder after the other, as long as the connection stands.
    async fn work(&mut self, connection: &MultiplexedConnection) -> End {
        loop {
            let holder = Holder::random();
            let mut sent = VecDeque::new();
            let end = match self.hold(connection, &holder, &mut sent).await {
                Ok(end) | Err(end) => end,
            };
            self.formers.push(holder);
            if self.formers.len() > MAX_FORMERS {
                self.formers.remove(0);
            }
            self.shared.reads.lock().take();
            self.shared.state.send_if_modified(|state| std::mem::replace(state, CensusState::Away) != *state);
            for call in sent {
                self.shared.desk.conclude(call, Outcome::Lost);
            }
            self.shared.desk.close();
            match end {
                End::Lost => {
                    self.shared.figures.leases_lost.one();
                    info!("the lease of this node's entries is lost; everything is entered again");
                }
                End::Failed(_) | End::Retired => return end,
            }
        }
    }

    /// One holder, from its beginning to its end.
    async fn hold(
        &mut self,
        connection: &MultiplexedConnection,
        holder: &Holder,
        sent: &mut VecDeque<Call>,
    ) -> Result<End, End> {
        let began = Instant::now();
        let lives = self.open(connection, holder).await?;
        let was_emptied =
            |shard: Shard| self.lives.as_ref().is_some_and(|former| former[&shard] != lives[&shard]);
        let mut calls = self.shared.desk.open(was_emptied);
        let entries = calls.len();
        tokio::select! {
            entered = self.send(connection, holder, self.formers.last(), &mut calls) => entered?,
            end = self.renew(connection, holder) => return Err(end),
        }
        for former in &self.formers {
            // What it still has is not here any more.
            self.give_up(connection, former).await?;
        }
        self.formers.clear();
        self.lives = Some(lives);
        self.generation += 1;
        self.shared.figures.entered(entries, began.elapsed());
        *self.shared.reads.lock() = Some(connection.clone());
        self.shared.state.send_replace(CensusState::Entered(self.generation));
        info!(entries, "everything this node has is entered in the census in Redis");
        let sweeper = Sweeper::new(&self.shared, connection);
        tokio::select! {
            end = self.serve(connection, holder, sent) => end,
            end = self.renew(connection, holder) => Ok(end),
            error = sweeper.run() => Err(End::Failed(error)),
        }
    }

    /// Opens the holder's leases. Gives when the life of each shard began.
    async fn open(
        &self,
        connection: &MultiplexedConnection,
        holder: &Holder,
    ) -> RedisResult<HashMap<Shard, u64>> {
        let formers: Vec<_> = self.formers.iter().map(Holder::as_str).collect();
        let mut pipeline = redis::pipe();
        for shard in self.shared.line.shards() {
            let mut call = Script::Open.call(&self.shared.line, shard);
            call.arg(holder.as_str()).arg(self.shared.timing.lease_ms()).arg(&formers);
            pipeline.add_command(call);
        }
        let lives = send(connection, &pipeline).await?;
        let lives = self.shared.line.shards().zip(lives);
        lives.map(|(shard, life)| Ok((shard, redis::from_redis_value(life.extract_error()?)?))).collect()
    }

    /// Lets whatever a holder still has be swept.
    async fn give_up(&self, connection: &MultiplexedConnection, holder: &Holder) -> RedisResult<()> {
        let mut pipeline = redis::pipe();
        for shard in self.shared.line.shards() {
            let mut call = Script::GiveUp.call(&self.shared.line, shard);
            call.arg(holder.as_str());
            pipeline.add_command(call);
        }
        succeed(send(connection, &pipeline).await?)
    }

    /// Sends what is handed in, until the node goes away.
    async fn serve(
        &self,
        connection: &MultiplexedConnection,
        holder: &Holder,
        sent: &mut VecDeque<Call>,
    ) -> Result<End, End> {
        loop {
            match self.shared.desk.work().await {
                Work::Calls(calls) => {
                    *sent = calls;
                    self.send(connection, holder, None, sent).await?;
                }
                Work::Gap => return Err(End::Lost),
                Work::Closing => {
                    self.give_up(connection, holder).await?;
                    Sweeper::new(&self.shared, connection).finish().await?;
                    return Ok(End::Retired);
                }
            }
        }
    }

    /// Sends changes and tells what became of them. Whatever is left in `calls` has no answer.
    async fn send(
        &self,
        connection: &MultiplexedConnection,
        holder: &Holder,
        former: Option<&Holder>,
        calls: &mut VecDeque<Call>,
    ) -> Result<(), End> {
        while !calls.is_empty() {
            let batch = calls.len().min(BATCH);
            let mut pipeline = redis::Pipeline::with_capacity(batch);
            for call in calls.range(..batch) {
                pipeline.add_command(call.change.command(&self.shared.line, holder, former, &call.target));
            }
            let began = Instant::now();
            let answers = send(connection, &pipeline).await?;
            self.shared.figures.script_time.record(began.elapsed());
            self.conclude(calls.drain(..batch), answers)?;
        }
        Ok(())
    }

    /// Tells what became of changes, of all of them even if one was in vain.
    fn conclude(&self, calls: impl Iterator<Item = Call>, answers: Vec<Value>) -> Result<(), End> {
        let mut end = Ok(());
        for (call, answer) in calls.zip(answers) {
            let outcome = Outcome::read(answer).unwrap_or_else(|error| {
                end = Err(End::Failed(error));
                Outcome::Lost
            });
            if matches!(outcome, Outcome::Lost) && end.is_ok() {
                end = Err(End::Lost);
            }
            self.shared.desk.conclude(call, outcome);
        }
        end
    }

    /// Renews the leases, until one is gone.
    async fn renew(&self, connection: &MultiplexedConnection, holder: &Holder) -> End {
        loop {
            self.shared.figures.renewed(self.shared.line.shards());
            sleep(about(self.shared.timing.renewal)).await;
            let mut pipeline = redis::pipe();
            for shard in self.shared.line.shards() {
                let mut call = Script::Renew.call(&self.shared.line, shard);
                call.arg(holder.as_str()).arg(self.shared.timing.lease_ms());
                pipeline.add_command(call);
            }
            let answers = match send(connection, &pipeline).await {
                Ok(answers) => answers,
                Err(error) => return End::Failed(error),
            };
            for answer in answers {
                match Outcome::read(answer) {
                    Ok(Outcome::Lost) => return End::Lost,
                    Ok(Outcome::Done | Outcome::Refused | Outcome::Joined(_)) => {}
                    Err(error) => return End::Failed(error),
                }
            }
        }
    }
}

/// Time for a pipeline: what the connection allows, and as much for one that finds many before it.
const ANSWERS: Duration = Duration::from_secs(4);

/// Sends a pipeline. A command that fails gives an error in its place.
pub(super) async fn send(
    connection: &MultiplexedConnection,
    pipeline: &redis::Pipeline,
) -> RedisResult<Vec<Value>> {
    let mut connection = connection.clone();
    let answers = connection.send_packed_commands(pipeline, 0, pipeline.len());
    match timeout(ANSWERS, answers).await {
        Ok(answers) => answers,
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}

/// Whether all commands of a pipeline succeeded.
fn succeed(answers: Vec<Value>) -> RedisResult<()> {
    for answer in answers {
        answer.extract_error()?;
    }
    Ok(())
}
