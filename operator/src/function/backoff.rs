//! How long a function waits after each error in a row: twice as long as before, up to a limit.

use std::{collections::HashMap, time::Duration};

use flint_kube::lease::jittered;
use parking_lot::Mutex;

use crate::key::Key;

/// Errors in a row, by function; only those that have some.
#[derive(Default)]
pub(super) struct Backoff {
    failures: Mutex<HashMap<Key, u32>>,
}

/// After the first error.
const FIRST: Duration = Duration::from_millis(250);
/// After many: an API server that comes back is noticed within a minute.
const LONGEST: Duration = Duration::from_secs(60);

// === impl Backoff ===

impl Backoff {
    /// Counts an error; gives the time to wait, with up to a tenth more so that many functions do not march in step.
    pub(super) fn failed(&self, key: &Key) -> Duration {
        let mut failures = self.failures.lock();
        let count = failures.entry(key.clone()).or_default();
        *count += 1;
        let doubled = FIRST.saturating_mul(1 << (*count - 1).min(16));
        jittered(doubled.min(LONGEST))
    }

    /// The last attempt worked, or the function is gone.
    pub(super) fn succeeded(&self, key: &Key) {
        self.failures.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_start_over_after_a_success() {
        let (backoff, key) = (Backoff::default(), Key::new("shop", "cart"));
        let first = backoff.failed(&key);
        assert!(first >= FIRST && first < FIRST * 2);
        assert!(backoff.failed(&key) >= FIRST * 2);
        let many = (0..40).map(|_| backoff.failed(&key)).last().unwrap();
        assert!(many >= LONGEST && many <= LONGEST.mul_f64(1.1));
        backoff.succeeded(&key);
        assert!(backoff.failed(&key) < FIRST * 2);
    }
}
