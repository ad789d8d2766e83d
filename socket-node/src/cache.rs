//! The last event of every cache channel.

use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::sync::Cache;

use crate::{hub::Topic, protocol::Frame};

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
        self.expires.saturating_duration_since(Instant::now()).as_secs()
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
}

impl Default for LocalCache {
    fn default() -> Self {
        let weight = |_: &Topic, event: &CachedEvent| {
            u32::try_from(event.frame.bytes().len() + size_of::<CachedEvent>()).unwrap_or(u32::MAX)
        };
        let events =
            Cache::builder().max_capacity(MAX_BYTES).weigher(weight).time_to_live(TIME_TO_LIVE).build();
        let misses = Cache::builder().max_capacity(MAX_MISSES).time_to_live(TIME_TO_LIVE).build();
        Self { events, misses }
    }
}

impl LocalCache {
    /// Keeps an event in place of the one before it.
    pub fn put(&self, topic: &Topic, event: CachedEvent) {
        self.events.insert(topic.clone(), event);
        self.misses.invalidate(topic);
    }

    /// Whether this is the first time that somebody finds the channel empty; of later times nobody needs to hear.
    pub fn is_first_miss(&self, topic: &Topic) -> bool {
        self.misses.entry(topic.clone()).or_insert(()).is_fresh()
    }

    /// The last event, if there was one of late.
    pub fn get(&self, topic: &Topic) -> Option<CachedEvent> {
        self.events.get(topic)
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
