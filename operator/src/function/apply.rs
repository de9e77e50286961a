//! Carries out a plan's changes, in order, and tells what stood in the way.

use flint_api::{Function, Revision as Record};
use flint_kube::{Applier, Created, Error, Manifest};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
};
use kube::{Api, Client, Resource, ResourceExt, api::DynamicObject};

use super::{
    keyring::Keyring,
    plan::Change,
    pod,
    problem::{self, Problem},
};
use crate::key::Key;

/// Carries out the changes of a function. What the API server refuses for good, or what is a stranger's,
/// becomes a problem, and the rest goes on; an error is worth another attempt.
pub(crate) async fn apply(
    applier: &Applier,
    keyring: &Keyring,
    function: &Function,
    changes: &[Change],
) -> Result<Vec<Problem>, Error> {
    let mut problems = Vec::new();
    for change in changes {
        match one(applier, keyring, function, change).await {
            Ok(problem) => problems.extend(problem),
            Err(error) if error.is_refusal() && !error.is_ending() => {
                problems.push(refused(function, change, &error))
            }
            Err(error) => return Err(error),
        }
    }
    Ok(problems)
}

async fn one(
    applier: &Applier,
    keyring: &Keyring,
    function: &Function,
    change: &Change,
) -> Result<Option<Problem>, Error> {
    let key = Key::of(function);
    let (namespace, owner) = (&key.namespace, function.metadata.uid.as_deref().unwrap_or_default());
    match change {
        Change::Apply(manifest) => {
            applier.apply(manifest).await?;
        }
        Change::Key(anew) => keyring.share(applier, function, *anew).await?,
        Change::Create(manifest) => {
            if applier.create(manifest).await? == Created::Exists {
                return conflict(applier, owner, manifest).await;
            }
            tracing::info!(function = %key, kind = manifest.kind(), name = manifest.name(), "created");
        }
        Change::Scale(name, replicas) => {
            tracing::info!(function = %key, revision = name, replicas, "scaling to start");
            applier.scale::<Deployment>(namespace, name, *replicas).await?;
        }
        Change::DeleteDeployment(name, uid) => {
            tracing::info!(function = %key, revision = name, "deleting a revision");
            applier.delete::<Deployment>(namespace, name, Some(uid)).await?;
        }
        Change::DeleteRecord(name, uid) => applier.delete::<Record>(namespace, name, Some(uid)).await?,
        Change::DeletePackage(name, uid) => applier.delete::<ConfigMap>(namespace, name, Some(uid)).await?,
        Change::DeleteService(name, uid) => applier.delete::<Service>(namespace, name, Some(uid)).await?,
    }
    Ok(None)
}

/// An object of that name exists, and the watch does not know it as ours: it is ours and new, or a stranger's.
async fn conflict(applier: &Applier, owner: &str, manifest: &Manifest) -> Result<Option<Problem>, Error> {
    let Some(live) = get(applier.client(), manifest).await? else { return Ok(None) };
    if live.owner_references().iter().any(|reference| reference.uid == owner) {
        return Ok(None);
    }
    let (kind, name) = (manifest.kind(), manifest.name());
    let text = format!(
        "A {kind} {name} that is not this function's exists in the namespace, and is left as it is: delete it, or give the \
         function another name."
    );
    Ok(Some(match kind {
        "Service" => Problem::beside(problem::SERVICE_CONFLICT, text),
        _ => Problem::deploy(problem::DEPLOYMENT_CONFLICT, text),
    }))
}

async fn get(client: &Client, manifest: &Manifest) -> Result<Option<DynamicObject>, Error> {
    let namespace = manifest.namespace().unwrap_or_default();
    let found = match manifest.kind() {
        "Revision" => owners::<Record>(client, namespace, manifest.name()).await,
        "Service" => owners::<Service>(client, namespace, manifest.name()).await,
        _ => owners::<Deployment>(client, namespace, manifest.name()).await,
    };
    found.map_err(|source| Error::Get {
        object: format!("{} {}", manifest.kind(), manifest.name()),
        source: Box::new(source),
    })
}

async fn owners<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<DynamicObject>, kube::Error>
where
    K: Resource<DynamicType = ()>,
{
    let resource = kube::api::ApiResource::erase::<K>(&());
    Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource).get_opt(name).await
}

fn refused(function: &Function, change: &Change, error: &Error) -> Problem {
    let said = error.status().map(|status| status.message.clone()).unwrap_or_default();
    let what = match change {
        Change::Apply(manifest) | Change::Create(manifest) => {
            format!("{} {}", manifest.kind(), manifest.name())
        }
        Change::Key(_) => format!("Secret {}", pod::key_secret(&function.name_any())),
        Change::Scale(name, _) | Change::DeleteDeployment(name, _) => format!("Deployment {name}"),
        Change::DeleteRecord(name, _) => format!("Revision {name}"),
        Change::DeletePackage(name, _) => format!("ConfigMap {name}"),
        Change::DeleteService(name, _) => format!("Service {name}"),
    };
    let said = flint_kube::events::shorten(said.trim_end_matches('.'), 800).to_owned();
    Problem::deploy(problem::REFUSED, format!("The API server refuses the {what}: {said}."))
}
