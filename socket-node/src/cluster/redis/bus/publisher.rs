//! The task that empties the outbox into Redis.
//!
//! One pipeline is under way at a time, and is sent again, before anything else, if its answer is lost: so whatever
//! broke, all nodes hear everything in order, and repeats are recognised by their numbers. After a lost connection the
//! other nodes have lost theirs too, as a rule, and what is sent before they listen again is lost. So the publisher
//! waits for as many of them as there were.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{PushKind, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use super::{
    figures::Counts,
    outbox::{Batch, Depth, Outbox},
    retry,
};
use crate::cluster::redis::{cache::scripts, line::Line};

/// How often Redis is asked how many nodes there are, which also finds out whether it still answers.
///
/// With the two seconds that the link allows for an answer, a Redis that is silent is given up here within three. The
/// ear has more patience than that: otherwise Redis, coming back, could answer here for events that no ear got.
const CHECK: Duration = Duration::from_secs(1);

/// How long to wait for the other nodes.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often to look whether they are there.
const LOOK: Duration = Duration::from_millis(25);

#[derive(Debug)]
pub(super) struct Publisher {
    line: Line,
    outbox: Arc<Outbox>,
    counts: Arc<Counts>,
    /// Nodes that were there when Redis was last asked.
    nodes: Arc<AtomicU32>,
    peers: Peers,
    answered: Answered,
    /// The pipeline that was sent last, until it is answered.
    unanswered: Option<Batch>,
}

impl Publisher {
    pub(super) fn new(line: Line, outbox: Arc<Outbox>, counts: Arc<Counts>, nodes: Arc<AtomicU32>) -> Self {
        let (peers, answered) = (Peers::default(), Answered::default());
        Self { line, outbox, counts, nodes, peers, answered, unanswered: None }
    }

    /// Never returns.
    pub(super) async fn run(mut self) {
        let (mut failures, mut was_connected) = (0, false);
        loop {
            let lost = Arc::new(Notify::new());
            let error = match self.connect(&lost).await {
                Ok(mut connection) => {
                    if was_connected {
                        self.counts.reconnects.one();
                    }
                    was_connected = true;
                    let error = self.serve(&mut connection, &lost, &mut failures).await;
                    self.outbox.set_caught_up(false);
                    error
                }
                Err(error) => error,
            };
            if failures == 0 {
                warn!(%error, "no connection to Redis to publish: {error}");
            }
            sleep(retry(failures)).await;
            failures += 1;
        }
    }

    /// A connection that tells at once when it is lost.
    async fn connect(&self, lost: &Arc<Notify>) -> RedisResult<MultiplexedConnection> {
        let lost = lost.clone();
        let hear = move |push: redis::PushInfo| {
            if push.kind == PushKind::Disconnection {
                lost.notify_one();
            }
        };
        let mut connection = self.line.link.connect_to_hear(hear).await?;
        scripts::load_keep(&mut connection).await?;
        Ok(connection)
    }

    /// Publishes until the connection fails. Only a connection that has caught up ends a row of failures: Redis may let
    /// us in and refuse our messages.
    async fn serve(
        &mut self,
        connection: &mut MultiplexedConnection,
        lost: &Notify,
        failures: &mut u32,
    ) -> RedisError {
        if let Err(error) = self.catch_up(connection).await {
            return error;
        }
        *failures = 0;
        self.outbox.set_caught_up(true);
        info!("publishing to Redis");
        let mut next_check = Instant::now();
        loop {
            let done = if next_check <= Instant::now() {
                next_check = Instant::now() + CHECK;
                self.check(connection).await
            } else if let Some(batch) = self.outbox.take() {
                self.send(connection, batch).await
            } else {
                tokio::select! {
                    () = self.outbox.filled() => Ok(()),
                    () = sleep_until(next_check) => Ok(()),
                    () = lost.notified() => Err(io::Error::from(io::ErrorKind::ConnectionReset).into()),
                }
            };
            if let Err(error) = done {
                return error;
            }
        }
    }

    /// Says again what may not have been heard, once all nodes listen.
    async fn catch_up(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let give_up = Instant::now() + PATIENCE;
        while self.listeners(connection).await? < self.peers.expected() {
            if Instant::now() >= give_up {
                let messages = self.answered.depth.messages + self.outbox.depth().messages;
                self.counts.unconfirmed.add(messages as u64);
                warn!(messages, "not all nodes are back: {messages} messages may not reach all of them");
                break;
            }
            sleep(LOOK).await;
        }
        for (batch, _) in &self.answered.batches {
            self.line.dialect.send(connection, &batch.pipeline).await?;
        }
        match self.unanswered.take() {
            Some(batch) => self.send(connection, batch).await,
            None => Ok(()),
        }
    }

    /// Sends a batch and waits for the answers. Without them, it stays to be sent again: also if Redis refuses a
    /// message, since it may be about to start or to hand over to another server.
    async fn send(&mut self, connection: &mut MultiplexedConnection, batch: Batch) -> RedisResult<()> {
        let batch = self.unanswered.insert(batch);
        self.line.dialect.send(connection, &batch.pipeline).await?;
        self.outbox.answered(batch);
        self.counts.lag.record(batch.queued_at.elapsed());
        self.answered.add(self.unanswered.take().expect("it was put there above"));
        Ok(())
    }

    async fn check(&mut self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        self.line.link.check(connection).await?;
        let listeners = self.listeners(connection).await?;
        self.peers.found(listeners);
        self.nodes.store(listeners, Relaxed);
        self.answered.forget_old();
        Ok(())
    }

    /// How many nodes listen to the control topic, which each of them subscribes to last.
    async fn listeners(&self, connection: &mut MultiplexedConnection) -> RedisResult<u32> {
        let mut command = redis::cmd("PUBSUB");
        let (_, count): (String, u32) = command
            .arg(self.line.dialect.count_subscribers())
            .arg(self.line.control())
            .query_async(connection)
            .await?;
        Ok(count)
    }
}

/// How many nodes there were when Redis was last asked.
///
/// The highest of a few answers counts: connections that break one after the other, as they do when a network fails, are
/// no nodes that have left. A node that came since the last answer is not waited for.
#[derive(Debug, Default)]
struct Peers {
    last: [u32; 5],
    next: usize,
}

impl Peers {
    fn found(&mut self, count: u32) {
        self.last[self.next] = count;
        self.next = (self.next + 1) % self.last.len();
    }

    fn expected(&self) -> u32 {
        self.last.into_iter().max().unwrap_or(0)
    }
}

/// What Redis has answered a moment ago, to be said again after a lost connection: Redis may have died after the answer
/// and before it passed the message on. Those who have heard it drop the repeat. A node that began to listen only then
/// hears an event from a moment before: the lesser evil, next to one that is lost.
#[derive(Debug, Default)]
struct Answered {
    batches: VecDeque<(Batch, Instant)>,
    depth: Depth,
}

impl Answered {
    /// How long it takes at most, with a margin, from the answer until everybody has the message.
    const MOMENT: Duration = Duration::from_secs(1);

    /// Bytes that are kept at most.
    const MOST_BYTES: usize = 4 << 20;

    fn add(&mut self, batch: Batch) {
        self.depth.messages += batch.depth.messages;
        self.depth.bytes += batch.depth.bytes;
        self.batches.push_back((batch, Instant::now()));
        self.forget_old();
    }

    fn forget_old(&mut self) {
        while let Some((batch, answered_at)) = self.batches.front() {
            if answered_at.elapsed() < Self::MOMENT && self.depth.bytes <= Self::MOST_BYTES {
                return;
            }
            self.depth.messages -= batch.depth.messages;
            self.depth.bytes -= batch.depth.bytes;
            self.batches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_counts_until_it_was_missing_for_a_while() {
        let mut peers = Peers::default();
        assert_eq!(peers.expected(), 0);
        [3, 1, 1, 1, 1].into_iter().for_each(|count| peers.found(count));
        assert_eq!(peers.expected(), 3);
        peers.found(1);
        assert_eq!(peers.expected(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_answered_is_kept_for_a_moment_and_only_so_much_of_it() {
        let batch = |bytes| Batch {
            pipeline: redis::Pipeline::new(),
            depth: Depth { messages: 1, bytes },
            queued_at: std::time::Instant::now(),
        };
        let mut answered = Answered::default();
        (0..10).for_each(|_| answered.add(batch(1 << 20)));
        assert_eq!(answered.depth, Depth { messages: 4, bytes: 4 << 20 });
        tokio::time::advance(Answered::MOMENT).await;
        answered.add(batch(1));
        assert_eq!(answered.depth, Depth { messages: 1, bytes: 1 });
    }
}
