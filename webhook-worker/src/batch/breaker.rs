//! Which endpoints are left alone for a while.

use std::{collections::HashMap, time::Duration};

use app_manager::webhook::Endpoint;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Failures in a row after which an endpoint is left alone.
const TOLERATED: u32 = 5;

/// For how long. Then one request may find out whether it is well again.
const REST: Duration = Duration::from_secs(10);

/// Endpoints that are remembered; beyond, everything is forgotten, which costs each a few requests.
const REMEMBERED: usize = 10_000;

/// How endpoints have answered of late. Only those that have failed are in it.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    endpoints: Mutex<HashMap<Endpoint, Failures>>,
}

#[derive(Debug)]
struct Failures {
    in_a_row: u32,
    rests_until: Instant,
}

impl Breaker {
    /// Whether a request makes sense. Of an endpoint that has rested, the first who asks makes the only one until the
    /// answer is there, or a rest has passed.
    pub(super) fn may_call(&self, endpoint: &Endpoint) -> bool {
        let mut endpoints = self.endpoints.lock();
        let Some(failures) = endpoints.get_mut(endpoint) else { return true };
        if failures.in_a_row < TOLERATED {
            return true;
        }
        let now = Instant::now();
        let has_rested = failures.rests_until <= now;
        if has_rested {
            failures.rests_until = now + REST;
        }
        has_rested
    }

    pub(super) fn succeeded(&self, endpoint: &Endpoint) {
        self.endpoints.lock().remove(endpoint);
    }

    pub(super) fn failed(&self, endpoint: &Endpoint) {
        let mut endpoints = self.endpoints.lock();
        if endpoints.len() >= REMEMBERED && !endpoints.contains_key(endpoint) {
            endpoints.clear();
        }
        let rests_until = Instant::now() + REST;
        let failures = endpoints.entry(endpoint.clone()).or_insert(Failures { in_a_row: 0, rests_until });
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        failures.rests_until = rests_until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(number: usize) -> Endpoint {
        Endpoint::Url(format!("http://{number}.example"))
    }

    fn failing() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..TOLERATED {
            assert!(breaker.may_call(&endpoint(1)));
            breaker.failed(&endpoint(1));
        }
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_endpoint_is_asked_once_a_rest() {
        let breaker = failing();
        for _ in 0..3 {
            assert!(!breaker.may_call(&endpoint(1)));
            assert!(breaker.may_call(&endpoint(2)));
            tokio::time::advance(REST).await;
            assert!(breaker.may_call(&endpoint(1)));
            assert!(!breaker.may_call(&endpoint(1)), "one is under way");
            breaker.failed(&endpoint(1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_success_is_enough() {
        let breaker = failing();
        tokio::time::advance(REST).await;
        assert!(breaker.may_call(&endpoint(1)));
        breaker.succeeded(&endpoint(1));
        assert!(breaker.may_call(&endpoint(1)) && breaker.may_call(&endpoint(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let breaker = failing();
        for number in 1..=REMEMBERED + 1 {
            breaker.failed(&endpoint(number));
        }
        assert!(breaker.endpoints.lock().len() <= REMEMBERED);
    }
}
