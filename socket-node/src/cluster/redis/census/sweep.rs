//! Sweeping up after nodes that are gone, and writing down departures that have become final. Every node does it;
//! each step is one script, so that what one has done no other does again.

use redis::{RedisError, RedisResult, aio::MultiplexedConnection, from_redis_value};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::{Shared, clerk::send, holder::about, scripts::Script};
use crate::cluster::redis::keys::Shard;

/// What one script takes back at once: a few milliseconds.
const BATCH: u32 = 200;

/// Sweeps on one connection.
#[derive(Debug)]
pub(super) struct Sweeper<'a> {
    shared: &'a Shared,
    connection: &'a MultiplexedConnection,
    began: Instant,
}

impl<'a> Sweeper<'a> {
    pub(super) fn new(shared: &'a Shared, connection: &'a MultiplexedConnection) -> Self {
        Self { shared, connection, began: Instant::now() }
    }

    /// Sweeps now and then, until Redis is away.
    pub(super) async fn run(&self) -> RedisError {
        loop {
            if let Err(error) = self.finish().await {
                return error;
            }
            sleep(about(self.shared.timing.sweep)).await;
        }
    }

    /// Sweeps until there is nothing left to do.
    pub(super) async fn finish(&self) -> RedisResult<()> {
        let mut shards: Vec<_> = self.shared.line.shards().collect();
        while !shards.is_empty() {
            shards = self.sweep(&shards).await?;
        }
        self.shared.figures.sweeps.one();
        Ok(())
    }

    /// One step in each of these shards; gives those in which there is more to do.
    async fn sweep(&self, shards: &[Shard]) -> RedisResult<Vec<Shard>> {
        // After Redis was frozen or cut off, every lease is over and every node on its way back. Whoever has come first
        // must not judge the others before they had time for it.
        let may_judge = self.began.elapsed() >= self.shared.timing.lease;
        let mut pipeline = redis::pipe();
        for shard in shards {
            let mut call = Script::Sweep.call(&self.shared.line, *shard);
            pipeline.add_command(std::mem::take(call.arg(u8::from(may_judge)).arg(BATCH)));
        }
        let mut unfinished = Vec::new();
        for (shard, answer) in shards.iter().zip(send(self.connection, &pipeline).await?) {
            let (is_more, over, journal, cut): (bool, u64, u64, u64) =
                from_redis_value(answer.extract_error()?)?;
            if is_more {
                unfinished.push(*shard);
            }
            if over > 0 {
                info!(shard = shard.index(), leases = over, "leases are over; what they held is swept up");
            }
            self.shared.figures.swept(*shard, over, journal, cut);
        }
        Ok(unfinished)
    }
}
