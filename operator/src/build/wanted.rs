//! Which function waits for which build, so that a Job's news reach whom they concern. Bounded by the functions.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::key::Key;

/// Which function waits for which build; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Wanted {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    by_function: HashMap<Key, String>,
    /// Those that wait for another build to end.
    queued: HashSet<Key>,
}

// === impl Wanted ===

impl Wanted {
    /// The function wants this build, or none. Gives the one that it wanted before and that nobody of the namespace wants now.
    pub(crate) fn want(&self, key: &Key, build: Option<&str>) -> Option<String> {
        let mut inner = self.inner.lock();
        if inner.by_function.get(key).map(String::as_str) == build {
            return None;
        }
        inner.queued.remove(key);
        let before = match build {
            Some(build) => inner.by_function.insert(key.clone(), build.to_owned()),
            None => inner.by_function.remove(key),
        }?;
        let others = inner
            .by_function
            .iter()
            .any(|(other, wants)| other.namespace == key.namespace && *wants == before);
        (!others).then_some(before)
    }

    /// The function waits for its turn.
    pub(crate) fn queue(&self, key: &Key) {
        self.inner.lock().queued.insert(key.clone());
    }

    /// Whom news of a build concern: those that want it, and those that wait for any to end.
    pub(crate) fn concerned(&self, namespace: &str, build: &str) -> Vec<Key> {
        let mut inner = self.inner.lock();
        let mut keys: Vec<_> = std::mem::take(&mut inner.queued).into_iter().collect();
        let wants =
            inner.by_function.iter().filter(|(key, wants)| key.namespace == namespace && *wants == build);
        keys.extend(wants.map(|(key, _)| key.clone()));
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_left_when_the_last_function_wants_another() {
        let wanted = Wanted::default();
        let (cart, till) = (Key::new("shop", "cart"), Key::new("shop", "till"));
        assert_eq!(wanted.want(&cart, Some("a")), None);
        assert_eq!(wanted.want(&till, Some("a")), None);
        assert_eq!(wanted.concerned("shop", "a").len(), 2);
        assert_eq!(wanted.want(&cart, Some("b")), None, "the till still wants it");
        assert_eq!(wanted.want(&till, None).as_deref(), Some("a"));
        assert!(wanted.concerned("shop", "a").is_empty() && wanted.concerned("other", "b").is_empty());
    }

    #[test]
    fn who_waits_for_a_turn_hears_of_every_build_once() {
        let wanted = Wanted::default();
        wanted.queue(&Key::new("shop", "cart"));
        assert_eq!(wanted.concerned("other", "b"), [Key::new("shop", "cart")]);
        assert!(wanted.concerned("other", "b").is_empty());
    }
}
