//! A node that has nothing to do with what others tell each other.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::support::{client::Client, cluster::Cluster};

/// How long the others are busy, and how long they are idle before.
const STREAM: Duration = Duration::from_secs(10);

/// Backends that publish at the same time on each of the busy nodes, each as fast as it is answered.
const BACKENDS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_subscribers_of_a_stream_spends_less_than_a_hundredth_of_a_processor_on_it() {
    let cluster = Cluster::start(3, &[]);
    let mut bystander = cluster.node(2).connect().await;
    bystander.subscribe("other").await;
    let (mut hearers, mut backends) = (Vec::new(), Vec::new());
    for node in &cluster.nodes()[..2] {
        let mut client = node.connect().await;
        client.subscribe("stream").await;
        hearers.push(tokio::spawn(count(client)));
        backends.extend((0..BACKENDS).map(|_| node.api()));
    }
    let idle_before = cluster.node(2).cpu_time();
    // Nothing is waited for: this is what it costs to be there.
    sleep(STREAM).await;
    let (begin, busy_before) = (Instant::now(), cluster.node(0).cpu_time());
    let before = cluster.node(2).cpu_time();
    let idle = before - idle_before;
    let event = json!({"channel": "stream", "name": "e", "data": "x"});
    let batch = json!({"batch": vec![event; 10]});
    let publishing = backends.iter().map(|api| async {
        while begin.elapsed() < STREAM {
            api.post("/batch_events", &batch).await.expect_status(200);
        }
    });
    futures_util::future::join_all(publishing).await;
    let (spent, elapsed) = (cluster.node(2).cpu_time() - before, begin.elapsed());
    let busy = cluster.node(0).cpu_time() - busy_before;
    cluster.node(0).api().publish("stream", "end", "").await;
    let mut heard = Vec::new();
    for hearer in hearers {
        heard.push(hearer.await.expect("its connection stays"));
    }
    println!(
        "{heard:?} events in {elapsed:?}: {busy:?} on a busy node, {spent:?} on the third, {idle:?} before"
    );
    assert!(heard.iter().all(|heard| *heard > 1_000), "{heard:?}");
    // Built for debugging, to be there is most of a hundredth already.
    let limit = (elapsed / 100).max(idle + elapsed / 200);
    assert!(spent < limit, "{spent:?} in {elapsed:?}, {idle:?} while nothing happened");
    bystander.expect_quiet().await;
}

/// How many events a client hears until the last one.
async fn count(mut client: Client) -> usize {
    let mut heard = 0;
    loop {
        let message = client.message_within(3 * STREAM).await.expect("the connection stays");
        match message.to_text().expect("a server sends text") {
            text if text.contains(r#""event":"end""#) => return heard,
            text => heard += usize::from(text.contains(r#""event":"e""#)),
        }
    }
}
