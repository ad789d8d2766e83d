//! When the next attempt is due.

use std::time::Duration;

/// The back-off of a webhook: gaps of 1, 2, 4 .. 30 seconds, each up to a fifth longer or shorter, for as long as
/// receivers accept the webhook at all.
///
/// Pusher promises retries "with exponential back-off for 5 minutes"; official SDKs drop a webhook that is older
/// than 300 seconds. So the last attempt begins at 290, which leaves an attempt the time it may take.
///
/// The settings may give a webhook more time, for receivers that take older ones, and longer gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// The gap after the first failure. Each further one is twice as long.
    pub first_gap: Duration,
    /// No gap is longer, before jitter.
    pub longest_gap: Duration,
    /// No attempt begins later than this after the webhook was made.
    pub horizon: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            first_gap: Duration::from_secs(1),
            longest_gap: Duration::from_secs(30),
            horizon: Self::last_attempt_of(Duration::from_secs(300)),
        }
    }
}

/// The time that is left to the last attempt, and to the clocks of both sides.
const LAST_ATTEMPT: Duration = Duration::from_secs(10);

impl Schedule {
    /// The horizon of a webhook that nobody takes when it is older than this.
    pub const fn last_attempt_of(age: Duration) -> Duration {
        age.saturating_sub(LAST_ATTEMPT)
    }

    /// The same schedule, that many times as fast.
    #[must_use]
    pub fn sped_up(self, times: u32) -> Self {
        Self {
            first_gap: self.first_gap / times,
            longest_gap: self.longest_gap / times,
            horizon: self.horizon / times,
        }
    }

    /// How long to wait after the failed `attempt` (the first is 1) of a webhook made at `time_ms`, if it is
    /// `now_ms`; `None` if the next attempt would begin too late.
    pub fn next_attempt(self, attempt: u32, time_ms: u64, now_ms: u64, jitter: Jitter) -> Option<Duration> {
        let doublings = attempt.saturating_sub(1).min(31);
        let gap = self.first_gap.saturating_mul(1 << doublings).min(self.longest_gap);
        let gap = jitter.of(gap);
        let age = Duration::from_millis(now_ms.saturating_sub(time_ms));
        (age.saturating_add(gap) <= self.horizon).then_some(gap)
    }
}

/// A factor between 0.8 and 1.2, which keeps jobs that failed together from coming back together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// Neither longer nor shorter.
    pub const NONE: Self = Self(1.0);

    /// A factor by chance.
    pub fn random() -> Self {
        // Without randomness, retries merely come together; that is no reason to fail.
        getrandom::u32().map_or(Self::NONE, Self::from_roll)
    }

    /// A gap, made longer or shorter by this.
    pub fn of(self, gap: Duration) -> Duration {
        gap.mul_f64(self.0)
    }

    /// Spreads all values of `u32` evenly over the allowed factors.
    fn from_roll(roll: u32) -> Self {
        Self(0.8 + 0.4 * f64::from(roll) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MADE: u64 = 1_700_000_000_000;

    /// The seconds after which attempts begin if each fails at once.
    fn attempts(jitter: Jitter) -> Vec<f64> {
        let mut now = MADE;
        let mut began = vec![0.0];
        for attempt in 1.. {
            let Some(gap) = Schedule::default().next_attempt(attempt, MADE, now, jitter) else { break };
            now += u64::try_from(gap.as_millis()).unwrap();
            began.push(Duration::from_millis(now - MADE).as_secs_f64());
        }
        began
    }

    #[test]
    fn gaps_double_up_to_thirty_seconds_and_end_with_the_horizon() {
        let expected = [0., 1., 3., 7., 15., 31., 61., 91., 121., 151., 181., 211., 241., 271.];
        assert_eq!(attempts(Jitter::NONE), expected);
    }

    #[test]
    fn a_webhook_that_is_too_old_gets_no_further_attempt() {
        let next = |age_ms| Schedule::default().next_attempt(1, MADE, MADE + age_ms, Jitter::NONE);
        assert_eq!(next(289_000), Some(Duration::from_secs(1)));
        assert_eq!(next(289_001), None);
        assert_eq!(next(86_400_000), None);
    }

    #[test]
    fn a_clock_behind_the_one_that_made_the_webhook_does_no_harm() {
        assert_eq!(
            Schedule::default().next_attempt(3, MADE, MADE - 5_000, Jitter::NONE),
            Some(Duration::from_secs(4))
        );
    }

    #[test]
    fn a_faster_schedule_has_the_same_number_of_attempts() {
        let fast = Schedule::default().sped_up(10);
        assert_eq!(fast.first_gap, Duration::from_millis(100));
        assert_eq!(fast.next_attempt(20, MADE, MADE, Jitter::NONE), Some(Duration::from_secs(3)));
        assert_eq!(fast.next_attempt(1, MADE, MADE + 29_000, Jitter::NONE), None);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(attempt: u32, roll: u32) {
            let schedule = Schedule::default();
            let plain = schedule.next_attempt(attempt, MADE, MADE, Jitter::NONE).unwrap().as_secs_f64();
            let gap = schedule.next_attempt(attempt, MADE, MADE, Jitter::from_roll(roll)).unwrap().as_secs_f64();
            prop_assert!((plain * 0.799..=plain * 1.201).contains(&gap), "{} for {}", gap, plain);
        }
    }
}
