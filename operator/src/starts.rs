//! How many functions may prove themselves at once: two hundred applied together must not drown a small node.
//!
//! A claim is held from the first instance's start until it is ready or known to fail, and at most for [`HOLD_LIMIT`], so that
//! slow ones do not hold up the rest. Those who wait are taken in order of arrival, but a namespace with fewer starts under way comes
//! first: two hundred functions of one team do not make another wait for all of them. The leader alone uses this; a new leader begins
//! with an empty one, and functions whose first instance runs already claim again.

use std::collections::{HashMap, HashSet, VecDeque};

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

use crate::key::Key;

/// Who is starting, and who waits for that.
pub(crate) struct Starts {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    holding: HashMap<Key, Instant>,
    /// In order of arrival; may hold keys that do not want to any more. Bounded by the functions.
    waiting: VecDeque<Key>,
    queued: HashSet<Key>,
}

/// A start that takes longer goes on, but counts no more: pulling a large image takes minutes.
const HOLD_LIMIT: Duration = Duration::from_secs(30);

// === impl Starts ===

impl Starts {
    /// At most this many at once.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Whether the function may start now. If not, it is named by a later [`Starts::release`] or [`Starts::overdue`], and may then.
    pub(crate) fn claim(&self, key: &Key) -> bool {
        let mut state = self.state.lock();
        if state.holding.contains_key(key) {
            return true;
        }
        if state.counted() < self.most {
            state.holding.insert(key.clone(), Instant::now());
            return true;
        }
        if state.queued.insert(key.clone()) {
            state.waiting.push_back(key.clone());
        }
        false
    }

    /// Gives those whose turn it is now because others have taken too long. To be asked while anybody starts: nobody else tells them.
    pub(crate) fn overdue(&self) -> Vec<Key> {
        self.state.lock().take_free(self.most)
    }

    /// The function is not starting any more, or does not want to. Gives those whose turn it is now.
    pub(crate) fn release(&self, key: &Key) -> Vec<Key> {
        let mut state = self.state.lock();
        if state.holding.remove(key).is_none() {
            return Vec::new();
        }
        state.take_free(self.most)
    }
}

// === impl State ===

impl State {
    /// Starts that count: those that take too long go on without.
    fn counted(&self) -> usize {
        let now = Instant::now();
        self.holding.values().filter(|since| now.duration_since(**since) < HOLD_LIMIT).count()
    }

    /// Takes as many as there is room for.
    fn take_free(&mut self, most: usize) -> Vec<Key> {
        let free = most.saturating_sub(self.counted());
        (0..free).map_while(|_| self.take_next()).collect()
    }

    /// Takes the one that waited longest of the namespace with the fewest starts under way.
    fn take_next(&mut self) -> Option<Key> {
        let mut starting: HashMap<&str, usize> = HashMap::new();
        for key in self.holding.keys() {
            *starting.entry(&key.namespace).or_default() += 1;
        }
        let count = |key: &Key| starting.get(key.namespace.as_str()).copied().unwrap_or(0);
        // `min_by_key` gives the first of equals, which has waited longest.
        let (index, _) = self.waiting.iter().enumerate().min_by_key(|(_, key)| count(key))?;
        let key = self.waiting.remove(index)?;
        self.queued.remove(&key);
        // It is its start from now on. One that does not want it any more says so when it is looked at.
        self.holding.insert(key.clone(), Instant::now());
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_beyond_the_limit_follow_in_order() {
        let starts = Starts::new(2);
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Key::new("shop", name));
        assert!(starts.claim(&a) && starts.claim(&b) && starts.claim(&a));
        assert!(!starts.claim(&c) && !starts.claim(&d));
        assert_eq!(starts.release(&a), std::slice::from_ref(&c));
        assert!(starts.claim(&c));
        assert_eq!(starts.release(&b), [d]);
        assert!(starts.release(&b).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_nobody_wants_any_more_goes_to_the_next() {
        let starts = Starts::new(1);
        let [a, deleted, c] = ["a", "deleted", "c"].map(|name| Key::new("shop", name));
        assert!(starts.claim(&a) && !starts.claim(&deleted) && !starts.claim(&c));
        assert_eq!(starts.release(&a), std::slice::from_ref(&deleted));
        assert!(!starts.claim(&c), "it is another's turn");
        assert_eq!(starts.release(&deleted), [c]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_with_many_does_not_make_another_wait_for_all() {
        let starts = Starts::new(2);
        let many: Vec<_> = (0..5).map(|number| Key::new("crowd", &format!("f{number}"))).collect();
        let lone = Key::new("shop", "lone");
        assert_eq!(many.iter().filter(|key| starts.claim(key)).count(), 2);
        assert!(!starts.claim(&lone));
        assert_eq!(starts.release(&many[0]), std::slice::from_ref(&lone));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_start_does_not_hold_up_the_rest_for_ever() {
        let starts = Starts::new(1);
        let [slow, next] = ["slow", "next"].map(|name| Key::new("shop", name));
        assert!(starts.claim(&slow) && !starts.claim(&next));
        assert!(starts.overdue().is_empty());
        advance(HOLD_LIMIT).await;
        assert_eq!(starts.overdue(), std::slice::from_ref(&next));
        assert!(starts.claim(&next) && starts.claim(&slow));
        assert!(starts.overdue().is_empty());
    }
}
