//! Readers that stop reading, beside others that do not: the slow ones cost a bounded amount of memory and are cut
//! off, and nobody else notices.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use tokio::{net::TcpSocket, sync::Semaphore, task::JoinHandle};

use crate::support::{
    api::Api,
    node::Node,
    raw::{Raw, RawFrame, frame, opcode, upgrade_request},
};

/// Of either kind.
const READERS: usize = 1000;

/// What the node may keep for one slow reader.
const BACKLOG_IN_KB: u64 = 256;

/// Of one event's data.
const EVENT_BYTES: usize = 10_000;

/// Events that may be on their way to the fast readers. What they are sent is far below the backlog, so that being
/// cut off proves slowness.
const WINDOW: usize = 4;

/// How long the node waits for a slow reader to take what it is still owed.
const LINGER: Duration = Duration::from_secs(10);

/// Enough for every slow reader to be cut off, with all that the kernel keeps on either side of its connection.
const EVENTS: u32 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_slow_readers_are_cut_off_and_a_thousand_fast_ones_lose_nothing() {
    raise_the_limit_of_open_files();
    let node = Node::with(["--max-socket-backlog-in-kb", &BACKLOG_IN_KB.to_string()]);
    let slow = join_all((0..READERS).map(|_| slow_reader(&node))).await;
    let fast = FastReaders::start(&node).await;
    let before = node.resident_bytes();

    let pressure = fast.publish_more_than_the_slow_can_take(&node).await;
    let growth = pressure.most_resident_bytes.saturating_sub(before);
    let allowed = READERS as u64 * BACKLOG_IN_KB * 1024 + (64 << 20);
    assert!(growth <= allowed, "the node grew by {growth} bytes, allowed are {allowed}");

    let endings = join_all(slow.into_iter().map(how_it_ended)).await;
    let told = endings.iter().filter(|ending| **ending == Ending::Told).count();
    println!("{growth} bytes of growth; {told} slow readers were told why they were cut off");
    if pressure.first_possible_cut.elapsed() < LINGER {
        assert_eq!(told, READERS, "all of them resumed in time to be told");
    }
    assert!(told > 0, "nobody was told");

    let mut latencies = fast.finish().await;
    latencies.sort();
    let p99 = latencies[latencies.len() * 99 / 100];
    println!("p99 of {} deliveries: {p99:?}", latencies.len());
    assert!(p99 <= Duration::from_secs(2), "p99 is {p99:?}");
}

/// Both ends of every connection are files: the node's of the node, which inherits the limit, and ours of the test.
fn raise_the_limit_of_open_files() {
    let wanted = 3 * READERS as u64;
    let limit = rlimit::increase_nofile_limit(wanted).expect("the limit may be read");
    assert!(limit >= wanted, "{wanted} open files are needed and {limit} are allowed");
}

/// What happened while events were published.
struct Pressure {
    most_resident_bytes: u64,
    /// Before this, no slow reader was owed as much as the node may keep for it.
    first_possible_cut: Instant,
}

/// A reader that subscribes and then stops reading. Its receive buffer is fixed, so that the kernel takes little in
/// its place.
async fn slow_reader(node: &Node) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(64 << 10).expect("a size within the kernel's limits");
    let mut raw = Raw::over(socket.connect(node.address).await.expect("the node listens"));
    subscribe(&mut raw).await;
    raw
}

/// Upgrades a connection and subscribes it to the room.
async fn subscribe(raw: &mut Raw) {
    raw.send(upgrade_request("/app/app-key?protocol=7", &[]).as_bytes()).await;
    raw.head().await;
    raw.frame().await.expect("the first frame");
    raw.send(&frame(opcode::TEXT, br#"{"event":"pusher:subscribe","data":{"channel":"room"}}"#)).await;
    let answer = raw.frame().await.expect("an answer");
    assert!(answer.text().contains("subscription_succeeded"), "{answer:?}");
}

/// How a slow reader found its connection when it read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Events without a gap, then the error and the Close frame of code 4100.
    Told,
    /// Events without a gap, then nothing: it came too late.
    Cut,
}

async fn how_it_ended(mut slow: Raw) -> Ending {
    let frames = slow.frames().await;
    let mut expected = 0;
    let mut rest = frames.as_slice();
    while let Some((first, later)) = rest.split_first().filter(|(first, _)| number_of(first).is_some()) {
        assert_eq!(number_of(first), Some(expected), "an event is missing or out of order");
        (expected, rest) = (expected + 1, later);
    }
    match rest {
        [] => Ending::Cut,
        [error, close] => {
            assert!(error.text().starts_with(r#"{"event":"pusher:error","data":{"code":4100,"#), "{error:?}");
            assert_eq!(close.close_code(), Some(4100), "{close:?}");
            Ending::Told
        }
        other => panic!("after the events: {other:?}"),
    }
}

/// The number of an event.
fn number_of(event: &RawFrame) -> Option<u32> {
    let (number, _) = published(event)?;
    Some(number)
}

/// The number of an event and the time when it was published, in microseconds of the test.
fn published(event: &RawFrame) -> Option<(u32, u64)> {
    let (_, data) = event.text().split_once(r#""data":"<"#)?;
    let mut words = data.split(' ');
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Readers that read all the time.
struct FastReaders {
    /// Each ends with the latencies of what it got, once it was sent the event that ends the test.
    readers: Vec<JoinHandle<Vec<Duration>>>,
    /// A permit for each event that a reader has got.
    received: Arc<Semaphore>,
    start: Instant,
    api: Api,
}

impl FastReaders {
    async fn start(node: &Node) -> Self {
        let (start, received) = (Instant::now(), Arc::new(Semaphore::new(WINDOW * READERS)));
        let subscribed = join_all((0..READERS).map(|_| async {
            let mut raw = Raw::connect(node).await;
            subscribe(&mut raw).await;
            raw
        }));
        let read = |raw| tokio::spawn(read_to_the_end(raw, received.clone(), start));
        let readers = subscribed.await.into_iter().map(read).collect();
        Self { readers, received, start, api: node.api() }
    }

    /// Publishes as fast as the fast readers read.
    async fn publish_more_than_the_slow_can_take(&self, node: &Node) -> Pressure {
        let mut pressure = Pressure { most_resident_bytes: 0, first_possible_cut: Instant::now() };
        for number in 0..EVENTS {
            if u64::from(number) * EVENT_BYTES as u64 <= BACKLOG_IN_KB * 1024 {
                pressure.first_possible_cut = Instant::now();
            }
            self.publish(number).await;
            pressure.most_resident_bytes = pressure.most_resident_bytes.max(node.resident_bytes());
        }
        pressure
    }

    async fn publish(&self, number: u32) {
        let everyone = u32::try_from(READERS).expect("a thousand");
        self.received.acquire_many(everyone).await.expect("never closed").forget();
        let head = format!("<{number} {} ", self.start.elapsed().as_micros());
        let filling = "x".repeat(EVENT_BYTES - head.len());
        self.api.publish("room", "news", head + &filling).await;
    }

    /// The latencies of all deliveries, each of which was made in order, once.
    async fn finish(self) -> Vec<Duration> {
        self.api.publish("room", "end", "").await;
        let latencies = try_join_all(self.readers).await.expect("every fast reader got everything in order");
        for got in &latencies {
            assert_eq!(got.len(), EVENTS as usize, "a fast reader lost events");
        }
        latencies.concat()
    }
}

/// Reads until the event that ends the test. The events must come in order, without a gap.
async fn read_to_the_end(mut raw: Raw, received: Arc<Semaphore>, start: Instant) -> Vec<Duration> {
    let mut latencies = Vec::new();
    loop {
        let event = raw.frame_within(Duration::from_secs(30)).await.expect("a fast reader is never cut off");
        let Some((number, micros)) = published(&event) else {
            assert!(event.text().contains(r#""event":"end""#), "{event:?}");
            return latencies;
        };
        assert_eq!(
            usize::try_from(number).ok(),
            Some(latencies.len()),
            "an event is missing or out of order"
        );
        latencies.push(start.elapsed().saturating_sub(Duration::from_micros(micros)));
        received.add_permits(1);
    }
}
