//! Nodes that share a Redis, and somebody who hears what their scripts tell.

use std::{collections::HashMap, future::Future, pin::pin, sync::Arc, time::Duration};

use app_manager::app::AppId;
use parking_lot::Mutex;
use redis::{PushInfo, PushKind, Value, aio::MultiplexedConnection};
use socket_node::{
    cluster::{
        Occupied,
        census::Occupancy,
        redis::{
            census::{
                CensusState, RedisCensus, Timing, Wants,
                journal::{Journal, Record},
            },
            keys::{Keys, Shard},
            line::Lines,
            link::Link,
        },
    },
    hub::Topic,
    protocol::{ChannelName, event::Member},
};
use tokio::{
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use crate::redis_server::{Redis, link};

/// Time for anything to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Leases that end soon.
pub(crate) const FAST: Timing = Timing {
    lease: Duration::from_millis(1000),
    renewal: Duration::from_millis(250),
    sweep: Duration::from_millis(100),
};

/// All webhooks.
pub(crate) const ALL: Wants = Wants { arrival: true, departure: true };

/// Webhooks of departures alone.
pub(crate) const DEPARTURES: Wants = Wants { arrival: false, departure: true };

/// No webhooks.
pub(crate) const NONE: Wants = Wants { arrival: false, departure: false };

/// A Redis with nodes.
pub(crate) struct World {
    pub(crate) redis: Redis,
    pub(crate) keys: Keys,
    heard: Arc<Mutex<Vec<Notice>>>,
    ear: Mutex<Option<MultiplexedConnection>>,
}

/// A node of which there is only the census.
pub(crate) struct Node {
    pub(crate) census: RedisCensus,
    work: AbortHandle,
    is_frozen: watch::Sender<bool>,
}

/// What a script told all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) topic: String,
    pub(crate) kind: u8,
    pub(crate) version: u64,
    pub(crate) user_id: String,
    pub(crate) info: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        let world = Self {
            redis: Redis::start(),
            keys: Keys::new("test"),
            heard: Arc::default(),
            ear: Mutex::default(),
        };
        world.hear().await;
        world
    }

    /// The way to its Redis.
    pub(crate) fn link(&self) -> Link {
        link(self.redis.port())
    }

    pub(crate) fn lines(&self) -> Lines {
        Lines::to_server(self.link(), self.keys.clone())
    }

    /// Hears everything, from now on.
    pub(crate) async fn hear(&self) {
        let heard = Arc::clone(&self.heard);
        let hear = move |push: PushInfo| {
            if push.kind == PushKind::PMessage {
                heard.lock().push(Notice::read(&push.data));
            }
        };
        let mut ear = self.link().connect_to_hear(hear).await.unwrap();
        ear.psubscribe("test:*").await.unwrap();
        *self.ear.lock() = Some(ear);
    }

    /// A node that has entered.
    pub(crate) async fn node(&self) -> Node {
        self.node_with(FAST).await
    }

    pub(crate) async fn node_with(&self, timing: Timing) -> Node {
        self.node_on(self.lines(), timing).await
    }

    /// One that reaches Redis through this port.
    pub(crate) async fn node_through(&self, port: u16, timing: Timing) -> Node {
        self.node_on(Lines::to_server(link(port), self.keys.clone()), timing).await
    }

    async fn node_on(&self, lines: Lines, timing: Timing) -> Node {
        let (census, work) = RedisCensus::start_with(&lines, timing);
        let (is_frozen, frozen) = watch::channel(false);
        let work = tokio::spawn(freezable(work, frozen)).abort_handle();
        let node = Node { census, work, is_frozen };
        node.enters(1).await;
        node
    }

    /// A reader that takes over what others have had for a second.
    pub(crate) fn journal(&self) -> Journal {
        Journal::with_abandoned_after(&self.lines(), Duration::from_secs(1)).remove(0)
    }

    /// What has been told so far, in this order.
    pub(crate) fn heard(&self) -> Vec<Notice> {
        self.heard.lock().clone()
    }

    /// The kinds of what was told of a user on a topic so far.
    pub(crate) fn heard_of(&self, topic: &Topic, user_id: &str) -> Vec<u8> {
        let topic = self.keys.topic(topic);
        let notices = self.heard();
        let of_user = notices.iter().filter(|notice| notice.topic == topic && notice.user_id == user_id);
        of_user.map(|notice| notice.kind).collect()
    }

    /// Asks Redis itself.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> T {
        command.query_async(&mut self.link().connect().await.unwrap()).await.unwrap()
    }

    /// All keys but those that stay when there is nobody.
    pub(crate) async fn keys_of_somebody(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(redis::cmd("KEYS").arg("test:*")).await;
        keys.retain(|key| !["version", "life", "journal"].iter().any(|end| key.ends_with(end)));
        keys.sort();
        keys
    }
}

impl Notice {
    /// By hand, as the layout is written down: version, kind, version of the census, length of the user's id, id, info.
    fn read(data: &[Value]) -> Self {
        let bytes = |value: &Value| match value {
            Value::BulkString(bytes) => bytes.clone(),
            other => panic!("{other:?}"),
        };
        let (topic, message) = (bytes(&data[1]), bytes(&data[2]));
        assert_eq!(message[0], 1);
        let user = 12 + usize::from(u16::from_be_bytes([message[10], message[11]]));
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            topic: text(&topic),
            kind: message[1],
            version: u64::from_be_bytes(message[2..10].try_into().unwrap()),
            user_id: text(&message[12..user]),
            info: text(&message[user..]),
        }
    }
}

impl Node {
    /// Waits until everything stands in Redis, for the so-manieth time at least.
    pub(crate) async fn enters(&self, generation: u64) {
        let mut state = self.census.state(Shard::FIRST);
        let entered =
            state.wait_for(|state| matches!(state, CensusState::Entered(now) if *now >= generation));
        timeout(DEADLINE, entered).await.expect("the node enters in time").unwrap();
    }

    /// Ends its work at once, as a kill would.
    pub(crate) fn die(&self) {
        self.work.abort();
    }

    /// Stops its work.
    pub(crate) fn freeze(&self) {
        self.is_frozen.send_replace(true);
    }

    /// Lets its work go on.
    pub(crate) fn thaw(&self) {
        self.is_frozen.send_replace(false);
    }

    /// A member comes, without a limit.
    pub(crate) async fn join(&self, topic: &Topic, user_id: &str, wants: Wants) {
        self.census.join(topic, &member(user_id), u32::MAX, wants, false).await.unwrap();
    }

    /// The occupied channels of an app, all of which Redis tells.
    pub(crate) async fn occupied(&self, app: &AppId, prefix: &str) -> Vec<(ChannelName, Occupancy)> {
        let Occupied { channels, away } = self.census.occupied(app, prefix).await;
        assert!(away.is_empty(), "{away:?}");
        channels
    }

    /// Waits until all that was handed in stands in Redis.
    pub(crate) async fn settles(&self) {
        let barrier = topic("barrier", "barrier");
        self.census.enter(&barrier, NONE).await.unwrap();
        self.census.leave(&barrier);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.die();
    }
}

pub(crate) fn app(id: &str) -> AppId {
    AppId::from(id)
}

pub(crate) fn topic(app: &str, channel: &str) -> Topic {
    Topic { app: app.into(), channel: ChannelName::parse(channel, 200).unwrap() }
}

pub(crate) fn watched(app: &str, user_id: &str) -> Topic {
    Topic { app: app.into(), channel: ChannelName::of_watched_user(user_id) }
}

pub(crate) fn member(user_id: &str) -> Member {
    let info = serde_json::value::to_raw_value(&HashMap::from([("name", user_id)])).unwrap();
    Member { user_id: user_id.into(), user_info: Some(info) }
}

/// Waits until it is so.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Reads and takes off so many records, and finds that there are no more for as long as departures are held.
pub(crate) async fn exactly(journal: &mut Journal, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < count {
        let next = comes_within(journal, DEADLINE).await;
        assert!(!next.is_empty(), "only {} records of {count}: {records:?}", records.len());
        journal.desk().done(&next.iter().map(|record| record.id.clone()).collect::<Vec<_>>()).await;
        records.extend(next);
    }
    let more = comes_within(journal, Duration::from_secs(4)).await;
    assert!(more.is_empty() && records.len() == count, "more than {count}: {records:?}, {more:?}");
    records
}

/// What there is to read in this time: nothing, or the first of it.
pub(crate) async fn comes_within(journal: &mut Journal, time: Duration) -> Vec<Record> {
    let coming = async {
        loop {
            let records = journal.next().await;
            if !records.is_empty() {
                return records;
            }
        }
    };
    timeout(time, coming).await.unwrap_or_default()
}

async fn freezable(work: impl Future<Output = ()>, mut frozen: watch::Receiver<bool>) {
    let mut work = pin!(work);
    loop {
        if frozen.wait_for(|frozen| !frozen).await.is_err() {
            return;
        }
        tokio::select! {
            biased;
            changed = frozen.changed() => if changed.is_err() { return },
            () = &mut work => return,
        }
    }
}
