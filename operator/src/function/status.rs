//! What the Function's status says: conditions with reasons, revisions, addresses, numbers. Pure.
//!
//! * `Built`: the source is a package. Unknown: it is being made. False: it cannot become one.
//! * `Deployed`: the revision that the spec asks for has traffic. Unknown: on its way. False: it cannot start.
//! * `Ready`: the function answers as its spec says, at all its addresses and times. False while the latest revision fails, even if
//!   an older one keeps serving, which the message then says.

use flint_api::{Condition, FunctionStatus, PackageStatus, SourceStatus, labels};
use jiff::Timestamp;
use kube::ResourceExt;

use super::{
    design::Design,
    plan::{Plan, World},
    problem::{Problem, Stage},
};

/// Name of the condition that sums up the others.
pub(crate) const READY: &str = "Ready";
/// Name of the condition on the package.
pub(crate) const BUILT: &str = "Built";
/// Name of the condition on the revision.
pub(crate) const DEPLOYED: &str = "Deployed";
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
    let (package, source) = package(plan, &before);
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
    let Some(latest) = world.revision(&design.revision) else { return starting(plan, design) };
    if latest.leaving {
        return Verdict::unknown("Replacing", "The objects of an earlier function of this name are going.");
    }
    match &latest.failure {
        // One that serves with fewer instances than it was asked for is deployed all the same.
        Some(failure) if latest.ready == 0 => return Verdict::no(failure.reason, &failure.message),
        _ => {}
    }
    if !latest.verified {
        return starting(plan, design);
    }
    if plan.traffic.as_deref() == Some(&design.revision) {
        return Verdict::yes("Deployed", &format!("Revision {} gets the traffic.", design.revision));
    }
    let old = plan.traffic.as_deref().and_then(|name| world.revision(name));
    let needed = old.map_or(1, |old| crate::rollout::needed(old, design.most));
    let text =
        format!("Revision {} gets the traffic when {needed} of its instances are ready.", design.revision);
    Verdict::unknown("RollingOut", &text)
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
fn package(plan: &Plan, before: &FunctionStatus) -> (Option<PackageStatus>, Option<SourceStatus>) {
    let design = match &plan.design {
        Ok(design) if plan.traffic.as_deref() == Some(&design.revision) => design,
        _ => return (before.package.clone(), before.source.clone()),
    };
    let Some(package) = &design.package else { return (None, None) };
    let bytes = i64::try_from(package.size).unwrap_or(i64::MAX);
    let source = package.resolved.clone().map(|resolved| match resolved.starts_with("sha256:") {
        true => SourceStatus { digest: Some(resolved), ..SourceStatus::default() },
        false => SourceStatus { commit: Some(resolved), ..SourceStatus::default() },
    });
    (Some(PackageStatus { digest: package.digest.clone(), bytes }), source)
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
