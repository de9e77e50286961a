//! Readiness as a set of named parts: a process is ready when each of them is.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// The parts of a process and which of them are ready; clones share the same set.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<&'static str, bool>>>,
}

/// One named part of a [`Readiness`].
#[derive(Clone, Debug)]
pub struct Part {
    name: &'static str,
    parts: Arc<Mutex<BTreeMap<&'static str, bool>>>,
}

// === impl Readiness ===

impl Readiness {
    /// Adds a part, which is not ready until it says so. Parts are few and fixed: their names are in the code.
    #[must_use]
    pub fn part(&self, name: &'static str) -> Part {
        self.parts.lock().insert(name, false);
        Part { name, parts: Arc::clone(&self.parts) }
    }

    /// The parts that are not ready, in order.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        self.parts.lock().iter().filter(|(_, ready)| !**ready).map(|(name, _)| *name).collect()
    }

    /// Whether every part is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.parts.lock().values().all(|ready| *ready)
    }
}

// === impl Part ===

impl Part {
    /// The part is ready from now on.
    pub fn ready(&self) {
        self.parts.lock().insert(self.name, true);
    }

    /// The part is not ready any more.
    pub fn not_ready(&self) {
        self.parts.lock().insert(self.name, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_every_part_is() {
        let readiness = Readiness::default();
        let (stores, listener) = (readiness.part("stores"), readiness.part("listener"));
        assert_eq!(readiness.missing(), ["listener", "stores"]);
        stores.ready();
        assert!(!readiness.is_ready());
        listener.ready();
        assert!(readiness.is_ready());
        stores.not_ready();
        assert_eq!(readiness.missing(), ["stores"]);
    }
}
