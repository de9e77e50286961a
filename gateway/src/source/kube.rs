//! The cluster as a source: watches of Functions, Runtimes and function pods.
//!
//! The watches keep pruned copies of the objects and note the names of those that changed. One task takes the names and
//! tells the index what became of each. So a storm of changes costs memory by the number of objects, not of changes, and a
//! malformed object or an API server that is away costs nothing: what was known stays.

mod read;

use std::{collections::HashSet, sync::Arc};

use flint_api::{Function, Runtime, labels};
use flint_kube::{WatchMetrics, watch};
use k8s_openapi::api::core::v1::Pod as CorePod;
use kube::{
    Api, Client, ResourceExt,
    runtime::{
        reflector::{ObjectRef, Store, store},
        watcher,
    },
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::Source;
use crate::{
    function::Key,
    index::{Event, PodName},
};

/// The cluster.
pub struct Cluster {
    client: Client,
    metrics: WatchMetrics,
}

/// What changed and was not told yet.
#[derive(Default)]
struct Changed {
    names: Mutex<Names>,
    bell: Notify,
}

#[derive(Default)]
struct Names {
    functions: HashSet<Key>,
    runtimes: HashSet<String>,
    pods: HashSet<PodName>,
}

struct Stores {
    functions: Store<Function>,
    runtimes: Store<Runtime>,
    pods: Store<CorePod>,
}

// === impl Cluster ===

impl Cluster {
    /// The cluster behind a client.
    #[must_use]
    pub fn new(client: Client, metrics: WatchMetrics) -> Self {
        Self { client, metrics }
    }
}

impl Source for Cluster {
    async fn run(self, events: mpsc::Sender<Event>) -> anyhow::Result<()> {
        let changed = Arc::new(Changed::default());
        let (functions, function_writer) = store();
        let (runtimes, runtime_writer) = store();
        let (pods, pod_writer) = store();
        let all = watcher::Config::default;
        let of_functions = watcher::Config::default().labels(labels::FUNCTION);
        let watches = async {
            tokio::join!(
                watch::keep(
                    Api::all(self.client.clone()),
                    all(),
                    function_writer,
                    &self.metrics,
                    read::prune_function,
                    |function: &Function| changed.note(|names| names.functions.insert(key(function))),
                ),
                watch::keep(
                    Api::all(self.client.clone()),
                    all(),
                    runtime_writer,
                    &self.metrics,
                    read::prune_runtime,
                    |runtime: &Runtime| changed.note(|names| names.runtimes.insert(runtime.name_any())),
                ),
                watch::keep(
                    Api::all(self.client.clone()),
                    of_functions,
                    pod_writer,
                    &self.metrics,
                    read::prune_pod,
                    |pod: &CorePod| changed.note(|names| names.pods.insert(pod_name(pod))),
                ),
            );
        };
        let telling = async {
            let stores = Stores { functions, runtimes, pods };
            // Without the whole picture a function might look as if it did not exist, or had no instance.
            let _ = tokio::join!(
                stores.functions.wait_until_ready(),
                stores.runtimes.wait_until_ready(),
                stores.pods.wait_until_ready()
            );
            if changed.tell(&stores, &events).await && events.send(Event::Complete).await.is_ok() {
                while changed.heard().await && changed.tell(&stores, &events).await {}
            }
        };
        tokio::select! {
            () = watches => {}
            () = telling => {}
        }
        Ok(())
    }
}

// === impl Changed ===

impl Changed {
    fn note(&self, note: impl FnOnce(&mut Names) -> bool) {
        if note(&mut self.names.lock()) {
            self.bell.notify_one();
        }
    }

    async fn heard(&self) -> bool {
        self.bell.notified().await;
        true
    }

    /// Tells what became of all that changed; false when nobody listens any more.
    async fn tell(&self, stores: &Stores, events: &mpsc::Sender<Event>) -> bool {
        let Names { mut functions, runtimes, pods } = std::mem::take(&mut *self.names.lock());
        if !runtimes.is_empty() {
            let uses = |function: &Function| {
                function.spec.runtime.as_ref().is_some_and(|runtime| runtimes.contains(runtime))
            };
            let of_runtimes = stores.functions.state();
            functions
                .extend(of_runtimes.iter().filter(|function| uses(function)).map(|function| key(function)));
        }
        for key in functions {
            if events.send(stores.function(key)).await.is_err() {
                return false;
            }
        }
        for name in pods {
            if events.send(stores.pod(name)).await.is_err() {
                return false;
            }
        }
        true
    }
}

// === impl Stores ===

impl Stores {
    fn function(&self, key: Key) -> Event {
        let function = self.functions.get(&ObjectRef::new(&key.name).within(&key.namespace));
        match function.filter(|function| function.metadata.deletion_timestamp.is_none()) {
            Some(function) => {
                let runtime = function.spec.runtime.as_ref();
                let runtime = runtime.and_then(|runtime| self.runtimes.get(&ObjectRef::new(runtime)));
                Event::Function(read::function(&function, runtime.as_deref()))
            }
            None => Event::FunctionGone(key),
        }
    }

    fn pod(&self, name: PodName) -> Event {
        let pod = self.pods.get(&ObjectRef::new(&name.name).within(&name.namespace));
        match pod.and_then(|pod| read::pod(&pod)) {
            Some(pod) => Event::Pod(pod),
            None => Event::PodGone(name),
        }
    }
}

fn key(function: &Function) -> Key {
    Key::new(function.namespace().unwrap_or_default(), function.name_any())
}

fn pod_name(pod: &CorePod) -> PodName {
    PodName { namespace: pod.namespace().unwrap_or_default(), name: pod.name_any() }
}

#[cfg(test)]
mod tests;
