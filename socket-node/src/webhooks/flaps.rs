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

/// What left: the last subscriber of a channel, or the last connection of a user in it.
type Key = (Topic, Option<Box<str>>);

/// A departure that has become final.
#[derive(Debug)]
pub(super) struct Departure {
    pub(super) app: Arc<App>,
    pub(super) topic: Topic,
    pub(super) user_id: Option<Box<str>>,
}

/// Departures that are held back.
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
    /// Holds a departure back.
    pub(super) fn hold(&self, app: Arc<App>, topic: &Topic, user_id: Option<&str>) {
        let mut held = self.held.lock();
        let number = held.next_number;
        held.next_number += 1;
        let key = key(topic, user_id);
        held.queue.push_back((Instant::now() + HOLD, number, key.clone()));
        held.departures.insert(key, (app, number));
    }

    /// Takes a departure back; false if none is held.
    pub(super) fn cancel(&self, topic: &Topic, user_id: Option<&str>) -> bool {
        let mut held = self.held.lock();
        !held.departures.is_empty() && held.departures.remove(&key(topic, user_id)).is_some()
    }

    /// When the next departure becomes final, if one is held.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.held.lock().queue.front().map(|(due, ..)| *due)
    }

    /// Tells the departures that are final by now.
    pub(super) fn settle_due(&self, tell: impl FnMut(Departure)) {
        self.settle(|due| due <= Instant::now(), tell);
    }

    /// Tells all departures, final or not.
    pub(super) fn settle_all(&self, tell: impl FnMut(Departure)) {
        self.settle(|_| true, tell);
    }

    /// A departure becomes final and is told under one lock: who returns either takes it back or finds it told, and
    /// no arrival can be told before the departure that it follows.
    fn settle(&self, is_due: impl Fn(Instant) -> bool, mut tell: impl FnMut(Departure)) {
        let mut held = self.held.lock();
        while held.queue.front().is_some_and(|(due, ..)| is_due(*due)) {
            let Some((_, number, key)) = held.queue.pop_front() else { break };
            let is_current = held.departures.get(&key).is_some_and(|(_, current)| *current == number);
            if is_current && let Some((app, _)) = held.departures.remove(&key) {
                let (topic, user_id) = key;
                tell(Departure { app, topic, user_id });
            }
        }
    }
}

fn key(topic: &Topic, user_id: Option<&str>) -> Key {
    (topic.clone(), user_id.map(Box::from))
}

#[cfg(test)]
mod tests {
    use app_manager::app::settings::{self, APP_SETTINGS, Problems, Values};
    use tokio::time::advance;

    use super::*;
    use crate::protocol::ChannelName;

    fn app() -> Arc<App> {
        let (mut values, mut problems) = (Values::new(APP_SETTINGS), Problems::default());
        for (name, text) in [("app_id", "1"), ("app_key", "key"), ("app_secret", "secret")] {
            let setting = APP_SETTINGS.iter().find(|setting| setting.key == name).unwrap();
            values.add(setting, &text.into(), name.to_owned(), &mut problems);
        }
        Arc::new(settings::build(&values, "the test's app", &mut problems).unwrap())
    }

    fn topic() -> Topic {
        Topic { app: "1".into(), channel: ChannelName::parse("presence-x", 200).unwrap() }
    }

    /// Who has left for good by now; the channel itself is `None`.
    fn settled(flaps: &Flaps) -> Vec<Option<Box<str>>> {
        let mut settled = Vec::new();
        flaps.settle_due(|departure| settled.push(departure.user_id));
        settled
    }

    #[tokio::test(start_paused = true)]
    async fn a_departure_is_final_after_three_seconds_and_told_once() {
        let flaps = Flaps::default();
        flaps.hold(app(), &topic(), Some("a"));
        flaps.hold(app(), &topic(), None);
        advance(Duration::from_millis(2_999)).await;
        assert!(settled(&flaps).is_empty());
        advance(Duration::from_millis(1)).await;
        assert_eq!(settled(&flaps), [Some("a".into()), None]);
        assert!(settled(&flaps).is_empty());
        assert!(!flaps.cancel(&topic(), None));
        assert!(flaps.next_due().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_return_takes_back_its_own_departure_and_no_other() {
        let flaps = Flaps::default();
        flaps.hold(app(), &topic(), Some("a"));
        flaps.hold(app(), &topic(), Some("b"));
        flaps.hold(app(), &topic(), None);
        assert!(flaps.cancel(&topic(), Some("a")));
        assert!(!flaps.cancel(&topic(), Some("a")));
        advance(HOLD).await;
        assert_eq!(settled(&flaps), [Some("b".into()), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_leaves_again_has_the_whole_time_again() {
        let flaps = Flaps::default();
        flaps.hold(app(), &topic(), None);
        advance(Duration::from_secs(2)).await;
        assert!(flaps.cancel(&topic(), None));
        flaps.hold(app(), &topic(), None);
        advance(Duration::from_secs(2)).await;
        assert!(settled(&flaps).is_empty());
        advance(Duration::from_secs(1)).await;
        assert_eq!(settled(&flaps), [None]);
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_end_nothing_is_held_back() {
        let flaps = Flaps::default();
        flaps.hold(app(), &topic(), None);
        let mut count = 0;
        flaps.settle_all(|_| count += 1);
        assert_eq!(count, 1);
    }
}
