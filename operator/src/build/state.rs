//! What became of a build, read from its Job and its pods. Pure.

use std::sync::Arc;

use flint_core::build::Outcome;
use flint_kube::events::shorten;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ContainerStateTerminated, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::ResourceExt as _;

use super::{job::CONTAINER, plan::AGAIN_AFTER};
use crate::startability;

/// What became of a build.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// There is no Job.
    Absent,
    /// The Job is on its way out.
    Leaving,
    /// It works, or is about to.
    Running,
    /// Something stands in the way of its pod. It begins as soon as that is gone.
    Stuck(Failure),
    /// The package is made: digest and bytes.
    Done(String, u64),
    /// There is no package.
    Failed(Failure),
}

/// Why there is no package.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure {
    /// The line that matters, and what to do.
    pub(crate) message: String,
    /// The same may work later.
    pub(crate) heals: bool,
    /// Since when.
    pub(crate) since: Option<Timestamp>,
}

/// A pod needs some seconds to find its Secret and its node, and one pull may fail by chance; before that nothing is wrong.
const STUCK_AFTER: SignedDuration = SignedDuration::from_secs(20);
/// The controller of Jobs makes a pod within a second; one that is refused it tries again and again.
const PODLESS_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// The watch of pods may be so far behind the one of Jobs.
const BEHIND: SignedDuration = SignedDuration::from_secs(15);
/// A Job that is stuck is made anew so long before its deadline, which says nothing of why.
const BEFORE_DEADLINE: SignedDuration = SignedDuration::from_secs(30);
/// As much of a program's own words as fits in a condition that people read.
const WORDS: usize = 700;

/// What became of the build with that Job and those pods.
pub(crate) fn state(job: Option<&Job>, pods: &[Arc<Pod>], now: Timestamp) -> State {
    let Some(job) = job else { return State::Absent };
    if job.metadata.deletion_timestamp.is_some() {
        return State::Leaving;
    }
    let finished = |kind: &str| {
        let conditions = job.status.as_ref()?.conditions.as_ref()?;
        conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True")
    };
    // The outcome of a pod counts as soon as it is there: the Job's own condition follows a second later.
    if let Some((digest, bytes)) = pods.iter().find_map(|pod| built(pod)) {
        return State::Done(digest, bytes);
    }
    if let Some(failed) = finished("Failed") {
        let since = failed.last_transition_time.as_ref().map(|time| time.0);
        let (message, heals) =
            failure(failed.reason.as_deref().unwrap_or_default(), failed.message.as_deref(), job, pods);
        return State::Failed(Failure { message, heals, since });
    }
    if let Some(complete) = finished("Complete") {
        // The watch of pods may be behind; else its pod is gone, and with it the word of what was made.
        let since = complete.last_transition_time.as_ref().map(|time| time.0);
        let late = since.is_none_or(|since| now.duration_since(since) > BEHIND);
        return if late { State::Leaving } else { State::Running };
    }
    stuck(job, pods, now).map_or(State::Running, State::Stuck)
}

/// Whether a Job that is to have a pod by now has none: what refuses it, only events say.
pub(crate) fn is_podless(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> bool {
    is_running(job) && pods.is_empty() && age(job.metadata.creation_timestamp.as_ref(), now) > PODLESS_AFTER
}

/// A build whose pod the API server does not take, with what it says.
pub(crate) fn refused(job: &Job, said: &str) -> State {
    let made = job.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let message = startability::refusal(said).message;
    State::Stuck(Failure { message, heals: true, since: made.map(|made| since(job, made)) })
}

/// Whether a Job has one of the places of those that run: one that cannot begin keeps nobody waiting.
pub(crate) fn has_place(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> bool {
    is_running(job) && !is_podless(job, pods, now) && stuck(job, pods, now).is_none()
}

fn stuck(job: &Job, pods: &[Arc<Pod>], now: Timestamp) -> Option<Failure> {
    pods.iter().find_map(|pod| {
        let made = pod.metadata.creation_timestamp.as_ref()?;
        let is_late = age(Some(made), now) > STUCK_AFTER;
        let obstacle = startability::obstacle(pod, now).filter(|_| is_late)?;
        Some(Failure { message: obstacle.message, heals: true, since: Some(since(job, made.0)) })
    })
}

/// From when on the time counts after which the Job is made anew: so that this comes before its deadline.
fn since(job: &Job, begun: Timestamp) -> Timestamp {
    let again = SignedDuration::try_from(AGAIN_AFTER).unwrap_or(SignedDuration::ZERO);
    let made = job.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let deadline = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    let latest = made.zip(deadline).and_then(|(made, deadline)| {
        made.checked_add(SignedDuration::from_secs(deadline) - BEFORE_DEADLINE - again).ok()
    });
    latest.map_or(begun, |latest| begun.min(latest))
}

fn age(since: Option<&Time>, now: Timestamp) -> SignedDuration {
    since.map_or(SignedDuration::ZERO, |since| now.duration_since(since.0))
}

/// Whether a Job is neither over nor on its way out.
pub(crate) fn is_running(job: &Job) -> bool {
    let over = |condition: &k8s_openapi::api::batch::v1::JobCondition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    };
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    job.metadata.deletion_timestamp.is_none() && !conditions.iter().any(over)
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let container = statuses.iter().find(|container| container.name == CONTAINER)?;
    container.state.as_ref()?.terminated.as_ref()
}

fn outcome(pod: &Pod) -> Option<Outcome> {
    serde_json::from_str(terminated(pod)?.message.as_deref()?).ok()
}

fn built(pod: &Pod) -> Option<(String, u64)> {
    match outcome(pod)? {
        Outcome::Built { digest, bytes } if terminated(pod)?.exit_code == 0 => Some((digest, bytes)),
        _ => None,
    }
}

fn failure(reason: &str, message: Option<&str>, job: &Job, pods: &[Arc<Pod>]) -> (String, bool) {
    let name = job.name_any();
    if reason == "DeadlineExceeded" {
        let seconds = job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).unwrap_or_default();
        let seen = if pods.is_empty() {
            format!(" If it never had a pod, kubectl describe job {name} says why.")
        } else {
            String::new()
        };
        return (
            format!("It took longer than {seconds} s: raise spec.build.timeout, or ask for less.{seen}"),
            false,
        );
    }
    let mut last: Vec<_> = pods.iter().filter_map(|pod| Some((terminated(pod)?, outcome(pod)))).collect();
    last.sort_by_key(|(terminated, _)| terminated.finished_at.as_ref().map(|time| time.0));
    match last.pop() {
        Some((_, Some(Outcome::Failed { message, heals }))) => (sentence(&message), heals),
        Some((terminated, _))
            if terminated.reason.as_deref() == Some("OOMKilled") || terminated.exit_code == 137 =>
        {
            ("It used more memory than it may: raise spec.build.resources.limits.memory.".to_owned(), false)
        }
        Some((terminated, _)) => {
            let words = terminated.message.as_deref().unwrap_or_default().trim();
            (sentence(&format!("It ended with code {}: {words}", terminated.exit_code)), true)
        }
        None => (sentence(message.unwrap_or(reason)), true),
    }
}

fn sentence(text: &str) -> String {
    let text = shorten(text.trim(), WORDS);
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(status: &Value) -> Job {
        serde_json::from_value(json!({"metadata": {"name": "flint-build-1", "namespace": "shop", "creationTimestamp": "2026-11-21T10:00:00Z"},
            "spec": {"activeDeadlineSeconds": 60, "template": {}}, "status": status}))
        .unwrap()
    }

    fn pod(code: i32, message: &str, at: &str) -> Arc<Pod> {
        let pod = json!({"metadata": {"name": "flint-build-1-x"}, "status": {"containerStatuses": [{"name": "build", "image": "b", "imageID": "",
            "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": code, "message": message, "finishedAt": at}}}]}});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn failed(reason: &str) -> Job {
        job(&json!({"conditions": [{"type": "Failed", "status": "True", "reason": reason, "message": "said",
            "lastTransitionTime": "2026-11-21T10:01:00Z"}]}))
    }

    fn judged(job: &Job, pods: &[Arc<Pod>]) -> State {
        state(Some(job), pods, "2026-11-21T10:02:00Z".parse().unwrap())
    }

    const BUILT: &str = r#"{"outcome":"built","digest":"sha256:aa","bytes":7}"#;
    const NOT_FOUND: &str =
        r#"{"outcome":"failed","message":"ERROR: No matching distribution","heals":false}"#;
    const AWAY: &str = r#"{"outcome":"failed","message":"the index is away","heals":true}"#;

    #[test]
    fn a_package_is_there_when_its_builder_says_so_and_ended_well() {
        assert_eq!(state(None, &[], Timestamp::now()), State::Absent);
        let running = job(&json!({}));
        assert_eq!(judged(&running, &[]), State::Running);
        assert_eq!(
            judged(&running, &[pod(0, BUILT, "2026-11-21T10:00:30Z")]),
            State::Done("sha256:aa".into(), 7)
        );
        assert_eq!(judged(&running, &[pod(1, BUILT, "2026-11-21T10:00:30Z")]), State::Running);
    }

    #[test]
    fn a_job_whose_pod_is_gone_is_made_anew_once_the_watch_cannot_be_behind() {
        let complete = |at: &str| {
            job(&json!({"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": at}]}))
        };
        assert_eq!(judged(&complete("2026-11-21T10:01:59Z"), &[]), State::Running);
        assert_eq!(judged(&complete("2026-11-21T10:01:00Z"), &[]), State::Leaving);
    }

    #[test]
    fn the_last_attempt_says_why_it_failed() {
        let pods = [pod(65, NOT_FOUND, "2026-11-21T10:00:40Z"), pod(75, AWAY, "2026-11-21T10:00:20Z")];
        let State::Failed(failure) = judged(&failed("PodFailurePolicy"), &pods) else { panic!("failed") };
        assert_eq!((failure.message.as_str(), failure.heals), ("ERROR: No matching distribution.", false));
        let State::Failed(failure) = judged(&failed("BackoffLimitExceeded"), &pods[1..]) else {
            panic!("failed")
        };
        assert!(failure.heals && failure.since.is_some());
    }

    #[test]
    fn time_and_memory_are_told_with_the_field_to_raise() {
        let State::Failed(late) = judged(&failed("DeadlineExceeded"), &[]) else { panic!("failed") };
        assert!(late.message.contains("60 s") && late.message.contains("spec.build.timeout"), "{late:?}");
        let State::Failed(memory) =
            judged(&failed("PodFailurePolicy"), &[pod(137, "", "2026-11-21T10:00:40Z")])
        else {
            panic!("failed")
        };
        assert!(memory.message.contains("spec.build.resources") && !memory.heals, "{memory:?}");
    }

    /// A pod of 10:00:05 whose container waits.
    fn waiting(reason: &str, message: &str) -> Arc<Pod> {
        let pod = json!({"metadata": {"name": "flint-build-1-x", "creationTimestamp": "2026-11-21T10:00:05Z"}, "status": {"containerStatuses": [
            {"name": "build", "image": "registry/rust:1", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}}}]}});
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn at(time: &str) -> Timestamp {
        format!("2026-11-21T10:{time}Z").parse().unwrap()
    }

    #[test]
    fn a_pod_that_cannot_begin_is_told_of_within_half_a_minute_and_keeps_nobody_waiting() {
        let job = job(&json!({"active": 1}));
        for (reason, said, told) in [
            (
                "ErrImagePull",
                "registry/rust:1: not found",
                "registry/rust:1 cannot be pulled: check its name and tag in spec.build of the Runtime",
            ),
            (
                "ImagePullBackOff",
                "Back-off pulling image: ErrImagePull: unauthorized",
                "functions.imagePullSecrets",
            ),
            ("InvalidImageName", "", "write registry/name:tag"),
            ("CreateContainerConfigError", "secret \"npm\" not found", "spec.build.env"),
        ] {
            let pods = [waiting(reason, said)];
            assert_eq!(state(Some(&job), &pods, at("00:10")), State::Running, "one pull may fail");
            assert!(has_place(&job, &pods, at("00:10")));
            let State::Stuck(failure) = state(Some(&job), &pods, at("00:30")) else { panic!("stuck") };
            assert!(failure.heals && failure.message.contains(told), "{failure:?}");
            assert!(!has_place(&job, &pods, at("00:30")));
        }
        let pulling = [waiting("ContainerCreating", "")];
        assert_eq!(state(Some(&job), &pulling, at("00:50")), State::Running, "a large image takes its time");
    }

    #[test]
    fn a_pod_without_a_node_is_told_with_what_to_lower() {
        let pod = json!({"metadata": {"name": "x", "creationTimestamp": "2026-11-21T10:00:05Z"}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": "2026-11-21T10:00:05Z",
                "message": "0/3 nodes are available: 3 Insufficient memory. preemption: none"}]}});
        let pods = [Arc::new(serde_json::from_value(pod).unwrap())];
        let State::Stuck(failure) = state(Some(&job(&json!({}))), &pods, at("00:30")) else {
            panic!("stuck")
        };
        assert!(
            failure.message.contains("Insufficient memory")
                && failure.message.contains("spec.build.resources"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_pod_that_the_quota_refuses_is_told_with_its_words() {
        let job = job(&json!({}));
        assert!(!is_podless(&job, &[], at("00:05")) && is_podless(&job, &[], at("00:15")));
        assert!(!is_podless(&job, &[waiting("ContainerCreating", "")], at("00:15")));
        let said = "Error creating: pods \"flint-build-1-abcde\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3";
        let State::Stuck(failure) = refused(&job, said) else { panic!("stuck") };
        assert!(
            failure.message.contains("exceeded quota: small") && !failure.message.contains("abcde"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_stuck_job_is_made_anew_before_its_deadline_says_something_else() {
        let mut job = job(&json!({}));
        let since = |job: &Job| match state(Some(job), &[waiting("ErrImagePull", "")], at("00:50")) {
            State::Stuck(failure) => failure.since.unwrap(),
            other => panic!("{other:?}"),
        };
        job.spec.as_mut().unwrap().active_deadline_seconds = Some(900);
        assert_eq!(since(&job), at("00:05"), "five minutes after its pod");
        job.spec.as_mut().unwrap().active_deadline_seconds = Some(240);
        assert_eq!(since(&job) + SignedDuration::try_from(AGAIN_AFTER).unwrap(), at("03:30"));
    }
}
