//! The scripts: what they are given, and what they answer.
//!
//! Each does one thing to one shard, atomically. `shard.lua` and `transitions.lua` stand before the text of those that
//! need them, since scripts in Redis cannot call each other, and before them what is said otherwise in a cluster.

use std::sync::LazyLock;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, Value, from_redis_value};
use serde_json::value::RawValue;

use super::{Joined, Wants, holder::Holder};
use crate::{
    cluster::redis::{
        keys::Shard,
        line::{Dialect, Line},
    },
    protocol::event::Member,
};

macro_rules! text {
    ($($file:literal),*) => { concat!($(include_str!(concat!("scripts/", $file, ".lua")), "\n"),*) };
}

macro_rules! scripts {
    ($($script:ident: [$($file:literal),*];)*) => {
        /// Each of the scripts.
        #[derive(Clone, Copy, Debug)]
        pub(super) enum Script {
            $(#[doc = concat!($("`", $file, "` "),*)] $script),*
        }

        /// Their texts, in the same order, for a single server.
        const OF_SERVER: &[&str] = &[$(text!("server", $($file),*)),*];

        /// Their texts, in the same order, for the servers of a cluster.
        const OF_CLUSTER: &[&str] = &[$(text!("cluster", $($file),*)),*];
    };
}

scripts! {
    Open: ["shard", "open"];
    Renew: ["shard", "transitions", "renew"];
    GiveUp: ["shard", "transitions", "give_up"];
    Enter: ["shard", "transitions", "enter"];
    Count: ["shard", "transitions", "count"];
    Undo: ["shard", "transitions", "undo"];
    Join: ["shard", "transitions", "join"];
    SignIn: ["shard", "transitions", "sign_in"];
    Connect: ["shard", "transitions", "connect"];
    Disconnect: ["shard", "transitions", "disconnect"];
    Sweep: ["shard", "transitions", "sweep"];
    Snapshot: ["shard", "snapshot"];
    Occupancy: ["shard", "occupancy"];
    Occupied: ["shard", "occupied"];
    Claim: ["shard", "claim"];
}

/// By these names Redis knows the texts.
static HASHES: LazyLock<[Vec<String>; 2]> = LazyLock::new(|| {
    let hash = |text: &&str| redis::Script::new(text).get_hash().to_owned();
    [Dialect::Server, Dialect::Cluster].map(|dialect| texts(dialect).iter().map(hash).collect())
});

const fn texts(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Server => OF_SERVER,
        Dialect::Cluster => OF_CLUSTER,
    }
}

/// Makes all scripts known to a server; it may have forgotten them. Whoever opens a connection sends this first, and
/// a server that forgets them later is treated like one that went away.
pub(super) fn load(dialect: Dialect) -> Pipeline {
    let mut pipeline = redis::pipe();
    for text in texts(dialect) {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(text);
    }
    pipeline
}

impl Script {
    /// A call of it in a shard, without its arguments.
    pub(super) fn call(self, line: &Line, shard: Shard) -> Cmd {
        let [of_server, of_cluster] = &*HASHES;
        let hashes = match line.dialect {
            Dialect::Server => of_server,
            Dialect::Cluster => of_cluster,
        };
        let mut command = redis::cmd("EVALSHA");
        command.arg(&hashes[self as usize]).arg(1).arg(format!("{}leases", line.keys.of_shard(shard)));
        command
    }
}

/// What an entry is, as its first byte in Redis says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Channel,
    Member,
    User,
    Connections,
}

impl Kind {
    const fn letter(self) -> &'static str {
        match self {
            Self::Channel => "c",
            Self::Member => "m",
            Self::User => "u",
            Self::Connections => "q",
        }
    }
}

/// A change of what a holder has, in one shard. What it is about is said by [`Target`].
#[derive(Clone, Debug)]
pub(super) enum Change {
    Enter { subscriptions: u32, wants: Wants, is_quiet: bool },
    Count { subscriptions: u32 },
    Join { info: Option<Box<RawValue>>, limit: Option<u32>, wants: Wants, roster: bool, is_quiet: bool },
    SignIn,
    Connect { connections: u32, limit: Option<u32> },
    Disconnect,
    Undo(Kind),
}

/// What a change is about: names as in [`keys`](crate::cluster::redis::keys).
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) shard: Shard,
    pub(super) name: String,
    /// Empty where it is about no user.
    pub(super) user_id: Box<str>,
}

/// What became of a change.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The holder's lease is gone, or nobody knows: nothing may be concluded from what Redis has.
    Lost,
    /// It stands in Redis.
    Done,
    /// A limit is reached, and nothing has changed.
    Refused,
    /// A member is in.
    Joined(Joined),
}

impl Change {
    /// The command that makes it. What arrives is taken from the `former` holder in the same step.
    pub(super) fn command(
        &self,
        line: &Line,
        holder: &Holder,
        former: Option<&Holder>,
        target: &Target,
    ) -> Cmd {
        let former = former.map_or("", Holder::as_str);
        let call = |script: Script| {
            let mut command = script.call(line, target.shard);
            command.arg(holder.as_str());
            command
        };
        let flag = |is_set: bool| if is_set { "1" } else { "" };
        let limit = |limit: Option<u32>| limit.map_or_else(String::new, |limit| limit.to_string());
        let (name, user_id) = (&target.name, &*target.user_id);
        match self {
            Self::Enter { subscriptions, wants, is_quiet } => call(Script::Enter)
                .arg(name)
                .arg(subscriptions)
                .arg(wants.bits())
                .arg(flag(*is_quiet))
                .arg(former)
                .take(),
            Self::Count { subscriptions } => call(Script::Count).arg(name).arg(subscriptions).take(),
            Self::Join { info, limit: most, wants, roster, is_quiet } => call(Script::Join)
                .arg(name)
                .arg(user_id)
                .arg(info.as_deref().map_or("", RawValue::get))
                .arg(limit(*most))
                .arg(wants.bits())
                .arg(flag(*is_quiet))
                .arg(flag(*roster))
                .arg(former)
                .take(),
            Self::SignIn => call(Script::SignIn).arg(name).arg(user_id).arg(former).take(),
            Self::Connect { connections, limit: most } => {
                call(Script::Connect).arg(name).arg(connections).arg(limit(*most)).arg(former).take()
            }
            Self::Disconnect => call(Script::Disconnect).arg(name).take(),
            Self::Undo(kind) => call(Script::Undo).arg(kind.letter()).arg(name).arg(user_id).take(),
        }
    }
}

impl Outcome {
    /// Reads what a writing script answers: lost, done or refused, and after a join what the joiner is to know.
    ///
    /// # Errors
    /// If the script failed.
    pub(super) fn read(answer: Value) -> RedisResult<Self> {
        let parts: Vec<Value> = from_redis_value(answer.extract_error()?)?;
        let mut parts = parts.into_iter();
        let status = parts.next().map(from_redis_value::<u8>).transpose()?;
        match (status, parts.next()) {
            (Some(0), _) => Ok(Self::Lost),
            (Some(1), None) => Ok(Self::Done),
            (Some(1), Some(version)) => Ok(Self::Joined(Joined {
                version: from_redis_value(version)?,
                was_first: parts.next().map(from_redis_value).transpose()?.unwrap_or_default(),
                // `false` in Lua is nil in Redis.
                roster: parts.next().filter(|roster| *roster != Value::Nil).map(members).transpose()?,
            })),
            (Some(2), _) => Ok(Self::Refused),
            _ => Err(RedisError::from((ErrorKind::UnexpectedReturnType, "a script answered something else"))),
        }
    }
}

/// Reads members out of users and infos in turn, in the order of their ids: in that order clients get them.
///
/// # Errors
/// If it is something else.
pub(super) fn members(roster: Value) -> RedisResult<Vec<Member>> {
    let members: Vec<(String, String)> = from_redis_value(roster)?;
    let member = |(user_id, info): (String, String)| Member {
        user_id: user_id.into(),
        // What is no JSON has not been put there by a node. Nothing is better than breaking what clients read.
        user_info: RawValue::from_string(info).ok(),
    };
    let mut members: Vec<_> = members.into_iter().map(member).collect();
    members.sort_unstable_by(|one, other| one.user_id.cmp(&other.user_id));
    Ok(members)
}
