//! Moments that only a seed knows.

use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Names another run's seed, to repeat its moments.
const SEED: &str = "SOCKET_RUSH_TEST_SEED";

/// Numbers that a seed repeats.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Begins with the seed in the environment, else with one by chance, and says which.
    pub(crate) fn seeded() -> Self {
        let given = env::var(SEED).ok().map(|seed| seed.parse().expect("a seed is a number"));
        let now =
            || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos() as u64;
        let seed = given.unwrap_or_else(now).max(1);
        println!("{SEED}={seed}");
        Self(seed)
    }

    /// Numbers of their own for a task, whatever the others do meanwhile.
    pub(crate) fn another(&mut self) -> Self {
        Self(self.next().max(1))
    }

    /// Some part of a duration.
    pub(crate) fn part_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 11) % bound
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
