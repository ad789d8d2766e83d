//! A number that only grows.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

/// Threads that add without touching each other's memory; more than these share. A power of two.
const LANES: usize = 8;

/// A number that many threads add to, each in a cache line of its own: adding to one shared line would cost the busiest
/// loops more than what they count.
#[derive(Debug, Default)]
pub struct Count([Lane; LANES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Lane(AtomicU64);

impl Count {
    /// Adds to it.
    pub fn add(&self, number: u64) {
        // The number says nothing about other memory.
        self.0[lane()].0.fetch_add(number, Relaxed);
    }

    /// Adds one.
    pub fn one(&self) {
        self.add(1);
    }

    /// What all threads have added until now.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|lane| lane.0.load(Relaxed)).sum()
    }
}

/// The lane of this thread, dealt out in turn.
fn lane() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static LANE: Cell<usize> = Cell::new(NEXT.fetch_add(1, Relaxed) % LANES);
    }
    LANE.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_threads_than_lanes_lose_nothing() {
        let count = Count::default();
        std::thread::scope(|scope| {
            for _ in 0..3 * LANES {
                scope.spawn(|| (0..1000).for_each(|_| count.one()));
            }
        });
        assert_eq!(count.total(), 3 * LANES as u64 * 1000);
    }
}
