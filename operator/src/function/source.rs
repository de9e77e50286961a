//! From a Function's source to its package.
//!
//! Packing costs a few microseconds for a few lines and tens of milliseconds for a megabyte, and a Function is looked at each time
//! one of its pods changes. So the digest is remembered for the version of the source that it was made from, and the bytes are
//! made again only while their ConfigMap is missing.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use flint_api::{Function, Source};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::problem::{self, Problem};
use crate::{
    key::Key,
    package::{self, Package, Unpackable},
    stores::Stores,
};

/// Digests of sources by function, each for one version of the source. Bounded by the functions: [`Sources::forget`].
#[derive(Default)]
pub(crate) struct Sources {
    known: Mutex<HashMap<Key, Known>>,
}

struct Known {
    version: String,
    digest: String,
    size: usize,
}

// === impl Sources ===

impl Sources {
    /// The function's package; none where it has an image. The outer error is the API server's, worth another attempt.
    pub(crate) async fn package(
        &self,
        client: &Client,
        stores: &Stores,
        key: &Key,
        function: &Function,
    ) -> Result<Result<Option<Package>, Problem>, kube::Error> {
        let Some(source) = &function.spec.source else { return Ok(Ok(None)) };
        if let Some(problem) = unsupported(source) {
            return Ok(Err(problem));
        }
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
                let known = Known { version, digest: package.digest.clone(), size: package.size };
                self.known.lock().insert(key.clone(), known);
                Ok(Some(package))
            }
            Err(error) => {
                let reason = match error {
                    Unpackable::Dependencies(_) => problem::DEPENDENCIES_NOT_SUPPORTED,
                    _ => problem::SOURCE_INVALID,
                };
                Err(Problem::build(reason, format!("spec.source: {error}.")))
            }
        })
    }

    /// The function is gone.
    pub(crate) fn forget(&self, key: &Key) {
        self.known.lock().remove(key);
    }

    /// What is remembered, as long as the bytes are stored somewhere among the function's objects.
    fn known(&self, stores: &Stores, key: &Key, owner: &str, version: &str) -> Option<Package> {
        let lock = self.known.lock();
        let known = lock.get(key).filter(|known| known.version == version)?;
        let maps = stores.config_maps.of(key);
        let stored = maps.iter().any(|map| package::digest(map, owner) == Some(known.digest.as_str()));
        stored.then(|| Package { digest: known.digest.clone(), size: known.size, data: None })
    }
}

fn unsupported(source: &Source) -> Option<Problem> {
    let form = match source {
        Source { archive: Some(_), .. } => "archive",
        Source { git: Some(_), .. } => "git",
        Source { oci: Some(_), .. } => "oci",
        _ => return None,
    };
    let text = format!(
        "spec.source.{form} is not supported yet: write the code in spec.source.inline, put it into a ConfigMap (spec.source.configMap), or serve it as spec.image."
    );
    Some(Problem::build(problem::NOT_SUPPORTED_YET, text))
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
