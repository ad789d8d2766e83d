//! Departures that may be taken back: a page that is loaded anew leaves its channels and returns a moment later, and
//! nobody wants to hear of either.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use app_manager::app::App;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::hub::Topic;

/// How long a departure is held back: what Pusher documents as the most.
const HOLD: Duration = Duration::from_secs(3);

/// Departures that are held at one time, those that were taken back included. Beyond, the oldest becomes final early:
/// it is told too soon, but told.
const MAX_HELD: usize = 65_536;

/// What left: the last subscriber of a channel, or the last connection of a user in it.
type Key = (Topic, Option<Box<str>>);

/// A departure, of a channel's last subscriber or, with `user_id`, of that user's last connection.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) app: Arc<App>,
    pub(super) topic: Topic,
    pub(super) user_id: Option<Box<str>>,
}

/// Departures that are held back.
///
/// A departure becomes final and is told under one lock. Whoever returns either takes it back or finds it told, so an
/// arrival that is told can never overtake the departure before it.
#[derive(Debug, Default)]
pub(super) struct Flaps {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The app, and which departure of its key it is: a key may leave, return, and leave again in the time.
    departures: HashMap<Key, (Arc<App>, u64)>,
    /// When each becomes final. All wait equally long, so the first to come is the first to be due.
    queue: VecDeque<(Instant, u64, Key)>,
    next_number: u64,
}

impl Flaps {
    /// Holds a departure back. `tell` gets the oldest one if there are too many.
    pub(super) fn hold(&self, departure: Departure, mut tell: impl FnMut(Departure)) {
        let mut held = self.held.lock();
        if held.queue.len() >= MAX_HELD {
            held.settle_oldest(|_| true, &mut tell);
        }
        let Departure { app, topic, user_id } = departure;
        let number = held.next_number;
        held.next_number += 1;
        let key = (topic, user_id);
        held.queue.push_back((Instant::now() + HOLD, number, key.clone()));
        held.departures.insert(key, (app, number));
    }

    /// Takes a departure back; false if none is held.
    pub(super) fn cancel(&self, topic: &Topic, user_id: Option<&str>) -> bool {
        let mut held = self.held.lock();
        !held.departures.is_empty()
            && held.departures.remove(&(topic.clone(), user_id.map(Box::from))).is_some()
    }

    /// When the next departure becomes final, if one is held.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.lock().queue.front().map(|(due, ..)| *due)
    }

    /// Tells the departures that are final by now.
    pub(super) fn settle_due(&self, tell: impl FnMut(Departure)) {
        self.settle_until(Instant::now(), tell);
    }

    /// Tells all departures that are held at this moment.
    pub(super) fn settle_all(&self, tell: impl FnMut(Departure)) {
        self.settle_until(Instant::now() + HOLD, tell);
    }

    /// Takes the lock for each of them anew, so that nobody who arrives has to wait for all.
    fn settle_until(&self, time: Instant, mut tell: impl FnMut(Departure)) {
        while self.held.lock().settle_oldest(|due| due <= time, &mut tell) {}
    }
}

impl Held {
    /// Makes the oldest departure final if it is due, and tells it unless it was taken back; false if none is due.
    fn settle_oldest(&mut self, is_due: impl Fn(Instant) -> bool, tell: &mut impl FnMut(Departure)) -> bool {
        let Some((_, number, key)) = self.queue.pop_front_if(|(due, ..)| is_due(*due)) else {
            return false;
        };
        if self.departures.get(&key).is_some_and(|(_, current)| *current == number)
            && let Some((app, _)) = self.departures.remove(&key)
        {
            let (topic, user_id) = key;
            tell(Departure { app, topic, user_id });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::advance;

    use super::*;
    use crate::webhooks::fixtures::{app, topic};

    const SECOND: Duration = Duration::from_secs(1);

    fn departure(channel: &str, user_id: Option<&str>) -> Departure {
        Departure { app: app(json!({})), topic: topic(channel), user_id: user_id.map(Box::from) }
    }

    fn hold(flaps: &Flaps, channel: &str, user_id: Option<&str>) {
        flaps.hold(departure(channel, user_id), |early| panic!("{early:?} is told early"));
    }

    /// What becomes final by now, as `channel` or `channel/user`.
    fn due(flaps: &Flaps) -> Vec<String> {
        let mut told = Vec::new();
        flaps.settle_due(|departure| told.push(name(&departure)));
        told
    }

    fn name(departure: &Departure) -> String {
        match &departure.user_id {
            Some(user_id) => format!("{}/{user_id}", departure.topic.channel.as_str()),
            None => departure.topic.channel.as_str().to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_departure_is_final_after_three_seconds_and_not_before() {
        let flaps = Flaps::default();
        hold(&flaps, "room", None);
        assert_eq!(flaps.next_due(), Some(Instant::now() + 3 * SECOND));
        advance(3 * SECOND - Duration::from_millis(1)).await;
        assert!(due(&flaps).is_empty());
        advance(Duration::from_millis(1)).await;
        assert_eq!(due(&flaps), ["room"]);
        assert!(due(&flaps).is_empty() && flaps.next_due().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_departure_that_was_taken_back_is_never_told() {
        let flaps = Flaps::default();
        hold(&flaps, "room", None);
        assert!(flaps.cancel(&topic("room"), None));
        assert!(!flaps.cancel(&topic("room"), None), "once is all that it can be taken back");
        advance(4 * SECOND).await;
        assert!(due(&flaps).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_to_take_back_once_the_departure_was_told() {
        let flaps = Flaps::default();
        hold(&flaps, "room", None);
        advance(3 * SECOND).await;
        assert_eq!(due(&flaps), ["room"]);
        assert!(!flaps.cancel(&topic("room"), None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_again_is_held_for_the_whole_time_again() {
        let flaps = Flaps::default();
        hold(&flaps, "room", None);
        advance(SECOND).await;
        assert!(flaps.cancel(&topic("room"), None));
        hold(&flaps, "room", None);
        advance(2 * SECOND).await;
        assert!(due(&flaps).is_empty(), "the first departure was taken back");
        advance(SECOND).await;
        assert_eq!(due(&flaps), ["room"]);
    }

    #[tokio::test(start_paused = true)]
    async fn channel_and_members_are_held_apart_and_told_in_order() {
        let flaps = Flaps::default();
        for user_id in [Some("ann"), Some("bob"), None] {
            hold(&flaps, "presence-room", user_id);
        }
        hold(&flaps, "presence-hall", Some("ann"));
        assert!(flaps.cancel(&topic("presence-room"), Some("ann")));
        advance(3 * SECOND).await;
        assert_eq!(due(&flaps), ["presence-room/bob", "presence-room", "presence-hall/ann"]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_everything_is_told_at_once() {
        let flaps = Flaps::default();
        hold(&flaps, "a", None);
        advance(SECOND).await;
        hold(&flaps, "b", None);
        let mut told = Vec::new();
        flaps.settle_all(|departure| told.push(name(&departure)));
        assert_eq!(told, ["a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_the_bound_the_oldest_departure_is_told_early() {
        let (flaps, mut early) = (Flaps::default(), Vec::new());
        let app = app(json!({}));
        for number in 0..=MAX_HELD {
            let topic = topic(&format!("room-{number}"));
            flaps.hold(Departure { app: Arc::clone(&app), topic, user_id: None }, |departure| {
                early.push(name(&departure));
            });
        }
        assert_eq!(early, ["room-0"]);
        assert_eq!(flaps.held.lock().queue.len(), MAX_HELD);
    }
}
