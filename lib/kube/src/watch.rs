//! Watches that fill a store and are stopped by nothing: not by an outage, not by an object that cannot be read.

use std::{fmt::Debug, hash::Hash};

use futures::{Stream, StreamExt, pin_mut};
use kube::{
    Api, Resource, ResourceExt,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        reflector::{Lookup, ObjectRef, store::Writer},
        watcher::{self, Event},
    },
};
use prometheus::{IntCounterVec, Opts, Registry};
use serde::de::DeserializeOwned;

/// Counts what went wrong in watches, by kind.
#[derive(Clone, Debug)]
pub struct WatchMetrics {
    errors: IntCounterVec,
    malformed: IntCounterVec,
}

/// Keeps `writer`'s store as the API server has it, for ever. `prune` drops what nobody needs from each object, so that it is
/// not kept in memory; managed fields always go. `changed` hears of each object that came, changed or went.
///
/// An object that cannot be read is left as it was last good, counted and logged.
pub async fn keep<K>(
    api: Api<DeserializeGuard<K>>,
    config: watcher::Config,
    writer: Writer<K>,
    metrics: &WatchMetrics,
    prune: impl FnMut(&mut K),
    changed: impl FnMut(&K),
) where
    K: Resource<DynamicType = ()>
        + Lookup<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    run(watcher::watcher(api, config).default_backoff(), writer, metrics, prune, changed).await;
}

/// The same for metadata alone: the API server sends nothing else.
pub async fn keep_metadata<K>(
    api: Api<PartialObjectMeta<K>>,
    config: watcher::Config,
    writer: Writer<PartialObjectMeta<K>>,
    metrics: &WatchMetrics,
    prune: impl FnMut(&mut PartialObjectMeta<K>),
    changed: impl FnMut(&PartialObjectMeta<K>),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
{
    let events = watcher::watcher(api, config).default_backoff().map(|event| event.map(readable));
    run(events, writer, metrics, prune, changed).await;
}

fn readable<K>(event: Event<K>) -> Event<DeserializeGuard<K>> {
    match event {
        Event::Apply(object) => Event::Apply(DeserializeGuard(Ok(object))),
        Event::Delete(object) => Event::Delete(DeserializeGuard(Ok(object))),
        Event::InitApply(object) => Event::InitApply(DeserializeGuard(Ok(object))),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

async fn run<K>(
    events: impl Stream<Item = Result<Event<DeserializeGuard<K>>, watcher::Error>>,
    mut writer: Writer<K>,
    metrics: &WatchMetrics,
    mut prune: impl FnMut(&mut K),
    mut changed: impl FnMut(&K),
) where
    K: Resource<DynamicType = ()> + Lookup<DynamicType = ()> + Clone + 'static,
    <K as Lookup>::DynamicType: Eq + Hash + Clone,
{
    let kind = <K as Resource>::kind(&()).into_owned();
    let store = writer.as_reader();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                metrics.errors.with_label_values(&[&kind]).inc();
                tracing::warn!(%error, kind, "a watch was interrupted");
                continue;
            }
        };
        let mut tidy = |mut object: K| {
            object.managed_fields_mut().clear();
            prune(&mut object);
            object
        };
        let event = match event {
            Event::Init => Event::Init,
            Event::InitDone => {
                let before = store.state();
                writer.apply_watcher_event(&Event::InitDone);
                for object in before {
                    // Deleted while the watch was away: no event of its own will ever tell.
                    if store.get(&ObjectRef::from(object.as_ref())).is_none() {
                        changed(&object);
                    }
                }
                // What came with the list is heard of only now that it can be found in the store.
                store.state().iter().for_each(|object| changed(object));
                continue;
            }
            Event::InitApply(DeserializeGuard(Ok(object))) => Event::InitApply(tidy(object)),
            Event::Apply(DeserializeGuard(Ok(object))) => Event::Apply(tidy(object)),
            Event::Delete(DeserializeGuard(Ok(object))) => Event::Delete(tidy(object)),
            Event::InitApply(DeserializeGuard(Err(invalid))) => {
                malformed(metrics, &kind, &invalid);
                let last_good = last_good(&store, &invalid.metadata);
                let Some(object) = last_good else { continue };
                Event::InitApply(object)
            }
            Event::Apply(DeserializeGuard(Err(invalid))) => {
                malformed(metrics, &kind, &invalid);
                continue;
            }
            Event::Delete(DeserializeGuard(Err(invalid))) => {
                let Some(object) = last_good(&store, &invalid.metadata) else { continue };
                Event::Delete(object)
            }
        };
        writer.apply_watcher_event(&event);
        if let Event::Apply(object) | Event::Delete(object) = &event {
            changed(object);
        }
    }
}

fn last_good<K>(
    store: &kube::runtime::reflector::Store<K>,
    metadata: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
) -> Option<K>
where
    K: Lookup<DynamicType = ()> + Clone + 'static,
{
    let mut key = ObjectRef::<K>::new(metadata.name.as_deref()?);
    key.namespace.clone_from(&metadata.namespace);
    store.get(&key).map(|object| object.as_ref().clone())
}

fn malformed(metrics: &WatchMetrics, kind: &str, invalid: &kube::core::error_boundary::InvalidObject) {
    metrics.malformed.with_label_values(&[kind]).inc();
    tracing::warn!(
        kind,
        namespace = invalid.metadata.namespace.as_deref(),
        name = invalid.metadata.name.as_deref(),
        error = %invalid.error,
        "an object cannot be read and is left as it was"
    );
}

// === impl WatchMetrics ===

impl WatchMetrics {
    /// Registers `flint_watch_errors_total` and `flint_watch_malformed_objects_total`.
    ///
    /// # Errors
    /// When the registry has metrics of those names.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let errors = IntCounterVec::new(
            Opts::new(
                "flint_watch_errors_total",
                "Interruptions of watches, each followed by a restart with backoff.",
            ),
            &["kind"],
        )?;
        let malformed = IntCounterVec::new(
            Opts::new(
                "flint_watch_malformed_objects_total",
                "Objects that could not be read, and were left as they were.",
            ),
            &["kind"],
        )?;
        registry.register(Box::new(errors.clone()))?;
        registry.register(Box::new(malformed.clone()))?;
        Ok(Self { errors, malformed })
    }
}

#[cfg(test)]
mod tests;
