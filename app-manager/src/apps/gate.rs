//! How much a store is asked.
//!
//! Whoever asks for keys that nobody has must not make the store pay for it without bound. What is found costs nothing
//! here, so that a node which starts may ask for all of its apps at once.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

/// Lookups at one time for those who wait for them.
const LOOKUPS: usize = 64;

/// Lookups at one time for nobody in particular: of apps that are known, before they are too old.
const REFRESHES: usize = 16;

/// Lookups in vain that may come at once.
const MISSES: u32 = 200;

/// Lookups in vain that may come in each second after that.
const MISSES_PER_SECOND: u32 = 100;

/// What a lookup is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing is known, and somebody waits.
    Discovery,
    /// An app is known.
    Refresh,
}

/// Lets lookups through to the store.
#[derive(Debug)]
pub(super) struct Gate {
    lookups: Semaphore,
    refreshes: Semaphore,
    misses: Mutex<Allowance>,
}

/// A lookup that was let through.
#[derive(Debug)]
pub(super) struct Pass<'g> {
    gate: &'g Gate,
    purpose: Purpose,
    _permit: SemaphorePermit<'g>,
}

/// The store was asked too often for what it does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl Gate {
    pub(super) fn new() -> Self {
        Self {
            lookups: Semaphore::new(LOOKUPS),
            refreshes: Semaphore::new(REFRESHES),
            misses: Mutex::new(Allowance { left: MISSES, filled: Instant::now() }),
        }
    }

    /// Waits for its turn. Each discovery counts as one in vain until it [was not](Pass::found).
    pub(super) async fn pass(&self, purpose: Purpose) -> Result<Pass<'_>, Closed> {
        let turns = match purpose {
            Purpose::Discovery => &self.lookups,
            Purpose::Refresh => &self.refreshes,
        };
        let permit = turns.acquire().await.expect("nobody closes it");
        if purpose == Purpose::Discovery && !self.misses.lock().take() {
            return Err(Closed);
        }
        Ok(Pass { gate: self, purpose, _permit: permit })
    }
}

impl Pass<'_> {
    /// The lookup was not in vain.
    pub(super) fn found(&self) {
        if self.purpose == Purpose::Discovery {
            self.gate.misses.lock().give_back();
        }
    }
}

/// What is left of [`MISSES`], refilled evenly.
#[derive(Debug)]
struct Allowance {
    left: u32,
    filled: Instant,
}

impl Allowance {
    const EVERY: Duration = Duration::from_micros(1_000_000 / MISSES_PER_SECOND as u64);

    fn take(&mut self) -> bool {
        let since = self.filled.elapsed().as_micros() / Self::EVERY.as_micros();
        let more = u32::try_from(since).unwrap_or(u32::MAX).min(MISSES);
        if more > 0 {
            self.left = (self.left + more).min(MISSES);
            self.filled = if self.left == MISSES { Instant::now() } else { self.filled + Self::EVERY * more };
        }
        let is_left = self.left > 0;
        self.left -= u32::from(is_left);
        is_left
    }

    fn give_back(&mut self) {
        self.left = (self.left + 1).min(MISSES);
    }
}
