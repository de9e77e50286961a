//! Namespaces that are on their way out: the API server takes nothing new there, while what functions have goes before the functions.
//!
//! To put it right again, function by function, would be thousands of requests that are all refused.

use std::{collections::HashMap, time::Duration};

use flint_api::Function;
use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;

/// The namespaces in which something was refused for that reason lately.
#[derive(Default)]
pub(super) struct Ending {
    refused: Mutex<HashMap<String, (Instant, Timestamp)>>,
}

/// A namespace that takes long to go, or came again, is tried after this.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(30);

// === impl Ending ===

impl Ending {
    /// Something was refused in the namespace because it is on its way out.
    pub(super) fn refused(&self, namespace: &str) {
        let mut refused = self.refused.lock();
        // Bounded by the namespaces that went within that time.
        refused.retain(|_, (when, _)| when.elapsed() < TRY_AGAIN);
        refused.insert(namespace.to_owned(), (Instant::now(), Timestamp::now()));
    }

    /// Whether the namespace is on its way out, as far as is known.
    pub(super) fn is(&self, namespace: &str) -> bool {
        self.refused.lock().get(namespace).is_some_and(|(when, _)| when.elapsed() < TRY_AGAIN)
    }

    /// Whether the function is on its way out with its namespace. One that is younger than the last refusal is in another namespace of
    /// that name.
    pub(super) fn has(&self, function: &Function) -> bool {
        let created = function.creation_timestamp().map(|time| time.0);
        let refused = self.refused.lock();
        let known = refused.get(&function.namespace().unwrap_or_default());
        known.is_some_and(|(when, at)| {
            when.elapsed() < TRY_AGAIN && created.is_none_or(|created| created <= *at)
        })
    }
}
