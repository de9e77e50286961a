//! Which revision gets traffic, and how a new one takes over: pure decisions over what is observed of each.
//!
//! A new revision first proves itself with one instance, so that a broken one costs one pod and not a hundred. Ready once, it is
//! *verified*, which its Deployment carries as an annotation, for operators come and go. Then it grows to what the old one has
//! ready, and only when it has as many does traffic move: in one step, by `status.revision`, which gateways watch. If the cluster
//! has no room for both, the new one takes over with what it got; otherwise an update would wait for ever.
//!
//! An old revision that cannot serve at all loses traffic at once. A new one that cannot start never gets any.

use std::sync::Arc;

use flint_api::labels;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::ResourceExt;

use crate::startability::{self, Failure};

/// What is observed of a revision.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Revision {
    /// The Deployment's name.
    pub(crate) name: String,
    /// The Deployment's uid.
    pub(crate) uid: String,
    /// Instances asked for.
    pub(crate) asked: u32,
    /// Instances that are ready.
    pub(crate) ready: u32,
    /// Instances that called home, which is before the watch knows that they are ready.
    pub(crate) announced: u32,
    /// Whether an instance of it was ready once.
    pub(crate) verified: bool,
    /// Why it cannot start (more) instances.
    pub(crate) failure: Option<Failure>,
    /// Time since its Deployment was created.
    pub(crate) age: SignedDuration,
    /// The Deployment is on its way out, or belongs to an earlier Function of the same name.
    pub(crate) leaving: bool,
}

/// Annotation on a Deployment: an instance of the revision was ready once. The autoscaler keeps one that is not verified from zero.
pub(crate) const VERIFIED: &str = "flint.dev/verified";
/// How long a new revision may lack room beside the old one before it takes over with what it has: a node that a cluster
/// autoscaler adds takes about as long.
const ROOM_PATIENCE: SignedDuration = SignedDuration::from_secs(90);

/// The revisions of a function, from its Deployments and pods. `owner` is the Function's uid.
pub(crate) fn observe(
    deployments: &[Arc<Deployment>],
    pods: &[Arc<Pod>],
    owner: &str,
    announced: impl Fn(&str) -> u32,
    now: Timestamp,
) -> Vec<Revision> {
    let of = |deployment: &Arc<Deployment>| revision(deployment, pods, owner, &announced, now);
    deployments.iter().map(of).collect()
}

/// Instances that the autoscaler must leave a Deployment: one that has not proved itself keeps the instance that it does so with.
pub(crate) fn floor(deployment: &Deployment) -> u32 {
    u32::from(!is_verified(deployment))
}

/// Whether an instance of the Deployment was ready once.
pub(crate) fn is_verified(deployment: &Deployment) -> bool {
    deployment.annotations().contains_key(VERIFIED)
}

/// The revision that gets traffic from now on. `current` has it now; `latest` is what the spec asks for, none where it asks for
/// nothing that can be; `most` is the Function's maximum.
pub(crate) fn traffic(
    current: Option<&str>,
    latest: Option<&str>,
    revisions: &[Revision],
    most: u32,
) -> Option<String> {
    let find = |name: Option<&str>| {
        revisions.iter().find(|revision| Some(revision.name.as_str()) == name && !revision.leaving)
    };
    let Some(latest_name) = latest else { return current.map(str::to_owned) };
    let Some(old) = find(current) else {
        // Nothing serves: whatever comes, comes from the latest.
        return Some(latest_name.to_owned());
    };
    let moves = old.name == latest_name
        || (old.ready == 0 && old.failure.is_some())
        || find(latest).is_some_and(|new| takes_over(old, new, most));
    Some(if moves { latest_name } else { &old.name }.to_owned())
}

/// Instances that a new revision needs before it takes over.
pub(crate) fn needed(old: &Revision, most: u32) -> u32 {
    old.ready.clamp(1, most.max(1))
}

/// Instances that the latest revision should be asked for now, beside the one that has traffic (`old`, if another). `may_start` is
/// false while too many functions start at once.
pub(crate) fn desired_start_replicas(
    latest: Option<&Revision>,
    old: Option<&Revision>,
    most: u32,
    may_start: bool,
) -> u32 {
    let asked = latest.map_or(0, |latest| latest.asked);
    match (latest, old) {
        (Some(latest), Some(old)) if latest.verified => asked.max(needed(old, most)),
        // It has traffic: from here on the autoscaler decides.
        (Some(latest), None) if latest.verified => asked,
        _ => asked.max(u32::from(may_start)),
    }
}

fn takes_over(old: &Revision, new: &Revision, most: u32) -> bool {
    let enough = new.ready >= needed(old, most);
    let cramped = new.failure.as_ref().is_some_and(Failure::is_lack_of_room) && new.age >= ROOM_PATIENCE;
    // An old one at zero has nobody to lose; a new one that proved itself may be back at zero, too. An old one that never served is no
    // better than the new one.
    let idle = old.ready == 0 && old.asked == 0 && (new.verified || (!old.verified && new.failure.is_none()));
    enough || idle || (cramped && new.ready > 0)
}

fn revision(
    deployment: &Deployment,
    pods: &[Arc<Pod>],
    owner: &str,
    announced: impl Fn(&str) -> u32,
    now: Timestamp,
) -> Revision {
    let name = deployment.name_any();
    let of_revision = |pod: &&Pod| pod.labels().get(labels::REVISION) == Some(&name);
    let pods: Vec<&Pod> = pods.iter().map(Arc::as_ref).filter(of_revision).collect();
    let ready = pods.iter().filter(|pod| startability::is_ready(pod)).count();
    let controller = deployment.owner_references().iter().find(|owner| owner.controller == Some(true));
    let created = deployment.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0);
    let asked = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    Revision {
        uid: deployment.uid().unwrap_or_default(),
        asked: u32::try_from(asked).unwrap_or(0),
        ready: u32::try_from(ready).unwrap_or(u32::MAX),
        announced: announced(&name),
        verified: is_verified(deployment) || ready > 0,
        failure: startability::judge(Some(deployment), pods, now),
        age: now.duration_since(created),
        leaving: deployment.metadata.deletion_timestamp.is_some()
            || controller.is_some_and(|controller| controller.uid != owner),
        name,
    }
}

#[cfg(test)]
mod tests;
