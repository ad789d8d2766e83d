//! How much per second: of each app through the HTTP API, and of each connection.
//!
//! All of these count on this node alone. A cluster of `n` nodes therefore lets through up to `n` times as much,
//! which is the price for asking nobody on the hot path.

use std::{collections::HashMap, fmt, num::NonZeroU32, sync::Arc, time::Duration};

use app_manager::app::{App, AppId};
use governor::{
    DefaultDirectRateLimiter, Quota,
    clock::{Clock as _, DefaultClock},
};
use parking_lot::RwLock;
use thiserror::Error;

/// Apps whose rates are remembered at one time. Beyond it all are forgotten at once, which costs no more than a
/// fresh burst for each; only a server with more *limited* apps than this ever sees it.
const MAX_APPS: usize = 10_000;

/// The rates of all apps' API requests. Cheap to clone: everybody counts on the same ones.
#[derive(Clone, Debug, Default)]
pub struct RequestLimits {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    events: Buckets,
    reads: Buckets,
}

/// A request was one too many.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RateLimited {
    /// It may come again.
    #[error("The app's limit of {per_second} per second is exceeded")]
    TooSoon {
        /// The app's limit.
        per_second: NonZeroU32,
        /// When it may come again.
        retry_after: RetryAfter,
    },
    /// It asks for more at once than a second allows, so it would be refused at any time.
    #[error("{asked} events at once exceed the app's limit of {per_second} per second")]
    NeverFits {
        /// The app's limit.
        per_second: NonZeroU32,
        /// What the request asked for.
        asked: NonZeroU32,
    },
}

/// Whole seconds to wait, as the HTTP header of this name wants them. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAfter(u64);

impl RetryAfter {
    /// The shortest wait that the header can name.
    pub const ONE_SECOND: Self = Self(1);

    /// Rounds up: whoever waits this long is not refused for the same reason again.
    fn covering(wait: Duration) -> Self {
        Self((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
    }

    /// The number itself.
    pub const fn seconds(self) -> u64 {
        self.0
    }
}

impl RequestLimits {
    /// Whether the app may publish this many events now. If so, they are counted; if not, none of them is.
    ///
    /// # Errors
    /// See [`RateLimited`].
    pub fn check_events(&self, app: &App, count: usize) -> Result<(), RateLimited> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.shared.events.check(app, app.limits.max_backend_events_per_second, count)
    }

    /// Whether the app may read once more now. If so, it is counted.
    ///
    /// # Errors
    /// See [`RateLimited`].
    pub fn check_read(&self, app: &App) -> Result<(), RateLimited> {
        self.shared.reads.check(app, app.limits.max_read_requests_per_second, 1)
    }
}

/// One kind of rate, for each app that limits it.
#[derive(Debug, Default)]
struct Buckets(RwLock<HashMap<AppId, Arc<Bucket>>>);

impl Buckets {
    /// Unlimited is `None`, and 0 too: it has always meant that in the settings.
    fn check(&self, app: &App, limit: Option<u32>, count: u32) -> Result<(), RateLimited> {
        match (limit.and_then(NonZeroU32::new), NonZeroU32::new(count)) {
            (Some(per_second), Some(count)) => self.of(&app.id, per_second).take(count),
            (None, _) | (_, None) => Ok(()),
        }
    }

    fn of(&self, app: &AppId, per_second: NonZeroU32) -> Arc<Bucket> {
        let known = self.0.read().get(app).cloned();
        // A changed limit begins with a fresh burst.
        if let Some(bucket) = known.filter(|bucket| bucket.per_second == per_second) {
            return bucket;
        }
        let mut apps = self.0.write();
        if apps.len() >= MAX_APPS {
            apps.clear();
        }
        let bucket = apps.entry(app.clone()).or_insert_with(|| Arc::new(Bucket::new(per_second)));
        // Somebody else may have been faster with the same change; then theirs is the one to count on.
        if bucket.per_second != per_second {
            *bucket = Arc::new(Bucket::new(per_second));
        }
        Arc::clone(bucket)
    }
}

/// What is left of one rate of one app: at most a second's worth, refilled evenly.
struct Bucket {
    per_second: NonZeroU32,
    limiter: DefaultDirectRateLimiter,
}

impl Bucket {
    fn new(per_second: NonZeroU32) -> Self {
        Self { per_second, limiter: DefaultDirectRateLimiter::direct(Quota::per_second(per_second)) }
    }

    fn take(&self, count: NonZeroU32) -> Result<(), RateLimited> {
        let per_second = self.per_second;
        match self.limiter.check_n(count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(not_until)) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                Err(RateLimited::TooSoon { per_second, retry_after: RetryAfter::covering(wait) })
            }
            Err(_) => Err(RateLimited::NeverFits { per_second, asked: count }),
        }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("per_second", &self.per_second).finish_non_exhaustive()
    }
}

/// The rate of one connection's own events. Boxed, because few connections ever send one.
pub struct EventRate(Box<Bucket>);

impl EventRate {
    /// At most this many in any second, all of them at once if need be.
    pub fn per_second(events: NonZeroU32) -> Self {
        Self(Box::new(Bucket::new(events)))
    }

    /// Whether this is how many.
    pub fn is_of(&self, events: NonZeroU32) -> bool {
        self.0.per_second == events
    }

    /// Whether one more may come now. If so, it is counted.
    pub fn allow(&self) -> bool {
        self.0.limiter.check().is_ok()
    }
}

impl fmt::Debug for EventRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventRate(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> NonZeroU32 {
        NonZeroU32::new(n).unwrap()
    }

    #[test]
    fn a_second_holds_its_number_and_then_says_when_to_come_again() {
        let bucket = Bucket::new(number(2));
        assert_eq!(bucket.take(number(2)), Ok(()));
        let refused = bucket.take(number(2)).unwrap_err();
        assert_eq!(
            refused,
            RateLimited::TooSoon { per_second: number(2), retry_after: RetryAfter::ONE_SECOND }
        );
    }

    #[test]
    fn more_than_a_second_holds_is_refused_for_good_and_counts_nothing() {
        let bucket = Bucket::new(number(2));
        let refused = Err(RateLimited::NeverFits { per_second: number(2), asked: number(3) });
        assert_eq!(bucket.take(number(3)), refused);
        assert_eq!(
            bucket.take(number(u32::MAX)),
            Err(RateLimited::NeverFits { per_second: number(2), asked: number(u32::MAX) })
        );
        assert_eq!(bucket.take(number(2)), Ok(()));
    }

    #[test]
    fn apps_are_counted_apart_and_a_changed_limit_starts_anew() {
        let buckets = Buckets::default();
        let (one, other) = (AppId::from("1"), AppId::from("2"));
        let bucket = buckets.of(&one, number(1));
        assert!(Arc::ptr_eq(&bucket, &buckets.of(&one, number(1))));
        assert!(!Arc::ptr_eq(&bucket, &buckets.of(&other, number(1))));
        assert_eq!(buckets.of(&one, number(9)).per_second, number(9));
    }

    #[test]
    fn no_more_apps_are_remembered_than_the_bound_says() {
        let buckets = Buckets::default();
        for app in 0..=MAX_APPS {
            buckets.of(&AppId::from(app.to_string().as_str()), number(1));
        }
        assert_eq!(buckets.0.read().len(), 1);
    }

    #[test]
    fn a_connection_may_send_its_rate_and_no_more() {
        let rate = EventRate::per_second(number(1));
        assert!(rate.allow());
        assert!(!rate.allow());
    }

    #[test]
    fn waits_are_rounded_up() {
        assert_eq!(RetryAfter::covering(Duration::ZERO).seconds(), 1);
        assert_eq!(RetryAfter::covering(Duration::from_secs(1)).seconds(), 1);
        assert_eq!(RetryAfter::covering(Duration::from_millis(1_001)).seconds(), 2);
    }
}
