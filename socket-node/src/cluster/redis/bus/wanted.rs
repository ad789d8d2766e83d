//! What this node wants to hear, and what of it Redis has confirmed.
//!
//! The callers say what they want and go on; the ear's task makes it so. What was wanted and is not any more stays for a
//! second, since a channel that everybody has left is often joined again at once.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};

use crate::{cluster::redis::keys::Keys, hub::Topic};

/// How long a topic stays when nobody wants it any more.
const QUIET: Duration = Duration::from_secs(1);

/// How long a caller waits for Redis's confirmation.
const CONFIRM: Duration = Duration::from_secs(2);

/// Redis does not answer. The topic is noted, and will be listened to as soon as Redis is back.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("Redis is away, so that nothing is heard from other nodes")]
pub struct Away;

/// The topics, and who waits for them.
#[derive(Debug)]
pub(super) struct Wanted {
    keys: Keys,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    topics: HashMap<Arc<str>, Entry>,
    /// Names that Redis is to be asked for. Some may not be wanted any more.
    to_ask: VecDeque<Arc<str>>,
    /// Names of topics that may be let go, and when: at most one entry for a topic.
    to_leave: VecDeque<(Instant, Arc<str>)>,
    is_away: bool,
}

#[derive(Debug)]
struct Entry {
    topic: Arc<Topic>,
    /// Redis has confirmed it on the connection that stands.
    is_confirmed: bool,
    /// Callers that want to know when it is.
    waiting: Vec<oneshot::Sender<()>>,
    /// Since when nobody wants it.
    unwanted_since: Option<Instant>,
    /// It has an entry in `to_leave`.
    is_leaving: bool,
}

/// A topic on which something is heard.
#[derive(Debug)]
pub(super) struct Listened {
    /// The same one for as long as it is listened to.
    pub(super) topic: Arc<Topic>,
    /// Redis has confirmed it: everything is heard from now on.
    pub(super) is_confirmed: bool,
}

/// How far a caller is that wants to listen.
enum Asked {
    Confirmed,
    Away,
    Waiting(oneshot::Receiver<()>),
}

impl Wanted {
    /// Nothing is wanted yet, and there is no connection.
    pub(super) fn new(keys: Keys) -> Self {
        let state = State {
            topics: HashMap::new(),
            to_ask: VecDeque::new(),
            to_leave: VecDeque::new(),
            is_away: true,
        };
        Self { keys, state: Mutex::new(state), changed: Notify::new() }
    }

    /// Notes at once that the topic is wanted, and tells when Redis has confirmed it.
    pub(super) fn listen(&self, topic: &Topic) -> impl Future<Output = Result<(), Away>> + Send + use<> {
        let asked = self.ask(topic);
        async {
            match asked {
                Asked::Confirmed => Ok(()),
                Asked::Away => Err(Away),
                Asked::Waiting(confirmed) => match timeout(CONFIRM, confirmed).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) | Err(_) => Err(Away),
                },
            }
        }
    }

    fn ask(&self, topic: &Topic) -> Asked {
        let name: Arc<str> = self.keys.topic(topic).into();
        let mut state = self.state.lock();
        let state = &mut *state;
        let entry = state.topics.entry(name).or_insert_with_key(|name| {
            // While Redis is away nobody takes names, and once it is back all topics are asked for anyway.
            if !state.is_away {
                state.to_ask.push_back(name.clone());
                self.changed.notify_one();
            }
            Entry::new(topic)
        });
        entry.unwanted_since = None;
        if entry.is_confirmed {
            return Asked::Confirmed;
        }
        if state.is_away {
            return Asked::Away;
        }
        let (sender, confirmed) = oneshot::channel();
        entry.waiting.push(sender);
        Asked::Waiting(confirmed)
    }

    /// Nobody wants the topic any more.
    pub(super) fn unlisten(&self, topic: &Topic) {
        let name = self.keys.topic(topic);
        let now = Instant::now();
        let mut state = self.state.lock();
        let state = &mut *state;
        let Some(entry) = state.topics.get_mut(name.as_str()) else { return };
        entry.unwanted_since = Some(now);
        if !entry.is_leaving {
            entry.is_leaving = true;
            state.to_leave.push_back((now + QUIET, name.into()));
            self.changed.notify_one();
        }
    }

    /// The topic that goes by this name, if it is listened to.
    pub(super) fn listened(&self, name: &str) -> Option<Listened> {
        let state = self.state.lock();
        let entry = state.topics.get(name)?;
        Some(Listened { topic: entry.topic.clone(), is_confirmed: entry.is_confirmed })
    }

    /// How many topics there are.
    pub(super) fn count(&self) -> usize {
        self.state.lock().topics.len()
    }

    /// Waits until there is something to do, or returns at once if there was since it was last asked.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A connection stands on which nothing is subscribed yet: everything has to be asked for.
    pub(super) fn connected(&self) {
        let mut state = self.state.lock();
        state.is_away = false;
        state.to_ask = state.topics.keys().cloned().collect();
    }

    /// The connection is lost, and all confirmations with it.
    pub(super) fn lost(&self) {
        let mut state = self.state.lock();
        state.is_away = true;
        for entry in state.topics.values_mut() {
            entry.is_confirmed = false;
            entry.waiting.clear();
        }
    }

    /// The next names to ask Redis for, at most `most`.
    pub(super) fn take_to_ask(&self, most: usize) -> Vec<Arc<str>> {
        let mut state = self.state.lock();
        let mut names = Vec::new();
        while names.len() < most {
            let Some(name) = state.to_ask.pop_front() else { break };
            if state.topics.get(&name).is_some_and(|entry| !entry.is_confirmed) {
                names.push(name);
            }
        }
        names
    }

    /// Redis has confirmed these.
    pub(super) fn confirm(&self, names: &[Arc<str>]) {
        let mut state = self.state.lock();
        for name in names {
            if let Some(entry) = state.topics.get_mut(name) {
                entry.is_confirmed = true;
                for waiting in entry.waiting.drain(..) {
                    // Who does not wait any more needs no answer.
                    let _ = waiting.send(());
                }
            }
        }
    }

    /// Forgets the topics that nobody has wanted for long enough, and gives their names.
    pub(super) fn take_to_leave(&self) -> Vec<Arc<str>> {
        let now = Instant::now();
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut names = Vec::new();
        while let Some((_, name)) = state.to_leave.pop_front_if(|(due, _)| *due <= now) {
            let Some(entry) = state.topics.get_mut(&name) else { continue };
            match entry.unwanted_since {
                None => entry.is_leaving = false,
                // It was wanted again and given up again: its second begins anew.
                Some(since) if since + QUIET > now => state.to_leave.push_back((since + QUIET, name)),
                Some(_) => {
                    state.topics.remove(&name);
                    names.push(name);
                }
            }
        }
        names
    }

    /// When there is something to leave next. Later ones can stand in front of it, by less than a second.
    pub(super) fn next_leave(&self) -> Option<Instant> {
        self.state.lock().to_leave.front().map(|(due, _)| *due)
    }
}

impl Entry {
    fn new(topic: &Topic) -> Self {
        Self {
            topic: Arc::new(topic.clone()),
            is_confirmed: false,
            waiting: Vec::new(),
            unwanted_since: None,
            is_leaving: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::protocol::ChannelName;

    fn topic(name: &str) -> Topic {
        Topic { app: "1".into(), channel: ChannelName::parse(name, 200).unwrap() }
    }

    fn wanted() -> Wanted {
        let wanted = Wanted::new(Keys::new("test"));
        wanted.connected();
        wanted
    }

    /// What the ear does.
    fn confirm_all(wanted: &Wanted) -> usize {
        let names = wanted.take_to_ask(500);
        wanted.confirm(&names);
        names.len()
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_hears_of_the_confirmation_and_later_ones_at_once() {
        let wanted = wanted();
        let first = wanted.listen(&topic("a"));
        let second = wanted.listen(&topic("a"));
        assert_eq!(confirm_all(&wanted), 1);
        assert_eq!((first.await, second.await), (Ok(()), Ok(())));
        assert_eq!(wanted.listen(&topic("a")).await, Ok(()));
        assert_eq!(confirm_all(&wanted), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_wanted_while_redis_is_away_is_asked_for_afterwards() {
        let wanted = Wanted::new(Keys::new("test"));
        assert_eq!(wanted.listen(&topic("a")).await, Err(Away));
        wanted.connected();
        let waiting = wanted.listen(&topic("b"));
        assert_eq!(wanted.take_to_ask(1).len(), 1);
        wanted.lost();
        assert_eq!(waiting.await, Err(Away));
        wanted.connected();
        assert_eq!(confirm_all(&wanted), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_does_not_wait_forever() {
        assert_eq!(wanted().listen(&topic("a")).await, Err(Away));
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_is_let_go_after_a_second_in_which_nobody_wanted_it() {
        let wanted = wanted();
        let names = |count| (wanted.take_to_leave().len(), wanted.count()) == count;
        let _ = wanted.ask(&topic("a"));
        confirm_all(&wanted);
        wanted.unlisten(&topic("a"));
        advance(QUIET / 2).await;
        assert!(names((0, 1)));
        let _ = wanted.ask(&topic("a"));
        wanted.unlisten(&topic("a"));
        advance(QUIET / 2).await;
        assert!(names((0, 1)), "the second begins anew");
        advance(QUIET / 2).await;
        assert!(names((1, 0)));
        let _ = wanted.ask(&topic("a"));
        wanted.unlisten(&topic("a"));
        let _ = wanted.ask(&topic("a"));
        advance(2 * QUIET).await;
        assert!(names((0, 1)), "it is wanted again");
        wanted.unlisten(&topic("never"));
        assert_eq!(wanted.next_leave(), None);
    }
}
