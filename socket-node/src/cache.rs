//! The last event of every cache channel, as far as this node knows it.
//!
//! Where nodes share a cache, this one [recalls] from it what it does not know, and tells apart what came meanwhile.

mod recalls;

use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::sync::Cache;

use crate::{
    hub::Topic,
    protocol::{Frame, event},
};
pub use recalls::Recall;
use recalls::Recalls;

/// How long an event is kept after it was published; Pusher keeps it for up to as long.
const TIME_TO_LIVE: Duration = Duration::from_secs(30 * 60);

/// Bytes of all events together; beyond, those that are asked for least are let go.
const MAX_BYTES: u64 = 128 * 1024 * 1024;

/// The last event of a cache channel.
#[derive(Clone, Debug)]
pub struct CachedEvent {
    /// The event as its subscribers got it.
    frame: Frame,
    /// Where the raw JSON of `data` stands in it.
    data: Bytes,
    expires: Instant,
}

impl CachedEvent {
    /// The event of a frame whose raw `data` is so many bytes long.
    pub fn new(frame: &Frame, data: usize) -> Self {
        // A published event ends with its data and one closing brace.
        let end = frame.bytes().len() - 1;
        let data = frame.bytes().slice(end - data..end);
        Self { frame: frame.clone(), data, expires: Instant::now() + TIME_TO_LIVE }
    }

    /// An event that was published some time ago and will be kept for so much longer. `None` if it is none.
    pub fn published_earlier(frame: Frame, left: Duration) -> Option<Self> {
        let data = frame.bytes().slice_ref(event::data(&frame)?.as_bytes());
        Some(Self { frame, data, expires: Instant::now() + left })
    }

    /// The event as a new subscriber gets it.
    pub const fn frame(&self) -> &Frame {
        &self.frame
    }

    /// `data` as a raw JSON string, quotes included.
    pub fn data(&self) -> &str {
        str::from_utf8(&self.data).expect("it was text when it was published")
    }

    /// Whole seconds that it will still be kept.
    pub fn ttl_seconds(&self) -> u64 {
        self.left().as_secs()
    }

    /// How long it will still be kept.
    pub fn left(&self) -> Duration {
        self.expires.saturating_duration_since(Instant::now())
    }
}

/// Channels of which it is remembered that a miss was told.
const MAX_MISSES: u64 = 100_000;

/// The events of all cache channels, in this process.
#[derive(Debug)]
pub struct LocalCache {
    events: Cache<Topic, CachedEvent>,
    /// Channels whose emptiness has been told of since it began.
    misses: Cache<Topic, ()>,
    recalls: Recalls,
}

impl Default for LocalCache {
    fn default() -> Self {
        let weight = |_: &Topic, event: &CachedEvent| {
            u32::try_from(event.frame.bytes().len() + size_of::<CachedEvent>()).unwrap_or(u32::MAX)
        };
        let events =
            Cache::builder().max_capacity(MAX_BYTES).weigher(weight).time_to_live(TIME_TO_LIVE).build();
        let misses = Cache::builder().max_capacity(MAX_MISSES).time_to_live(TIME_TO_LIVE).build();
        Self { events, misses, recalls: Recalls::default() }
    }
}

impl LocalCache {
    /// Keeps an event that has just happened in place of the one before it.
    pub fn put(&self, topic: &Topic, event: CachedEvent) {
        self.recalls.note_news(topic);
        self.events.insert(topic.clone(), event);
        self.misses.invalidate(topic);
    }

    /// Begins to recall a channel's last event from a cache that nodes share.
    pub fn recall<'a>(&'a self, topic: &'a Topic) -> Recall<'a> {
        self.recalls.begin(topic)
    }

    /// Keeps an event that was recalled, if nothing has happened since the recall began.
    pub fn put_recalled(&self, recall: &Recall<'_>, event: CachedEvent) {
        if !recall.is_overtaken() {
            self.events.insert(recall.topic().clone(), event);
        }
    }

    /// What is known here of a channel is the truth, as long as this node hears what happens there: in this generation,
    /// or until it falls out of step.
    pub fn fall_in_step(&self, topic: &Topic, generation: u64) {
        self.recalls.set_in_step(topic, generation);
    }

    /// In which generation this node has heard of everything that happened in a channel, if it has.
    pub fn in_step(&self, topic: &Topic) -> Option<u64> {
        self.recalls.in_step(topic)
    }

    /// This node does not hear what happens in the channel any more.
    pub fn fall_out_of_step(&self, topic: &Topic) {
        self.recalls.fall_out_of_step(topic);
    }

    /// Whether this is the first time that somebody finds the channel empty; of later times nobody needs to hear.
    pub fn is_first_miss(&self, topic: &Topic) -> bool {
        self.misses.entry(topic.clone()).or_insert(()).is_fresh()
    }

    /// The last event, if there was one of late.
    pub fn get(&self, topic: &Topic) -> Option<CachedEvent> {
        // What was recalled may have less time left than this cache gives it.
        self.events.get(topic).filter(|event| !event.left().is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ChannelName, Event, event};

    #[test]
    fn the_data_of_a_cached_event_is_found_again() {
        let channel = ChannelName::parse("cache-x", 200).unwrap();
        let topic = Topic { app: "1".into(), channel: channel.clone() };
        let event = Event { name: "\"n\"", data: r#""{\"a\":1}""# };
        let cache = LocalCache::default();
        assert!(cache.get(&topic).is_none());
        cache.put(&topic, CachedEvent::new(&event::published(&channel, event), event.data.len()));
        let cached = cache.get(&topic).unwrap();
        assert_eq!(cached.data(), event.data);
        assert!((1798..=1800).contains(&cached.ttl_seconds()));
    }

    fn topic() -> Topic {
        Topic { app: "1".into(), channel: ChannelName::parse("cache-x", 200).unwrap() }
    }

    fn frame(data: &str) -> Frame {
        event::published(&topic().channel, Event { name: "\"n\"", data })
    }

    fn recalled(data: &str) -> CachedEvent {
        CachedEvent::published_earlier(frame(data), Duration::from_secs(9)).unwrap()
    }

    #[test]
    fn an_event_that_was_recalled_has_its_data_and_the_time_that_is_left() {
        let event = recalled(r#""{\"a\":1}""#);
        assert_eq!(event.data(), r#""{\"a\":1}""#);
        assert!((8..=9).contains(&event.ttl_seconds()));
        let cache = LocalCache::default();
        let over = CachedEvent::published_earlier(frame("\"\""), Duration::ZERO).unwrap();
        cache.put_recalled(&cache.recall(&topic()), over);
        assert!(cache.get(&topic()).is_none());
        assert!(CachedEvent::published_earlier(Frame::pong(b"x"), Duration::ZERO).is_none());
    }

    #[test]
    fn what_is_recalled_never_takes_the_place_of_what_came_meanwhile() {
        let (cache, topic) = (LocalCache::default(), topic());
        let recall = cache.recall(&topic);
        cache.put(&topic, CachedEvent::new(&frame("\"new\""), 5));
        assert!(recall.is_overtaken());
        cache.put_recalled(&recall, recalled("\"old\""));
        assert_eq!(cache.get(&topic).unwrap().data(), "\"new\"");
        let later = cache.recall(&topic);
        assert!(!later.is_overtaken());
        cache.put_recalled(&later, recalled("\"newer\""));
        assert_eq!(cache.get(&topic).unwrap().data(), "\"newer\"");
    }

    #[test]
    fn a_miss_is_the_first_one_until_the_channel_was_filled() {
        let channel = ChannelName::parse("cache-x", 200).unwrap();
        let topic = Topic { app: "1".into(), channel: channel.clone() };
        let cache = LocalCache::default();
        assert!(cache.is_first_miss(&topic));
        assert!(!cache.is_first_miss(&topic));
        let event = Event { name: "\"n\"", data: "\"\"" };
        cache.put(&topic, CachedEvent::new(&event::published(&channel, event), event.data.len()));
        assert!(cache.is_first_miss(&topic));
    }
}
