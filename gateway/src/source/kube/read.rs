//! Reads the cluster's objects: what the gateway wants to know of each, and nothing else is kept.

use std::{net::SocketAddr, sync::Arc};

use flint_api::{Effective, Function, FunctionStatus, Runtime, VersionStatus, labels};
use flint_core::wire::WATCHDOG_PORT;
use http::HeaderName;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod as CorePod, PodSpec, PodStatus};
use kube::ResourceExt;

use crate::{
    function::{Blocked, Key, Scheduled, Seen},
    index::{Pod, PodName},
    split::{Own, Share, Sticky, Traffic},
};

/// Drops what the gateway does not look at: ten thousand functions with their code would fill it.
pub(super) fn prune_function(function: &mut Function) {
    let spec = &mut function.spec;
    spec.source = None;
    spec.template = None;
    spec.resources = None;
    (spec.env, spec.env_from) = (Vec::new(), Vec::new());
    (spec.secrets, spec.config_maps) = (Vec::new(), Vec::new());
    (spec.command, spec.args) = (Vec::new(), Vec::new());
    function.metadata.labels = None;
    function.annotations_mut().retain(|name, _| name == labels::EVENT_FORMAT);
    if let Some(status) = &mut function.status {
        status.conditions.retain(|condition| condition.type_ == "Built");
    }
}

/// Drops what the gateway does not look at.
pub(super) fn prune_runtime(runtime: &mut Runtime) {
    runtime.spec.env = Vec::new();
    runtime.spec.resources = None;
    runtime.spec.build = None;
}

/// Drops what the gateway does not look at: of a pod's spec only the watchdog's concurrency is left.
pub(super) fn prune_pod(pod: &mut CorePod) {
    pod.metadata.annotations = None;
    pod.metadata.owner_references = None;
    if let Some(spec) = &mut pod.spec {
        let mut containers = std::mem::take(&mut spec.containers);
        for container in &mut containers {
            let env = container
                .env
                .take()
                .map(|env| env.into_iter().filter(|env| env.name == CONCURRENCY).collect());
            let name = std::mem::take(&mut container.name);
            *container = k8s_openapi::api::core::v1::Container { name, env, ..Default::default() };
        }
        *spec = PodSpec { containers, ..PodSpec::default() };
    }
    if let Some(status) = &mut pod.status {
        *status = PodStatus {
            phase: status.phase.take(),
            pod_ip: status.pod_ip.take(),
            conditions: status.conditions.take(),
            ..PodStatus::default()
        };
    }
}

/// What the watchdog of a pod goes by; see `docs/internals.md`.
const CONCURRENCY: &str = "FLINT_CONCURRENCY";

/// A function with its defaults filled in.
pub(super) fn function(function: &Function, runtime: Option<&Runtime>) -> Seen {
    let effective = Effective::new(function, runtime);
    let status = function.status.clone().unwrap_or_default();
    let schedules = function.spec.schedules.iter().map(|schedule| {
        let known = status.schedules.iter().find(|known| known.name == schedule.name);
        Scheduled {
            name: schedule.name.clone(),
            cron: schedule.cron.clone(),
            time_zone: schedule.time_zone.clone(),
            input: schedule.input.clone(),
            enabled: schedule.enabled.unwrap_or(true),
            last: known.and_then(|known| known.last_firing),
            last_done: known.is_none_or(|known| known.last_done),
            next: known.and_then(|known| known.next_firing),
        }
    });
    // A package that cannot be built never starts, and no operator is needed to know that. An older revision still does.
    let built = status.conditions.iter().find(|condition| condition.type_ == "Built");
    let broken = built.filter(|condition| condition.status == "False" && status.revision.is_none());
    let format = function.annotations().get(labels::EVENT_FORMAT).map(String::as_str);
    let traffic = traffic(function, &status);
    // Before a first revision is ready there is only one that could be.
    let revision = status.revision.or(status.latest_revision);
    // The revision that serves may be of another spec than the present one.
    let own = revision.as_deref().and_then(|revision| traffic.own(revision));
    let (mode, timeout) =
        own.map_or((effective.mode, effective.timeout.get()), |own| (own.mode, own.timeout));
    Seen {
        key: Key::new(function.namespace().unwrap_or_default(), function.name_any()),
        mode,
        timeout,
        concurrency: effective.concurrency,
        traffic: Arc::new(traffic),
        event_v1: format == Some("v1"),
        blocked: broken.map(|condition| Blocked {
            reason: condition.reason.clone(),
            message: condition.message.clone(),
        }),
        schedules: schedules.collect(),
        created: function.creation_timestamp().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        revision,
    }
}

/// Who gets requests. An older operator says nothing of it: then there is one revision.
fn traffic(function: &Function, status: &FunctionStatus) -> Traffic {
    let share = |share: &flint_api::TrafficStatus| Share {
        revision: share.revision.clone(),
        weight: share.weight,
        alias: share.alias.clone(),
    };
    let latest = status.traffic.iter().find(|share| share.latest && !share.canary);
    let sticky = function.spec.sticky.as_ref();
    let header = sticky.and_then(|sticky| HeaderName::try_from(sticky.header.as_deref()?).ok());
    let cookie = sticky.and_then(|sticky| sticky.cookie.clone());
    Traffic {
        shares: status.traffic.iter().map(share).collect(),
        own: status.versions.iter().filter_map(own).collect(),
        versions: status.versions.iter().map(|version| (version.number, version.revision.clone())).collect(),
        latest: latest.map(|share| share.revision.clone()).or_else(|| status.latest_revision.clone()),
        sticky: header.map(Sticky::Header).or(cookie.map(Sticky::Cookie)),
        slow_after: function
            .spec
            .canary
            .as_ref()
            .and_then(|canary| canary.max_latency)
            .map(flint_api::Duration::get),
    }
}

/// What a revision keeps of the Function as it was. An older operator says nothing of it.
fn own(version: &VersionStatus) -> Option<Own> {
    Some(Own { revision: version.revision.clone(), mode: version.mode?, timeout: version.timeout?.get() })
}

/// A pod; `None` when it lacks the labels of a function's.
pub(super) fn pod(pod: &CorePod) -> Option<Pod> {
    let label = |name| pod.labels().get(name).cloned();
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let ip = status.and_then(|status| status.pod_ip.as_deref()?.parse().ok());
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let env = containers.iter().flat_map(|container| container.env.iter().flatten());
    let limit = env.filter(|env| env.name == CONCURRENCY).find_map(|env| env.value.as_ref()?.parse().ok());
    Some(Pod {
        name: PodName { namespace: pod.namespace()?, name: pod.name_any() },
        uid: pod.uid()?,
        function: label(labels::FUNCTION)?,
        revision: label(labels::REVISION)?,
        address: ip.map(|ip| SocketAddr::new(ip, WATCHDOG_PORT)),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        ending: pod.metadata.deletion_timestamp.is_some() || matches!(phase, "Succeeded" | "Failed"),
        limit,
    })
}
