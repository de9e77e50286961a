//! Revisions that are being made ready for requests which are not theirs yet.
//!
//! The reconciler starts as many instances as a revision will need, and the scaler, which sees no demand for it, must not take
//! them away again. When the requests move, the scaler has it. A new leader's reconciler says all of it anew when it first looks
//! at a function; the scaler, for its part, sends nobody home in its first minute.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;

use crate::key::Key;

/// The revisions that are being prepared, by function. Bounded by the functions: [`Preparing::set`] with none forgets.
#[derive(Debug, Default)]
pub(crate) struct Preparing {
    inner: Mutex<HashMap<Key, BTreeSet<String>>>,
}

// === impl Preparing ===

impl Preparing {
    /// These, and no others, of the function.
    pub(crate) fn set(&self, function: &Key, revisions: BTreeSet<String>) {
        let mut inner = self.inner.lock();
        if revisions.is_empty() {
            inner.remove(function);
        } else {
            inner.insert(function.clone(), revisions);
        }
    }

    /// Whether any of the function is.
    pub(crate) fn any(&self, function: &Key) -> bool {
        self.inner.lock().contains_key(function)
    }

    /// Whether this one is.
    pub(crate) fn contains(&self, function: &Key, revision: &str) -> bool {
        self.inner.lock().get(function).is_some_and(|revisions| revisions.contains(revision))
    }
}
