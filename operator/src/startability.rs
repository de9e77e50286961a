//! Why a revision cannot start: read from its Deployment and its pods, told in a sentence that says what to do.
//!
//! Messages are stable: no counters, no back-off times. They end up in conditions, where every change is a write and a line
//! that people read again.

use flint_api::labels;
use flint_kube::events::shorten;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition},
};
use serde::Deserialize;

/// Why a revision cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// CamelCase, for programs.
    pub(crate) reason: &'static str,
    /// One sentence for people: what is wrong and what to do.
    pub(crate) message: String,
}

/// Whose pods are looked at: what there is to change is somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Function,
    Build,
}

/// The image cannot be pulled, or its name is none.
pub(crate) const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
/// The container's configuration is refused by the node.
pub(crate) const CONFIG_ERROR: &str = "ContainerConfigError";
/// The image has no user, or root.
pub(crate) const RUNS_AS_ROOT: &str = "RunsAsRoot";
/// The code ends again and again.
pub(crate) const CRASH_LOOP: &str = "CrashLoop";
/// The code failed while it initialized.
pub(crate) const INIT_FAILED: &str = "InitFailed";
/// The instance used more memory than its limit.
pub(crate) const OUT_OF_MEMORY: &str = "OutOfMemory";
/// No node has room.
pub(crate) const UNSCHEDULABLE: &str = "Unschedulable";
/// A quota or a limit of the namespace is used up.
pub(crate) const QUOTA_EXCEEDED: &str = "QuotaExceeded";
/// The cluster's policy refuses the pods.
pub(crate) const PODS_REFUSED: &str = "PodsRefused";

/// A pod that found no node for this long will hardly find one in time for those who wait: the scheduler looks again every few
/// seconds, and pods that are about to go make room.
const UNSCHEDULABLE_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// A container that was ended this often without becoming ready is looping, not unlucky.
const RESTARTS: i32 = 2;
/// As much of a program's own words as fits in a condition that people read.
const WORDS: usize = 600;

/// What the watchdog writes as its last words: the error that the runtime reported.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LastWords {
    error_type: Option<String>,
    error_message: Option<String>,
}

/// Why the revision cannot start; none when nothing speaks against it. `pods` are the revision's.
pub(crate) fn judge<'a>(
    deployment: Option<&Deployment>,
    pods: impl IntoIterator<Item = &'a Pod>,
    now: Timestamp,
) -> Option<Failure> {
    let mut failing: Option<Failure> = None;
    for pod in pods {
        if pod.metadata.deletion_timestamp.is_some() || is_ready(pod) {
            continue;
        }
        // The first by name, so that the same state always tells the same.
        failing = failing.or_else(|| judge_pod(pod, now));
    }
    failing.or_else(|| deployment.and_then(judge_deployment))
}

/// What keeps a build's pod from beginning; none when nothing does, or when it has begun.
pub(crate) fn obstacle(pod: &Pod, now: Timestamp) -> Option<Failure> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    containers(pod)
        .find_map(|container| judge_waiting(container, Whose::Build))
        .or_else(|| unschedulable(pod, now, Whose::Build))
}

/// Why the API server took no pod of a build, from what it said to the one who asked.
pub(crate) fn refusal(message: &str) -> Failure {
    refused(message, Whose::Build)
}

/// Whether the pod is ready and here to stay.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && conditions(pod).iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

// === impl Failure ===

impl Failure {
    fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }

    /// Whether it is a lack of room, which may pass, and which a smaller number of instances may do without.
    pub(crate) fn is_lack_of_room(&self) -> bool {
        matches!(self.reason, UNSCHEDULABLE | QUOTA_EXCEEDED)
    }
}

fn conditions(pod: &Pod) -> &[PodCondition] {
    pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default()
}

fn judge_pod(pod: &Pod, now: Timestamp) -> Option<Failure> {
    let status = pod.status.as_ref()?;
    if status.reason.as_deref() == Some("Evicted") {
        let why = status.message.as_deref().unwrap_or("the node ran short of a resource");
        return Some(Failure::new(PODS_REFUSED, format!("An instance was evicted: {}.", sentence(why))));
    }
    containers(pod)
        .filter(|container| !container.ready)
        .find_map(judge_container)
        .or_else(|| unschedulable(pod, now, Whose::Function))
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|status| {
        status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten())
    })
}

fn judge_container(container: &ContainerStatus) -> Option<Failure> {
    if let Some(failure) = judge_waiting(container, Whose::Function) {
        return Some(failure);
    }
    let state = container.state.clone().unwrap_or_default();
    let looping =
        state.waiting.as_ref().is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"));
    let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let ended = state.terminated.as_ref().or(last)?;
    judge_end(container, ended, looping || container.restart_count >= RESTARTS)
}

/// What a container waits for in vain.
fn judge_waiting(container: &ContainerStatus, whose: Whose) -> Option<Failure> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let message = waiting.message.as_deref().unwrap_or_default();
    match waiting.reason.as_deref().unwrap_or_default() {
        "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "RegistryUnavailable" => {
            Some(image_pull(&container.image, message, whose))
        }
        "InvalidImageName" | "ImageInspectError" => {
            let text = format!("The image name {:?} is not valid: write registry/name:tag.", container.image);
            Some(Failure::new(IMAGE_PULL_FAILED, text))
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" if !is_busy(message) => {
            Some(config_error(&container.image, message, whose))
        }
        _ => None,
    }
}

/// A container that ended: at once a failure when the watchdog says why or the memory was too small; otherwise only when it
/// keeps ending, for a crash on a request is followed by a start that works.
fn judge_end(
    container: &ContainerStatus,
    ended: &ContainerStateTerminated,
    looping: bool,
) -> Option<Failure> {
    let said = ended.message.as_deref().unwrap_or_default().trim();
    if ended.reason.as_deref() == Some("OOMKilled") {
        let text = "An instance was ended because it used more memory than its limit: raise spec.resources.limits.memory.";
        return Some(Failure::new(OUT_OF_MEMORY, text));
    }
    if let Some(words) = last_words(said) {
        return Some(Failure::new(INIT_FAILED, format!("The code cannot start: {}.", sentence(&words))));
    }
    if !looping {
        return None;
    }
    let who =
        if container.name == labels::FUNCTION_CONTAINER { "The code" } else { "A container of the instance" };
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let text = match (ended.exit_code, last) {
        (code, "") => {
            format!("{who} ends with exit code {code} at every start, without a word: see its logs.")
        }
        (code, line) => {
            format!("{who} ends with exit code {code} at every start; its last line: {}.", sentence(line))
        }
    };
    Some(Failure::new(CRASH_LOOP, text))
}

fn last_words(said: &str) -> Option<String> {
    // With FallbackToLogsOnError the message may be the log's end: the words are its last line then.
    let line = said.lines().rev().find(|line| line.trim_start().starts_with('{'))?;
    let words: LastWords = serde_json::from_str(line.trim()).ok()?;
    match (words.error_type, words.error_message) {
        (Some(kind), Some(message)) if !message.is_empty() => Some(format!("{kind}: {message}")),
        (Some(kind), _) => Some(kind),
        (None, Some(message)) => Some(message),
        (None, None) => None,
    }
}

fn image_pull(image: &str, message: &str, whose: Whose) -> Failure {
    // ImagePullBackOff carries the error of the last attempt behind a prefix of its own since Kubernetes 1.31.
    let cause = message.rsplit_once("ErrImagePull: ").map_or(message, |(_, cause)| cause);
    let cause = if cause.starts_with("Back-off") { "" } else { cause };
    let is_missing = cause.contains("not found");
    let is_refused = ["unauthorized", "denied", "403", "401"].iter().any(|word| cause.contains(word));
    let hint = match whose {
        Whose::Function if is_missing => "check its name and tag",
        Whose::Function if is_refused => {
            "check its name, and give a pull secret in spec.template.spec.imagePullSecrets"
        }
        Whose::Build if is_missing => {
            "check its name and tag in spec.build of the Runtime, and that it was pushed"
        }
        Whose::Build if is_refused => {
            "check its name in spec.build of the Runtime, and give a pull secret in functions.imagePullSecrets of the chart"
        }
        _ => "check its name, and that the registry answers",
    };
    let text = match cause {
        "" => format!("The image {image} cannot be pulled: {hint}."),
        cause => format!("The image {image} cannot be pulled: {hint}. {}.", sentence(cause)),
    };
    Failure::new(IMAGE_PULL_FAILED, text)
}

fn config_error(image: &str, message: &str, whose: Whose) -> Failure {
    if message.contains("runAsNonRoot") || message.contains("non-numeric user") {
        let text = format!(
            "The image {image} runs as root, or under a user that is no number: use one that runs as another user, or set \
             spec.template.spec.securityContext.runAsUser."
        );
        return Failure::new(RUNS_AS_ROOT, text);
    }
    let why = sentence(message);
    let text = match whose {
        Whose::Function => format!(
            "An instance cannot be set up: {why}. Check what spec.env, envFrom, secrets and configMaps name."
        ),
        Whose::Build => format!(
            "Its pod cannot be set up: {why}. Check what spec.build.env and envFrom name, and builds.env and builds.envFrom of the chart."
        ),
    };
    Failure::new(CONFIG_ERROR, text)
}

fn unschedulable(pod: &Pod, now: Timestamp, whose: Whose) -> Option<Failure> {
    let condition = conditions(pod).iter().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    })?;
    let since = condition.last_transition_time.as_ref()?.0;
    if now.duration_since(since) < UNSCHEDULABLE_AFTER {
        return None;
    }
    // "0/3 nodes are available: 3 Insufficient cpu. preemption: …": the second part explains the scheduler, not the cause.
    let why =
        condition.message.as_deref().unwrap_or_default().split(" preemption:").next().unwrap_or_default();
    let why = sentence(why);
    let text = match whose {
        Whose::Function => {
            format!("No node has room for an instance: {why}. Lower spec.resources, or add a node.")
        }
        Whose::Build => {
            format!(
                "No node has room for its pod: {why}. Lower spec.build.resources (builds.resources of the chart), or add a node."
            )
        }
    };
    Some(Failure::new(UNSCHEDULABLE, text))
}

fn judge_deployment(deployment: &Deployment) -> Option<Failure> {
    let conditions = deployment.status.as_ref()?.conditions.as_deref()?;
    let failed = conditions
        .iter()
        .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    Some(refused(failed.message.as_deref().unwrap_or_default(), Whose::Function))
}

fn refused(message: &str, whose: Whose) -> Failure {
    // `pods "cart-3f9c2a71-6d4b-x2x4z" is forbidden: …`: the name changes with every attempt.
    let why = sentence(message.split_once("is forbidden: ").map_or(message, |(_, why)| why));
    let is_quota =
        ["exceeded quota", "failed quota", "limits.", "maximum "].iter().any(|words| message.contains(words));
    match (whose, is_quota) {
        (Whose::Function, true) => Failure::new(
            QUOTA_EXCEEDED,
            format!(
                "The namespace's quota leaves no room for an instance: {why}. Raise it, or lower spec.resources or scaling.maxReplicas."
            ),
        ),
        (Whose::Build, true) => Failure::new(
            QUOTA_EXCEEDED,
            format!(
                "The namespace's quota leaves no room for its pod: {why}. Raise it, or change spec.build.resources."
            ),
        ),
        (Whose::Function, false) => {
            Failure::new(PODS_REFUSED, format!("The cluster refuses the function's pods: {why}."))
        }
        (Whose::Build, false) => Failure::new(PODS_REFUSED, format!("The cluster refuses its pod: {why}.")),
    }
}

/// The node had not heard of a Secret in time, or its runtime did not answer: it tries again by itself, and mostly succeeds.
fn is_busy(message: &str) -> bool {
    ["timed out", "deadline exceeded", "failed to reserve container name"]
        .iter()
        .any(|words| message.contains(words))
}

/// Someone else's words as part of a sentence of ours: one line, no full stop, not too long.
fn sentence(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shorten(&line, WORDS).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests;
