//! Lines: the ways to Redis, and which shards each of them leads to.
//!
//! A single server has all shards, and there is one line to it. In a cluster the shards are in different slots, each of
//! which may be at another server tomorrow, so each has a line of its own: connections, order, leases and the putting
//! right after a loss are those of one line, and a server that dies takes nobody with it but the lines that led to it.
//! Whatever says that a line leads to the wrong server (`MOVED`, `READONLY`, `CLUSTERDOWN`, a subscription that is taken
//! back) is treated as the loss of the connection, after which the slot's owner is looked for again.

use std::{ops::Range, sync::Arc, time::Duration};

use redis::{Cmd, ErrorKind, Pipeline, PushKind, RedisResult, Value, aio::MultiplexedConnection};
use tracing::{Span, info_span};

use super::{
    keys::{Keys, SHARDS, Shard},
    link::{self, Link, expect_primary, pause},
    owners::Owners,
};
use crate::{config::RedisConfig, hub::Topic};

/// A way to Redis. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Line {
    /// How the server is reached.
    pub link: Link,
    /// How things are named there.
    pub keys: Keys,
    /// How one speaks to it.
    pub dialect: Dialect,
    /// Who hears what is said on it.
    pub reach: Reach,
    shards: Range<u8>,
}

/// All of the lines. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lines(PerLine<Line>);

/// Something that there is for each line.
#[derive(Debug)]
pub struct PerLine<T>(Arc<[T]>);

/// What differs between a single server and the servers of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Messages go to all who are subscribed.
    Server,
    /// Messages go to the servers that have the topic's slot, and to those who are subscribed there.
    Cluster,
}

/// Who is to get what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All nodes that listen.
    Nodes,
    /// Nobody but the cache: the nodes have nothing else in common, and do not hear each other.
    Cache,
}

impl Line {
    /// The shards to which it leads: never none.
    pub fn shards(&self) -> impl Iterator<Item = Shard> + use<> {
        let Range { start, end } = self.shards;
        Shard::all().skip(start.into()).take((end - start).into())
    }

    /// The first of them.
    pub fn first(&self) -> Shard {
        self.shards().next().expect("a line leads somewhere")
    }

    /// Whether it leads to what is in a shard.
    pub fn serves(&self, shard: Shard) -> bool {
        self.shards().any(|served| served == shard)
    }

    /// The topic that all nodes hear on this line.
    pub fn control(&self) -> String {
        match (self.reach, self.dialect) {
            (Reach::Nodes, Dialect::Server) => self.keys.control(),
            (Reach::Nodes, Dialect::Cluster) => self.keys.control_of(self.first()),
            (Reach::Cache, Dialect::Server) => self.keys.cache_control(),
            (Reach::Cache, Dialect::Cluster) => self.keys.cache_control_of(self.first()),
        }
    }

    /// How long to wait before the next try to reach the server. A slot whose server died has another one within
    /// seconds, which is no time to become slow.
    pub fn pause(&self, failures: u32) -> Duration {
        match self.dialect {
            Dialect::Server => pause(failures),
            Dialect::Cluster => pause(failures.min(3)),
        }
    }

    /// Tells in the log of which line something is said, where there are several.
    pub fn span(&self) -> Span {
        match self.dialect {
            Dialect::Server => Span::none(),
            Dialect::Cluster => info_span!("line", shard = self.first().index()),
        }
    }
}

impl Lines {
    /// The lines to what the settings name.
    ///
    /// # Errors
    /// If the client does not take a URL.
    pub fn new(config: &RedisConfig) -> anyhow::Result<Self> {
        let keys = Keys::new(&config.prefix);
        if !config.cluster {
            return Ok(Self::to_server(Link::new(config)?, keys));
        }
        let seeds: anyhow::Result<_> = config.urls.iter().map(link::address).collect();
        let owners = Owners::new(seeds?);
        let line = |shard: Shard| {
            let start = u8::try_from(shard.index()).expect("there are fewer shards");
            Line {
                link: Link::to_owner(owners.clone(), shard.slot()),
                keys: keys.clone(),
                dialect: Dialect::Cluster,
                reach: Reach::Nodes,
                shards: start..start + 1,
            }
        };
        Ok(Self(PerLine(Shard::all().map(line).collect())))
    }

    /// The line to a single server.
    pub fn to_server(link: Link, keys: Keys) -> Self {
        let (dialect, reach, shards) = (Dialect::Server, Reach::Nodes, 0..SHARDS);
        Self(PerLine([Line { link, keys, dialect, reach, shards }].into()))
    }

    /// The same for nodes that share a cache and nothing else.
    #[must_use]
    pub fn for_cache(&self) -> Self {
        Self(self.each(|line| Line { reach: Reach::Cache, ..line.clone() }))
    }

    /// The one that leads to a shard.
    pub fn of(&self, shard: Shard) -> &Line {
        self.0.of(shard)
    }

    /// The one that leads to what is in a topic's shard.
    pub fn of_topic(&self, topic: &Topic) -> &Line {
        self.0.of_topic(topic)
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Line> {
        self.0.iter()
    }

    /// Makes something for each of them.
    pub fn each<T>(&self, make: impl FnMut(&Line) -> T) -> PerLine<T> {
        PerLine(self.iter().map(make).collect())
    }
}

impl<T> PerLine<T> {
    /// That of the line which leads to a shard.
    pub fn of(&self, shard: Shard) -> &T {
        match &*self.0 {
            [only] => only,
            each => &each[shard.index()],
        }
    }

    /// That of the line which leads to what is in a topic's shard.
    pub fn of_topic(&self, topic: &Topic) -> &T {
        match &*self.0 {
            // No need to know the shard.
            [only] => only,
            each => &each[Shard::of_topic(topic).index()],
        }
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T> Clone for PerLine<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Dialect {
    /// The command that publishes.
    pub const fn publish(self) -> &'static str {
        match self {
            Self::Server => "PUBLISH",
            Self::Cluster => "SPUBLISH",
        }
    }

    /// The word after `PUBSUB` that counts subscribers.
    pub const fn count_subscribers(self) -> &'static str {
        match self {
            Self::Server => "NUMSUB",
            Self::Cluster => "SHARDNUMSUB",
        }
    }

    /// What a message is that was published.
    pub const fn message(self) -> PushKind {
        match self {
            Self::Server => PushKind::Message,
            Self::Cluster => PushKind::SMessage,
        }
    }

    /// Subscribes to topics.
    ///
    /// # Errors
    /// If one of them was not confirmed.
    pub async fn subscribe(self, connection: &mut MultiplexedConnection, topics: &[&str]) -> RedisResult<()> {
        match self {
            Self::Server => connection.subscribe(topics).await,
            Self::Cluster => confirm(connection, "SSUBSCRIBE", &PushKind::SSubscribe, topics).await,
        }
    }

    /// Sends messages, of which each has to be taken.
    ///
    /// # Errors
    /// If one was not. In a cluster, also if the server was an owner no more when it had taken the last: nobody may have
    /// listened there any longer.
    pub async fn send(self, connection: &mut MultiplexedConnection, messages: &Pipeline) -> RedisResult<()> {
        match self {
            Self::Server => messages.exec_async(connection).await,
            Self::Cluster => {
                // What is polled first is sent first, so that the question is behind the messages.
                let mut behind = connection.clone();
                let (taken, is_owner) =
                    tokio::join!(biased; messages.exec_async(connection), expect_primary(&mut behind));
                taken.and(is_owner)
            }
        }
    }

    /// Takes subscriptions back.
    ///
    /// # Errors
    /// If one of them was not confirmed.
    pub async fn unsubscribe(
        self,
        connection: &mut MultiplexedConnection,
        topics: &[&str],
    ) -> RedisResult<()> {
        match self {
            Self::Server => connection.unsubscribe(topics).await,
            Self::Cluster => confirm(connection, "SUNSUBSCRIBE", &PushKind::SUnsubscribe, topics).await,
        }
    }
}

/// One command for each topic, so that each has an answer of its own, and that has to be the topic's: what a server says
/// unasked, when it loses a slot, looks to the client like an answer.
async fn confirm(
    connection: &mut MultiplexedConnection,
    command: &str,
    expected: &PushKind,
    topics: &[&str],
) -> RedisResult<()> {
    let mut pipeline = Pipeline::with_capacity(topics.len());
    for topic in topics {
        let mut subscribe = Cmd::new();
        subscribe.arg(command).arg(topic);
        pipeline.add_command(subscribe);
    }
    let answers = connection.send_packed_commands(&pipeline, 0, topics.len()).await?;
    for (topic, answer) in topics.iter().zip(answers) {
        match answer.extract_error()? {
            Value::Push { kind, data } if kind == *expected && names(&data, topic) => {}
            _ => return Err((ErrorKind::UnexpectedReturnType, "a subscription was not confirmed").into()),
        }
    }
    Ok(())
}

/// Whether a push is about a topic.
pub fn names(data: &[Value], topic: &str) -> bool {
    matches!(data.first(), Some(Value::BulkString(name)) if name == topic.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RedisUrl;

    fn lines(urls: &[&str]) -> Lines {
        let urls: Vec<_> = urls.iter().map(|url| RedisUrl::parse(url).unwrap()).collect();
        let cluster = urls.len() > 1;
        let prefix = "test".to_owned();
        Lines::new(&RedisConfig { urls, prefix, tls: false, cluster, sentinel: None }).unwrap()
    }

    #[test]
    fn one_line_leads_to_all_that_a_server_has() {
        let lines = lines(&["a"]);
        let only: Vec<_> = lines.iter().collect();
        assert!(
            matches!(*only, [line] if line.shards().eq(Shard::all()) && line.control() == "test:control")
        );
        let numbers = lines.each(|line| line.first().index());
        assert!(Shard::all().all(|shard| *numbers.of(shard) == 0 && only[0].serves(shard)));
    }

    #[test]
    fn each_shard_of_a_cluster_has_its_line() {
        let lines = lines(&["a", "b"]);
        let numbers = lines.each(|line| line.first().index());
        for (line, shard) in lines.iter().zip(Shard::all()) {
            assert!(line.shards().eq([shard]));
            assert_eq!(line.control(), format!("test:{{{}}}:control", shard.index()));
            assert_eq!(*numbers.of(shard), shard.index());
        }
        assert_eq!(numbers.iter().count(), usize::from(SHARDS));
    }
}
