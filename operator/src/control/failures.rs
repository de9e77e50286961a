//! Functions that cannot start, as the gateways were told.

use std::collections::HashMap;

use flint_control::v1::{FunctionRef, StartState};
use parking_lot::Mutex;

use crate::{key::Key, stores::Stores};

/// Why a function has no instance and will get none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failing {
    /// The revision; empty where none could be made.
    pub(crate) revision: String,
    /// CamelCase, for programs.
    pub(crate) reason: String,
    /// One sentence that a person can act on.
    pub(crate) message: String,
}

/// The functions that cannot start.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    inner: Mutex<HashMap<Key, Failing>>,
}

// === impl Failures ===

impl Failures {
    /// Takes in what is true now; gives what the gateways must hear, where that is news.
    pub(crate) fn set(&self, function: &Key, failing: Option<Failing>) -> Option<StartState> {
        let mut inner = self.inner.lock();
        match failing {
            Some(failing) => {
                if inner.get(function) == Some(&failing) {
                    return None;
                }
                let state = failing.state(function);
                inner.insert(function.clone(), failing);
                Some(state)
            }
            None => inner.remove(function).map(|failing| StartState {
                failing: false,
                reason: String::new(),
                message: String::new(),
                ..failing.state(function)
            }),
        }
    }

    /// Whether the gateways believe that the function cannot start.
    pub(crate) fn contains(&self, function: &Key) -> bool {
        self.inner.lock().contains_key(function)
    }

    /// Every function that cannot start, for a gateway that connects.
    pub(crate) fn all(&self) -> Vec<StartState> {
        self.inner.lock().iter().map(|(function, failing)| failing.state(function)).collect()
    }

    /// Forgets functions that no longer exist.
    pub(crate) fn sweep(&self, stores: &Stores) {
        self.inner.lock().retain(|function, _| stores.function(function).is_some());
    }
}

// === impl Failing ===

impl Failing {
    fn state(&self, function: &Key) -> StartState {
        StartState {
            function: Some(FunctionRef {
                namespace: function.namespace.clone(),
                name: function.name.clone(),
            }),
            revision: self.revision.clone(),
            failing: true,
            reason: self.reason.clone(),
            message: self.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(reason: &str) -> Failing {
        Failing { revision: "cart-1".to_owned(), reason: reason.to_owned(), message: "why".to_owned() }
    }

    #[test]
    fn gateways_hear_of_changes_only() {
        let failures = Failures::default();
        let cart = Key::new("shop", "cart");
        assert_eq!(failures.set(&cart, None), None);
        let news = failures.set(&cart, Some(failure("CrashLoop"))).unwrap();
        assert!(news.failing && news.reason == "CrashLoop");
        assert_eq!(failures.set(&cart, Some(failure("CrashLoop"))), None);
        assert_eq!(failures.all().len(), 1);
        let cleared = failures.set(&cart, None).unwrap();
        assert!(!cleared.failing && cleared.reason.is_empty());
        assert!(failures.all().is_empty());
    }
}
