//! What the cache counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What has become of the questions for apps so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppsFigures {
    /// Answered out of what is known, that there is no such app among it.
    pub hits: u64,
    /// Requests to the store.
    pub lookups: u64,
    /// Those of them that it did not answer, or with something that is no app.
    pub errors: u64,
    /// Answered with what was known once, because the store was away.
    pub stale: u64,
    /// Refused because the store was asked for too much that it does not have.
    pub refused: u64,
    /// Apps that are known.
    pub known: usize,
    /// Names that are known to be nobody's.
    pub misses: usize,
}

/// The same while it is counted. The numbers say nothing about other memory.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) hits: Count,
    pub(super) lookups: Count,
    pub(super) errors: Count,
    pub(super) stale: Count,
    pub(super) refused: Count,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn one(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
