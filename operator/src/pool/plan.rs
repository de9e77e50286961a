//! What a namespace's pools should be, and who gets tickets to them: pure.

use std::{collections::BTreeMap, sync::Arc};

use flint_api::{Function, Runtime, labels};
use flint_core::{pool::waiting, wire};
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use super::{
    fit::{Misfit, fit},
    pod::Pool,
};
use crate::{function::pod::key_secret, key::Key, rollout::is_verified, settings::Settings};

/// What is known of a namespace.
pub(crate) struct World<'a> {
    /// The installation.
    pub(crate) settings: &'a Settings,
    /// The namespace.
    pub(crate) namespace: &'a str,
    /// Its Functions with their Runtimes and the Deployments of the revisions that have the traffic.
    pub(crate) functions: Vec<Known>,
    /// The Deployments of pools that there are.
    pub(crate) pools: Vec<Arc<Deployment>>,
    /// Pods that were claimed lately, by pool.
    pub(crate) claimed_lately: &'a dyn Fn(&Key) -> u32,
}

/// A Function that could have a ticket.
pub(crate) struct Known {
    pub(crate) function: Arc<Function>,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) deployment: Option<Arc<Deployment>>,
    /// The Deployments of the other revisions that get a share of the requests.
    pub(crate) beside: Vec<Arc<Deployment>>,
}

/// What is to be done in a namespace.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Pools to be made, or to have another number of pods.
    pub(crate) apply: Vec<(Pool, u32, bool)>,
    /// Deployments to be deleted: name and uid.
    pub(crate) delete: Vec<(String, String)>,
    /// What each function's ticket is to hold, or why it gets none. Functions whose Runtime has no pool are left out.
    pub(crate) tickets: BTreeMap<Key, Result<Content, Misfit>>,
    /// The tickets of the revisions beside the one that the traffic goes to, by function and revision.
    pub(crate) beside: BTreeMap<(Key, String), Content>,
}

/// What a ticket is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content {
    /// The revision.
    pub(crate) revision: String,
    /// The pool.
    pub(crate) pool: String,
    /// The environment.
    pub(crate) environment: Vec<(String, String)>,
}

/// The plan.
pub(crate) fn plan(world: &World<'_>) -> Plan {
    let mut plan = Plan::default();
    let mut pools: BTreeMap<String, Pool> = BTreeMap::new();
    for known in world.functions.iter().filter(|known| wants(known)) {
        let runtime = known.runtime.name_any();
        pools.entry(runtime).or_insert_with(|| Pool::new(world.settings, &known.runtime, world.namespace));
    }
    let sizes = |runtime: &str| {
        let known = world.functions.iter().find(|known| known.runtime.name_any() == runtime);
        known.and_then(|known| known.runtime.spec.pool.clone()).unwrap_or_default()
    };
    for (runtime, pool) in &pools {
        let spec = sizes(runtime);
        let lately = (world.claimed_lately)(&Key::new(world.namespace, &pool.name));
        let replicas = waiting(spec.size, spec.max.unwrap_or(spec.size), lately);
        let present = world.pools.iter().find(|deployment| deployment.name_any() == pool.name);
        let asked = present.and_then(|deployment| deployment.spec.as_ref()?.replicas);
        if asked.and_then(|asked| u32::try_from(asked).ok()) != Some(replicas) {
            plan.apply.push((pool.clone(), replicas, present.is_none()));
        }
    }
    for deployment in &world.pools {
        let wanted = pools.values().any(|pool| pool.name == deployment.name_any());
        if !wanted && deployment.metadata.deletion_timestamp.is_none() {
            plan.delete.push((deployment.name_any(), deployment.uid().unwrap_or_default()));
        }
    }
    for known in world.functions.iter().filter(|known| wants(known)) {
        let Some(pool) = pools.get(&known.runtime.name_any()) else { continue };
        let key = Key::of(&known.function);
        if let Some(ticket) = known.deployment.as_ref().and_then(|main| ticket(world, known, main, pool)) {
            plan.tickets.insert(key.clone(), ticket);
        }
        for deployment in &known.beside {
            // Why one of them does not fit is not told: the one that has the traffic speaks for the function.
            if let Some(Ok(content)) = ticket(world, known, deployment, pool) {
                plan.beside.insert((key.clone(), content.revision.clone()), content);
            }
        }
    }
    plan
}

/// Whether the function may be at zero, and its Runtime has a pool that it was not kept out of.
fn wants(known: &Known) -> bool {
    let Known { function, runtime, .. } = known;
    let may_be_at_zero =
        function.spec.scaling.as_ref().and_then(|scaling| scaling.min_replicas).unwrap_or(0) == 0;
    let kept_out = function.annotations().get(labels::WARM_START).is_some_and(|value| value == "off");
    let size = runtime.spec.pool.as_ref().map_or(0, |pool| pool.size);
    size > 0 && may_be_at_zero && !kept_out && function.metadata.deletion_timestamp.is_none()
}

/// None while there is nothing to say: the revision has not proved itself, or the pool is not there yet.
fn ticket(
    world: &World<'_>,
    known: &Known,
    deployment: &Deployment,
    pool: &Pool,
) -> Option<Result<Content, Misfit>> {
    if !is_verified(deployment) {
        return None;
    }
    let pool_deployment = world.pools.iter().find(|deployment| deployment.name_any() == pool.name)?;
    let name = known.function.name_any();
    let key = wire::instance_key(world.settings.master_key.bytes(), world.namespace, &name);
    Some(fit(deployment, pool_deployment, &key_secret(&name), &key).map(|environment| Content {
        revision: deployment.name_any(),
        pool: pool.name.clone(),
        environment,
    }))
}

#[cfg(test)]
mod tests;
