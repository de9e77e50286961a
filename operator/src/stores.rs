//! What the operator knows of the cluster: one watch per kind, kept in memory, shared by every part and every replica's role.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    ops::Deref,
    sync::Arc,
};

use flint_api::{Function, Revision, Runtime, labels};
use flint_kube::{WatchMetrics, watch};
use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, PodTemplateSpec, Service},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    core::PartialObjectMeta,
    runtime::{
        reflector::{Lookup, ObjectRef, Store, store, store::WriterDropped},
        watcher,
    },
};
use parking_lot::RwLock;
use tokio::task::JoinSet;

use crate::{
    build::{self, Wanted},
    changes::{Changes, Subscription},
    key::Key,
    template,
};

/// Everything watched. Clones share the same memory.
#[derive(Clone)]
pub(crate) struct Stores {
    /// Functions, without `kubectl`'s copy of them.
    pub(crate) functions: Store<Function>,
    /// Runtimes.
    pub(crate) runtimes: Store<Runtime>,
    /// Revisions, those without a Deployment too.
    pub(crate) revisions: Indexed<Revision>,
    /// Pods of functions: metadata and status, no spec.
    pub(crate) pods: Indexed<Pod>,
    /// Deployments of revisions.
    pub(crate) deployments: Indexed<Deployment>,
    /// Services of functions.
    pub(crate) services: Indexed<Service>,
    /// Metadata of all ConfigMaps: packages, and what users' sources refer to.
    pub(crate) config_maps: Indexed<PartialObjectMeta<ConfigMap>>,
    /// Jobs of builds.
    pub(crate) jobs: Store<Job>,
    /// Pods of builds: metadata and status, no spec.
    pub(crate) builders: Store<Pod>,
    /// Which function waits for which build.
    pub(crate) wanted: Wanted,
    changes: Changes,
    pool_changes: Changes,
}

/// A store that also finds objects by the function that they belong to.
pub(crate) struct Indexed<K: Lookup + Clone + 'static>
where
    K::DynamicType: Eq + Hash + Clone,
{
    store: Store<K>,
    by_function: Arc<RwLock<HashMap<Key, BTreeSet<String>>>>,
}

/// `kubectl apply`'s copy of the whole object, which would double every Function in memory.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

// === impl Stores ===

impl Stores {
    /// Starts the watches. The tasks run until they are aborted; one that ends is a defect.
    pub(crate) fn spawn(client: &Client, metrics: &WatchMetrics, tasks: &mut JoinSet<()>) -> Self {
        let ours = format!("{}={}", labels::MANAGED_BY, labels::FIELD_MANAGER);
        let pods_of_functions =
            format!("{}={},{}=function", labels::PART_OF, labels::PART_OF_FLINT, labels::COMPONENT);
        let pods_of_builds = format!(
            "{}={},{}={}",
            labels::PART_OF,
            labels::PART_OF_FLINT,
            labels::COMPONENT,
            build::COMPONENT
        );
        let everything = watcher::Config::default();

        let (functions, functions_writer) = store();
        let (runtimes, runtimes_writer) = store();
        let (revisions, revisions_writer) = store();
        let (pods, pods_writer) = store();
        let (deployments, deployments_writer) = store();
        let (services, services_writer) = store();
        let (config_maps, config_maps_writer) = store();
        let (jobs, jobs_writer) = store();
        let (builders, builders_writer) = store();
        let stores = Self {
            functions,
            runtimes,
            revisions: Indexed::new(revisions),
            pods: Indexed::new(pods),
            deployments: Indexed::new(deployments),
            services: Indexed::new(services),
            config_maps: Indexed::new(config_maps),
            jobs,
            builders,
            wanted: Wanted::default(),
            changes: Changes::default(),
            pool_changes: Changes::default(),
        };

        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        let config = everything.clone();
        tasks.spawn(async move {
            watch::keep::<Function>(all, config, functions_writer, &m, shed, |function| {
                heard.heard_of(function)
            })
            .await;
        });
        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        let config = everything.clone();
        tasks.spawn(async move {
            watch::keep::<Runtime>(all, config, runtimes_writer, &m, shed, |runtime| {
                heard.runtime_changed(runtime)
            })
            .await;
        });
        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        let config = everything.clone();
        tasks.spawn(async move {
            let changed = |revision: &Revision| heard.owned(&heard.revisions, revision);
            watch::keep(all, config, revisions_writer, &m, shed_revision, changed).await;
        });
        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        let config = everything.clone().labels(&pods_of_functions);
        tasks.spawn(async move {
            watch::keep::<Pod>(all, config, pods_writer, &m, shed_pod, |pod| heard.owned(&heard.pods, pod))
                .await;
        });
        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        let config = everything.clone().labels(&ours);
        tasks.spawn(async move {
            let changed = |deployment: &Deployment| heard.owned(&heard.deployments, deployment);
            watch::keep(all, config, deployments_writer, &m, shed, changed).await;
        });
        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        let config = everything.clone().labels(&ours);
        tasks.spawn(async move {
            let changed = |service: &Service| heard.owned(&heard.services, service);
            watch::keep(all, config, services_writer, &m, shed, changed).await;
        });
        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        tasks.spawn(async move {
            let changed = |map: &PartialObjectMeta<ConfigMap>| heard.config_map_changed(map);
            watch::keep_metadata(all, everything, config_maps_writer, &m, shed_config_map, changed).await;
        });
        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        let config = watcher::Config::default().labels(&ours);
        tasks.spawn(async move {
            watch::keep::<Job>(all, config, jobs_writer, &m, shed_job, |job| heard.of_build(job)).await;
        });
        let (all, m, heard) = (Api::all(client.clone()), metrics.clone(), stores.clone());
        let config = watcher::Config::default().labels(&pods_of_builds);
        tasks.spawn(async move {
            watch::keep::<Pod>(all, config, builders_writer, &m, shed_pod, |pod| heard.of_build(pod)).await;
        });
        stores
    }

    /// Waits until every watch has listed what there is.
    ///
    /// # Errors
    /// When a watch has ended.
    pub(crate) async fn ready(&self) -> Result<(), WriterDropped> {
        self.runtimes.wait_until_ready().await?;
        self.functions.wait_until_ready().await?;
        self.revisions.wait_until_ready().await?;
        self.config_maps.wait_until_ready().await?;
        self.deployments.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.jobs.wait_until_ready().await?;
        self.builders.wait_until_ready().await?;
        self.pods.wait_until_ready().await
    }

    /// The function, as the API server had it last.
    pub(crate) fn function(&self, key: &Key) -> Option<Arc<Function>> {
        self.functions.get(&key.reference())
    }

    /// The Runtime of that name.
    pub(crate) fn runtime(&self, name: &str) -> Option<Arc<Runtime>> {
        self.runtimes.get(&ObjectRef::new(name))
    }

    /// The Job of a build.
    pub(crate) fn job(&self, namespace: &str, build: &str) -> Option<Arc<Job>> {
        self.jobs.get(&ObjectRef::new(build).within(namespace))
    }

    /// The pods of a build.
    pub(crate) fn build_pods(&self, namespace: &str, build: &str) -> Vec<Arc<Pod>> {
        let is = |pod: &Arc<Pod>| {
            pod.metadata.namespace.as_deref() == Some(namespace)
                && pod.labels().get(labels::BUILD).is_some_and(|of| of == build)
        };
        self.builders.state().into_iter().filter(is).collect()
    }

    /// Hears of every function touched from now on: itself, its Runtime, its source, or anything labelled with it.
    pub(crate) fn subscribe(&self) -> Subscription {
        self.changes.subscribe()
    }

    /// Hears of every namespace in which something of a warm pool changes from now on, as a key without a name.
    pub(crate) fn subscribe_pools(&self) -> Subscription {
        self.pool_changes.subscribe()
    }

    /// Tells them that something of a pool in the namespace changed.
    pub(crate) fn touch_pools(&self, namespace: &str) {
        self.pool_changes.touch(&Key::new(namespace, ""));
    }

    /// Tells every subscriber of a function that something outside the watches changed it.
    pub(crate) fn touch(&self, key: &Key) {
        self.changes.touch(key);
    }

    fn heard_of(&self, function: &Function) {
        self.changes.touch(&Key::of(function));
    }

    fn runtime_changed(&self, runtime: &Runtime) {
        let name = runtime.name_any();
        for function in self.functions.state() {
            if function.spec.runtime.as_deref() == Some(&name) {
                self.heard_of(&function);
            }
        }
    }

    /// A build's Job or pod changed.
    fn of_build<K: Resource<DynamicType = ()>>(&self, object: &K) {
        let meta = object.meta();
        let build = meta.labels.as_ref().and_then(|labels| labels.get(labels::BUILD));
        if let (Some(namespace), Some(build)) = (&meta.namespace, build) {
            for key in self.wanted.concerned(namespace, build) {
                self.changes.touch(&key);
            }
        }
    }

    fn owned<K>(&self, index: &Indexed<K>, object: &K)
    where
        K: Lookup<DynamicType = ()> + Resource<DynamicType = ()> + Clone + 'static,
    {
        if let Some(key) = index.note(object) {
            self.changes.touch(&key);
        }
        let labels = object.meta().labels.as_ref();
        let of_pool = |name: &str| labels.is_some_and(|labels| labels.contains_key(name));
        if of_pool(labels::POOL) || of_pool(labels::FROM_POOL) {
            self.touch_pools(object.meta().namespace.as_deref().unwrap_or_default());
        }
    }

    fn config_map_changed(&self, map: &PartialObjectMeta<ConfigMap>) {
        self.owned(&self.config_maps, map);
        // Ours are nobody's source, and there is one for each function with code of its own: to look at all functions for each
        // would be a hundred million looks for ten thousand.
        if map.labels().contains_key(labels::PACKAGE) {
            return;
        }
        let (namespace, name) = (map.metadata.namespace.clone(), map.name_any());
        for function in self.functions.state() {
            let source = function.spec.source.as_ref().and_then(|source| source.config_map.as_ref());
            if source.is_some_and(|source| source.name == name) && function.metadata.namespace == namespace {
                self.heard_of(&function);
            }
        }
    }
}

// === impl Indexed ===

impl<K> Indexed<K>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    fn new(store: Store<K>) -> Self {
        Self { store, by_function: Arc::default() }
    }
}

impl<K> Indexed<K>
where
    K: Lookup<DynamicType = ()> + Resource<DynamicType = ()> + Clone + 'static,
{
    /// The objects that belong to a function, by their label, in order of name.
    pub(crate) fn of(&self, key: &Key) -> Vec<Arc<K>> {
        let names = self.by_function.read().get(key).cloned().unwrap_or_default();
        names
            .iter()
            .filter_map(|name| self.find(&key.namespace, name))
            .filter(|object| Key::owner(object.as_ref()).as_ref() == Some(key))
            .collect()
    }

    /// The object of that name.
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store.get(&ObjectRef::new(name).within(namespace))
    }

    /// Any object of which `is` is true.
    pub(crate) fn find_by(&self, is: impl Fn(&K) -> bool) -> Option<Arc<K>> {
        self.store.find(is)
    }

    /// The functions that have objects here.
    pub(crate) fn owners(&self) -> Vec<Key> {
        self.by_function.read().keys().cloned().collect()
    }

    /// Files an object under its function, or removes it when it is gone from the store.
    fn note(&self, object: &K) -> Option<Key> {
        let key = Key::owner(object)?;
        let name = object.meta().name.clone()?;
        let present = self.find(&key.namespace, &name).is_some();
        let mut index = self.by_function.write();
        if present {
            index.entry(key.clone()).or_default().insert(name);
        } else if let Some(names) = index.get_mut(&key) {
            names.remove(&name);
            if names.is_empty() {
                index.remove(&key);
            }
        }
        Some(key)
    }
}

impl<K> Clone for Indexed<K>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), by_function: Arc::clone(&self.by_function) }
    }
}

impl<K> Deref for Indexed<K>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    type Target = Store<K>;

    fn deref(&self) -> &Store<K> {
        &self.store
    }
}

fn shed<K: Resource>(object: &mut K) {
    if let Some(annotations) = object.meta_mut().annotations.as_mut() {
        annotations.remove(LAST_APPLIED);
    }
}

fn shed_revision(revision: &mut Revision) {
    shed(revision);
    template::pack(revision);
}

/// Status and labels are all that anyone reads of a pod.
fn shed_pod(pod: &mut Pod) {
    pod.spec = None;
    pod.metadata.annotations = None;
}

/// Of what a Job makes, only how it went matters.
fn shed_job(job: &mut Job) {
    if let Some(spec) = &mut job.spec {
        spec.template = PodTemplateSpec::default();
    }
}

/// Of ConfigMaps that are not packages, only the version matters.
fn shed_config_map(map: &mut PartialObjectMeta<ConfigMap>) {
    if !map.labels().contains_key(labels::PACKAGE) {
        map.metadata.annotations = None;
        map.metadata.owner_references = None;
    }
}

#[cfg(test)]
pub(crate) mod tests;
