//! Which pods from pools are whose: what claimed pods told, and what the watch of pods shows of it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use flint_api::labels;
use flint_core::pool::{Claimed, REMEMBERED};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{key::Key, startability::is_ready, stores::Stores};

/// Claims of pods from pools. The operator's watch of pods bounds them.
pub(crate) struct Claims {
    stores: Stores,
    inner: Mutex<Inner>,
}

/// An instance that came from a pool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bridge {
    /// The pod.
    pub(crate) pod: String,
    /// Its uid.
    pub(crate) uid: String,
    /// How long it has been the function's.
    pub(crate) age: Duration,
    /// Whether the watch calls it ready, which it was before it was claimed.
    pub(crate) ready: bool,
}

#[derive(Default)]
struct Inner {
    /// By the pod's uid, until its labels say the same or it is gone.
    fresh: HashMap<String, (Claimed, Instant)>,
    /// Since when bridges are known, by uid.
    since: HashMap<String, Instant>,
    /// Told to end, by uid.
    retiring: HashSet<String>,
    /// When pods of a pool were claimed, the oldest first.
    lately: HashMap<Key, VecDeque<Instant>>,
}

/// A claimed pod becomes ready within this, or an ordinary one is started beside it.
const START: Duration = Duration::from_secs(5);
/// What the watch says of a claimed pod's readiness is about the function after this long: three of kubelet's probes.
const PROBED: Duration = Duration::from_secs(15);
/// What another leader saw claimed is taken for no older than this.
const LONG_SINCE: Duration = Duration::from_secs(60);
/// A claim whose pod's labels do not show it after this long was not recorded, and the pod is asked no more about.
const UNRECORDED: Duration = Duration::from_secs(60);

// === impl Bridge ===

impl Bridge {
    /// Whether it carries requests; `announced` says that it called home.
    pub(crate) fn carries(&self, announced: bool) -> bool {
        announced || (self.ready && self.age >= PROBED)
    }

    /// Whether it is worth waiting for.
    pub(crate) fn starts(&self) -> bool {
        self.age < START
    }
}

// === impl Claims ===

impl Claims {
    /// None yet.
    pub(crate) fn new(stores: Stores) -> Self {
        Self { stores, inner: Mutex::default() }
    }

    /// A pod said that it was claimed, and was believed. True the first time.
    pub(crate) fn claimed(&self, claimed: &Claimed) -> bool {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let is_new = inner.fresh.insert(claimed.uid.clone(), (claimed.clone(), now)).is_none();
        if is_new {
            let pool = Key::new(&claimed.namespace, &claimed.pool);
            inner.lately.entry(pool).or_default().push_back(now);
            inner.since.insert(claimed.uid.clone(), now);
        }
        is_new
    }

    /// Whether the pod said that it is an instance of that revision.
    pub(crate) fn knows(&self, uid: &str, function: &Key, revision: &str) -> bool {
        self.inner.lock().fresh.get(uid).is_some_and(|(claimed, _)| {
            claimed.namespace == function.namespace
                && claimed.function == function.name
                && claimed.revision == revision
        })
    }

    /// Whether the pod was claimed, whosoever it is.
    pub(crate) fn is_claimed(&self, uid: &str) -> bool {
        self.inner.lock().fresh.contains_key(uid)
    }

    /// Pods of a pool that were claimed within [`REMEMBERED`].
    pub(crate) fn lately(&self, pool: &Key) -> u32 {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let Some(claims) = inner.lately.get_mut(pool) else { return 0 };
        while claims.front().is_some_and(|at| now - *at > REMEMBERED) {
            claims.pop_front();
        }
        let count = u32::try_from(claims.len()).unwrap_or(u32::MAX);
        if claims.is_empty() {
            inner.lately.remove(pool);
        }
        count
    }

    /// The instances of a revision that came from a pool and were not told to end, the oldest first.
    pub(crate) fn bridges(&self, function: &Key, revision: &str) -> Vec<Bridge> {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let mut bridges = Vec::new();
        for pod in self.stores.pods.of(function) {
            let Some(uid) = pod.uid() else { continue };
            if pod.labels().contains_key(labels::FROM_POOL)
                && pod.labels().get(labels::REVISION).is_some_and(|label| label == revision)
                && lives(&pod)
                && restarts(&pod) == 0
                && !inner.retiring.contains(&uid)
            {
                // One that another leader has seen claimed: as old as its pod, for want of anything better.
                let since = *inner
                    .since
                    .entry(uid.clone())
                    .or_insert_with(|| now.checked_sub(age(&pod).min(LONG_SINCE)).unwrap_or(now));
                bridges.push(Bridge { pod: pod.name_any(), age: now - since, ready: is_ready(&pod), uid });
            }
        }
        for (claimed, at) in inner.fresh.values() {
            let is_new = !bridges.iter().any(|bridge| bridge.uid == claimed.uid);
            let same = claimed.namespace == function.namespace
                && claimed.function == function.name
                && claimed.revision == revision;
            let there = || self.pod(claimed).is_some_and(|pod| lives(&pod) && restarts(&pod) == 0);
            if is_new && same && !inner.retiring.contains(&claimed.uid) && now - *at < UNRECORDED && there() {
                bridges.push(Bridge {
                    pod: claimed.pod.clone(),
                    uid: claimed.uid.clone(),
                    age: now - *at,
                    ready: false,
                });
            }
        }
        bridges.sort_by(|one, other| other.age.cmp(&one.age).then_with(|| one.pod.cmp(&other.pod)));
        bridges
    }

    /// The pod has been told to end.
    pub(crate) fn retire(&self, uid: &str) {
        self.inner.lock().retiring.insert(uid.to_owned());
    }

    /// The pod could not be told to end.
    pub(crate) fn keep(&self, uid: &str) {
        self.inner.lock().retiring.remove(uid);
    }

    /// Forgets pods that are gone, and claims that the watch shows.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let pods = self.stores.pods.state();
        let known: HashSet<&str> = pods.iter().filter_map(|pod| pod.metadata.uid.as_deref()).collect();
        let mut inner = self.inner.lock();
        inner.since.retain(|uid, _| known.contains(uid.as_str()));
        inner.retiring.retain(|uid| known.contains(uid.as_str()));
        inner.fresh.retain(|uid, (claimed, at)| {
            let recorded =
                || self.pod(claimed).is_some_and(|pod| pod.labels().contains_key(labels::FROM_POOL));
            known.contains(uid.as_str()) && now - *at < UNRECORDED && !recorded()
        });
        inner.lately.retain(|_, claims| claims.back().is_some_and(|at| now - *at <= REMEMBERED));
    }

    fn pod(&self, claimed: &Claimed) -> Option<std::sync::Arc<Pod>> {
        let pod = self.stores.pods.find(&claimed.namespace, &claimed.pod)?;
        (pod.metadata.uid.as_deref() == Some(&claimed.uid)).then_some(pod)
    }
}

/// How often a container of the pod was started again. A claimed pod is of no use after the first time: its watchdog will not wait for another
/// function, and has lost what it was told of this one.
pub(crate) fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    statuses.unwrap_or_default().iter().map(|status| status.restart_count).max().unwrap_or(0)
}

/// Whether the pod is neither on its way out nor over.
pub(crate) fn lives(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

/// How long ago the pod was made.
pub(crate) fn age(pod: &Pod) -> Duration {
    let made = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    made.map_or(Duration::ZERO, |made| Timestamp::now().duration_since(made).unsigned_abs())
}
