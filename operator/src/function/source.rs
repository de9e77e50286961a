//! From a Function's source to its package: made here of what is in the cluster, and by the [`Fetcher`] of what is elsewhere.
//!
//! Packing costs a few microseconds for a few lines and tens of milliseconds for a megabyte, and a Function is looked at each time
//! one of its pods changes. So the digest is remembered for the version of the source that it was made from, and the bytes are
//! made again only while their ConfigMap is missing.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use flint_api::{Function, Revision as Record, Source};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;

use super::problem::{self, Problem};
use crate::{
    fetch::{Fetcher, Made, Order, Progress},
    key::Key,
    package::{self, BYTES_ANNOTATION, DIGEST_ANNOTATION, Package, RESOLVED_ANNOTATION, SOURCE_ANNOTATION},
    stores::Stores,
};

/// Digests of sources by function, each for one version of the source. Bounded by the functions: [`Sources::forget`].
pub(crate) struct Sources {
    known: Mutex<HashMap<Key, Known>>,
    fetcher: Arc<Fetcher>,
}

struct Known {
    version: String,
    digest: String,
    size: usize,
    needs: Vec<String>,
}

// === impl Sources ===

impl Sources {
    /// Sources that nobody has looked at.
    pub(crate) fn new(fetcher: Arc<Fetcher>) -> Self {
        Self { known: Mutex::default(), fetcher }
    }

    /// The function's package; none where it has an image. The outer error is the API server's, worth another attempt.
    pub(crate) async fn package(
        &self,
        client: &Client,
        stores: &Stores,
        key: &Key,
        function: &Function,
    ) -> Result<Result<Option<Package>, Problem>, kube::Error> {
        if let Some(order) = Order::of(function) {
            return Ok(self.fetched(stores, key, function, &order).map(Some));
        }
        self.fetcher.forget(key);
        let Some(source) = &function.spec.source else { return Ok(Ok(None)) };
        let version = match version(stores, key, function, source) {
            Ok(version) => version,
            Err(problem) => return Ok(Err(problem)),
        };
        if let Some(package) =
            self.known(stores, key, function.metadata.uid.as_deref().unwrap_or_default(), &version)
        {
            return Ok(Ok(Some(package)));
        }
        let files = match (&source.inline, &source.config_map) {
            (Some(inline), _) => {
                inline.iter().map(|(name, text)| (name.clone(), Bytes::from(text.clone()))).collect()
            }
            (None, Some(from)) => {
                let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &key.namespace);
                match maps.get_opt(&from.name).await? {
                    Some(map) => files(map),
                    None => return Ok(Err(missing(&from.name))),
                }
            }
            (None, None) => {
                return Ok(Err(Problem::build(
                    problem::SOURCE_INVALID,
                    "spec.source is empty: write inline or configMap.",
                )));
            }
        };
        Ok(match Package::build(&files) {
            Ok(package) => {
                let needs = package.needs.clone().unwrap_or_default();
                let known = Known { version, digest: package.digest.clone(), size: package.size, needs };
                self.known.lock().insert(key.clone(), known);
                Ok(Some(package))
            }
            Err(error) => Err(Problem::build(problem::SOURCE_INVALID, format!("spec.source: {error}."))),
        })
    }

    /// Has the package of an older revision, which has instances or will have some, fetched again if it was lost.
    pub(crate) fn keep(&self, stores: &Stores, key: &Key, record: &Record) {
        let Some(package) = record.spec.package.as_ref().filter(|package| package.image.is_none()) else {
            return;
        };
        let deployed = stores.deployments.find(&key.namespace, &record.name_any()).is_some();
        if deployed && package.origin.is_some() && !self.fetcher.has(&package.digest) {
            self.fetcher.restore(key, package);
        }
    }

    /// The function is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.known.lock().remove(key);
        self.fetcher.forget(key);
    }

    /// The package of what is elsewhere: as the fetcher has it, or as one of the function's revisions had it made before.
    fn fetched(
        &self,
        stores: &Stores,
        key: &Key,
        function: &Function,
        order: &Order,
    ) -> Result<Package, Problem> {
        let source = order.text();
        let deployed = deployed(stores, key, function, &source);
        match (self.fetcher.progress(key, order), deployed) {
            (Some(Progress::Made(made)), _) => Ok(Package {
                digest: made.digest,
                size: usize::try_from(made.bytes).unwrap_or(usize::MAX),
                data: None,
                source: Some(source),
                resolved: made.resolved,
                needs: None,
                image: None,
            }),
            (Some(Progress::Failed(failure)), _) => Err(Problem::build(failure.reason, failure.message)),
            (Some(Progress::Working), Some(package)) => Ok(package),
            (None, Some(package)) => {
                // Made before this process, and perhaps by another: a pod that starts will want it from us, and what moves has to be
                // watched.
                if order.moves() || !self.fetcher.has(&package.digest) {
                    self.fetcher.start(key, order, Some(made(&package)));
                }
                Ok(package)
            }
            (progress, None) => {
                if progress.is_none() {
                    self.fetcher.start(key, order, None);
                }
                Err(Problem::waiting(problem::FETCHING, "The code is being fetched."))
            }
        }
    }

    /// What is remembered, as long as the bytes are stored: among the function's objects, or on the volume where builders find them.
    fn known(&self, stores: &Stores, key: &Key, owner: &str, version: &str) -> Option<Package> {
        let lock = self.known.lock();
        let known = lock.get(key).filter(|known| known.version == version)?;
        let maps = stores.config_maps.of(key);
        let stored = maps.iter().any(|map| package::digest(map, owner) == Some(known.digest.as_str()));
        let stored = stored || (!known.needs.is_empty() && self.fetcher.has(&known.digest));
        let Known { digest, size, needs, .. } = known;
        stored.then(|| Package {
            digest: digest.clone(),
            size: *size,
            data: None,
            source: None,
            needs: Some(needs.clone()),
            resolved: None,
            image: None,
        })
    }
}

/// The package that a revision of the function has, if it was fetched as `source`: the latest one's, where several were, because
/// what moves is another package each time.
fn deployed(stores: &Stores, key: &Key, function: &Function, source: &str) -> Option<Package> {
    let owner = function.metadata.uid.as_deref().unwrap_or_default();
    let latest = function.status.as_ref().and_then(|status| status.latest_revision.as_deref());
    let mut deployments = stores.deployments.of(key);
    deployments.sort_by_key(|deployment| deployment.metadata.name.as_deref() != latest);
    deployments.into_iter().find_map(|deployment| {
        let ours = deployment.owner_references().iter().any(|reference| reference.uid == owner);
        let annotations = deployment.annotations();
        let same = annotations.get(SOURCE_ANNOTATION).is_some_and(|has| has == source);
        let size = annotations.get(BYTES_ANNOTATION)?.parse().ok()?;
        let digest = annotations.get(DIGEST_ANNOTATION)?.clone();
        let resolved = annotations.get(RESOLVED_ANNOTATION).cloned();
        (ours && same).then(|| Package {
            digest,
            size,
            data: None,
            source: Some(source.to_owned()),
            resolved,
            needs: None,
            image: None,
        })
    })
}

fn made(package: &Package) -> Made {
    let bytes = u64::try_from(package.size).unwrap_or(u64::MAX);
    Made { digest: package.digest.clone(), bytes, resolved: package.resolved.clone() }
}

/// What changes whenever the files may have.
fn version(stores: &Stores, key: &Key, function: &Function, source: &Source) -> Result<String, Problem> {
    let meta = &function.metadata;
    match &source.config_map {
        None => {
            Ok(format!("{}/{}", meta.uid.as_deref().unwrap_or_default(), meta.generation.unwrap_or_default()))
        }
        Some(from) => {
            let map =
                stores.config_maps.find(&key.namespace, &from.name).ok_or_else(|| missing(&from.name))?;
            let of = |text: &Option<String>| text.clone().unwrap_or_default();
            Ok(format!("{}/{}", of(&map.metadata.uid), of(&map.metadata.resource_version)))
        }
    }
}

fn missing(name: &str) -> Problem {
    let text = format!(
        "The ConfigMap {name} does not exist in this namespace: create it, with a key for each file of the code."
    );
    Problem::build(problem::SOURCE_NOT_FOUND, text)
}

fn files(map: ConfigMap) -> BTreeMap<String, Bytes> {
    let text = map.data.into_iter().flatten().map(|(name, text)| (name, Bytes::from(text)));
    let binary = map.binary_data.into_iter().flatten().map(|(name, data)| (name, Bytes::from(data.0)));
    text.chain(binary).collect()
}
