//! From what there is to what should be: the changes that bring a function one step further. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use flint_api::{CanaryPhase, Effective, Function, Revision as Record, Runtime, TrafficStatus};
use flint_core::canary::Outcomes;
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
    status,
    traffic::{self, Decision, Question},
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
    /// Its Revisions, with and without a Deployment.
    pub(crate) records: Vec<Arc<Record>>,
    /// Names of Revisions that an earlier function of this name left, and the garbage collector has not come to.
    pub(crate) leftover: BTreeSet<String>,
    /// Revisions that were called by themselves lately, and the time for which they are kept because of it.
    pub(crate) called: Vec<(String, Duration)>,
    /// Whether requests wait for it.
    pub(crate) woken: bool,
    /// What the present step of the canary has seen.
    pub(crate) outcomes: Outcomes,
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
    /// The revision that gets traffic; the first of several.
    pub(crate) traffic: Option<String>,
    /// Who gets requests, and what is on the way there.
    pub(crate) decision: Decision,
    /// The revisions by number, and the highest number so far.
    pub(crate) numbers: BTreeMap<u32, String>,
    /// See [`Self::numbers`].
    pub(crate) last_number: u32,
    /// Revisions that the scaler must leave alone.
    pub(crate) preparing: BTreeSet<String>,
    /// Waits for its turn to start.
    pub(crate) waits: bool,
    /// Waits for its first request to start.
    pub(crate) untried: bool,
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
    /// Have the Secret with the instances' key there; with `true` even if it should be.
    Key(bool),
    /// Create it, unless a stranger's object has its name.
    Create(Manifest),
    /// Ask for that many instances.
    Scale(String, u32),
    /// Delete a revision's Deployment and its pods.
    DeleteDeployment(String, String),
    /// Delete a Revision that is not kept.
    DeleteRecord(String, String),
    /// Delete a package.
    DeletePackage(String, String),
    /// Delete a Service that the function does not have any more.
    DeleteService(String, String),
}

/// How long after traffic moved the old instances go: every gateway has heard of it by then, usually within milliseconds.
pub(crate) const DRAIN_AFTER: Duration = Duration::from_secs(5);
/// An earlier function's objects are collected within seconds.
const LEAVING_RETRY: Duration = Duration::from_secs(2);
/// A step of a canary is judged this often.
const TRIAL_RETRY: Duration = Duration::from_secs(1);
/// Revisions kept beside those in use, where the Function names no number.
const HISTORY: u32 = 10;
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

    /// Who gets requests by what the API server has stored. A status that an older operator wrote knows one revision.
    pub(crate) fn shares(&self) -> Vec<TrafficStatus> {
        let Some(status) = &self.function.status else { return Vec::new() };
        if !status.traffic.is_empty() {
            return status.traffic.clone();
        }
        let share = |revision: &String| TrafficStatus {
            revision: revision.clone(),
            number: self.record(revision).map_or(0, |record| record.spec.number),
            weight: 100,
            latest: true,
            ..TrafficStatus::default()
        };
        status.revision.iter().map(share).collect()
    }

    /// The Revision of that name.
    pub(crate) fn record(&self, name: &str) -> Option<&Record> {
        self.records.iter().find(|record| record.metadata.name.as_deref() == Some(name)).map(Arc::as_ref)
    }

    /// Whether an instance of the revision was ready once.
    pub(crate) fn is_proven(&self, name: &str) -> bool {
        self.revision(name).is_some_and(|revision| revision.verified)
            || self.record(name).is_some_and(status::was_ready)
    }

    /// Whether the revision still has to prove itself, and nothing says yet that it cannot.
    pub(crate) fn is_starting(&self, design: &Design) -> bool {
        self.revision(&design.revision)
            .is_none_or(|revision| !revision.verified && revision.failure.is_none())
    }

    /// Whether the revision is to start with its first request, which has not come. Where none that gets requests has shown that it can
    /// serve, nothing is lost with one that cannot.
    pub(crate) fn is_untried(&self, design: &Design) -> bool {
        let spec = &self.function.spec;
        let asked_for = spec.scaling.as_ref().is_some_and(|scaling| {
            scaling.initial_replicas == Some(0) && scaling.min_replicas.unwrap_or(0) == 0
        });
        let shares = self.shares();
        let others: Vec<_> =
            shares.iter().filter(|share| share.weight > 0 && share.revision != design.revision).collect();
        let moves_alone = spec.traffic.is_empty() && (spec.canary.is_none() || others.is_empty());
        let is_idle = |revision: &Revision| {
            revision.asked == 0
                && revision.ready == 0
                && revision.announced == 0
                && revision.failure.is_none()
        };
        let untried = |name: &str| !self.is_proven(name) && self.revision(name).is_none_or(is_idle);
        asked_for
            && !self.woken
            && self.called.is_empty()
            && moves_alone
            && untried(&design.revision)
            && others.iter().all(|share| untried(&share.revision))
    }

    fn most(&self) -> u32 {
        Effective::new(&self.function, self.runtime.as_deref()).max_replicas
    }

    /// The revisions by number, the latest included, and the highest number that any has got.
    fn numbers(&self, latest: Option<&Design>) -> (BTreeMap<u32, String>, u32) {
        let status = self.function.status.as_ref();
        let known = status.map(|status| status.versions.as_slice()).unwrap_or_default();
        let mut numbers: BTreeMap<_, _> =
            self.records.iter().map(|record| (record.spec.number, record.name_any())).collect();
        let mut last = status.and_then(|status| status.last_number).unwrap_or(0);
        last = last.max(numbers.keys().copied().max().unwrap_or(0));
        if let Some(latest) = latest.filter(|latest| self.record(&latest.revision).is_none()) {
            // One whose record somebody deleted keeps its number.
            let before = known.iter().find(|version| version.revision == latest.revision);
            let number = before.map_or(last + 1, |version| version.number);
            numbers.insert(number, latest.revision.clone());
            last = last.max(number);
        }
        (numbers, last)
    }

    fn decide(
        &self,
        latest: Option<&Design>,
        numbers: &BTreeMap<u32, String>,
        before: &[TrafficStatus],
    ) -> Decision {
        let status = self.function.status.as_ref();
        let names =
            numbers.values().map(String::as_str).chain(self.revisions.iter().map(|one| one.name.as_str()));
        let proven = names.filter(|name| self.is_proven(name)).map(str::to_owned).collect();
        traffic::decide(&Question {
            targets: &self.function.spec.traffic,
            canary: self.function.spec.canary.as_ref(),
            before,
            trial: status.and_then(|status| status.canary.as_ref()),
            outcomes: self.outcomes,
            latest: latest.map(|latest| latest.revision.as_str()),
            numbers,
            proven: &proven,
            revisions: &self.revisions,
            most: self.most(),
            now: self.now,
        })
    }
}

/// The plan. `may_start` says whether a revision that has to prove itself may start an instance now.
pub(crate) fn plan(world: &World, design: Result<Design, Problem>, may_start: bool) -> Plan {
    let before = world.shares();
    let (numbers, last_number) = world.numbers(design.as_ref().ok());
    let leaving = |design: &Design| {
        world.leftover.contains(&design.revision)
            || world.revision(&design.revision).is_some_and(|latest| latest.leaving)
    };
    if design.as_ref().is_ok_and(leaving) {
        // The same spec came, went and came again: its Deployment must be gone before it can be made anew.
        let trial = world.function.status.as_ref().and_then(|status| status.canary.clone());
        return Plan {
            design,
            traffic: world.current().map(str::to_owned),
            decision: Decision { shares: before, trial, ..Decision::default() },
            numbers,
            last_number,
            preparing: BTreeSet::new(),
            waits: false,
            untried: false,
            changes: Vec::new(),
            again: Some(LEAVING_RETRY),
        };
    }
    let latest = design.as_ref().ok();
    let decision = world.decide(latest, &numbers, &before);
    let traffic = traffic::main(world.current(), &decision.shares).or(world.current()).map(str::to_owned);
    let mut preparing: BTreeSet<_> = decision.starting.keys().cloned().collect();
    if decision.replaces.is_some() {
        preparing.extend(latest.map(|latest| latest.revision.clone()));
    }

    let mut changes = Vec::new();
    let mut again = Vec::new();
    let mut waits = false;
    let untried = latest.is_some_and(|latest| world.is_untried(latest));
    if let Some(latest) = latest {
        waits = deploy(world, latest, &numbers, &decision, may_start, &mut changes);
        let moving =
            world.revision(&latest.revision).is_none_or(|one| !one.verified) || decision.replaces.is_some();
        // Who waits for its turn is told of it: thousands that are applied together must not be looked at again and again.
        again.extend((moving && !waits && !untried).then_some(WAITING_RETRY));
    }
    let kept = kept(world, latest, &before, &decision);
    revive(world, latest, &kept, &decision, &mut changes);
    changes.extend(service(world));
    if let Some(latest) = latest {
        again.extend(sweep(world, latest, &kept, &mut changes));
    }
    again.extend(design.as_ref().err().and_then(|problem| problem.again));
    let its_turn = |name: &String| !waits || latest.is_none_or(|latest| latest.revision != *name);
    again.extend(decision.starting.keys().any(its_turn).then_some(WAITING_RETRY));
    let tried = decision.trial.as_ref().is_some_and(|trial| trial.phase == CanaryPhase::Progressing);
    again.extend((tried && decision.shares.iter().any(|share| share.canary)).then_some(TRIAL_RETRY));
    again.extend(world.called.iter().map(|(_, left)| *left));
    let again = again.into_iter().min();
    Plan { traffic, decision, numbers, last_number, preparing, waits, untried, changes, again, design }
}

/// The latest revision: its record, its package, its Deployment. Says whether it waits for its turn to start.
fn deploy(
    world: &World,
    design: &Design,
    numbers: &BTreeMap<u32, String>,
    decision: &Decision,
    may_start: bool,
    changes: &mut Vec<Change>,
) -> bool {
    let latest = world.revision(&design.revision);
    let untried = world.is_untried(design);
    let may_start = may_start && !untried;
    // Ten thousand Deployments that nobody has called would keep the one that is called waiting in their controller's queue.
    let later = untried && latest.is_none() && design.is_remade();
    let old = decision.replaces.as_deref().filter(|_| world.function.spec.canary.is_none());
    let old = old.and_then(|name| world.revision(name));
    let least = u32::from(decision.replaces.is_some())
        .max(decision.starting.get(&design.revision).copied().unwrap_or(0));
    let replicas = rollout::desired_start_replicas(latest, old, design.most, may_start);
    let replicas = if may_start { replicas.max(least) } else { replicas };
    let lacks_key =
        |revision: &Revision| revision.failure.as_ref().is_some_and(|failure| failure.reason == CONFIG_ERROR);
    if !later && latest.is_none_or(lacks_key) {
        changes.push(Change::Key(latest.is_some()));
    }
    changes.extend(package(world, design));
    if world.record(&design.revision).is_none()
        && let Some((number, _)) = numbers.iter().find(|(_, name)| **name == design.revision)
    {
        changes.push(Change::Create(design.record(&world.function, *number)));
    }
    match latest {
        None if later => {}
        None => {
            let verified = world.is_proven(&design.revision);
            changes.push(Change::Create(design.new_deployment(&world.function, verified, replicas)));
        }
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
    !may_start && !untried && world.is_starting(design) && latest.is_none_or(|latest| latest.asked == 0)
}

/// The revisions that have a Deployment: those that get requests, or are to get some, or were called by themselves.
fn kept(
    world: &World,
    latest: Option<&Design>,
    before: &[TrafficStatus],
    decision: &Decision,
) -> BTreeSet<String> {
    let shares = before.iter().chain(&decision.shares).map(|share| share.revision.clone());
    let mut kept: BTreeSet<_> = shares.collect();
    kept.extend(decision.starting.keys().cloned());
    kept.extend(world.called.iter().map(|(name, _)| name.clone()));
    kept.extend(latest.map(|latest| latest.revision.clone()));
    kept.extend(world.current().map(str::to_owned));
    kept
}

/// Brings older revisions back, by what they recorded of themselves, and keeps them as they were.
fn revive(
    world: &World,
    latest: Option<&Design>,
    kept: &BTreeSet<String>,
    decision: &Decision,
    changes: &mut Vec<Change>,
) {
    let older = kept.iter().filter(|name| latest.is_none_or(|latest| latest.revision != **name));
    for record in older.filter_map(|name| world.record(name)) {
        let design = Design::recorded(record, world.most());
        let called = world.called.iter().any(|(name, _)| *name == design.revision);
        let least = decision.starting.get(&design.revision).copied();
        match world.revision(&design.revision) {
            // It waited for a first request that never came.
            None if !world.is_proven(&design.revision) && least.is_none() && !called => {}
            None => {
                let verified = world.is_proven(&design.revision);
                let replicas = least.unwrap_or(u32::from(called));
                changes.push(Change::Create(design.new_deployment(&world.function, verified, replicas)));
            }
            Some(revision) if revision.leaving => {}
            Some(revision) => {
                let wanted = design.deployment(&world.function, revision.verified);
                if drifted(&world.deployments, &wanted) {
                    changes.push(Change::Apply(wanted));
                }
                if let Some(least) = least.filter(|least| *least > revision.asked) {
                    changes.push(Change::Scale(design.revision.clone(), least));
                }
            }
        }
    }
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
fn sweep(
    world: &World,
    design: &Design,
    kept: &BTreeSet<String>,
    changes: &mut Vec<Change>,
) -> Option<Duration> {
    let mut again = None;
    for revision in &world.revisions {
        if kept.contains(&revision.name) || revision.leaving {
            continue;
        }
        match DRAIN_AFTER.checked_sub(world.settled_for).filter(|wait| !wait.is_zero()) {
            Some(wait) => again = Some(wait),
            None => changes.push(Change::DeleteDeployment(revision.name.clone(), revision.uid.clone())),
        }
    }
    let limit = world.function.spec.revision_history_limit.unwrap_or(HISTORY) as usize;
    let in_use = |record: &Record| {
        let name = record.name_any();
        kept.contains(&name) || world.revision(&name).is_some()
    };
    let mut idle: Vec<_> = world.records.iter().filter(|record| !in_use(record)).collect();
    idle.sort_unstable_by_key(|record| std::cmp::Reverse(record.spec.number));
    for record in idle.into_iter().skip(limit).filter(|record| record.metadata.deletion_timestamp.is_none()) {
        changes.push(Change::DeleteRecord(record.name_any(), record.uid().unwrap_or_default()));
    }
    let mut used: Vec<_> = world
        .deployments
        .iter()
        .filter_map(|deployment| deployment.annotations().get(DIGEST_ANNOTATION))
        .collect();
    used.extend(design.package.as_ref().map(|package| &package.digest));
    used.extend(
        world.records.iter().filter_map(|record| record.spec.package.as_ref()).map(|package| &package.digest),
    );
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
