//! What the cluster says of a function that the autoscaler must know: which Deployment, how many, within which bounds.

use flint_api::{Effective, Function};
use flint_core::scale::Spec;

use crate::{control::Control, key::Key, rollout::floor, stores::Stores};

/// A function's Deployment, and what the Function asks of the autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// The revision that gets traffic, which is its Deployment's name.
    pub(super) revision: String,
    /// Instances that are not taken away: a revision that has not proved itself keeps the one that it does so with.
    pub(super) floor: u32,
    /// What the Function asks for.
    pub(super) spec: Spec,
    /// Instances the Deployment asks for, as the watch has it.
    pub(super) present: u32,
    /// Instances that are ready: by the watch, or because they called home, which comes first.
    pub(super) ready: u32,
}

/// Why there is nothing to scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// There is no such function, or it is being deleted.
    Function,
    /// The reconciler has not come to it yet, or cannot: it says why in the Function's conditions.
    Revision,
    /// Its Deployment is not there: the reconciler must hear of it.
    Deployment,
}

/// Looks a function up.
pub(super) fn target(stores: &Stores, control: &Control, key: &Key) -> Result<Target, Nothing> {
    let function = stores.function(key).ok_or(Nothing::Function)?;
    if function.metadata.deletion_timestamp.is_some() {
        return Err(Nothing::Function);
    }
    let spec = spec(stores, &function).ok_or(Nothing::Revision)?;
    let status = function.status.as_ref().ok_or(Nothing::Revision)?;
    let revision = status.revision.as_ref().or(status.latest_revision.as_ref()).ok_or(Nothing::Revision)?;
    let deployment = stores.deployments.find(&key.namespace, revision).ok_or(Nothing::Deployment)?;
    let asked = deployment.spec.as_ref().map_or(0, |spec| spec.replicas.unwrap_or(1));
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    Ok(Target {
        revision: revision.clone(),
        floor: floor(&deployment),
        spec,
        present: u32::try_from(asked).unwrap_or(0),
        ready: u32::try_from(ready).unwrap_or(0).max(control.instances.count(key, revision)),
    })
}

fn spec(stores: &Stores, function: &Function) -> Option<Spec> {
    let runtime = match &function.spec.runtime {
        // Without its Runtime nobody knows how many requests an instance takes.
        Some(name) => Some(stores.runtime(name)?),
        None => None,
    };
    Some(flint_kube::scaling::spec(&Effective::new(function, runtime.as_deref())))
}
