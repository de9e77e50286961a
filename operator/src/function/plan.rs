//! From what there is to what should be: the changes that bring a function one step further. Pure.

use std::{sync::Arc, time::Duration};

use flint_api::{Function, Runtime};
use flint_kube::Manifest;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
};
use kube::{ResourceExt, core::PartialObjectMeta};

use super::{
    design::{self, Design},
    problem::Problem,
};
use crate::{
    drift,
    package::{self, DIGEST_ANNOTATION, Package},
    rollout::{self, Revision},
    settings::Settings,
    startability::CONFIG_ERROR,
};

/// Everything that a plan is made from.
pub(crate) struct World {
    /// The installation.
    pub(crate) settings: Arc<Settings>,
    /// The Function.
    pub(crate) function: Arc<Function>,
    /// Its Runtime, if it names one that exists.
    pub(crate) runtime: Option<Arc<Runtime>>,
    /// All Runtimes' names, in order.
    pub(crate) runtimes: Vec<String>,
    /// Its package, or why there is none.
    pub(crate) package: Result<Option<Package>, Problem>,
    /// Its Deployments.
    pub(crate) deployments: Vec<Arc<Deployment>>,
    /// Its Services.
    pub(crate) services: Vec<Arc<Service>>,
    /// The ConfigMaps that belong to it.
    pub(crate) config_maps: Vec<Arc<PartialObjectMeta<ConfigMap>>>,
    /// Its revisions, one for each Deployment.
    pub(crate) revisions: Vec<Revision>,
    /// Its instances that are not on their way out, and those of them that are ready.
    pub(crate) instances: (u32, u32),
    /// How long we have known that the revision which has traffic has it.
    pub(crate) settled_for: Duration,
    /// The time.
    pub(crate) now: Timestamp,
}

/// What is to be done, and what it rests on.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What the spec asks for, or why it cannot be had.
    pub(crate) design: Result<Design, Problem>,
    /// The revision that gets traffic.
    pub(crate) traffic: Option<String>,
    /// Waits for its turn to start.
    pub(crate) waits: bool,
    /// In this order.
    pub(crate) changes: Vec<Change>,
    /// Look again after this time, even if nothing happens.
    pub(crate) again: Option<Duration>,
}

/// One change in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// Make the object be so.
    Apply(Manifest),
    /// Create it, unless a stranger's object has its name.
    Create(Manifest),
    /// Ask for that many instances.
    Scale(String, u32),
    /// Delete a revision's Deployment and its pods.
    DeleteDeployment(String, String),
    /// Delete a package.
    DeletePackage(String, String),
    /// Delete a Service that the function does not have any more.
    DeleteService(String, String),
}

/// How long after traffic moved the old instances go: every gateway has heard of it by then, usually within milliseconds.
pub(crate) const DRAIN_AFTER: Duration = Duration::from_secs(5);
/// An earlier function's objects are collected within seconds.
const LEAVING_RETRY: Duration = Duration::from_secs(2);
/// Time alone turns a pod without a node into a failure, and a lack of room into a reason to go on without.
const WAITING_RETRY: Duration = Duration::from_secs(10);

// === impl World ===

impl World {
    /// What the spec asks for.
    pub(crate) fn design(&self) -> Result<Design, Problem> {
        let package = self.package.clone()?;
        design::design(&self.settings, &self.function, self.runtime.as_deref(), &self.runtimes, package)
    }

    /// The observed revision of that name.
    pub(crate) fn revision(&self, name: &str) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.name == name)
    }

    /// The revision that has traffic by what the API server has stored.
    pub(crate) fn current(&self) -> Option<&str> {
        self.function.status.as_ref()?.revision.as_deref()
    }

    /// Whether the revision still has to prove itself, and nothing says yet that it cannot.
    pub(crate) fn is_starting(&self, design: &Design) -> bool {
        self.revision(&design.revision)
            .is_none_or(|revision| !revision.verified && revision.failure.is_none())
    }
}

/// The plan. `may_start` says whether a revision that has to prove itself may start an instance now.
pub(crate) fn plan(world: &World, design: Result<Design, Problem>, may_start: bool) -> Plan {
    let design = match design {
        Ok(design) => design,
        Err(problem) => {
            let traffic = rollout::traffic(world.current(), None, &world.revisions, 1);
            let changes = service(world).into_iter().collect();
            let again = problem.again;
            return Plan { design: Err(problem), traffic, waits: false, changes, again };
        }
    };
    let latest = world.revision(&design.revision);
    if latest.is_some_and(|latest| latest.leaving) {
        // The same spec came, went and came again: its Deployment must be gone before it can be made anew.
        let traffic = world.current().map(str::to_owned);
        return Plan {
            design: Ok(design),
            traffic,
            waits: false,
            changes: Vec::new(),
            again: Some(LEAVING_RETRY),
        };
    }
    let traffic = rollout::traffic(world.current(), Some(&design.revision), &world.revisions, design.most);
    let old =
        traffic.as_deref().filter(|name| *name != design.revision).and_then(|name| world.revision(name));
    let replicas = rollout::desired_start_replicas(latest, old, design.most, may_start);

    let mut changes = Vec::new();
    let lacks_key =
        |revision: &Revision| revision.failure.as_ref().is_some_and(|failure| failure.reason == CONFIG_ERROR);
    if latest.is_none_or(lacks_key) {
        changes.push(Change::Apply(design::key_secret(&world.settings, &world.function)));
    }
    changes.extend(package(world, &design));
    match latest {
        None => changes.push(Change::Create(design.new_deployment(&world.function, replicas))),
        Some(latest) => {
            let wanted = design.deployment(&world.function, latest.verified);
            if drifted(&world.deployments, &wanted) {
                changes.push(Change::Apply(wanted));
            }
            if replicas > latest.asked {
                changes.push(Change::Scale(design.revision.clone(), replicas));
            }
        }
    }
    changes.extend(service(world));
    let moving = latest.is_none_or(|latest| !latest.verified) || traffic.as_deref() != Some(&design.revision);
    let waiting = moving.then_some(WAITING_RETRY);
    let again = [sweep(world, &design, &mut changes), waiting].into_iter().flatten().min();
    let waits = !may_start && world.is_starting(&design) && latest.is_none_or(|latest| latest.asked == 0);
    Plan { design: Ok(design), traffic, waits, changes, again }
}

fn package(world: &World, design: &Design) -> Option<Change> {
    let manifest = design.package_map(&world.function)?;
    let digest = design.package.as_ref().map(|package| package.digest.as_str());
    let owner = world.function.metadata.uid.as_deref().unwrap_or_default();
    let stored = world.config_maps.iter().any(|map| package::digest(map, owner) == digest);
    (!stored).then_some(Change::Apply(manifest))
}

fn service(world: &World) -> Option<Change> {
    let wanted = design::service(&world.settings, &world.function);
    let Some(live) = world.services.iter().find(|service| service.name_any() == wanted.name()) else {
        return Some(Change::Create(wanted));
    };
    let live = serde_json::to_value(live.as_ref()).unwrap_or_default();
    (!drift::contains(&live, &without_type(&wanted))).then_some(Change::Apply(wanted))
}

fn drifted(deployments: &[Arc<Deployment>], wanted: &Manifest) -> bool {
    let live = deployments.iter().find(|deployment| deployment.name_any() == wanted.name());
    live.is_none_or(|live| {
        let live = serde_json::to_value(live.as_ref()).unwrap_or_default();
        !drift::contains(&live, &without_type(wanted))
    })
}

/// Objects in a list carry no apiVersion and kind of their own.
fn without_type(manifest: &Manifest) -> serde_json::Value {
    let mut value = manifest.value().clone();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
    }
    value
}

/// Deletes what belongs to the function and to no revision that is wanted. Says when to look again.
fn sweep(world: &World, design: &Design, changes: &mut Vec<Change>) -> Option<Duration> {
    let mut again = None;
    for revision in &world.revisions {
        let wanted = revision.name == design.revision || world.current() == Some(revision.name.as_str());
        if wanted || revision.leaving {
            continue;
        }
        match DRAIN_AFTER.checked_sub(world.settled_for).filter(|wait| !wait.is_zero()) {
            Some(wait) => again = Some(wait),
            None => changes.push(Change::DeleteDeployment(revision.name.clone(), revision.uid.clone())),
        }
    }
    let mut used: Vec<_> = world
        .deployments
        .iter()
        .filter_map(|deployment| deployment.annotations().get(DIGEST_ANNOTATION))
        .collect();
    used.extend(design.package.as_ref().map(|package| &package.digest));
    let packages =
        world.config_maps.iter().filter(|map| map.labels().contains_key(flint_api::labels::PACKAGE));
    for map in packages
        .filter(|map| map.annotations().get(DIGEST_ANNOTATION).is_none_or(|digest| !used.contains(&digest)))
    {
        changes.push(Change::DeletePackage(map.name_any(), map.uid().unwrap_or_default()));
    }
    let name = world.function.name_any();
    for service in world.services.iter().filter(|service| service.name_any() != name) {
        changes.push(Change::DeleteService(service.name_any(), service.uid().unwrap_or_default()));
    }
    again
}
