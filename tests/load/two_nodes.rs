//! Many events between two nodes, at a pace that they can keep.

use std::time::Duration;

use crate::{
    faults::traffic::{Audience, publish, publish_the_end},
    support::cluster::Cluster,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_events_reach_five_hundred_clients_of_two_nodes_once_and_in_order() {
    let cluster = Cluster::start(2, &[]);
    let audience = Audience::of(&cluster, 500).await;
    let published = publish(&cluster, 0..1_000, Duration::from_millis(20)).await;
    publish_the_end(&cluster).await;
    assert!(published.iter().all(|event| event.acknowledged), "every event is taken");
    let verdicts = audience.verdicts(&published).await;
    verdicts.assert_sound();
    // Far more than it takes on a machine that is not busy with other tests.
    assert!(verdicts.remote.p99 < Duration::from_secs(1), "{}", verdicts.remote);
    assert_eq!(verdicts.local.heard + verdicts.remote.heard, 500 * 1_000);
}
