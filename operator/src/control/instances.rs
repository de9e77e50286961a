//! The instances that called home and were believed, for as long as their pods live.

use std::{collections::HashMap, time::Duration};

use flint_control::v1;
use flint_core::wire::Announcement;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{key::Key, stores::Stores};

/// A start is not measured any more after this long: its clients have gone.
const START_LIMIT: Duration = Duration::from_secs(600);
/// What a gateway that connects may have missed while it was away; older instances it finds by its watch.
const MISSED: Duration = Duration::from_secs(10);

/// Instances that called home, by function. The operator's own watch of pods bounds them.
pub(crate) struct Instances {
    stores: Stores,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    announced: HashMap<Key, Vec<Instance>>,
    /// When a function at zero was asked to start.
    started: HashMap<Key, Instant>,
}

#[derive(Debug)]
struct Instance {
    at: Instant,
    message: v1::Announced,
}

// === impl Instances ===

impl Instances {
    /// None yet. `stores` tell which of them still live.
    pub(crate) fn new(stores: Stores) -> Self {
        Self { stores, inner: Mutex::default() }
    }

    /// Remembers an instance. Gives the message for the gateways, and for the first instance since the function was asked to
    /// start the time that took.
    pub(crate) fn announced(&self, announcement: Announcement) -> (v1::Announced, Option<Duration>) {
        let now = Instant::now();
        let function = Key::new(&announcement.namespace, &announcement.function);
        let reference = v1::FunctionRef { namespace: announcement.namespace, name: announcement.function };
        let message = v1::Announced {
            function: Some(reference),
            revision: announcement.revision,
            pod: announcement.pod,
            uid: announcement.uid,
            address: announcement.address,
        };
        let mut inner = self.inner.lock();
        let took = inner.started.remove(&function).map(|started| now - started);
        let instances = inner.announced.entry(function).or_default();
        instances.retain(|instance| instance.message.uid != message.uid);
        instances.push(Instance { at: now, message: message.clone() });
        (message, took)
    }

    /// Measures from now until the function's next instance calls home.
    pub(crate) fn starting(&self, function: Key) {
        self.inner.lock().started.entry(function).or_insert_with(Instant::now);
    }

    /// How many instances of a revision called home and live.
    pub(crate) fn count(&self, function: &Key, revision: &str) -> u32 {
        let mut inner = self.inner.lock();
        let Some(instances) = inner.announced.get_mut(function) else { return 0 };
        instances.retain(|instance| self.lives(&instance.message));
        let count = instances.iter().filter(|instance| instance.message.revision == revision).count();
        if instances.is_empty() {
            inner.announced.remove(function);
        }
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Whether the instance with that uid called home.
    pub(crate) fn knows(&self, function: &Key, uid: &str) -> bool {
        let inner = self.inner.lock();
        inner
            .announced
            .get(function)
            .is_some_and(|all| all.iter().any(|instance| instance.message.uid == uid))
    }

    /// What was announced lately, for a gateway that connects.
    pub(crate) fn recent(&self) -> Vec<v1::Announced> {
        let now = Instant::now();
        let inner = self.inner.lock();
        let recent = inner.announced.values().flatten().filter(|instance| now - instance.at < MISSED);
        recent.map(|instance| instance.message.clone()).collect()
    }

    /// Forgets instances whose pods have gone, and starts that never came to an end.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        inner.announced.retain(|_, instances| {
            instances.retain(|instance| self.lives(&instance.message));
            !instances.is_empty()
        });
        inner.started.retain(|_, started| now - *started < START_LIMIT);
    }

    fn lives(&self, message: &v1::Announced) -> bool {
        let namespace = message.function.as_ref().map_or("", |function| &function.namespace);
        self.stores.pods.find(namespace, &message.pod).is_some_and(|pod| {
            pod.metadata.uid.as_deref() == Some(&message.uid) && pod.metadata.deletion_timestamp.is_none()
        })
    }
}
