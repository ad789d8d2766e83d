//! The task that keeps a connection on which this node hears the others.

use std::{sync::Arc, time::Duration};

use redis::{PushInfo, PushKind, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use super::{BusState, figures::Counts, hearing::Hearing, retry, wanted::Wanted, wire::Wire};
use crate::cluster::redis::line::{Line, names};

/// Topics in one command.
const BATCH: usize = 500;

/// How often a silent connection is asked whether Redis is still there.
const PING: Duration = Duration::from_secs(1);

/// How long nothing may be heard here while an answer is due. Together with [`PING`] it is longer than the publishers of all
/// nodes wait, and less than the five seconds within which a silent loss is to be noticed: a Redis that stands still for a
/// moment costs no event.
const SILENCE: Duration = Duration::from_millis(3_500);

/// Time for an answer that comes behind everything that was published before it.
const ANSWER: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Ear {
    line: Line,
    control: String,
    wanted: Arc<Wanted>,
    hearing: Arc<Hearing>,
    counts: Arc<Counts>,
    wire: Arc<Wire>,
    state: watch::Sender<BusState>,
}

impl Ear {
    pub(super) fn new(
        line: Line,
        wanted: Arc<Wanted>,
        hearing: Arc<Hearing>,
        counts: Arc<Counts>,
        wire: Arc<Wire>,
        state: watch::Sender<BusState>,
    ) -> Self {
        Self { control: line.control(), line, wanted, hearing, counts, wire, state }
    }

    /// Never returns.
    pub(super) async fn run(self) {
        let (mut failures, mut generation) = (0, 0);
        loop {
            let lost = Arc::new(Notify::new());
            let error = match self.connect(generation + 1, &lost).await {
                Ok(mut connection) => {
                    if generation > 0 {
                        self.counts.reconnects.one();
                    }
                    generation += 1;
                    self.attend(&mut connection, generation, &lost, &mut failures).await
                }
                Err(error) => error,
            };
            if failures == 0 {
                warn!(%error, "no connection to Redis to hear on: {error}");
            }
            sleep(retry(failures)).await;
            failures += 1;
            // What nobody wants any more is not to pile up while Redis is away.
            self.wanted.take_to_leave();
        }
    }

    async fn connect(&self, generation: u64, lost: &Arc<Notify>) -> RedisResult<MultiplexedConnection> {
        let (hearing, lost, control) = (self.hearing.clone(), lost.clone(), self.control.clone());
        // Nobody here takes the subscription to the control topic back. If the server does, it has lost the slot, and
        // everything that was subscribed with it.
        let is_lost = move |push: &PushInfo| match push.kind {
            PushKind::Disconnection => true,
            PushKind::SUnsubscribe => names(&push.data, &control),
            _ => false,
        };
        let hear = move |push: PushInfo| {
            if is_lost(&push) { lost.notify_one() } else { hearing.push(generation, push) }
        };
        let mut connection = self.line.link.connect_to_hear(hear).await?;
        connection.set_response_timeout(ANSWER);
        Ok(connection)
    }

    /// Keeps the connection subscribed to what is wanted, until it fails. Only a connection on which everything was
    /// subscribed ends a row of failures: Redis may let us in and refuse us topics.
    async fn attend(
        &self,
        connection: &mut MultiplexedConnection,
        generation: u64,
        lost: &Notify,
        failures: &mut u32,
    ) -> RedisError {
        self.hearing.begin(generation);
        self.wanted.connected();
        let error = match self.unless_silent(self.subscribe_all(connection)).await {
            Ok(()) => {
                *failures = 0;
                info!(generation, topics = self.wanted.count(), "hearing from Redis");
                self.wire.open(generation, connection);
                self.state.send_replace(BusState::Listening(generation));
                self.keep(connection, lost).await
            }
            Err(error) => error,
        };
        self.wire.close();
        self.wanted.lost();
        self.state.send_replace(BusState::Away);
        error
    }

    /// The control topic comes last: publishers count on who listens to it listening to everything.
    async fn subscribe_all(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        self.subscribe_wanted(connection).await?;
        self.line.dialect.subscribe(connection, &[&self.control]).await
    }

    async fn keep(&self, connection: &mut MultiplexedConnection, lost: &Notify) -> RedisError {
        let mut next_ping = Instant::now() + PING;
        loop {
            let next_leave = self.wanted.next_leave().unwrap_or(next_ping);
            tokio::select! {
                () = self.wanted.changed() => {}
                () = sleep_until(next_ping.min(next_leave)) => {}
                () = lost.notified() => return std::io::Error::from(std::io::ErrorKind::ConnectionReset).into(),
            }
            let done = async {
                self.subscribe_wanted(connection).await?;
                self.unsubscribe_unwanted(connection).await?;
                if next_ping <= Instant::now() {
                    self.line.link.check(connection).await?;
                    next_ping = Instant::now() + PING;
                }
                Ok(())
            };
            if let Err(error) = self.unless_silent(done).await {
                return error;
            }
        }
    }

    /// Waits for answers as long as anything is heard meanwhile. A node that has much to do is late to hear what comes
    /// before an answer: if it gave the connection up for that, it would lose all of it.
    async fn unless_silent(&self, answers: impl Future<Output = RedisResult<()>>) -> RedisResult<()> {
        tokio::select! {
            answered = answers => answered,
            () = self.hearing.silence(SILENCE) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }

    async fn subscribe_wanted(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        loop {
            let names = self.wanted.take_to_ask(BATCH);
            if names.is_empty() {
                return Ok(());
            }
            let topics: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
            self.line.dialect.subscribe(connection, &topics).await?;
            self.wanted.confirm(&names);
        }
    }

    /// A topic that is wanted again meanwhile is asked for again afterwards, on the same connection.
    async fn unsubscribe_unwanted(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        for names in self.wanted.take_to_leave().chunks(BATCH) {
            let topics: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
            self.line.dialect.unsubscribe(connection, &topics).await?;
        }
        Ok(())
    }
}
