//! News of functions: whoever subscribes hears each function that was touched, once, however often it was.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Weak},
};

use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::key::Key;

/// Where watches say what they touched; clones share the subscribers.
#[derive(Clone, Default)]
pub(crate) struct Changes {
    subscribers: Arc<Mutex<Vec<Weak<Queue>>>>,
}

/// One subscriber's pending functions. Bounded by the number of functions: a key waits once.
pub(crate) struct Subscription {
    queue: Arc<Queue>,
}

#[derive(Default)]
struct Queue {
    pending: Mutex<Pending>,
    arrived: Notify,
}

#[derive(Default)]
struct Pending {
    order: VecDeque<Key>,
    present: HashSet<Key>,
}

// === impl Changes ===

impl Changes {
    /// Tells every subscriber that something about the function is different.
    pub(crate) fn touch(&self, key: &Key) {
        self.subscribers.lock().retain(|subscriber| {
            let Some(queue) = subscriber.upgrade() else { return false };
            queue.push(key);
            true
        });
    }

    /// Hears of everything that is touched from now on, until the subscription is dropped.
    pub(crate) fn subscribe(&self) -> Subscription {
        let queue = Arc::default();
        self.subscribers.lock().push(Arc::downgrade(&queue));
        Subscription { queue }
    }
}

// === impl Subscription ===

impl Subscription {
    /// The function touched first among those pending; waits for one.
    pub(crate) async fn next(&self) -> Key {
        loop {
            if let Some(key) = self.queue.pop() {
                return key;
            }
            self.queue.arrived.notified().await;
        }
    }

    /// Adds a function that this subscriber alone wants to look at again.
    pub(crate) fn push(&self, key: &Key) {
        self.queue.push(key);
    }

    /// The same as a stream without end.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Key> + Send {
        futures::stream::unfold(self, |subscription| async move {
            let key = subscription.next().await;
            Some((key, subscription))
        })
    }
}

// === impl Queue ===

impl Queue {
    fn push(&self, key: &Key) {
        let mut pending = self.pending.lock();
        if pending.present.insert(key.clone()) {
            pending.order.push_back(key.clone());
            // Stores a permit when nobody waits, so that no wake-up is lost between the check and the wait.
            self.arrived.notify_one();
        }
    }

    fn pop(&self) -> Option<Key> {
        let mut pending = self.pending.lock();
        let key = pending.order.pop_front()?;
        pending.present.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_function_touched_often_is_heard_of_once_and_in_order() {
        let changes = Changes::default();
        let subscription = changes.subscribe();
        for name in ["b", "a", "b", "b"] {
            changes.touch(&Key::new("shop", name));
        }
        assert_eq!(subscription.next().await, Key::new("shop", "b"));
        changes.touch(&Key::new("shop", "b"));
        assert_eq!(subscription.next().await, Key::new("shop", "a"));
        assert_eq!(subscription.next().await, Key::new("shop", "b"));
    }

    #[tokio::test]
    async fn each_subscriber_hears_for_itself() {
        let changes = Changes::default();
        let (first, second) = (changes.subscribe(), changes.subscribe());
        changes.touch(&Key::new("shop", "a"));
        assert_eq!(first.next().await, second.next().await);
    }
}
