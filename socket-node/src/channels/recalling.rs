//! The last event of a cache channel where it is kept in Redis, for all nodes.
//!
//! Every node remembers the events that it takes and hears. While it has subscribers of a channel, and has once asked
//! Redis, that is the truth: it is in step. What else it has to know it asks Redis for, without holding anything, and then
//! takes the channel's place: what has happened meanwhile is newer than the answer, and what has not happened by then
//! comes after it.
//!
//! While Redis is away, what a node remembers has to do.

use std::time::Duration;

use futures_util::{StreamExt as _, future::join_all, stream};

use super::{Channels, Overloaded, Shared};
use crate::{
    cache::{CachedEvent, Recall},
    cluster::{BusState, CacheAway, Kept, Line, RedisCache, Shard},
    hub::Topic,
    protocol::{Frame, SocketId},
};

/// Channels of which Redis is asked at the same time, when it comes back.
const AT_ONCE: usize = 32;

/// How long it may take, when Redis comes back, until this node has said what it could not say.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Tries to give an event back while others do the same.
const TRIES: usize = 3;

/// What was found out before the channel's place is taken.
#[derive(Debug)]
pub(super) struct Recalled<'a> {
    recall: Recall<'a>,
    last: Last,
}

/// The last event, as of the recall.
#[derive(Debug)]
enum Last {
    /// Redis is away: it is what this node remembers.
    Remembered,
    /// This one; on the connection with this number, this node hears what comes after it.
    Event(CachedEvent, u64),
    /// There is none. Whether nobody has been told so before.
    Missing { is_first: bool },
}

/// What a newcomer is told.
#[derive(Debug)]
pub(super) enum Replay {
    /// The last event.
    Event(CachedEvent),
    /// That there is none. Whether nobody has been told so before.
    Miss { is_first: bool },
}

impl Channels {
    /// From now on the last events of cache channels are kept there. To be called before anybody comes.
    pub fn keep_in(&self, cache: RedisCache) {
        assert!(self.shared.kept.set(cache).is_ok(), "there is one cache");
    }

    /// Where the last events of cache channels are kept, if it is not in this node.
    pub(super) fn kept(&self) -> Option<&RedisCache> {
        self.shared.kept.get()
    }

    /// Tells other nodes of a backend's event on a cache channel, and has it kept.
    pub(super) fn have_kept(
        &self,
        topic: &Topic,
        frame: &Frame,
        except: Option<SocketId>,
    ) -> Result<(), Overloaded> {
        match self.kept() {
            Some(cache) => cache.keep(topic, frame, except).map_err(|_| Overloaded),
            None => self.tell_others(topic, frame, except),
        }
    }

    /// Finds out what the last event of a channel is that Redis keeps, if it keeps any. Where other nodes are heard, this
    /// one has to listen to the channel before, if what follows matters. A miss is noted as told if it is `to_be_told`.
    pub(super) async fn recall<'a>(&'a self, topic: &'a Topic, to_be_told: bool) -> Option<Recalled<'a>> {
        let kept = self.kept().filter(|_| topic.channel.is_cache())?;
        let recall = self.shared.cache.recall(topic);
        let last = self.last(kept, topic, to_be_told).await.unwrap_or(Last::Remembered);
        Some(Recalled { recall, last })
    }

    async fn last(&self, kept: &RedisCache, topic: &Topic, to_be_told: bool) -> Result<Last, CacheAway> {
        let cache = &self.shared.cache;
        if let Some(generation) = kept.generation(topic)
            && cache.in_step(topic) == Some(generation)
            && let Some(event) = cache.get(topic)
        {
            return Ok(Last::Event(event, generation));
        }
        for _ in 0..TRIES {
            let found = kept.recall(topic).await?;
            let event = found.kept.and_then(|kept| CachedEvent::published_earlier(kept.frame, kept.left));
            if let Some(event) = event {
                return Ok(Last::Event(event, found.generation));
            }
            let Some(own) = self.trusted(topic) else { break };
            // Redis has lost it, and gets it back.
            if kept.restore(topic, &Kept { frame: own.frame().clone(), left: own.left() }).await? {
                return Ok(Last::Event(own, found.generation));
            }
        }
        let is_first = to_be_told && kept.is_first_miss(topic).await?;
        Ok(Last::Missing { is_first })
    }

    /// What this node remembers, if nothing newer can have happened: it has heard everything, at least until it lost Redis
    /// and Redis lost the event; or there is nobody to hear.
    fn trusted(&self, topic: &Topic) -> Option<CachedEvent> {
        let cache = &self.shared.cache;
        let is_trusted = self.cluster().is_none() || cache.in_step(topic).is_some();
        cache.get(topic).filter(|_| is_trusted)
    }

    /// What somebody is told who subscribes now, while the channel's place is held.
    pub(super) fn replay(&self, topic: &Topic, recalled: Option<Recalled<'_>>) -> Replay {
        let Shared { cache, .. } = &*self.shared;
        let Some(Recalled { recall, last }) = recalled else { return self.remembered(topic) };
        match last {
            Last::Remembered => self.remembered(topic),
            Last::Event(event, generation) => {
                if self.cluster().is_some() {
                    cache.fall_in_step(topic, generation);
                }
                let newer = cache.get(topic).filter(|_| recall.is_overtaken());
                cache.put_recalled(&recall, event.clone());
                Replay::Event(newer.unwrap_or(event))
            }
            Last::Missing { is_first } => match cache.get(topic).filter(|_| recall.is_overtaken()) {
                Some(newer) => Replay::Event(newer),
                None => Replay::Miss { is_first },
            },
        }
    }

    fn remembered(&self, topic: &Topic) -> Replay {
        match self.shared.cache.get(topic) {
            Some(event) => Replay::Event(event),
            None => Replay::Miss { is_first: self.shared.cache.is_first_miss(topic) },
        }
    }

    /// What was last published on a channel, for somebody who does not subscribe.
    pub(super) async fn look_up(&self, topic: &Topic) -> Option<CachedEvent> {
        let Some(Recalled { recall, last }) = self.recall(topic, false).await else {
            return self.shared.cache.get(topic);
        };
        let _place = self.shared.census.place(topic);
        match last {
            Last::Event(event, _) if !recall.is_overtaken() => Some(event),
            Last::Missing { .. } if !recall.is_overtaken() => None,
            Last::Event(..) | Last::Missing { .. } | Last::Remembered => self.shared.cache.get(topic),
        }
    }

    /// Gives Redis back what it has lost of the channels that have subscribers here, whenever it comes back, for as long
    /// as the node lives.
    pub async fn keep_cache_filled(self) {
        let Some(kept) = self.kept() else { return };
        join_all(kept.lines().iter().map(|line| self.keep_line_filled(kept, line))).await;
    }

    async fn keep_line_filled(&self, kept: &RedisCache, line: &Line) {
        let mut state = kept.state(line.first());
        loop {
            let is_back = matches!(*state.borrow_and_update(), BusState::Listening(_));
            if is_back {
                let channels = self.shared.census.cache_channels().into_iter();
                let topics = stream::iter(channels.filter(|topic| line.serves(Shard::of_topic(topic))));
                topics.for_each_concurrent(AT_ONCE, |topic| self.refill(topic)).await;
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    async fn refill(&self, topic: Topic) {
        let Some(kept) = self.kept().filter(|_| self.trusted(&topic).is_some()) else { return };
        // What this node has to say itself is newer, and on its way.
        kept.settle(&topic, CATCH_UP).await;
        let recalled = self.recall(&topic, false).await;
        let place = self.shared.census.place(&topic);
        if place.occupancy().is_occupied() {
            self.replay(&topic, recalled);
        }
        drop(place);
    }
}
