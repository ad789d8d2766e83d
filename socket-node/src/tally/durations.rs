//! How long something takes, as a distribution.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds in seconds: from what a lone event costs to what nobody waits for.
const BOUNDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Durations, sorted into buckets.
#[derive(Debug, Default)]
pub struct Durations {
    /// One for each of [`BOUNDS`], and one for what is longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// What [`Durations`] were at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Upper bounds in seconds, the last of them infinite, with how many durations are above the one before and not
    /// above this one.
    pub buckets: Vec<(f64, u64)>,
    /// All durations together.
    pub seconds: f64,
}

impl Durations {
    /// Adds one.
    pub fn record(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.nanoseconds.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// What they are now.
    pub fn distribution(&self) -> Distribution {
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets = bounds.zip(self.buckets.iter().map(|bucket| bucket.load(Relaxed))).collect();
        Distribution { buckets, seconds: Duration::from_nanos(self.nanoseconds.load(Relaxed)).as_secs_f64() }
    }
}

impl Distribution {
    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_that_is_not_below_it() {
        let durations = Durations::default();
        for millis in [0, 1, 2, 5_000, 60_000] {
            durations.record(Duration::from_millis(millis));
        }
        let distribution = durations.distribution();
        let filled: Vec<_> = distribution.buckets.iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [&(0.0001, 1), &(0.001, 1), &(0.0025, 1), &(5.0, 1), &(f64::INFINITY, 1)]);
        assert_eq!(distribution.count(), 5);
        assert!((distribution.seconds - 65.003).abs() < 1e-9);
    }
}
