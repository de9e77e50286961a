//! Whether a new revision that is being tried out on a part of the requests goes on, takes over, or loses them again.
//!
//! A trial has steps, each a percentage of the requests. A step is passed by time and evidence together: it has lasted its
//! interval, has seen enough requests, and kept its bounds. It is failed by evidence alone, as early as that is certain: when
//! more requests went wrong than the bound allows of all that the step has to see. So a revision that fails every request is
//! gone after one or two, and a single mishap among the first three requests is not taken for a third of them.
//!
//! Time and counts are passed in; counts begin with the step.

use std::time::Duration;

/// What a trial asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Percents of the requests, one step after the other.
    pub steps: Vec<u32>,
    /// How long each lasts at least.
    pub interval: Duration,
    /// Requests that each must have seen.
    pub min_requests: u64,
    /// Share of requests that may fail, 0 to 1.
    pub max_errors: f64,
    /// Whether slow requests count: of those at most [`SLOW_SHARE`] may be.
    pub bounds_latency: bool,
}

/// What was seen of the new revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Requests answered, rightly or not.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that took longer than they may.
    pub slow: u64,
}

/// What becomes of the trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The step goes on.
    Stay,
    /// The next step begins.
    Next,
    /// It gets all requests.
    Promote,
    /// It gets none any more.
    RollBack(Breach),
}

/// The bound that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// Too many requests failed.
    Errors,
    /// Too many requests took too long.
    Latency,
}

/// A latency bound holds for 95 of 100 requests.
pub const SLOW_SHARE: f64 = 0.05;

// === impl Outcomes ===

impl Outcomes {
    /// What came since an earlier count; a count that began anew is taken as it is.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        if self.requests < earlier.requests {
            return self;
        }
        Self {
            requests: self.requests - earlier.requests,
            errors: self.errors.saturating_sub(earlier.errors),
            slow: self.slow.saturating_sub(earlier.slow),
        }
    }
}

impl std::ops::AddAssign for Outcomes {
    fn add_assign(&mut self, more: Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.errors = self.errors.saturating_add(more.errors);
        self.slow = self.slow.saturating_add(more.slow);
    }
}

/// Judges the step (counted from 0) that has lasted `lasted` and seen `seen`.
#[must_use]
pub fn judge(plan: &Plan, step: usize, lasted: Duration, seen: Outcomes) -> Verdict {
    let judged = seen.requests.max(plan.min_requests).max(1) as f64;
    if seen.errors as f64 > plan.max_errors * judged {
        return Verdict::RollBack(Breach::Errors);
    }
    if plan.bounds_latency && seen.slow as f64 > SLOW_SHARE * judged {
        return Verdict::RollBack(Breach::Latency);
    }
    if lasted < plan.interval || seen.requests < plan.min_requests {
        return Verdict::Stay;
    }
    if step + 1 < plan.steps.len() { Verdict::Next } else { Verdict::Promote }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn plan() -> Plan {
        Plan {
            steps: vec![10, 50],
            interval: MINUTE,
            min_requests: 20,
            max_errors: 0.05,
            bounds_latency: true,
        }
    }

    fn seen(requests: u64, errors: u64, slow: u64) -> Outcomes {
        Outcomes { requests, errors, slow }
    }

    #[test]
    fn a_step_is_passed_by_time_and_evidence_together() {
        assert_eq!(judge(&plan(), 0, MINUTE / 2, seen(1000, 0, 0)), Verdict::Stay);
        assert_eq!(judge(&plan(), 0, MINUTE * 9, seen(19, 0, 0)), Verdict::Stay);
        assert_eq!(judge(&plan(), 0, MINUTE, seen(20, 0, 0)), Verdict::Next);
        assert_eq!(judge(&plan(), 1, MINUTE, seen(20, 1, 1)), Verdict::Promote);
    }

    #[test]
    fn one_that_fails_every_request_is_gone_at_once_and_a_mishap_is_not_held_against_it() {
        assert_eq!(judge(&plan(), 0, Duration::ZERO, seen(1, 1, 0)), Verdict::Stay);
        assert_eq!(judge(&plan(), 0, Duration::ZERO, seen(2, 2, 0)), Verdict::RollBack(Breach::Errors));
        assert_eq!(judge(&plan(), 1, Duration::ZERO, seen(100, 5, 0)), Verdict::Stay);
        assert_eq!(judge(&plan(), 1, Duration::ZERO, seen(100, 6, 0)), Verdict::RollBack(Breach::Errors));
    }

    #[test]
    fn latency_counts_only_where_it_is_bounded() {
        assert_eq!(judge(&plan(), 0, Duration::ZERO, seen(100, 0, 6)), Verdict::RollBack(Breach::Latency));
        let unbounded = Plan { bounds_latency: false, ..plan() };
        assert_eq!(judge(&unbounded, 1, MINUTE, seen(100, 0, 100)), Verdict::Promote);
    }

    #[test]
    fn without_tolerance_the_first_failure_is_enough() {
        let strict = Plan { max_errors: 0.0, ..plan() };
        assert_eq!(judge(&strict, 0, Duration::ZERO, seen(1, 1, 0)), Verdict::RollBack(Breach::Errors));
    }

    #[test]
    fn a_count_that_began_anew_is_no_negative_one() {
        assert_eq!(seen(30, 3, 1).since(seen(20, 1, 1)), seen(10, 2, 0));
        assert_eq!(seen(3, 0, 0).since(seen(20, 1, 1)), seen(3, 0, 0));
    }

    proptest! {
        #[test]
        fn more_failures_never_save_a_revision(requests in 0u64..500, errors in 0u64..500, more in 0u64..500) {
            let of = |errors: u64| judge(&plan(), 0, MINUTE, seen(requests.max(errors), errors, 0));
            if matches!(of(errors), Verdict::RollBack(_)) && requests >= errors + more {
                prop_assert!(matches!(of(errors + more), Verdict::RollBack(_)));
            }
        }
    }
}
