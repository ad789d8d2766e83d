//! What is written, and where.

use std::{io::Write as _, sync::LazyLock, time::Duration};

use redis::{Cmd, RedisResult, RedisWrite as _, Script, aio::MultiplexedConnection};

use super::TIME_TO_LIVE;
use crate::{
    cluster::redis::{
        keys::{Keys, Shard, TopicName, name},
        line::Dialect,
    },
    hub::Topic,
    protocol::Frame,
};

static KEEP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("keep.lua")));
static MISS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("miss.lua")));

/// What has to be known of an event to keep it, beside the event itself.
#[derive(Debug)]
pub(in crate::cluster::redis) struct News<'a> {
    /// Who says it.
    pub(in crate::cluster::redis) origin: String,
    /// Its place among all that the origin says.
    pub(in crate::cluster::redis) sequence: u64,
    /// What stands in front of it when other nodes hear it.
    pub(in crate::cluster::redis) head: &'a [u8],
}

/// Where the last event of a channel is.
pub(super) fn event_key(keys: &Keys, topic: &Topic) -> String {
    format!("{}cache:{}", keys.of_shard(Shard::of_topic(topic)), name(topic))
}

/// Where it stands that a miss was told.
pub(super) fn miss_key(keys: &Keys, topic: &Topic) -> String {
    format!("{}cache-miss:{}", keys.of_shard(Shard::of_topic(topic)), name(topic))
}

/// The command that keeps an event, and publishes it on a topic if there is anybody to hear it. The script has to be
/// [loaded](load_keep).
pub(in crate::cluster::redis) fn keep(
    keys: &Keys,
    topic: &Topic,
    hearers: Option<(Dialect, TopicName<'_>)>,
    news: &News<'_>,
    frame: &Frame,
) -> Cmd {
    /// Room for the rest, whose longest part are four names.
    const REST: usize = 512;
    let origin = format!("{}cache-said:{}", keys.of_shard(Shard::of_topic(topic)), news.origin);
    let mut command = Cmd::with_capacity(12, REST + news.head.len() + frame.bytes().len());
    command.arg("EVALSHA").arg(KEEP.get_hash()).arg(3);
    command.arg(event_key(keys, topic)).arg(miss_key(keys, topic)).arg(origin);
    match hearers {
        Some((_, name)) => command.write_arg_fmt(name),
        None => command.write_arg(b""),
    }
    let mut message = command.writer_for_next_arg();
    let written = message.write_all(news.head).and_then(|()| message.write_all(frame.bytes()));
    written.expect("memory takes everything");
    drop(message);
    command.arg(news.head.len()).arg(news.sequence).arg(milliseconds(TIME_TO_LIVE));
    command.arg(hearers.map_or("", |(dialect, _)| dialect.publish()));
    command
}

/// Makes the script of [`keep`] known to a server.
///
/// # Errors
/// If the server does not take it.
pub(in crate::cluster::redis) async fn load_keep(connection: &mut MultiplexedConnection) -> RedisResult<()> {
    KEEP.load_async(connection).await.map(drop)
}

/// Whether nobody has been told of the channel's emptiness since it began.
pub(super) async fn is_first_miss(
    keys: &Keys,
    topic: &Topic,
    connection: &mut MultiplexedConnection,
) -> RedisResult<bool> {
    let mut call = MISS.key(event_key(keys, topic));
    call.key(miss_key(keys, topic)).arg(milliseconds(TIME_TO_LIVE)).invoke_async(connection).await
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
