//! Numbered events on some channels, clients that take down what they hear of them, and the verdict on that.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all, stream};
use serde_json::json;
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::support::{
    checker::{Checker, Heard, Verdict},
    client::Client,
    cluster::Cluster,
    node::Node,
};

/// Channels on which is published, unless a test says how many. Each has one publisher, who uses one node: the order of a
/// channel's events is that in which one node took them.
pub(crate) const CHANNELS: usize = 20;

/// Clients that connect at the same time.
const AT_ONCE: usize = 100;

/// The event after which nothing comes on a channel.
const END: &str = "end";

/// The longest silence that a client bears, and the longest time until the end can be published.
const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two attempts to publish what must be published.
const PAUSE: Duration = Duration::from_millis(50);

fn channel(number: usize) -> String {
    format!("traffic-{number}")
}

/// The node on which a channel is published.
fn origin<R>(cluster: &Cluster<R>, number: usize) -> &Node {
    let nodes = cluster.nodes();
    &nodes[number % nodes.len()]
}

/// A client that listens to one channel to its end.
#[derive(Debug)]
struct Listener {
    /// The number of its channel.
    channel: usize,
    /// Whether it is a client of the node on which its channel is published.
    is_local: bool,
    listening: JoinHandle<Vec<Heard>>,
}

/// Clients that listen, on all nodes and to all channels.
#[derive(Debug)]
pub(crate) struct Audience {
    listeners: Vec<Listener>,
}

/// What the audience heard, judged apart: what had to cross over to another node, and what had not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdicts {
    /// On clients of the node on which it was published.
    pub(crate) local: Verdict,
    /// On clients of other nodes.
    pub(crate) remote: Verdict,
}

impl Audience {
    /// So many clients, subscribed.
    pub(crate) async fn of<R>(cluster: &Cluster<R>, clients: usize) -> Self {
        Self::on(cluster, CHANNELS, clients).await
    }

    /// The same with so many channels.
    pub(crate) async fn on<R>(cluster: &Cluster<R>, channels: usize, clients: usize) -> Self {
        let nodes = cluster.nodes();
        let connecting = (0..clients).map(|number| async move {
            // Each channel has listeners on every node.
            let (node, number) = (number % nodes.len(), number / nodes.len() % channels);
            let mut client = nodes[node].connect().await;
            client.subscribe(&channel(number)).await;
            let is_local = std::ptr::eq(origin(cluster, number), &raw const nodes[node]);
            Listener { channel: number, is_local, listening: tokio::spawn(listen(client)) }
        });
        Self { listeners: stream::iter(connecting).buffered(AT_ONCE).collect().await }
    }

    /// Waits until everybody has heard the end, and judges by what was published.
    pub(crate) async fn verdicts(self, published: &[Published]) -> Verdicts {
        let [verdicts] = self.verdicts_by(published, |_| 0).await;
        verdicts
    }

    /// The same for kinds of channels, each judged apart.
    pub(crate) async fn verdicts_by<const KINDS: usize>(
        self,
        published: &[Published],
        kind: impl Fn(&str) -> usize,
    ) -> [Verdicts; KINDS] {
        let mut checkers = [(); KINDS].map(|()| (Checker::default(), Checker::default()));
        for Published { channel: number, sequence, at, acknowledged, .. } in published {
            let (local, remote) = &mut checkers[kind(&channel(*number))];
            for checker in [local, remote] {
                checker.sent(&channel(*number), *sequence, *at, *acknowledged);
            }
        }
        for listener in self.listeners {
            let heard = listener.listening.await.expect("nobody's connection ends");
            let channel = channel(listener.channel);
            let (local, remote) = &mut checkers[kind(&channel)];
            let checker = if listener.is_local { local } else { remote };
            checker.heard(&channel, heard);
        }
        checkers.map(|(local, remote)| {
            let verdicts = Verdicts { local: local.verdict(), remote: remote.verdict() };
            println!("local:  {}\nremote: {}", verdicts.local, verdicts.remote);
            verdicts
        })
    }
}

impl Verdicts {
    /// Fails the test unless everybody heard everything once and in order.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        self.local.assert_sound();
        self.remote.assert_sound();
    }

    /// Fails the test unless everybody heard everything once and in order, but for what did not cross over to another
    /// node: how many events that were, for all clients.
    #[track_caller]
    pub(crate) fn assert_sound_but_for_lost(&self) -> u64 {
        self.local.assert_sound();
        Verdict { lost: 0, ..self.remote }.assert_sound();
        self.remote.lost as u64
    }
}

/// Takes down what a client hears until the end. Its frames are not parsed: half a million of them would be most of what
/// the machine does.
async fn listen(mut client: Client) -> Vec<Heard> {
    let mut heard = Vec::new();
    loop {
        let message = client.message_within(PATIENCE).await.expect("the connection stays");
        let at = Instant::now();
        let Ok(text) = message.to_text() else { continue };
        if text.contains(&format!(r#""event":"{END}""#)) {
            return heard;
        }
        let number = text.rsplit_once(r#""data":""#).and_then(|(_, data)| data.split('"').next());
        if let Some(sequence) = number.and_then(|number| number.parse().ok()) {
            heard.push(Heard { sequence, at });
        }
    }
}

/// One attempt to publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    channel: usize,
    sequence: u64,
    at: Instant,
    /// Whether the answer was 200.
    pub(crate) acknowledged: bool,
    /// How long the answer took.
    pub(crate) took: Duration,
}

/// Publishes events with these numbers on every channel, one each in the time between two beats, and comes back with what
/// became of them.
pub(crate) async fn publish<R>(cluster: &Cluster<R>, numbers: Range<u64>, beat: Duration) -> Vec<Published> {
    publish_on(cluster, CHANNELS, numbers, beat).await
}

/// The same on so many channels.
pub(crate) async fn publish_on<R>(
    cluster: &Cluster<R>,
    channels: usize,
    numbers: Range<u64>,
    beat: Duration,
) -> Vec<Published> {
    let publishing =
        (0..channels).map(|number| publish_numbers(origin(cluster, number), number, numbers.clone(), beat));
    join_all(publishing).await.concat()
}

async fn publish_numbers(node: &Node, number: usize, numbers: Range<u64>, beat: Duration) -> Vec<Published> {
    let (api, mut pace, mut published) = (node.api(), interval(beat), Vec::new());
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sequence in numbers {
        pace.tick().await;
        let at = Instant::now();
        let event = json!({"name": "e", "channel": channel(number), "data": sequence.to_string()});
        let status = api.post("/events", event).await.status;
        assert!(matches!(status, 200 | 503), "status {status}");
        published.push(Published {
            channel: number,
            sequence,
            at,
            acknowledged: status == 200,
            took: at.elapsed(),
        });
    }
    published
}

/// Publishes the end of every channel, as often as it takes until that is acknowledged.
pub(crate) async fn publish_the_end<R>(cluster: &Cluster<R>) {
    publish_the_end_on(cluster, CHANNELS).await;
}

/// The same of so many channels.
pub(crate) async fn publish_the_end_on<R>(cluster: &Cluster<R>, channels: usize) {
    for number in 0..channels {
        let end = json!({"name": END, "channel": channel(number), "data": ""});
        publish_surely(origin(cluster, number), &end).await;
    }
}

/// Publishes one event, as often as it takes until that is acknowledged.
pub(crate) async fn publish_surely(node: &Node, event: &serde_json::Value) {
    let api = node.api();
    let publishing = async {
        while api.post("/events", event).await.status != 200 {
            sleep(PAUSE).await;
        }
    };
    timeout(PATIENCE, publishing).await.unwrap_or_else(|_| panic!("no 200 within {PATIENCE:?}"));
}
