//! What the bus counts.

use crate::tally::{Count, Distribution, Durations};

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) reconnects: Count,
    pub(super) unconfirmed: Count,
    pub(super) unknown: Count,
    pub(super) repeats: Count,
    pub(super) missed: Count,
    pub(super) lag: Durations,
}

/// What there is to know about the bus at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct BusFigures {
    /// Connections to Redis that were opened because one before was lost.
    pub reconnects: u64,
    /// Messages that may not have reached every node: said again while not all nodes were back, or not answered by the
    /// time of the shutdown.
    pub unconfirmed: u64,
    /// Messages heard that this version does not understand, and that it ignored.
    pub unknown: u64,
    /// Messages heard for a second time, and dropped.
    pub repeats: u64,
    /// Events that other nodes have published on topics that this node listens to, and that it did not hear. They are
    /// noticed when the next one is heard of the same node on the same topic.
    pub missed: u64,
    /// Messages in the outbox.
    pub outbox_messages: usize,
    /// Their bytes.
    pub outbox_bytes: usize,
    /// Nodes that were listening when Redis was last asked, which happens every second: this one among them. In a
    /// cluster, where each shard is asked for itself, the fewest.
    pub nodes: u32,
    /// Topics of channels that are listened to.
    pub topics: usize,
    /// From a message being put into the outbox to Redis's answer; of those that go together, the longest.
    pub lag: Distribution,
}
