//! Who is where: subscriptions, members, signed-in users and connections, counted exactly.
//!
//! Every change is a transition that says whether it was an [`Edge`], so that "the first came" and "the last left"
//! are told once, whoever races. The census also makes the order of a channel: whoever changes a channel, or
//! publishes what later subscribers must get again, holds its [`Place`] until the notice of it is in the channel's
//! inbox.

mod kinds;
mod place;
mod roster;
mod users;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    num::NonZeroU32,
};

use app_manager::app::AppId;
use parking_lot::{Mutex, MutexGuard};

pub use kinds::{Kind, Kinds};
use place::{ChannelState, Reminder};
pub use place::{MembersFull, Occupancy, Place};
pub use roster::{Change, Joining, Notice};
use users::AppUsers;
pub use users::Users;

use crate::{
    hub::Topic,
    protocol::{ChannelName, event::Member},
};

/// Parts of the census of channels, each with a lock of its own.
const SHARDS: usize = 64;

/// What a transition meant for the whole: somebody was the first to come, the last to leave, or neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// There was nobody before.
    First,
    /// There is nobody left.
    Last,
    /// There are others.
    None,
}

/// Channels by app, so that one app's list costs nothing of another's.
type Shard = HashMap<AppId, HashMap<ChannelName, ChannelState>>;

/// Who is where, on a server of one node.
#[derive(Debug)]
pub struct Census {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Counts of subscribers that are told later because they change too often.
    reminders: Mutex<Vec<Reminder>>,
    users: Mutex<HashMap<AppId, AppUsers>>,
    connections: Mutex<HashMap<AppId, u32>>,
    kinds: Kinds,
}

impl Default for Census {
    fn default() -> Self {
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(SHARDS).collect(),
            hasher: RandomState::new(),
            reminders: Mutex::default(),
            users: Mutex::default(),
            connections: Mutex::default(),
            kinds: Kinds::default(),
        }
    }
}

impl Census {
    /// Counts a connection of an app in, unless the app has all that it may have.
    pub fn connect(&self, app: &AppId, limit: Option<NonZeroU32>) -> bool {
        let mut connections = self.connections.lock();
        let count = connections.entry(app.clone()).or_default();
        let has_room = limit.is_none_or(|limit| *count < limit.get());
        *count += u32::from(has_room);
        has_room
    }

    /// Counts a connection out that [`connect`](Self::connect) counted in.
    pub fn disconnect(&self, app: &AppId) {
        let mut connections = self.connections.lock();
        if let Some(count) = connections.get_mut(app) {
            *count -= 1;
            if *count == 0 {
                connections.remove(app);
            }
        }
    }

    /// How many connections of an app are counted in.
    pub fn connections(&self, app: &AppId) -> u32 {
        self.connections.lock().get(app).copied().unwrap_or_default()
    }

    /// Holds a channel's place. Short: others wait.
    pub fn place<'a>(&'a self, topic: &'a Topic) -> Place<'a> {
        Place::new(self.shard(topic).lock(), topic, &self.reminders, &self.kinds)
    }

    /// Holds the signed-in users of an app. Short: others wait.
    pub fn users<'a>(&'a self, app: &AppId) -> Users<'a> {
        Users::new(MutexGuard::map(self.users.lock(), |apps| apps.entry(app.clone()).or_default()))
    }

    /// The occupied channels of an app whose names begin with `prefix`, without the system's own.
    pub fn occupied(&self, app: &AppId, prefix: &str) -> Vec<(ChannelName, Occupancy)> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let channels = shard.get(app).into_iter().flatten();
            let matching = channels.filter(|(channel, _)| channel.as_str().starts_with(prefix));
            found.extend(matching.map(|(channel, state)| (channel.clone(), state.occupancy())));
        }
        found
    }

    /// The presence channels that have subscribers here.
    pub fn presence_channels(&self) -> Vec<Topic> {
        self.channels(ChannelName::is_presence)
    }

    /// The cache channels that have subscribers here.
    pub fn cache_channels(&self) -> Vec<Topic> {
        self.channels(ChannelName::is_cache)
    }

    fn channels(&self, is_meant: fn(&ChannelName) -> bool) -> Vec<Topic> {
        let mut found = Vec::new();
        for shard in &self.shards {
            for (app, channels) in shard.lock().iter() {
                let channels = channels.keys().filter(|channel| is_meant(channel));
                found.extend(channels.map(|channel| Topic { app: app.clone(), channel: channel.clone() }));
            }
        }
        found
    }

    /// How many channels of each kind are occupied.
    pub const fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// The members of a presence channel, in the order of their ids.
    pub fn members(&self, topic: &Topic) -> Vec<Box<str>> {
        self.place(topic).members().into_iter().map(|member: &Member| member.user_id.clone()).collect()
    }

    /// The channels whose count was held back and is due to be told at this second.
    pub fn due_counts(&self, now: u32) -> Vec<Topic> {
        let mut reminders = self.reminders.lock();
        let due = reminders.extract_if(.., |reminder| reminder.due <= now);
        due.map(|reminder| reminder.topic).collect()
    }

    /// The users who have been away for long enough at this second to be told about.
    pub fn due_departures(&self, now: u32) -> Vec<(AppId, Vec<Box<str>>)> {
        let mut apps = self.users.lock();
        let departures = apps.iter_mut().map(|(app, users)| (app.clone(), users.due_departures(now)));
        let departures = departures.filter(|(_, users)| !users.is_empty()).collect();
        apps.retain(|_, users| !users.is_empty());
        departures
    }

    fn shard(&self, topic: &Topic) -> &Mutex<Shard> {
        let hash = usize::try_from(self.hasher.hash_one(topic) % SHARDS as u64).expect("it is below SHARDS");
        &self.shards[hash]
    }
}
