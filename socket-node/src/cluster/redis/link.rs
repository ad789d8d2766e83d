//! How Redis is reached: opening connections, and waiting before the next try.

use std::{collections::HashMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, ProtocolVersion,
    Value, aio::MultiplexedConnection,
};

use super::{owners::Owners, sentinels::Sentinels};
use crate::config::{RedisConfig, RedisUrl};

/// Time for a connection to stand.
const CONNECT: Duration = Duration::from_secs(2);

/// Time for an answer. Redis answers in microseconds; one that does not is away.
const ANSWER: Duration = Duration::from_secs(2);

/// The way to a Redis server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    way: Way,
}

/// Which server it leads to.
#[derive(Clone, Debug)]
enum Way {
    /// Always the same.
    Server(Arc<Client>),
    /// The one of a cluster that has a slot at the time.
    Owner(Owners, u16),
    /// The one that sentinels have made the primary at the time.
    Primary(Sentinels),
}

impl Link {
    /// A way that has not been tried yet.
    ///
    /// # Errors
    /// If the client does not take the URL.
    pub fn new(config: &RedisConfig) -> anyhow::Result<Self> {
        let way = match &config.sentinel {
            Some(sentinel) => Way::Primary(Sentinels::new(config, sentinel)?),
            None => Way::Server(Client::open(address(&config.urls[0])?)?.into()),
        };
        Ok(Self { way })
    }

    /// The way to whichever server of a cluster has a slot when a connection is opened.
    pub(super) const fn to_owner(owners: Owners, slot: u16) -> Self {
        Self { way: Way::Owner(owners, slot) }
    }

    /// Opens a connection on which nothing is heard but answers.
    ///
    /// # Errors
    /// If it does not stand in time.
    pub async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        self.open(&config()).await
    }

    /// Opens a connection that can subscribe; `hear` gets what is published, in order, and is not to wait.
    ///
    /// # Errors
    /// If it does not stand in time.
    pub async fn connect_to_hear(
        &self,
        hear: impl Fn(redis::PushInfo) + Send + Sync + 'static,
    ) -> redis::RedisResult<MultiplexedConnection> {
        let config = config().set_push_sender(move |push| {
            hear(push);
            Ok::<_, std::convert::Infallible>(())
        });
        self.open(&config).await
    }

    async fn open(&self, config: &AsyncConnectionConfig) -> redis::RedisResult<MultiplexedConnection> {
        match &self.way {
            Way::Server(client) => client.get_multiplexed_async_connection_with_config(config).await,
            Way::Owner(owners, slot) => {
                let client = owners.of_slot(*slot).await?;
                let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
                expect_primary(&mut connection).await?;
                Ok(connection)
            }
            Way::Primary(sentinels) => {
                let client = sentinels.primary().await?;
                client.get_multiplexed_async_connection_with_config(config).await
            }
        }
    }

    /// Finds out whether the server of a connection still answers, and is still the one to which the way leads.
    ///
    /// # Errors
    /// If it is not: then the connection is as good as lost.
    pub async fn check(&self, connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
        match &self.way {
            Way::Server(_) => redis::cmd("PING").exec_async(connection).await,
            Way::Owner(..) | Way::Primary(_) => expect_primary(connection).await,
        }
    }
}

/// Opens a connection on which nothing is heard but answers.
pub(super) async fn connect(client: &Client) -> redis::RedisResult<MultiplexedConnection> {
    client.get_multiplexed_async_connection_with_config(&config()).await
}

/// Makes sure that a server is a primary, which may change while it is connected to: one that has become a replica takes what
/// is published and who subscribes, and keeps it to itself or passes it on as it pleases.
///
/// # Errors
/// If it is none, or does not say.
pub(super) async fn expect_primary(connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
    let facts: HashMap<String, Value> = redis::cmd("HELLO").query_async(connection).await?;
    match facts.get("role") {
        Some(Value::BulkString(role)) if role == b"master" => Ok(()),
        _ => Err((ErrorKind::Io, "the server is not the primary any more").into()),
    }
}

/// How the server of a URL is reached.
pub(super) fn address(url: &RedisUrl) -> anyhow::Result<ConnectionInfo> {
    let info = url.with_password().into_connection_info();
    let info = info.with_context(|| format!("redis_url {url} cannot be used"))?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

fn config() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER))
}

/// How long to wait before the next try, the longer the more have failed: at least 100 ms, at most 2 s, and never
/// quite the same for two nodes.
pub fn pause(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(2);
    let pause = FIRST.saturating_mul(1 << failures.min(5)).min(LONGEST);
    // Without random numbers, all nodes wait equally long: worse, but no reason not to go on.
    let random = getrandom::u32().unwrap_or(0);
    pause.mul_f64(1.0 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_differ() {
        for failures in 0..100 {
            let shortest = Duration::from_millis(100 << failures.min(5)).min(Duration::from_secs(2));
            let pause = pause(failures);
            assert!(pause >= shortest && pause <= shortest.mul_f64(1.5), "{failures}: {pause:?}");
        }
        assert!((0..10).any(|_| pause(3) != pause(3)));
    }
}
