//! What the Function's status says: conditions with reasons, revisions, addresses, numbers. Pure.
//!
//! * `Built`: the source is a package. Unknown: it is being made. False: it cannot become one.
//! * `Deployed`: the revision that the spec asks for has traffic. Unknown: on its way. False: it cannot start.
//! * `Ready`: the function answers as its spec says, at all its addresses and times. False while the latest revision fails, even if
//!   an older one keeps serving, which the message then says.

use flint_api::{
    CanaryPhase, Condition, FunctionStatus, PackageStatus, Revision as Record, RevisionRef, RevisionStatus,
    SourceStatus, TrafficStatus, VersionStatus, labels,
};
use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    design::{self, Design},
    plan::{Plan, World},
    problem::{Problem, Stage},
};
use crate::{package::Package, template};

/// Name of the condition that sums up the others.
pub(crate) const READY: &str = "Ready";
/// Name of the condition on the package.
pub(crate) const BUILT: &str = "Built";
/// Name of the condition on the revision.
pub(crate) const DEPLOYED: &str = "Deployed";
/// Reason of a revision that starts with its first request, and has not.
pub(crate) const NOT_STARTED: &str = "NotStarted";
/// Everything is as the spec asks.
pub(crate) const REASON_READY: &str = "Ready";

/// One condition's content, before it is dated.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    status: &'static str,
    reason: String,
    message: String,
}

/// The status after a plan. `problems` came up beside it, while it was applied or in what the plan does not look at.
pub(crate) fn status(world: &World, plan: &Plan, problems: &[Problem]) -> FunctionStatus {
    let before = world.function.status.clone().unwrap_or_default();
    let (namespace, name) = (world.function.namespace().unwrap_or_default(), world.function.name_any());
    let built = built(world, plan);
    let deployed = deployed(world, plan, problems);
    let ready = ready(world, &built, &deployed, problems);
    let conditions = [(READY, ready), (BUILT, built), (DEPLOYED, deployed)];
    let latest =
        plan.design.as_ref().ok().map(|design| design.revision.clone()).or(before.latest_revision.clone());
    let runtime = world.function.spec.runtime.clone().unwrap_or_else(|| "http".to_owned());
    let (package, source) = package(world, plan, &before);
    FunctionStatus {
        observed_generation: world.function.metadata.generation,
        conditions: conditions
            .into_iter()
            .map(|(kind, verdict)| dated(world, &before, kind, verdict))
            .collect(),
        runtime: Some(runtime),
        package,
        source,
        revision: plan.traffic.clone(),
        latest_revision: latest,
        traffic: plan.decision.shares.clone(),
        versions: versions(world, plan),
        last_number: (plan.last_number > 0).then_some(plan.last_number),
        canary: plan.decision.trial.clone(),
        replicas: i32::try_from(world.instances.0).unwrap_or(i32::MAX),
        ready_replicas: i32::try_from(world.instances.1).unwrap_or(i32::MAX),
        selector: Some(format!("{}={name}", labels::FUNCTION)),
        url: Some(world.settings.url(&namespace, &name)),
        cluster_url: Some(format!("http://{name}.{namespace}")),
        // These two have writers of their own.
        last_invocation: None,
        schedules: Vec::new(),
    }
}

fn built(world: &World, plan: &Plan) -> Verdict {
    match (&world.package, &plan.design) {
        (Err(problem), _) if problem.waiting => Verdict::unknown(problem.reason, &problem.message),
        (Err(problem), _) => Verdict::no(problem.reason, &problem.message),
        (Ok(None), _) => Verdict::yes("NotNeeded", "The function is an image."),
        (Ok(Some(Package { image: Some(image), .. })), _) => {
            Verdict::yes("Packaged", &format!("The code is in the image {}.", image.reference))
        }
        (Ok(Some(package)), _) => {
            Verdict::yes("Packaged", &format!("The code is packed: {} bytes.", package.size))
        }
    }
}

fn deployed(world: &World, plan: &Plan, problems: &[Problem]) -> Verdict {
    let design = match &plan.design {
        Ok(design) => design,
        Err(problem) if problem.waiting => {
            return Verdict::unknown("Building", "The package is being made.");
        }
        Err(problem) if problem.stage == Stage::Build => {
            return Verdict::no("NotBuilt", "There is no package to deploy.");
        }
        Err(problem) => return Verdict::no(problem.reason, &problem.message),
    };
    if let Some(problem) = problems.iter().find(|problem| problem.stage == Stage::Deploy) {
        return Verdict::no(problem.reason, &problem.message);
    }
    if let Some(problem) = &plan.decision.problem {
        return Verdict::no(problem.reason, &problem.message);
    }
    let leaving = world.revision(&design.revision).is_some_and(|latest| latest.leaving);
    if leaving || world.leftover.contains(&design.revision) {
        return Verdict::unknown("Replacing", "The objects of an earlier function of this name are going.");
    }
    if plan.untried && plan.traffic.as_ref() == Some(&design.revision) {
        let text = format!(
            "Revision {} gets the traffic, and starts with the first request: spec.scaling.initialReplicas is 0.",
            design.revision
        );
        return Verdict::yes(NOT_STARTED, &text);
    }
    let Some(latest) = world.revision(&design.revision) else { return starting(plan, design) };
    match &latest.failure {
        // One that serves with fewer instances than it was asked for is deployed all the same.
        Some(failure) if latest.ready == 0 => return Verdict::no(failure.reason, &failure.message),
        _ => {}
    }
    if !latest.verified {
        return starting(plan, design);
    }
    if let Some(verdict) = shared(world, plan, &design.revision) {
        return verdict;
    }
    let old = plan.traffic.as_deref().and_then(|name| world.revision(name));
    let needed = old.map_or(1, |old| crate::rollout::needed(old, design.most));
    let text =
        format!("Revision {} gets the traffic when {needed} of its instances are ready.", design.revision);
    Verdict::unknown("RollingOut", &text)
}

/// What there is to say of a revision that is ready, by what it gets; none while it waits to get what it should.
fn shared(world: &World, plan: &Plan, name: &str) -> Option<Verdict> {
    let shares = &plan.decision.shares;
    let weight = |name: &str| -> u32 {
        shares.iter().filter(|share| share.revision == name).map(|share| share.weight).sum()
    };
    let trial = plan.decision.trial.as_ref().filter(|trial| trial.revision == name);
    match trial.map(|trial| (trial.phase, trial)) {
        Some((CanaryPhase::RolledBack, trial)) => {
            let why = trial.message.as_deref().unwrap_or_default();
            let text = format!(
                "Revision {name} failed its trial and gets no requests. {why} Change the function, or remove spec.canary to have it take over all the same."
            );
            return Some(Verdict::no("CanaryFailed", &text));
        }
        Some((CanaryPhase::Progressing, trial)) if shares.iter().any(|share| share.canary) => {
            let text = format!(
                "Revision {name} is on trial with {}% of the requests, step {}.",
                weight(name),
                trial.step
            );
            return Some(Verdict::unknown("Canary", &text));
        }
        _ => {}
    }
    match weight(name) {
        100 => Some(Verdict::yes("Deployed", &format!("Revision {name} gets the traffic."))),
        0 if plan.decision.replaces.is_some() || !plan.decision.starting.is_empty() => None,
        0 => Some(Verdict::yes(
            "Deployed",
            &format!("Revision {name} is ready and gets no requests: spec.traffic names others."),
        )),
        part => {
            let asked = &world.function.spec.traffic;
            let on_its_way = asked.is_empty() || asked.iter().all(|one| one.revision == RevisionRef::Latest);
            (!on_its_way).then(|| {
                Verdict::yes(
                    "Deployed",
                    &format!("Revision {name} gets {part}% of the traffic, as spec.traffic has it."),
                )
            })
        }
    }
}

fn starting(plan: &Plan, design: &Design) -> Verdict {
    if plan.waits {
        let text =
            format!("Revision {} waits for its turn: many functions start at this moment.", design.revision);
        return Verdict::unknown("WaitingToStart", &text);
    }
    Verdict::unknown("Starting", &format!("The first instance of revision {} is starting.", design.revision))
}

fn ready(world: &World, built: &Verdict, deployed: &Verdict, problems: &[Problem]) -> Verdict {
    let mut verdict = match (built.status, deployed.status) {
        ("False", _) => built.clone(),
        (_, "True") => match problems.iter().find(|problem| problem.stage == Stage::Beside) {
            Some(problem) => Verdict::no(problem.reason, &problem.message),
            None if deployed.reason == NOT_STARTED => Verdict::yes(
                NOT_STARTED,
                "The first request at its URL starts the function. Nothing has shown yet that it can.",
            ),
            None => Verdict::yes(REASON_READY, "The function answers at its URL."),
        },
        _ => deployed.clone(),
    };
    let serving = world.current().and_then(|name| world.revision(name)).filter(|revision| revision.verified);
    let wanted = verdict.status == "True" || deployed.status == "True";
    if let Some(serving) = serving.filter(|_| !wanted) {
        verdict.message = format!("{} Revision {} keeps serving.", verdict.message, serving.name);
    }
    verdict
}

/// The package of the revision that gets traffic, and what its source was.
fn package(
    world: &World,
    plan: &Plan,
    before: &FunctionStatus,
) -> (Option<PackageStatus>, Option<SourceStatus>) {
    let main = plan.traffic.as_deref();
    let design = plan.design.as_ref().ok().filter(|design| main == Some(&design.revision)).cloned();
    let recorded = || main.and_then(|main| world.record(main)).map(|record| Design::recorded(record, 1));
    let Some(design) = design.or_else(recorded) else {
        return (before.package.clone(), before.source.clone());
    };
    let Some(package) = &design.package else { return (None, None) };
    let bytes = i64::try_from(package.size).unwrap_or(i64::MAX);
    let source = package.resolved.clone().map(|resolved| match resolved.starts_with("sha256:") {
        true => SourceStatus { digest: Some(resolved), ..SourceStatus::default() },
        false => SourceStatus { commit: Some(resolved), ..SourceStatus::default() },
    });
    let image = package.image.as_ref().map(|image| image.reference.clone());
    (Some(PackageStatus { digest: package.digest.clone(), bytes, image }), source)
}

fn versions(world: &World, plan: &Plan) -> Vec<VersionStatus> {
    let version = |(number, revision): (&u32, &String)| {
        let latest = plan.design.as_ref().ok().filter(|design| design.revision == *revision);
        let (mode, timeout) = match (latest, world.record(revision)) {
            (Some(design), _) => design::goes_by(design.template()),
            (None, Some(record)) => design::goes_by(&template::of(record)),
            (None, None) => (None, None),
        };
        VersionStatus { number: *number, revision: revision.clone(), mode, timeout }
    };
    plan.numbers.iter().map(version).collect()
}

/// Whether an instance of the revision was ready once.
pub(crate) fn was_ready(record: &Record) -> bool {
    let conditions = record.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == READY && condition.status == "True")
}

/// The statuses of Revisions that are not as they should be, by name. One whose first instance is starting has nothing to be said of yet.
pub(crate) fn of_records(world: &World, plan: &Plan) -> Vec<(String, RevisionStatus)> {
    let of = |record: &Record| {
        let name = record.name_any();
        let before = record.status.clone().unwrap_or_default();
        let known = before.conditions.iter().find(|condition| condition.type_ == READY);
        let untried = plan.untried && plan.design.as_ref().is_ok_and(|design| design.revision == name);
        let keep = || told(&plan.decision.shares, &name, before.conditions.clone());
        let revision = world.revision(&name);
        let failure = revision.filter(|revision| revision.ready == 0).and_then(|one| one.failure.as_ref());
        let verdict = match (revision, failure) {
            (Some(revision), _) if revision.verified => {
                Verdict::yes("Ready", "An instance of it was ready: it can be started.")
            }
            _ if was_ready(record) => return keep(),
            (_, Some(failure)) => Verdict::no(failure.reason, &failure.message),
            _ if untried && known.is_none() => {
                Verdict::unknown(NOT_STARTED, "It starts with the first request.")
            }
            (Some(_), None) if known.is_some_and(|known| known.status == "False") => {
                Verdict::unknown("Starting", "No instance of it has been ready yet.")
            }
            _ => return keep(),
        };
        let last = known.filter(|known| known.status == verdict.status);
        let condition = Condition {
            type_: READY.to_owned(),
            status: verdict.status.to_owned(),
            reason: verdict.reason,
            message: verdict.message,
            last_transition_time: last
                .map_or_else(|| whole_seconds(world.now), |last| last.last_transition_time),
            observed_generation: record.metadata.generation,
        };
        told(&plan.decision.shares, &name, vec![condition])
    };
    let changed = |record: &Record| {
        let status = of(record);
        let silent = record.status.is_none() && status.conditions.is_empty();
        (!silent && record.status.as_ref() != Some(&status)).then(|| (record.name_any(), status))
    };
    world.records.iter().filter_map(|record| changed(record)).collect()
}

fn told(shares: &[TrafficStatus], name: &str, conditions: Vec<Condition>) -> RevisionStatus {
    let mine = || shares.iter().filter(|share| share.revision == name);
    let weight: u32 = mine().map(|share| share.weight).sum();
    let weight = (weight > 0).then(|| format!("{weight}%"));
    let canary = mine().any(|share| share.canary).then(|| "on trial".to_owned());
    let words: Vec<_> =
        weight.into_iter().chain(canary).chain(mine().filter_map(|share| share.alias.clone())).collect();
    RevisionStatus { conditions, traffic: words.join(" ") }
}

/// The condition, with the time of its last transition kept while its status stays the same.
fn dated(world: &World, before: &FunctionStatus, kind: &str, verdict: Verdict) -> Condition {
    let last = before
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == verdict.status);
    Condition {
        type_: kind.to_owned(),
        status: verdict.status.to_owned(),
        reason: verdict.reason,
        message: verdict.message,
        last_transition_time: last.map_or_else(|| whole_seconds(world.now), |last| last.last_transition_time),
        observed_generation: world.function.metadata.generation,
    }
}

/// As Kubernetes writes times.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

// === impl Verdict ===

impl Verdict {
    fn yes(reason: &str, message: &str) -> Self {
        Self { status: "True", reason: reason.to_owned(), message: message.to_owned() }
    }

    fn no(reason: &str, message: &str) -> Self {
        Self { status: "False", reason: reason.to_owned(), message: message.to_owned() }
    }

    fn unknown(reason: &str, message: &str) -> Self {
        Self { status: "Unknown", reason: reason.to_owned(), message: message.to_owned() }
    }
}
