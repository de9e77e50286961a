//! What was said last of each function: so that nothing is said twice because the watch is behind, and numbers not all the time.

use std::{collections::HashMap, time::Duration};

use flint_api::{Function, FunctionStatus};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::key::Key;

/// The statuses that this process wrote. Bounded by the functions: [`Told::forget`].
#[derive(Default)]
pub(super) struct Told {
    last: Mutex<HashMap<Key, Last>>,
}

struct Last {
    /// The version of the Function that was looked at when it was written.
    seen: Option<String>,
    /// None once the watch has shown another version: it says all then.
    status: Option<FunctionStatus>,
    at: Instant,
}

/// What to do with a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is so already.
    Same,
    /// Write it.
    Write,
    /// Only the numbers of instances are others than those that were written a moment ago: look again after this time.
    Later(Duration),
}

/// A function that grows from zero to a hundred instances has a new number with each: they are told once in this time.
const NUMBERS: Duration = Duration::from_secs(1);

// === impl Told ===

impl Told {
    /// The status that the function has, as far as it is the reconciler's: as the watch shows it, or as it was written since. None
    /// where it has none.
    pub(super) fn before(&self, key: &Key, function: &Function) -> Option<FunctionStatus> {
        let unseen = self.last.lock().get_mut(key).and_then(|last| {
            if last.seen != function.metadata.resource_version {
                last.status = None;
            }
            last.status.clone()
        });
        let mut status = unseen.or_else(|| function.status.clone())?;
        // These two have writers of their own.
        status.schedules = Vec::new();
        status.last_invocation = None;
        Some(status)
    }

    /// Whether `status` has to be written where `before` is.
    pub(super) fn verdict(
        &self,
        key: &Key,
        before: Option<&FunctionStatus>,
        status: &FunctionStatus,
    ) -> Verdict {
        let Some(before) = before else { return Verdict::Write };
        if before == status {
            return Verdict::Same;
        }
        let (replicas, ready_replicas) = (status.replicas, status.ready_replicas);
        if (FunctionStatus { replicas, ready_replicas, ..before.clone() }) != *status {
            return Verdict::Write;
        }
        let passed = self.last.lock().get(key).map(|last| last.at.elapsed());
        let wait = passed.and_then(|passed| NUMBERS.checked_sub(passed)).filter(|wait| !wait.is_zero());
        wait.map_or(Verdict::Write, Verdict::Later)
    }

    /// The status was written when the function was as it is here.
    pub(super) fn wrote(&self, key: &Key, function: &Function, status: &FunctionStatus) {
        let seen = function.metadata.resource_version.clone();
        let last = Last { seen, status: Some(status.clone()), at: Instant::now() };
        self.last.lock().insert(key.clone(), last);
    }

    /// The function is gone.
    pub(super) fn forget(&self, key: &Key) {
        self.last.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::advance;

    use super::*;

    fn function(version: u32, status: Option<&FunctionStatus>) -> Function {
        serde_json::from_value(json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
            "metadata": {"name": "cart", "namespace": "shop", "resourceVersion": version.to_string()},
            "spec": {"image": "cart:1"}, "status": status,
        }))
        .unwrap()
    }

    fn status(revision: &str, replicas: i32) -> FunctionStatus {
        FunctionStatus { revision: Some(revision.into()), replicas, ..FunctionStatus::default() }
    }

    fn look(told: &Told, function: &Function, status: &FunctionStatus) -> Verdict {
        let key = Key::new("shop", "cart");
        told.verdict(&key, told.before(&key, function).as_ref(), status)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_is_not_written_again_while_the_watch_is_behind() {
        let (told, key) = (Told::default(), Key::new("shop", "cart"));
        let (old, new) = (function(1, None), status("cart-1", 0));
        assert_eq!(look(&told, &old, &new), Verdict::Write);
        told.wrote(&key, &old, &new);
        assert_eq!(look(&told, &old, &new), Verdict::Same);
        // Somebody else's word, once the watch has shown it, is put right.
        let theirs = function(2, Some(&status("theirs", 0)));
        assert_eq!(look(&told, &theirs, &new), Verdict::Write);
    }

    #[tokio::test(start_paused = true)]
    async fn numbers_are_told_once_a_second_and_anything_else_at_once() {
        let (told, key) = (Told::default(), Key::new("shop", "cart"));
        let first = status("cart-1", 0);
        assert_eq!(look(&told, &function(1, Some(&first)), &status("cart-1", 1)), Verdict::Write);
        told.wrote(&key, &function(1, Some(&first)), &status("cart-1", 1));
        let seen = function(2, Some(&status("cart-1", 1)));
        assert_eq!(look(&told, &seen, &status("cart-1", 2)), Verdict::Later(NUMBERS));
        assert_eq!(look(&told, &seen, &status("cart-2", 2)), Verdict::Write);
        advance(NUMBERS).await;
        assert_eq!(look(&told, &seen, &status("cart-1", 9)), Verdict::Write);
    }
}
