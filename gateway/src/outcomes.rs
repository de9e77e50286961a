//! How a revision's requests ended: what its trial is judged by.

use std::sync::atomic::{AtomicU64, Ordering};

use flint_core::canary;
use http::StatusCode;

use crate::clock::Micros;

/// Counts since the start.
#[derive(Debug)]
pub(crate) struct Outcomes {
    requests: AtomicU64,
    errors: AtomicU64,
    slow: AtomicU64,
    slow_after: AtomicU64,
}

// === impl Outcomes ===

impl Default for Outcomes {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self { requests: zero(), errors: zero(), slow: zero(), slow_after: AtomicU64::new(Micros::MAX) }
    }
}

impl Outcomes {
    /// From how long on a request is slow.
    pub(crate) fn slow_after(&self, bound: Micros) {
        self.slow_after.store(bound, Ordering::Relaxed);
    }

    /// A request ended. One whose client went away says nothing of the function.
    pub(crate) fn ended(&self, status: Option<StatusCode>, failed: bool, took: Micros) {
        let Some(status) = status else { return };
        self.requests.fetch_add(1, Ordering::Relaxed);
        if failed || status.is_server_error() {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        if took > self.slow_after.load(Ordering::Relaxed) {
            self.slow.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts. The number of requests is read last: no more can have failed than there were.
    pub(crate) fn read(&self) -> canary::Outcomes {
        let errors = self.errors.load(Ordering::Relaxed);
        let slow = self.slow.load(Ordering::Relaxed);
        canary::Outcomes { requests: self.requests.load(Ordering::Relaxed), errors, slow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_and_slow_answers_are_counted_and_clients_that_went_are_not() {
        let outcomes = Outcomes::default();
        outcomes.slow_after(1000);
        outcomes.ended(Some(StatusCode::OK), false, 10);
        outcomes.ended(Some(StatusCode::NOT_FOUND), false, 2000);
        outcomes.ended(Some(StatusCode::INTERNAL_SERVER_ERROR), false, 10);
        outcomes.ended(Some(StatusCode::OK), true, 10);
        outcomes.ended(None, false, 9000);
        assert_eq!(outcomes.read(), canary::Outcomes { requests: 4, errors: 2, slow: 1 });
    }
}
