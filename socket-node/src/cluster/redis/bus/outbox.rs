//! What this node has said and Redis has not answered yet: in order, and bounded.

use std::{
    collections::VecDeque,
    io::Write as _,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisWrite as _};
use thiserror::Error;
use tokio::{sync::Notify, time::timeout};

use super::{
    Command,
    envelope::{Head, Origin, Place, Sender},
    recent::Recent,
};
use crate::{
    cluster::redis::{
        cache::scripts::{self, News},
        keys::{Keys, TopicName},
        line::{Dialect, Reach},
    },
    hub::Topic,
    protocol::{Frame, SocketId},
};

/// Messages for which there is room.
const MOST_MESSAGES: usize = 10_000;

/// Bytes for which there is room: with all that comes with it, a node grows by less than 16 MiB while Redis is away.
const MOST_BYTES: usize = 12 << 20;

/// Messages that go together, and the bytes after which no more are added: few enough for a thin line to carry them
/// within the time that Redis has to answer.
const BATCH_MESSAGES: usize = 512;
const BATCH_BYTES: usize = 64 << 10;

/// Topics of which it is remembered how much was said there. The others begin anew.
const MOST_TOPICS: usize = 65_536;

/// What a message costs besides its own bytes, about.
const OVERHEAD: usize = 160;

/// Redis has been away, or slow, for so long that there is no room left for another message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too many messages to other nodes are waiting for Redis")]
pub struct OutboxFull;

/// The messages that are on their way, or wait for it.
#[derive(Debug)]
pub(super) struct Outbox {
    origin: Origin,
    keys: Keys,
    dialect: Dialect,
    /// The topic of commands.
    control: String,
    reach: Reach,
    state: Mutex<State>,
    filled: Notify,
    /// Redis has answered for something, or the publisher has caught up with what a lost connection left open.
    answered: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Message>,
    /// How much there is, those among it that were taken and have no answer yet.
    depth: Depth,
    /// The number of the last message.
    sequence: u64,
    /// The place of the last event on each topic.
    places: Recent<Topic, Place>,
    /// Nothing is to be said again: what has been answered is in Redis.
    is_caught_up: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Depth {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// A command that says something, ready to be sent.
#[derive(Debug)]
struct Message {
    command: Cmd,
    size: usize,
    queued_at: Instant,
}

/// Messages that are sent together. It can be sent again.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) pipeline: Pipeline,
    pub(super) depth: Depth,
    /// When the first of them was put into the outbox.
    pub(super) queued_at: Instant,
}

impl Outbox {
    pub(super) fn new(origin: Origin, keys: Keys, dialect: Dialect, control: String, reach: Reach) -> Self {
        let (filled, answered) = (Notify::new(), Notify::new());
        let state = Mutex::new(State::default());
        Self { origin, keys, dialect, control, reach, state, filled, answered }
    }

    pub(super) fn put_event(
        &self,
        topic: &Topic,
        frame: &Frame,
        except: Option<SocketId>,
    ) -> Result<(), OutboxFull> {
        let target = Target::Topic(self.keys.topic_name(topic));
        self.put(frame.bytes().len(), |sender, state| {
            let head = Head::event(sender, state.next_place(topic), except);
            publish(self.dialect, target, &head, frame.bytes())
        })
    }

    /// The same for an event that is to be kept as the last one of its channel.
    pub(super) fn put_kept_event(
        &self,
        topic: &Topic,
        frame: &Frame,
        except: Option<SocketId>,
    ) -> Result<(), OutboxFull> {
        let hearers = match self.reach {
            Reach::Nodes => Some((self.dialect, self.keys.topic_name(topic))),
            Reach::Cache => None,
        };
        self.put(frame.bytes().len(), |sender, state| {
            let head = Head::event(sender, state.next_place(topic), except);
            let news =
                News { origin: self.origin.to_string(), sequence: sender.sequence, head: head.bytes() };
            scripts::keep(&self.keys, topic, hearers, &news, frame)
        })
    }

    pub(super) fn put_command(&self, command: &Command) -> Result<(), OutboxFull> {
        let (target, body) = (Target::Control(&self.control), command.to_bytes());
        self.put(body.len(), |sender, _| publish(self.dialect, target, &Head::command(sender), &body))
    }

    /// The message is written under the lock, which makes the order of the numbers that of the messages.
    fn put(&self, body: usize, write: impl FnOnce(Sender, &mut State) -> Cmd) -> Result<(), OutboxFull> {
        let size = OVERHEAD + body;
        let mut state = self.state.lock();
        if state.depth.messages >= MOST_MESSAGES || state.depth.bytes + size > MOST_BYTES {
            return Err(OutboxFull);
        }
        state.sequence += 1;
        let sender = Sender { origin: self.origin, sequence: state.sequence };
        let command = write(sender, &mut state);
        state.waiting.push_back(Message { command, size, queued_at: Instant::now() });
        state.depth.messages += 1;
        state.depth.bytes += size;
        let was_empty = state.waiting.len() == 1;
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// The next messages that wait, as many as go together.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        let queued_at = state.waiting.front()?.queued_at;
        let mut batch = Batch { pipeline: Pipeline::new(), depth: Depth::default(), queued_at };
        while batch.depth.messages < BATCH_MESSAGES && batch.depth.bytes < BATCH_BYTES {
            let Some(message) = state.waiting.pop_front() else { break };
            batch.pipeline.add_command(message.command);
            batch.depth.messages += 1;
            batch.depth.bytes += message.size;
        }
        Some(batch)
    }

    /// Makes room: Redis has answered for these.
    pub(super) fn answered(&self, batch: &Batch) {
        let mut state = self.state.lock();
        state.depth.messages -= batch.depth.messages;
        state.depth.bytes -= batch.depth.bytes;
        drop(state);
        self.answered.notify_waiters();
    }

    /// Whether the publisher has a connection, and has said again on it what may not have been heard.
    pub(super) fn set_caught_up(&self, is_caught_up: bool) {
        self.state.lock().is_caught_up = is_caught_up;
        self.answered.notify_waiters();
    }

    /// Waits until everything that has been put in so far is in Redis. It may take as long as Redis is away.
    pub(super) async fn settled(&self) {
        let last = self.state.lock().sequence;
        loop {
            let answered = self.answered.notified();
            {
                let state = self.state.lock();
                if state.is_caught_up && state.sequence - state.depth.messages as u64 >= last {
                    return;
                }
            }
            answered.await;
        }
    }

    pub(super) fn depth(&self) -> Depth {
        self.state.lock().depth
    }

    /// Waits until something is waiting, or returns at once if something came since it was last asked.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Waits until Redis has answered for everything, and says how many messages were left when patience ended.
    pub(super) async fn flush(&self, patience: Duration) -> usize {
        let flushed = async {
            loop {
                let answered = self.answered.notified();
                if self.depth().messages == 0 {
                    return;
                }
                answered.await;
            }
        };
        match timeout(patience, flushed).await {
            Ok(()) => 0,
            Err(_) => self.depth().messages,
        }
    }
}

impl State {
    /// The place of an event on this topic that has the last number.
    fn next_place(&mut self, topic: &Topic) -> Place {
        let begin = Place { since: self.sequence, number: 0 };
        if let Some(place) = self.places.get_mut(topic) {
            let next = place.number.checked_add(1).map(|number| Place { number, ..*place });
            *place = next.unwrap_or(begin);
            return *place;
        }
        self.places.insert(topic.clone(), begin);
        begin
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            depth: Depth::default(),
            sequence: 0,
            places: Recent::new(MOST_TOPICS),
            is_caught_up: false,
        }
    }
}

/// Where a message goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    Topic(TopicName<'a>),
    Control(&'a str),
}

/// The command that publishes a message, written without anything in between: two allocations.
pub(super) fn publish(dialect: Dialect, target: Target<'_>, head: &Head, body: &[u8]) -> Cmd {
    /// Room for most names; others cost another allocation.
    const NAME: usize = 96;
    let verb = dialect.publish();
    let size = verb.len() + NAME + head.bytes().len() + body.len();
    let mut command = Cmd::with_capacity(3, size);
    command.write_arg(verb.as_bytes());
    match target {
        Target::Topic(name) => command.write_arg_fmt(name),
        Target::Control(name) => command.write_arg(name.as_bytes()),
    }
    let mut message = command.writer_for_next_arg();
    message.write_all(head.bytes()).and_then(|()| message.write_all(body)).expect("memory takes everything");
    drop(message);
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ChannelName, event};

    fn outbox() -> Outbox {
        Outbox::new(
            Origin { node: 1, incarnation: 1 },
            Keys::new("test"),
            Dialect::Server,
            "test:control".to_owned(),
            Reach::Nodes,
        )
    }

    fn named(name: &str) -> Topic {
        Topic { app: "1".into(), channel: ChannelName::parse(name, 200).unwrap() }
    }

    fn put(outbox: &Outbox) -> Result<(), OutboxFull> {
        outbox.put_event(&named("room"), &event::pong(), None)
    }

    #[test]
    fn a_full_outbox_refuses_and_has_room_again_after_an_answer() {
        let outbox = outbox();
        for _ in 0..MOST_MESSAGES {
            put(&outbox).unwrap();
        }
        assert_eq!(put(&outbox), Err(OutboxFull));
        let batch = outbox.take().unwrap();
        assert_eq!(put(&outbox), Err(OutboxFull), "what is on its way still counts");
        outbox.answered(&batch);
        assert_eq!(outbox.depth().messages, MOST_MESSAGES - batch.depth.messages);
        put(&outbox).unwrap();
    }

    #[test]
    fn large_messages_fill_it_by_their_bytes() {
        let outbox = outbox();
        let large = Frame::pong(&vec![b'x'; 1 << 20]);
        let put = || outbox.put_event(&named("room"), &large, None);
        assert_eq!((0..100).take_while(|_| put().is_ok()).count(), 11);
        assert_eq!(outbox.take().unwrap().depth.messages, 1);
        assert!(outbox.depth().bytes <= MOST_BYTES);
    }

    #[test]
    fn batches_hold_all_messages_in_order() {
        let outbox = outbox();
        (0..1_000).for_each(|_| put(&outbox).unwrap());
        let mut sequences = Vec::new();
        while let Some(batch) = outbox.take() {
            for command in batch.pipeline.cmd_iter() {
                let Some(redis::Arg::Simple(message)) = command.args_iter().last() else {
                    panic!("no message")
                };
                sequences.push(super::super::envelope::number(&message[16..]).unwrap());
            }
            outbox.answered(&batch);
        }
        assert_eq!(sequences, (1..=1_000).collect::<Vec<_>>());
        assert_eq!(outbox.depth(), Depth::default());
    }

    #[test]
    fn events_are_counted_by_topic_and_anew_once_that_is_forgotten() {
        let mut state = State::default();
        let mut next = |name: &str| {
            state.sequence += 1;
            let Place { since, number } = state.next_place(&named(name));
            (since, number)
        };
        assert_eq!(["a", "b", "a", "a", "b"].map(&mut next), [(1, 0), (2, 0), (1, 1), (1, 2), (2, 1)]);
        for number in 0..MOST_TOPICS {
            next(&number.to_string());
            next("a");
        }
        let last = 5 + 2 * MOST_TOPICS as u64;
        assert_eq!(next("a"), (1, 3 + u32::try_from(MOST_TOPICS).unwrap()));
        assert_eq!(next("b"), (last + 2, 0));
        let count = state.places.get_mut(&named("a")).expect("it was used a moment ago");
        count.number = u32::MAX;
        state.sequence += 1;
        assert_eq!(state.next_place(&named("a")), Place { since: last + 3, number: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_ends_with_the_last_answer_or_says_what_is_left() {
        let outbox = outbox();
        put(&outbox).unwrap();
        assert_eq!(outbox.flush(Duration::from_secs(1)).await, 1);
        let batch = outbox.take().unwrap();
        let (left, ()) =
            tokio::join!(outbox.flush(Duration::from_secs(1)), async { outbox.answered(&batch) });
        assert_eq!(left, 0);
    }
}
