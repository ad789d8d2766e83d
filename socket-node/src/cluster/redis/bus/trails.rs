//! How far each origin has been heard on each topic, so that it is noticed when something is missing in between.
//!
//! A connection that is lost may have cost events. Which, nobody can say; but every event has its place among those of
//! its origin on its topic, so the next one tells how many there were since the last one that was heard. What was said
//! before this node listened is not missing.

use std::sync::Arc;

use super::{
    envelope::{Origin, Place},
    recent::Recent,
};
use crate::hub::Topic;

/// Trails that are remembered: one for each origin of each topic. What is missing on others is not noticed.
const MOST: usize = 65_536;

#[derive(Debug)]
pub(super) struct Trails {
    /// By origin, and by the address of the topic: one that is listened to anew is another one, and begins anew.
    heard: Recent<(Origin, usize), Trail>,
}

#[derive(Debug)]
struct Trail {
    /// The last event that was heard.
    last: Place,
    /// As long as it is here, no other topic has its address.
    topic: Arc<Topic>,
}

impl Trails {
    /// Takes down that an event was heard, and tells how many are missing before it. A trail begins only where this node
    /// is sure to listen; one that has begun goes on in any case.
    pub(super) fn follow(&mut self, origin: Origin, topic: &Arc<Topic>, place: Place, is_sure: bool) -> u64 {
        let key = (origin, Arc::as_ptr(topic).addr());
        if let Some(trail) = self.heard.get_mut(&key) {
            let missing = trail.last.missing_until(place);
            trail.last = place;
            return missing;
        }
        if is_sure {
            if self.heard.is_full() {
                // Nobody but us has those that are listened to no more.
                self.heard.retain(|trail| Arc::strong_count(&trail.topic) > 1);
            }
            self.heard.insert(key, Trail { last: place, topic: topic.clone() });
        }
        0
    }
}

impl Default for Trails {
    fn default() -> Self {
        Self { heard: Recent::new(MOST) }
    }
}

impl Place {
    /// How many events are missing between this one and a later one. If the origin has forgotten the topic meanwhile, those
    /// are counted that it has said since: there may have been others.
    fn missing_until(self, later: Self) -> u64 {
        if later.since == self.since {
            u64::from(later.number.saturating_sub(self.number).saturating_sub(1))
        } else if later.since > self.since {
            u64::from(later.number)
        } else {
            // No origin says that.
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ChannelName;

    const ORIGIN: Origin = Origin { node: 1, incarnation: 1 };

    fn topic() -> Arc<Topic> {
        Arc::new(Topic { app: "1".into(), channel: ChannelName::parse("room", 200).unwrap() })
    }

    fn place(since: u64, number: u32) -> Place {
        Place { since, number }
    }

    #[test]
    fn what_is_missing_is_counted_once() {
        let (mut trails, topic) = (Trails::default(), topic());
        for (since, number, missing) in
            [(7, 3, 0), (7, 4, 0), (7, 9, 4), (7, 10, 0), (20, 0, 0), (30, 2, 2), (30, 3, 0), (20, 5, 0)]
        {
            assert_eq!(
                trails.follow(ORIGIN, &topic, place(since, number), true),
                missing,
                "{number} since {since}"
            );
        }
    }

    #[test]
    fn origins_and_topics_have_trails_of_their_own() {
        let (mut trails, room, other_room) = (Trails::default(), topic(), topic());
        let other = Origin { node: 2, ..ORIGIN };
        for (origin, topic, number) in [(ORIGIN, &room, 1), (other, &room, 50), (ORIGIN, &other_room, 9)] {
            assert_eq!(trails.follow(origin, topic, place(1, number), true), 0);
        }
        assert_eq!(trails.follow(ORIGIN, &room, place(1, 3), true), 1);
    }

    #[test]
    fn a_trail_begins_only_where_the_node_is_sure_to_listen() {
        let (mut trails, topic) = (Trails::default(), topic());
        assert_eq!(trails.follow(ORIGIN, &topic, place(1, 0), false), 0);
        assert_eq!(trails.follow(ORIGIN, &topic, place(1, 5), true), 0);
        assert_eq!(trails.follow(ORIGIN, &topic, place(1, 8), false), 2);
        assert_eq!(trails.follow(ORIGIN, &topic, place(1, 9), true), 0);
    }

    #[test]
    fn topics_that_nobody_listens_to_are_forgotten_first() {
        let (mut trails, kept) = (Trails::default(), topic());
        trails.follow(ORIGIN, &kept, place(1, 0), true);
        for _ in 0..2 * MOST {
            trails.follow(ORIGIN, &topic(), place(1, 0), true);
        }
        assert_eq!(trails.follow(ORIGIN, &kept, place(1, 2), true), 1);
    }
}
