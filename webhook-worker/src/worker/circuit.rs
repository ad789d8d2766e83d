//! How far an endpoint is to be trusted.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// An endpoint's standing. It is good from a success on until some failures in a row.
#[derive(Debug)]
pub(super) struct Circuit {
    good: bool,
    failures_in_a_row: u32,
    /// In bad standing, no request before this.
    rest_until: Instant,
}

impl Circuit {
    /// A stranger's: good standing has to be earned.
    pub(super) fn new() -> Self {
        Self { good: false, failures_in_a_row: 0, rest_until: Instant::now() }
    }

    pub(super) fn is_good(&self) -> bool {
        self.good
    }

    pub(super) fn succeeded(&mut self) {
        self.good = true;
        self.failures_in_a_row = 0;
    }

    pub(super) fn failed(&mut self, tolerated: u32, rest: Duration) {
        self.failures_in_a_row += 1;
        self.good &= self.failures_in_a_row < tolerated;
        self.rest_until = Instant::now() + rest;
    }

    /// How many requests may be under way now.
    pub(super) fn allowed(&self, limits: &Limits) -> usize {
        if self.good {
            return limits.requests_per_endpoint;
        }
        usize::from(self.rest_until <= Instant::now())
    }

    /// Until when there may be no request at all, in bad standing.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        (!self.good).then_some(self.rest_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn standing_is_earned_by_one_success_and_lost_by_failures_in_a_row() {
        let limits = Limits::default();
        let mut circuit = Circuit::new();
        assert_eq!(circuit.allowed(&limits), 1);
        circuit.succeeded();
        assert_eq!(circuit.allowed(&limits), limits.requests_per_endpoint);
        for _ in 0..4 {
            circuit.failed(5, REST);
        }
        assert!(circuit.is_good());
        circuit.succeeded();
        for _ in 0..5 {
            circuit.failed(5, REST);
        }
        assert!(!circuit.is_good());
    }

    #[tokio::test(start_paused = true)]
    async fn in_bad_standing_there_is_a_rest_after_each_failure() {
        let limits = Limits::default();
        let mut circuit = Circuit::new();
        circuit.failed(5, REST);
        assert_eq!(circuit.allowed(&limits), 0);
        tokio::time::advance(REST).await;
        assert_eq!(circuit.allowed(&limits), 1);
    }
}
