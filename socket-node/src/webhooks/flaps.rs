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

    /// The departures that are final by now.
    pub(super) fn take_due(&self) -> Vec<Departure> {
        self.take(|due| due <= Instant::now())
    }

    /// All departures, final or not.
    pub(super) fn take_all(&self) -> Vec<Departure> {
        self.take(|_| true)
    }

    fn take(&self, is_due: impl Fn(Instant) -> bool) -> Vec<Departure> {
        let mut held = self.held.lock();
        let mut departures = Vec::new();
        while held.queue.front().is_some_and(|(due, ..)| is_due(*due)) {
            let Some((_, number, key)) = held.queue.pop_front() else { break };
            if held.departures.get(&key).is_some_and(|(_, current)| *current == number)
                && let Some((app, _)) = held.departures.remove(&key)
            {
                let (topic, user_id) = key;
                departures.push(Departure { app, topic, user_id });
            }
        }
        departures
    }
}

fn key(topic: &Topic, user_id: Option<&str>) -> Key {
    (topic.clone(), user_id.map(Box::from))
}
