//! In whose name a node's entries stand, and for how long without a word from it.

use std::{fmt, time::Duration};

use crate::cluster::redis::share::random_name;

/// The name of one life of a node's entries. A node that cannot be sure of them any more takes a new one, enters
/// everything under it, each entry in the place of the old one's, and gives up what that still has: nobody sees an edge.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Holder(Box<str>);

/// How often things are done.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a node's entries stand without being renewed.
    pub lease: Duration,
    /// How often a lease is renewed: so that two failures do no harm.
    pub renewal: Duration,
    /// How often each node looks for the dead, and for departures that have become final.
    pub sweep: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let (lease, renewal, sweep) =
            (Duration::from_secs(10), Duration::from_secs(3), Duration::from_secs(2));
        Self { lease, renewal, sweep }
    }
}

impl Timing {
    /// The lease as scripts take it.
    pub(super) fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Holder {
    /// A name that nobody has had before.
    pub(super) fn random() -> Self {
        Self(random_name())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// About this long, so that nodes that began together do not go on together.
pub(super) fn about(duration: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    duration.mul_f64(0.8 + 0.4 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_differ_and_have_128_bits() {
        let (one, other) = (Holder::random(), Holder::random());
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 32);
    }

    #[test]
    fn about_a_second_is_a_second_give_or_take_a_fifth() {
        let second = Duration::from_secs(1);
        assert!(
            (0..100).map(|_| about(second)).all(|about| about >= second * 4 / 5 && about <= second * 6 / 5)
        );
    }
}
