//! A node is killed a hundred times.

use crate::faults::kills::kill_again_and_again;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes three minutes: tests/faults-long"]
async fn webhooks_outlive_their_node_a_hundred_times() {
    kill_again_and_again(100, 1_000).await;
}
