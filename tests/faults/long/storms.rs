//! A node with very many sockets is killed, and all of them come to the others at once.

use std::{
    collections::HashMap,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, future::join_all, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime,
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::support::{
    api::Api,
    client::{Client, QUERY},
    cluster::Cluster,
    raw::upgrade_request,
    signing::Credentials,
};

/// Sockets of the node that is killed. All of them, with those that they become, are this process's, which may have 20,000
/// descriptors.
const SOCKETS: usize = 15_000;

/// Connections that are opened at the same time before the storm.
const AT_ONCE: usize = 500;

/// Within this time all are back.
const BACK: Duration = Duration::from_secs(30);

/// What 99 of 100 publishes take at most in the storm, from the request to the last of two clients, and how many handshakes
/// a second are answered at least. Built for release on two cores that have other work, they are some 100 ms and more than
/// 10,000: here the clients are most of the load, and the server may be built for debugging.
const LATE: Duration = Duration::from_secs(5);
const HANDSHAKES_A_SECOND: f64 = 500.0;

/// Backends that publish meanwhile, and the time between two events of each.
const BACKENDS: usize = 10;
const BEAT: Duration = Duration::from_millis(50);

/// A connection without a client's comforts: it is established, and that is all.
async fn establish(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = upgrade_request(&format!("/app/app-key?{QUERY}"), &[]);
    stream.write_all(request.as_bytes()).await?;
    let mut read = Vec::with_capacity(512);
    while !read.windows(22).any(|window| window == b"connection_established") {
        if stream.read_buf(&mut read).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(stream)
}

/// Waits until the connection ends, and comes back to another node as often as it takes. `stay` ends it.
async fn come_back(
    mut stream: TcpStream,
    to: SocketAddr,
    mut stay: watch::Receiver<bool>,
    back: mpsc::Sender<Instant>,
) {
    let mut rest = [0; 256];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    drop(stream);
    let again = loop {
        if let Ok(again) = establish(to).await {
            break again;
        }
    };
    // The test has ended if nobody counts.
    let _counted = back.send(Instant::now()).await;
    let _ended = stay.wait_for(|stays| !stays).await;
    drop(again);
}

/// When a client heard each event of those that carry their number, until the end.
async fn hear(mut client: Client) -> Vec<(usize, Instant)> {
    let (mut heard, mut ends) = (Vec::new(), 0);
    while ends < 2 {
        let frame = client.frame_within(BACK).await;
        match frame.data.parse() {
            Ok(number) => heard.push((number, Instant::now())),
            // Each of two nodes has one, after all that was published there.
            Err(_) => ends += 1,
        }
    }
    heard
}

/// Backends with connections of their own that stand before the storm, and clients of both nodes that are left.
struct Publishing {
    backends: Vec<Api>,
    hearers: Vec<JoinHandle<Vec<(usize, Instant)>>>,
}

impl Publishing {
    async fn on(nodes: [SocketAddr; 2]) -> Self {
        let app = Credentials::default();
        let (mut backends, mut hearers) = (Vec::new(), Vec::new());
        for number in 0..BACKENDS {
            let api = Api::new(nodes[number % 2], &app.id, &app.key, &app.secret);
            api.publish("nobody", "e", "").await;
            backends.push(api);
        }
        for node in nodes {
            let mut client = Client::connect(node, &app).await;
            client.subscribe("room").await;
            hearers.push(tokio::spawn(hear(client)));
        }
        Self { backends, hearers }
    }

    /// Publishes until told to end. How long each event took to reach both clients.
    async fn latencies(self, in_storm: watch::Receiver<bool>) -> Vec<Duration> {
        let publish = |number: usize, in_storm: watch::Receiver<bool>| {
            let api = &self.backends[number];
            async move {
                let mut sent = Vec::new();
                while *in_storm.borrow() {
                    let number = number + sent.len() * BACKENDS;
                    sent.push((number, Instant::now()));
                    api.publish("room", "e", number).await;
                    sleep(BEAT).await;
                }
                sent
            }
        };
        let sent = join_all((0..BACKENDS).map(|number| publish(number, in_storm.clone()))).await.concat();
        self.backends[0].publish("room", "e", "end").await;
        self.backends[1].publish("room", "e", "end").await;
        let mut last: HashMap<usize, Instant> = HashMap::new();
        for hearer in self.hearers {
            let heard = hearer.await.expect("its connection stays");
            assert_eq!(heard.len(), sent.len(), "nothing is lost");
            for (number, at) in heard {
                last.entry(number).and_modify(|last| *last = at.max(*last)).or_insert(at);
            }
        }
        let mut latencies: Vec<_> = sent.iter().map(|(number, at)| last[number] - *at).collect();
        latencies.sort_unstable();
        latencies
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes 20 s: tests/faults-long"]
async fn fifteen_thousand_sockets_of_a_killed_node_come_to_the_others_who_go_on_publishing() {
    let wanted = SOCKETS as u64 + 2_000;
    assert!(rlimit::increase_nofile_limit(wanted).expect("the limit may be read") >= wanted, "descriptors");
    let mut cluster = Cluster::start(3, &[]);
    let doomed = cluster.node(0).address;
    let targets = [cluster.node(1).address, cluster.node(2).address];
    let began = Instant::now();
    let connecting = (0..SOCKETS).map(|_| async move { establish(doomed).await.expect("the node listens") });
    let streams: Vec<_> = stream::iter(connecting).buffer_unordered(AT_ONCE).collect().await;
    println!("{SOCKETS} connected in {:?}", began.elapsed());

    let (storm, in_storm) = watch::channel(true);
    let (ready, is_ready) = oneshot::channel();
    // On a thread of its own: it is not to wait behind the clients.
    let publishing = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let publishing = Publishing::on(targets).await;
            ready.send(()).expect("the test waits for it");
            publishing.latencies(in_storm).await
        })
    });
    is_ready.await.expect("backends and clients are there");
    let (stay, stays) = watch::channel(true);
    let (back, mut coming) = mpsc::channel(SOCKETS);
    let mut clients = JoinSet::new();
    for (number, stream) in streams.into_iter().enumerate() {
        clients.spawn(come_back(stream, targets[number % 2], stays.clone(), back.clone()));
    }
    drop(back);
    cluster.kill(0);
    let killed = Instant::now();
    let counting = async {
        let mut last = killed;
        for _ in 0..SOCKETS {
            last = coming.recv().await.expect("every client comes back");
        }
        last - killed
    };
    let all_back = timeout(2 * BACK, counting).await;
    storm.send_replace(false);
    let latencies = publishing.join().expect("every event arrives");
    let all_back = all_back.expect("they come back at some time");
    let rate = SOCKETS as f64 / all_back.as_secs_f64();
    let p99 = latencies[latencies.len() * 99 / 100];
    println!("all back after {all_back:?}, {rate:.0} a second; of {} publishes p99 {p99:?}", latencies.len());
    stay.send_replace(false);
    while clients.join_next().await.is_some() {}
    assert!(all_back <= BACK, "{all_back:?}");
    assert!(rate >= HANDSHAKES_A_SECOND, "{rate:.0} handshakes a second");
    assert!(p99 <= LATE, "{p99:?}");
}
