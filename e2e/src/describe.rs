//! What is told of a test's namespace when the test fails: short enough that all of it is read.

use std::{any::Any, fmt::Debug};

use flint_api::Function;
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{Event, Pod},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, LogParams},
};

use crate::Namespace;

/// How much of a Function's status is shown, in characters.
const STATUS: usize = 2_000;
/// How many events are shown, the latest.
const EVENTS: usize = 40;
/// How many pods' logs are shown, and how many lines of each.
const LOGS: (usize, i64) = (6, 12);

/// Prints its functions, pods, events and logs.
pub(crate) async fn describe(namespace: &Namespace) {
    eprintln!("---- namespace {} at {} ----", namespace.name, jiff::Timestamp::now());
    for function in all::<Function>(namespace).await {
        let status = serde_json::to_string(&function.status).unwrap_or_default();
        let end = status.char_indices().nth(STATUS).map_or(status.len(), |(end, _)| end);
        eprintln!("function {}: {}", function.name_any(), &status[..end]);
    }
    let pods = all::<Pod>(namespace).await;
    pods.iter().for_each(print_pod);
    let mut events = all::<Event>(namespace).await;
    events.sort_by_key(|event| event.creation_timestamp().map(|time| time.0));
    for event in &events[events.len().saturating_sub(EVENTS)..] {
        let at = event.creation_timestamp().map(|time| time.0.to_string()).unwrap_or_default();
        let object = event.involved_object.name.as_deref().unwrap_or_default();
        let (reason, message) = (event.reason.as_deref(), event.message.as_deref());
        eprintln!("event {at} {object}: {}: {}", reason.unwrap_or_default(), message.unwrap_or_default());
    }
    let parameters =
        LogParams { container: Some("function".to_owned()), tail_lines: Some(LOGS.1), ..Default::default() };
    for pod in pods.iter().map(ResourceExt::name_any).take(LOGS.0) {
        if let Ok(log) = namespace.api::<Pod>().logs(&pod, &parameters).await {
            eprintln!("log of {pod}:\n{log}");
        }
    }
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic without words")
}

fn print_pod(pod: &Pod) {
    let status = pod.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().flatten().find(|condition| condition.type_ == "Ready");
    eprintln!(
        "pod {} {}: {}, ready {}, made {}{}",
        pod.name_any(),
        pod.labels().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(","),
        status.phase.as_deref().unwrap_or("no phase"),
        ready.map_or("unknown", |ready| &ready.status),
        pod.creation_timestamp().map(|time| time.0.to_string()).unwrap_or_default(),
        pod.metadata.deletion_timestamp.as_ref().map_or("", |_| ", ending"),
    );
    for container in status.container_statuses.iter().flatten() {
        let state = container.state.clone().unwrap_or_default();
        if container.restart_count > 0 || state.waiting.is_some() || state.terminated.is_some() {
            let (waiting, terminated) = (state.waiting, state.terminated);
            eprintln!(
                "  {} restarted {} times: {waiting:?} {terminated:?}",
                container.name, container.restart_count
            );
        }
    }
}

async fn all<K>(namespace: &Namespace) -> Vec<K>
where
    K: Clone + serde::de::DeserializeOwned + Debug + Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    let api: Api<K> = namespace.api();
    match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(error) => {
            eprintln!("cannot list {}s: {error}", K::kind(&K::DynamicType::default()));
            Vec::new()
        }
    }
}
