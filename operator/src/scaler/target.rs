//! What the cluster says of a function that the autoscaler must know: which Deployments, how many, within which bounds.
//!
//! A function's traffic is one unit: it goes on when a new revision takes over, and so does what is remembered of it. Where several
//! revisions get requests, or one is called by its name, each of the others is a unit of its own.

use flint_api::{Effective, Function};
use flint_core::{
    pool::{Bridging, LASTING, bridging},
    scale::Spec,
};

use crate::{
    control::{Control, Reading},
    key::Key,
    pool::Bridge,
    rollout::floor,
    stores::Stores,
};

/// What is scaled by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Unit {
    /// The function.
    pub(super) key: Key,
    /// The revision; none for the one that the traffic goes to, whichever that is.
    pub(super) revision: Option<String>,
}

/// A unit's Deployment, and what the Function asks of the autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// The revision, which is its Deployment's name.
    pub(super) revision: String,
    /// Whether requests that are for no revision in particular are among its demand.
    pub(super) main: bool,
    /// Instances that are not taken away: a revision that has not proved itself keeps the one that it does so with.
    pub(super) floor: u32,
    /// What the Function asks for.
    pub(super) spec: Spec,
    /// Instances the Deployment asks for, as the watch has it.
    pub(super) present: u32,
    /// Instances of the Deployment that are ready, by the watch.
    pub(super) deployed: u32,
    /// Instances that are ready: by the watch, or because they called home, which comes first. Those from pools count too.
    pub(super) ready: u32,
    /// Instances that came from a pool, the oldest first.
    pub(super) bridges: Vec<Bridge>,
}

/// Why there is nothing to scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    /// There is no such function, or it is being deleted.
    Function,
    /// The reconciler has not come to it yet, or cannot: it says why in the Function's conditions. Or it is the reconciler's to
    /// scale at this moment, or has no demand of its own any more.
    Revision,
    /// Its Deployment is not there: the reconciler must hear of it.
    Deployment,
}

// === impl Target ===

impl Target {
    /// How many instances came from a pool.
    pub(super) fn bridging(&self) -> u32 {
        u32::try_from(self.bridges.len()).unwrap_or(u32::MAX)
    }

    /// Shares the instances that are wanted between the Deployment, which is asked for `asked`, and those from a pool.
    pub(super) fn share(&self, desired: u32, asked: u32, reading: &Reading) -> Bridging {
        let wanted = reading.waiting > 0 || reading.in_flight > 0 || reading.sample.concurrency > 0.0;
        let lasting = wanted && self.bridges.first().is_some_and(|oldest| oldest.age >= LASTING);
        // A pod that has been told to go may still look ready; it takes nothing over from a bridge.
        bridging(desired, self.bridging(), self.deployed.min(asked), lasting)
    }
}

/// What there is of a function to scale: its traffic, and each revision that may have demand of its own.
pub(super) fn units(stores: &Stores, control: &Control, key: &Key) -> Vec<Unit> {
    let mut units = vec![Unit { key: key.clone(), revision: None }];
    let Some(function) = stores.function(key) else { return units };
    let status = function.status.as_ref();
    let main = main(&function);
    let mut others: Vec<String> = status
        .into_iter()
        .flat_map(|status| status.traffic.iter().map(|share| &share.revision).chain(&status.latest_revision))
        .cloned()
        .collect();
    others.extend(called(control, &function, key).into_iter().map(|(revision, _)| revision));
    others.sort_unstable();
    others.dedup();
    others.retain(|revision| Some(revision.as_str()) != main && !control.preparing.contains(key, revision));
    units.extend(others.into_iter().map(|revision| Unit { key: key.clone(), revision: Some(revision) }));
    units
}

/// The revisions that were called by themselves lately, with the time since. After the function's idle time, and a little more
/// for their last instances to go, they are not kept any longer.
pub(crate) fn called(
    control: &Control,
    function: &Function,
    key: &Key,
) -> Vec<(String, std::time::Duration)> {
    control.demand.called(key, keep_called(function))
}

/// How long a Deployment is kept for a revision that was called by itself.
pub(crate) fn keep_called(function: &Function) -> std::time::Duration {
    let scaling = function.spec.scaling.as_ref();
    let idle = scaling.and_then(|scaling| scaling.scale_to_zero_after);
    idle.unwrap_or(flint_api::effective::DEFAULT_SCALE_TO_ZERO_AFTER).get() + CALLED_GRACE
}

/// The scaler takes the last instance away before the reconciler takes the Deployment.
const CALLED_GRACE: std::time::Duration = std::time::Duration::from_secs(30);

/// Looks a unit up.
pub(super) fn target(stores: &Stores, control: &Control, unit: &Unit) -> Result<Target, Nothing> {
    let key = &unit.key;
    let function = stores.function(key).ok_or(Nothing::Function)?;
    if function.metadata.deletion_timestamp.is_some() {
        return Err(Nothing::Function);
    }
    let mut spec = spec(stores, &function).ok_or(Nothing::Revision)?;
    let main = main(&function).ok_or(Nothing::Revision)?;
    let revision = match &unit.revision {
        None => main,
        Some(revision) if !units(stores, control, key).contains(unit) => {
            tracing::trace!(function = %key, revision, "nothing of its own any more");
            return Err(Nothing::Revision);
        }
        Some(revision) => revision,
    };
    let weighted = |status: &flint_api::FunctionStatus| {
        status.traffic.iter().any(|share| share.revision == revision && share.weight > 0)
    };
    if revision != main && !function.status.as_ref().is_some_and(weighted) {
        // Without a share of the requests, what is kept without requests is nothing.
        spec.min = 0;
    }
    let deployment = stores.deployments.find(&key.namespace, revision).ok_or(Nothing::Deployment)?;
    let asked = deployment.spec.as_ref().map_or(0, |spec| spec.replicas.unwrap_or(1));
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let mut bridges = control.claims.bridges(key, revision);
    for bridge in &mut bridges {
        bridge.ready = bridge.carries(control.instances.knows(key, &bridge.uid));
    }
    // One that does not become ready must not keep an ordinary one from being started.
    bridges.retain(|bridge| bridge.ready || bridge.starts());
    let ready = u32::try_from(ready).unwrap_or(0);
    let carried = u32::try_from(bridges.iter().filter(|bridge| bridge.ready).count()).unwrap_or(0);
    Ok(Target {
        main: unit.revision.is_none(),
        floor: floor(&deployment),
        spec,
        present: u32::try_from(asked).unwrap_or(0),
        deployed: ready,
        ready: ready.saturating_add(carried).max(control.instances.count(key, revision)),
        bridges,
        revision: revision.to_owned(),
    })
}

// === impl Target ===

impl Target {
    /// The demand at this moment.
    pub(super) fn read(&self, control: &Control, key: &Key) -> Reading {
        control.demand.read_of(key, |revision| self.is_mine(revision))
    }

    /// The demand at this moment; the next averages begin here.
    pub(super) fn take(&self, control: &Control, key: &Key) -> Reading {
        control.demand.take_of(key, |revision| self.is_mine(revision))
    }

    fn is_mine(&self, revision: &str) -> bool {
        revision == self.revision || (self.main && revision.is_empty())
    }
}

/// The revision that the traffic goes to; the first of several.
fn main(function: &Function) -> Option<&str> {
    let status = function.status.as_ref()?;
    status.revision.as_deref().or(status.latest_revision.as_deref())
}

fn spec(stores: &Stores, function: &Function) -> Option<Spec> {
    let runtime = match &function.spec.runtime {
        // Without its Runtime nobody knows how many requests an instance takes.
        Some(name) => Some(stores.runtime(name)?),
        None => None,
    };
    Some(flint_kube::scaling::spec(&Effective::new(function, runtime.as_deref())))
}
