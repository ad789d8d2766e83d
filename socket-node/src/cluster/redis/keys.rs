//! Where things are in Redis.
//!
//! Everything that one script touches lies in one shard: its keys, and the topics on which it tells of what it did,
//! carry the same hash tag, so that a cluster keeps them on one of its servers. There are a fixed number of shards,
//! and what belongs to a channel or a user is always in the same one. Old and new nodes must agree on all of this:
//! changing it is a new prefix.

use std::{borrow::Cow, fmt};

use app_manager::app::AppId;

use crate::{hub::Topic, protocol::ChannelName};

/// Parts into which everything is divided.
pub const SHARDS: u8 = 16;

/// One of the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u8);

/// How keys and topics are named.
#[derive(Clone, Debug)]
pub struct Keys {
    prefix: Box<str>,
}

impl Shard {
    /// The one in which what belongs to no app is.
    pub const FIRST: Self = Self(0);

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }

    /// The one in which a channel, or a user's own channel, is.
    pub fn of_topic(topic: &Topic) -> Self {
        Self::of(topic.app.as_str(), topic.channel.as_str())
    }

    /// The one in which what belongs to an app as a whole is.
    pub fn of_app(app: &AppId) -> Self {
        Self::of(app.as_str(), "")
    }

    /// The one in which what belongs to an app's channel of this name is.
    ///
    /// FNV-1a over both names with a byte between them that neither contains: short, and the same everywhere.
    pub fn of(app: &str, name: &str) -> Self {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let bytes = app.bytes().chain([0]).chain(name.bytes());
        let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
        // The last bytes have hardly reached the upper half, and the lower bits know nothing of it: fold them together.
        Self((hash ^ (hash >> 32)) as u8 % SHARDS)
    }

    /// Its number, from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The slot of a Redis cluster in which everything with this shard's hash tag is.
    pub fn slot(self) -> u16 {
        const SLOTS: u16 = 16_384;
        crc16(self.0.to_string().as_bytes()) % SLOTS
    }
}

impl Keys {
    /// Names that begin with `prefix`, which holds no braces.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// What the keys of a shard begin with.
    pub fn of_shard(&self, shard: Shard) -> String {
        format!("{}:{{{}}}:", self.prefix, shard.0)
    }

    /// The topic of a channel: where nodes hear of its events.
    pub fn topic(&self, topic: &Topic) -> String {
        self.topic_name(topic).to_string()
    }

    /// [`topic`](Self::topic), to be written where it belongs without a string of its own.
    pub fn topic_name<'a>(&'a self, topic: &'a Topic) -> TopicName<'a> {
        TopicName { keys: self, topic }
    }

    /// The topic that all nodes hear, for what is about nodes and not about channels.
    pub fn control(&self) -> String {
        format!("{}:control", self.prefix)
    }

    /// The same among the topics of a shard, where each shard has its own. Those of channels have one colon more.
    pub fn control_of(&self, shard: Shard) -> String {
        format!("{}control", self.of_shard(shard))
    }

    /// The same as [`control`](Self::control) for nodes that share a cache, and do not hear each other.
    pub fn cache_control(&self) -> String {
        format!("{}:cache-control", self.prefix)
    }

    /// The same among the topics of a shard.
    pub fn cache_control_of(&self, shard: Shard) -> String {
        format!("{}cache-control", self.of_shard(shard))
    }
}

/// CRC-16/XMODEM, by which a Redis cluster finds the slot of a hash tag.
fn crc16(bytes: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 { shifted } else { shifted ^ POLYNOMIAL }
        })
    })
}

/// The name of a channel's topic.
#[derive(Clone, Copy, Debug)]
pub struct TopicName<'a> {
    keys: &'a Keys,
    topic: &'a Topic,
}

impl fmt::Display for TopicName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Keys { prefix }, Topic { app, channel }) = (self.keys, self.topic);
        let Shard(shard) = Shard::of_topic(self.topic);
        write!(f, "{prefix}:{{{shard}}}:{}:{}", name_of_app(app), channel.as_str())
    }
}

/// What the names of a shard's keys and topics say of a channel: `app:channel`. The channel of a user holds whatever
/// the user's id does, so it is the first colon that divides, and the app's part holds none.
pub fn name(topic: &Topic) -> String {
    format!("{}:{}", name_of_app(&topic.app), topic.channel.as_str())
}

/// An app's id without colons. Nearly every id stays as it is.
pub fn name_of_app(app: &AppId) -> Cow<'_, str> {
    let app = app.as_str();
    if app.contains([':', '%']) {
        Cow::Owned(app.replace('%', "%25").replace(':', "%3A"))
    } else {
        Cow::Borrowed(app)
    }
}

/// The channel that a [`name`] means, if clients can name it.
pub fn read_name(name: &str) -> Option<Topic> {
    let (app, channel) = name.split_once(':')?;
    let app = app.replace("%3A", ":").replace("%25", "%");
    Some(Topic { app: AppId::from(&*app), channel: ChannelName::parse(channel, usize::MAX).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(app: &str, channel: &str) -> Topic {
        Topic { app: app.into(), channel: ChannelName::parse(channel, 200).unwrap() }
    }

    #[test]
    fn a_channel_is_always_in_the_same_shard() {
        // Other nodes have computed these as well.
        let keys = Keys::new("pusher");
        assert_eq!(keys.topic(&topic("1", "room")), "pusher:{3}:1:room");
        assert_eq!(keys.topic(&topic("a:b", "presence-room")), "pusher:{3}:a%3Ab:presence-room");
    }

    #[test]
    fn two_channels_never_have_the_same_name() {
        let users_channel =
            |app: &str, user: &str| name(&Topic { app: app.into(), channel: ChannelName::of_user(user) });
        assert_ne!(users_channel("1:#server-to-user-a", "b"), users_channel("1", "a:#server-to-user-b"));
        assert_ne!(name(&topic("a:b", "c")), name(&topic("a%3Ab", "c")));
    }

    #[test]
    fn a_name_is_read_back() {
        for app in ["1", "a:b", "a%3Ab", "%", "%25:", "*{}\0\u{ff}"] {
            let topic = topic(app, "presence-room");
            assert_eq!(read_name(&name(&topic)), Some(topic));
        }
        assert_eq!(read_name("1:#server-to-user-a"), None);
        assert_eq!(read_name("1"), None);
    }

    #[test]
    fn a_shard_is_in_the_slot_that_a_cluster_finds_for_its_tag() {
        // What `CLUSTER KEYSLOT` says.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        let slots: Vec<_> = Shard::all().map(Shard::slot).collect();
        let found = [
            13907, 9842, 5649, 1584, 14039, 9974, 5781, 1716, 14171, 10106, 247, 4310, 8373, 12436, 115, 4178,
        ];
        assert_eq!(slots, found);
    }

    #[test]
    fn the_control_topic_of_a_shard_is_that_of_no_channel() {
        let keys = Keys::new("pusher");
        assert_eq!(keys.control_of(Shard(3)), "pusher:{3}:control");
        assert_ne!(keys.topic(&topic("control", "x")), keys.control_of(Shard::of("control", "x")));
    }

    #[test]
    fn channels_spread_over_all_shards() {
        let mut counts = [0; SHARDS as usize];
        for number in 0..1600 {
            counts[Shard::of_topic(&topic("1", &format!("room-{number}"))).index()] += 1;
        }
        assert!(counts.iter().all(|count| (50..200).contains(count)), "{counts:?}");
    }
}
