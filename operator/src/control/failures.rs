//! Functions that cannot start, as the gateways were told: the revision that the traffic goes to, and others that requests are for.

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

/// A function, and the revision where it is another than the one that the traffic goes to.
pub(crate) type Whose = (Key, Option<String>);

/// The functions that cannot start.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    inner: Mutex<HashMap<Whose, Failing>>,
}

// === impl Failures ===

impl Failures {
    /// Takes in what is true now; gives what the gateways must hear, where that is news.
    pub(crate) fn set(&self, whose: &Whose, failing: Option<Failing>) -> Vec<StartState> {
        let mut inner = self.inner.lock();
        if inner.get(whose) == failing.as_ref() {
            return Vec::new();
        }
        let (function, _) = whose;
        let before = inner.remove(whose);
        // The traffic has moved to another revision: of the one before nothing is true any more.
        let over = before.filter(|before| failing.as_ref().is_none_or(|now| now.revision != before.revision));
        let over = over.map(|before| before.recovered(function));
        let begun = failing.map(|failing| {
            let state = failing.state(function);
            inner.insert(whose.clone(), failing);
            state
        });
        over.into_iter().chain(begun).collect()
    }

    /// Those of a function that the gateways believe cannot start.
    pub(crate) fn of(&self, function: &Key) -> Vec<Whose> {
        self.inner.lock().keys().filter(|(key, _)| key == function).cloned().collect()
    }

    /// Every function that cannot start, for a gateway that connects.
    pub(crate) fn all(&self) -> Vec<StartState> {
        self.inner.lock().iter().map(|((function, _), failing)| failing.state(function)).collect()
    }

    /// Forgets functions that no longer exist.
    pub(crate) fn sweep(&self, stores: &Stores) {
        self.inner.lock().retain(|(function, _), _| stores.function(function).is_some());
    }
}

// === impl Failing ===

impl Failing {
    fn recovered(&self, function: &Key) -> StartState {
        StartState { failing: false, reason: String::new(), message: String::new(), ..self.state(function) }
    }

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
        let cart = (Key::new("shop", "cart"), None);
        assert_eq!(failures.set(&cart, None), []);
        let news = failures.set(&cart, Some(failure("CrashLoop"))).remove(0);
        assert!(news.failing && news.reason == "CrashLoop");
        assert_eq!(failures.set(&cart, Some(failure("CrashLoop"))), []);
        assert_eq!(failures.all().len(), 1);
        let cleared = failures.set(&cart, None).remove(0);
        assert!(!cleared.failing && cleared.reason.is_empty());
        assert!(failures.all().is_empty());
    }

    #[test]
    fn what_was_said_of_a_revision_is_taken_back_when_the_traffic_has_moved() {
        let failures = Failures::default();
        let cart = (Key::new("shop", "cart"), None);
        failures.set(&cart, Some(failure("CrashLoop")));
        let moved = Failing { revision: "cart-2".to_owned(), ..failure("CrashLoop") };
        let news = failures.set(&cart, Some(moved));
        let told: Vec<_> = news.iter().map(|state| (state.revision.as_str(), state.failing)).collect();
        assert_eq!(told, [("cart-1", false), ("cart-2", true)]);
    }
}
