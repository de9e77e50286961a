//! What became of a build, read from its Job and its pods. Pure.

use flint_core::build::Outcome;
use flint_kube::events::shorten;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStateTerminated, Pod},
};
use kube::ResourceExt as _;

use super::job::CONTAINER;
use crate::startability;

/// What became of a build.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    /// There is no Job.
    Absent,
    /// The Job is on its way out.
    Leaving,
    /// It works, or is about to; with what stands in its way.
    Running(Option<String>),
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

/// A pod needs some seconds to find its Secret and its node; before that nothing is wrong.
const TROUBLE_AFTER: SignedDuration = SignedDuration::from_secs(15);
/// As much of a program's own words as fits in a condition that people read.
const WORDS: usize = 700;

/// What became of the build with that Job and those pods.
pub(crate) fn state(job: Option<&Job>, pods: &[std::sync::Arc<Pod>], now: Timestamp) -> State {
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
        let late = since.is_none_or(|since| now.duration_since(since) > TROUBLE_AFTER);
        return if late { State::Leaving } else { State::Running(None) };
    }
    let begun = job
        .metadata
        .creation_timestamp
        .as_ref()
        .is_some_and(|time| now.duration_since(time.0) > TROUBLE_AFTER);
    let trouble = startability::judge(None, pods.iter().map(AsRef::as_ref), now).filter(|_| begun);
    State::Running(trouble.map(|trouble| trouble.message))
}

/// Whether a Job has its place among those that run.
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

fn failure(reason: &str, message: Option<&str>, job: &Job, pods: &[std::sync::Arc<Pod>]) -> (String, bool) {
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
    use std::sync::Arc;

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
        assert_eq!(judged(&running, &[]), State::Running(None));
        assert_eq!(
            judged(&running, &[pod(0, BUILT, "2026-11-21T10:00:30Z")]),
            State::Done("sha256:aa".into(), 7)
        );
        assert_eq!(judged(&running, &[pod(1, BUILT, "2026-11-21T10:00:30Z")]), State::Running(None));
    }

    #[test]
    fn a_job_whose_pod_is_gone_is_made_anew_once_the_watch_cannot_be_behind() {
        let complete = |at: &str| {
            job(&json!({"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": at}]}))
        };
        assert_eq!(judged(&complete("2026-11-21T10:01:59Z"), &[]), State::Running(None));
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
}
