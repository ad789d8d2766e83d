//! What can be asked of the census. An answer costs a command or two for each shard it is about, whatever the number
//! of nodes.

use app_manager::app::AppId;
use futures_util::future::{join_all, try_join_all};
use redis::{FromRedisValue, Pipeline, RedisResult, Value, from_redis_value};
use tracing::debug;

use super::{
    Away, Occupied, RedisCensus, Roster, Shared, clerk::send, held::Entry, scripts, scripts::Script,
};
use crate::{
    cluster::{
        census::Occupancy,
        redis::keys::{Shard, name, name_of_app},
    },
    hub::Topic,
    protocol::ChannelName,
};

impl RedisCensus {
    /// How full a channel is.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn occupancy(&self, topic: &Topic) -> Result<Occupancy, Away> {
        let shared = self.lines.of_topic(topic);
        let mut call = Script::Occupancy.call(&shared.line, Shard::of_topic(topic));
        call.arg(name(topic));
        let (subscriptions, users) = shared.ask(one(call), only).await?;
        Ok(Occupancy { subscriptions, users })
    }

    /// The occupied channels of an app whose names begin with `prefix`, without the system's own, as far as Redis tells;
    /// and where it does not, they are to be taken from elsewhere.
    pub async fn occupied(&self, app: &AppId, prefix: &str) -> Occupied {
        let asking =
            self.lines.iter().map(|shared| async move { shared.occupied(app, prefix).await.ok_or(shared) });
        let mut occupied = Occupied::default();
        for answer in join_all(asking).await {
            match answer {
                Ok(channels) => occupied.channels.extend(channels),
                Err(shared) => occupied.away.extend(shared.line.shards()),
            }
        }
        occupied
    }

    /// The members of a presence channel, in the order of their ids.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn members(&self, topic: &Topic) -> Result<Vec<Box<str>>, Away> {
        let shared = self.lines.of_topic(topic);
        let key = format!("{}nodes:{}", shared.line.keys.of_shard(Shard::of_topic(topic)), name(topic));
        let mut call = redis::cmd("HKEYS");
        call.arg(key);
        let mut users: Vec<String> = shared.ask(one(call), only).await?;
        users.sort_unstable();
        Ok(users.into_iter().map(Into::into).collect())
    }

    /// The members of a presence channel, and the version of which they are: where the notices go on.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn snapshot(&self, topic: &Topic) -> Result<Roster, Away> {
        let shared = self.lines.of_topic(topic);
        let mut call = Script::Snapshot.call(&shared.line, Shard::of_topic(topic));
        call.arg(name(topic));
        shared
            .ask(one(call), |answers| {
                let (version, members) = only(answers)?;
                Ok(Roster { version, members: scripts::members(members)? })
            })
            .await
    }

    /// Which of these users have a signed-in connection anywhere, in the same order.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn online(&self, app: &AppId, users: &[Box<str>]) -> Result<Vec<bool>, Away> {
        let shards: Vec<_> =
            users.iter().map(|user_id| Entry::User(app.clone(), user_id.clone()).target().shard).collect();
        let asking = self.lines.iter().map(|shared| async {
            let mut pipeline = redis::pipe();
            let places: Vec<_> =
                (0..users.len()).filter(|place| shared.line.serves(shards[*place])).collect();
            for place in &places {
                let online =
                    format!("{}online:{}", shared.line.keys.of_shard(shards[*place]), name_of_app(app));
                pipeline.cmd("HEXISTS").arg(online).arg(&*users[*place]);
            }
            if pipeline.is_empty() {
                return Ok(Vec::new());
            }
            let answers: Vec<bool> = shared.ask(pipeline, all).await?;
            Ok(places.into_iter().zip(answers).collect())
        });
        let mut is_online = vec![false; users.len()];
        for (place, answer) in try_join_all(asking).await?.into_iter().flatten() {
            is_online[place] = answer;
        }
        Ok(is_online)
    }

    /// At the end of a node: whether it was the last one, and there are still records in the journal that none will
    /// read. False also if Redis does not say.
    pub async fn leaves_records(&self) -> bool {
        join_all(self.lines.iter().map(|shared| shared.leaves_records())).await.contains(&true)
    }
}

impl Shared {
    /// See [`RedisCensus::occupied`].
    async fn occupied(&self, app: &AppId, prefix: &str) -> Option<Vec<(ChannelName, Occupancy)>> {
        let mut pipeline = redis::pipe();
        for shard in self.line.shards() {
            let mut call = Script::Occupied.call(&self.line, shard);
            call.arg(&*name_of_app(app)).arg(prefix);
            pipeline.add_command(call);
        }
        let shards: Vec<Vec<(String, u32, u32)>> = self.ask(pipeline, all).await.ok()?;
        let channels = shards.into_iter().flatten().filter_map(|(channel, subscriptions, users)| {
            let channel = ChannelName::parse(&channel, usize::MAX).ok()?;
            Some((channel, Occupancy { subscriptions, users }))
        });
        Some(channels.collect())
    }

    /// See [`RedisCensus::leaves_records`].
    async fn leaves_records(&self) -> bool {
        let Ok(connection) = self.line.link.connect().await else { return false };
        let mut pipeline = redis::pipe();
        for shard in self.line.shards() {
            let tag = self.line.keys.of_shard(shard);
            pipeline.cmd("EXISTS").arg(format!("{tag}leases"));
            pipeline.cmd("XLEN").arg(format!("{tag}journal"));
        }
        let answers: RedisResult<Vec<u64>> = send(&connection, &pipeline).await.and_then(all);
        answers.is_ok_and(|answers| answers.chunks(2).any(|shard| shard[0] == 0 && shard[1] > 0))
    }

    /// Asks, if everything stands in Redis: before that the answers would be wrong.
    async fn ask<T>(
        &self,
        pipeline: Pipeline,
        read: impl FnOnce(Vec<Value>) -> RedisResult<T>,
    ) -> Result<T, Away> {
        let connection = self.reads.lock().clone().ok_or(Away)?;
        send(&connection, &pipeline).await.and_then(read).map_err(|error| {
            debug!(%error, "a question to the census in Redis failed");
            Away
        })
    }
}

fn one(call: redis::Cmd) -> Pipeline {
    let mut pipeline = redis::pipe();
    pipeline.add_command(call);
    pipeline
}

/// The answer to a single question.
fn only<T: FromRedisValue>(answers: Vec<Value>) -> RedisResult<T> {
    let answer = answers.into_iter().next().unwrap_or_default();
    Ok(from_redis_value(answer.extract_error()?)?)
}

/// The answers to several.
fn all<T: FromRedisValue>(answers: Vec<Value>) -> RedisResult<Vec<T>> {
    answers.into_iter().map(|answer| Ok(from_redis_value(answer.extract_error()?)?)).collect()
}
