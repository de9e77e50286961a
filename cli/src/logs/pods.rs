//! A function's pods, as far as their logs go.

use flint_api::labels::{FUNCTION, FUNCTION_CONTAINER, WATCHDOG_CONTAINER};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

/// Selects the pods of a function.
#[must_use]
pub fn selector(function: &str) -> String {
    format!("{FUNCTION}={function}")
}

/// The containers whose logs are the function's: its own, and the watchdog where that is beside it.
#[must_use]
pub fn containers(pod: &Pod) -> Vec<&str> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .map(|container| container.name.as_str())
        .filter(|name| [FUNCTION_CONTAINER, WATCHDOG_CONTAINER].contains(name))
        .collect()
}

/// Whether a container was started again, so that there may be a log of the one before.
#[must_use]
pub fn restarted(pod: &Pod, container: &str) -> bool {
    status(pod, container).is_some_and(|status| status.restart_count > 0)
}

/// Whether a container has a log: it has been started once.
#[must_use]
pub fn started(pod: &Pod, container: &str) -> bool {
    status(pod, container).is_some_and(|status| {
        let state = status.state.as_ref();
        let waits = state.is_none_or(|state| state.running.is_none() && state.terminated.is_none());
        !waits || status.last_state.as_ref().is_some_and(|state| state.terminated.is_some())
    })
}

/// Whether nothing more will be written: the pod has come to its end.
#[must_use]
pub fn ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == container)
}
