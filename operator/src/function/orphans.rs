//! Objects that carry the label of a function that does not exist: left by `--cascade=orphan`, or by a backup that was half restored.

use std::collections::BTreeSet;

use flint_api::{Function, Revision, labels};
use flint_kube::{Applier, Error};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
};
use kube::{Api, Resource, ResourceExt};

use crate::{key::Key, stores::Stores};

/// Every function that something in the stores says it belongs to.
pub(super) fn owners(stores: &Stores) -> BTreeSet<Key> {
    let mut owners: BTreeSet<_> = stores.deployments.owners().into_iter().collect();
    owners.extend(stores.revisions.owners());
    owners.extend(stores.services.owners());
    owners.extend(stores.config_maps.owners());
    owners
}

/// Deletes what carries the label of a function that does not exist. The API server is asked first: our watch of Functions may be
/// behind the one of their objects. What still has an owner is the garbage collector's.
pub(super) async fn sweep(applier: &Applier, stores: &Stores, key: &Key) -> Result<(), Error> {
    let deployments: Vec<_> =
        stores.deployments.of(key).iter().filter_map(|object| ownerless(object.as_ref())).collect();
    let revisions: Vec<_> =
        stores.revisions.of(key).iter().filter_map(|object| ownerless(object.as_ref())).collect();
    let services: Vec<_> =
        stores.services.of(key).iter().filter_map(|object| ownerless(object.as_ref())).collect();
    let packages = stores.config_maps.of(key);
    let packages = packages.iter().filter(|map| map.labels().contains_key(labels::PACKAGE));
    let packages: Vec<_> = packages.filter_map(|object| ownerless(object.as_ref())).collect();
    if deployments.is_empty() && revisions.is_empty() && services.is_empty() && packages.is_empty() {
        return Ok(());
    }
    let functions: Api<Function> = Api::namespaced(applier.client().clone(), &key.namespace);
    let exists = functions
        .get_metadata_opt(&key.name)
        .await
        .map_err(|source| Error::Get { object: format!("Function {key}"), source: Box::new(source) })?;
    if exists.is_some() {
        return Ok(());
    }
    tracing::info!(function = %key, "deleting what a function left");
    for (name, uid) in deployments {
        applier.delete::<Deployment>(&key.namespace, &name, Some(&uid)).await?;
    }
    for (name, uid) in revisions {
        applier.delete::<Revision>(&key.namespace, &name, Some(&uid)).await?;
    }
    for (name, uid) in services {
        applier.delete::<Service>(&key.namespace, &name, Some(&uid)).await?;
    }
    for (name, uid) in packages {
        applier.delete::<ConfigMap>(&key.namespace, &name, Some(&uid)).await?;
    }
    Ok(())
}

/// Name and uid of an object that nobody owns and nobody is deleting.
fn ownerless<K: Resource>(object: &K) -> Option<(String, String)> {
    let meta = object.meta();
    let left = meta.deletion_timestamp.is_none() && object.owner_references().is_empty();
    left.then(|| (object.name_any(), object.uid().unwrap_or_default()))
}
