//! A node as far as the bus is concerned: it speaks, listens, and remembers what it heard.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use socket_node::{
    cluster::redis::{
        bus::{Bus, BusState, Command, Heard, NoticeKind, OutboxFull},
        keys::{Keys, Shard},
        line::Lines,
    },
    hub::Topic,
    protocol::{ChannelName, Event, Frame, NodeId, SocketId, event},
};
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::redis_server::link;

/// How long anything may take that is bound to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const PREFIX: &str = "test";

/// What a node heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Memory {
    /// An event of a channel, with the number that it carries.
    Event(String, Option<SocketId>, u64),
    Notice(String, NoticeKind, u64, String),
    Command(Command),
}

pub(crate) struct Node {
    pub(crate) bus: Bus,
    pub(crate) lines: Lines,
    pub(crate) id: NodeId,
    heard: Arc<Hearing>,
    work: JoinHandle<()>,
}

#[derive(Default)]
struct Hearing {
    memory: Mutex<Vec<Memory>>,
    grown: Notify,
}

impl Node {
    /// A node that hears others through the Redis on this port.
    pub(crate) async fn start(port: u16) -> Self {
        let node = Self::start_alone(port);
        node.wait_for(|state| matches!(state, BusState::Listening(_))).await;
        node
    }

    /// The same, whether anybody answers on the port or not.
    pub(crate) fn start_alone(port: u16) -> Self {
        Self::start_busy(port, Duration::ZERO)
    }

    /// A node that has so much to do with everything that it hears.
    pub(crate) fn start_busy(port: u16, work: Duration) -> Self {
        let id = NodeId::from_random(getrandom::u64().expect("random numbers"));
        let heard = Arc::<Hearing>::default();
        let hear = {
            let heard = heard.clone();
            move |what: Heard<'_>| {
                std::thread::sleep(work);
                heard.note(what);
            }
        };
        let lines = Lines::to_server(link(port), Keys::new(PREFIX));
        let (bus, work) = Bus::start(&lines, id, hear);
        Self { bus, lines, id, heard, work: tokio::spawn(work) }
    }

    /// Publishes an event that carries this number.
    pub(crate) fn publish(&self, channel: &str, number: u64) -> Result<(), OutboxFull> {
        self.bus.publish(&topic(channel), &numbered(channel, number), None)
    }

    pub(crate) async fn listen(&self, channel: &str) {
        self.bus.listen(&topic(channel)).await.expect("Redis confirms");
    }

    /// The numbers of the events that were heard, in the order in which they came.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let number = |memory: &Memory| match memory {
            Memory::Event(_, _, number) => Some(*number),
            Memory::Notice(..) | Memory::Command(_) => None,
        };
        self.heard.memory.lock().iter().filter_map(number).collect()
    }

    pub(crate) fn memory(&self) -> Vec<Memory> {
        self.heard.memory.lock().clone()
    }

    /// Waits until so much has been heard.
    pub(crate) async fn hears(&self, count: usize) {
        let all = async {
            while self.heard.memory.lock().len() < count {
                self.heard.grown.notified().await;
            }
        };
        if timeout(DEADLINE, all).await.is_err() {
            panic!("{} of {count} were heard: {:?}", self.heard.memory.lock().len(), self.bus.figures());
        }
    }

    /// Waits until the node knows of so many, itself among them.
    pub(crate) async fn knows(&self, nodes: u32) {
        let known = async {
            while self.bus.figures().nodes < nodes {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, known).await.expect("Redis is asked every second");
    }

    /// Waits for a state of the bus, and says how long it took.
    pub(crate) async fn wait_for(&self, is_it: impl FnMut(&BusState) -> bool) -> Duration {
        let begin = Instant::now();
        let mut state = self.bus.state(Shard::FIRST);
        timeout(DEADLINE, state.wait_for(is_it)).await.expect("the state in time").expect("the bus runs");
        begin.elapsed()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        assert!(!self.work.is_finished(), "the work of the bus has ended");
        self.work.abort();
    }
}

impl Hearing {
    fn note(&self, heard: Heard<'_>) {
        let memory = match heard {
            Heard::Event { topic, except, frame } => {
                Memory::Event(topic.channel.as_str().into(), except, number(&frame))
            }
            Heard::Notice { topic, notice } => Memory::Notice(
                topic.channel.as_str().into(),
                notice.kind,
                notice.version,
                notice.member.user_id.into(),
            ),
            Heard::Command(command) => Memory::Command(command),
        };
        self.memory.lock().push(memory);
        self.grown.notify_one();
    }
}

pub(crate) fn topic(channel: &str) -> Topic {
    Topic { app: "1".into(), channel: ChannelName::parse(channel, 200).expect("a legal name") }
}

pub(crate) fn numbered(channel: &str, number: u64) -> Frame {
    event::published(&topic(channel).channel, Event { name: "\"e\"", data: &format!("\"{number}\"") })
}

fn number(frame: &Frame) -> u64 {
    let text = String::from_utf8_lossy(frame.bytes()).into_owned();
    let (_, data) = text.split_once("\"data\":\"").expect("an event");
    data.trim_end_matches("\"}").parse().expect("a number")
}

/// A client that is no node of ours.
pub(crate) async fn stranger(port: u16) -> redis::aio::MultiplexedConnection {
    let client =
        redis::Client::open(format!("redis://127.0.0.1:{port}/?protocol=resp3")).expect("a good URL");
    client.get_multiplexed_async_connection().await.expect("Redis answers")
}
