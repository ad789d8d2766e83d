//! How Redis is reached: opening connections, and waiting before the next try.

use std::time::Duration;

use anyhow::Context as _;
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo as _, ProtocolVersion, aio::MultiplexedConnection,
};

use crate::config::RedisConfig;

/// Time for a connection to stand.
const CONNECT: Duration = Duration::from_secs(2);

/// Time for an answer. Redis answers in microseconds; one that does not is away.
const ANSWER: Duration = Duration::from_secs(2);

/// The way to a Redis server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    client: Client,
}

impl Link {
    /// A way that has not been tried yet.
    ///
    /// # Errors
    /// If the client does not take the URL.
    pub fn new(config: &RedisConfig) -> anyhow::Result<Self> {
        let url = &config.urls[0];
        let info = url.with_password().into_connection_info();
        let info = info.with_context(|| format!("redis_url {url} cannot be used"))?;
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Ok(Self { client: Client::open(info.set_redis_settings(settings))? })
    }

    /// Opens a connection on which nothing is heard but answers.
    ///
    /// # Errors
    /// If it does not stand in time.
    pub async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        self.client.get_multiplexed_async_connection_with_config(&config()).await
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
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
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
