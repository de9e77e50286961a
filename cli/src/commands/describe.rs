//! `flint describe`: all about one function; first whether it can be called, or why not.

use flint_api::{Function, labels};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ContainerStatus, Pod},
};
use kube::{Api, ResourceExt, api::ListParams};
use serde::Serialize;

use super::Context;
use crate::{
    callable::Callable,
    cluster::{Cluster, failure},
    error::Error,
    evidence::{self, Happening},
    system,
};

mod render;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The function
    function: String,
}

/// What is known of a function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    callable: Callable,
    function: Function,
    revisions: Vec<Revision>,
    instances: Vec<Instance>,
    /// The newest last.
    events: Vec<Happening>,
    /// The last error in the logs of the instances.
    last_error: Option<String>,
    /// What makes cold starts longer.
    slow: Vec<String>,
}

/// A revision of the function, as its Deployment stands.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Revision {
    name: String,
    traffic: bool,
    /// An instance of it was ready once.
    verified: bool,
    wanted: i32,
    created: Option<Timestamp>,
}

/// An instance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Instance {
    pod: String,
    revision: String,
    ready: bool,
    /// Why it is not ready, as its containers tell.
    state: String,
    restarts: i32,
    created: Option<Timestamp>,
    node: Option<String>,
}

/// The annotation of a revision that was ready once (docs/internals.md).
const VERIFIED: &str = "flint.dev/verified";
/// Events that are shown.
const EVENTS: usize = 8;

/// # Errors
/// When it is not there, or the user may not look.
pub(super) async fn run(args: Args, context: Context<'_>) -> Result<(), Error> {
    let cluster = Cluster::connect(context.global).await?;
    let facts = gather(&cluster, &args.function).await?;
    context.output.result(&facts, || render::render(&facts, Timestamp::now()))
}

/// Asks the cluster. Beside the function itself, what the user may not see is left out.
async fn gather(cluster: &Cluster, name: &str) -> Result<Facts, Error> {
    let function = cluster.functions().get_opt(name).await;
    let function = function.map_err(|error| failure(&format!("describe {name}"), error))?;
    let mut function = function.ok_or_else(|| {
        Error::not_found(format!("there is no function {name} in {}", cluster.namespace))
            .try_this("`flint ls` lists those that are, `flint ls -A` of all namespaces")
    })?;
    function.metadata.managed_fields = None;
    let status = function.status.clone().unwrap_or_default();
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let selector = ListParams::default().labels(&format!("{}={name}", labels::FUNCTION));
    let deployments = deployments.list(&selector).await.map(|list| list.items).unwrap_or_default();
    let revisions: Vec<_> =
        deployments.iter().map(|deployment| Revision::of(deployment, status.revision.as_deref())).collect();
    let pods = evidence::pods(cluster, labels::FUNCTION, name).await;
    let mut known: Vec<_> = revisions.iter().map(|revision| revision.name.clone()).collect();
    known.extend(status.latest_revision.clone());
    let mut events = evidence::events(cluster, name, &known).await;
    events.drain(..events.len().saturating_sub(EVENTS));
    let latest = status.latest_revision.as_ref().or(status.revision.as_ref());
    let last_error = match latest {
        Some(latest) => evidence::last_error(cluster, latest).await,
        None => None,
    };
    Ok(Facts {
        callable: Callable::of(&function),
        slow: slow(&function),
        revisions,
        instances: pods.iter().map(Instance::of).collect(),
        events,
        last_error,
        function,
    })
}

/// What of the spec makes kubelet slow to start its pods (ARCHITECTURE.md).
fn slow(function: &Function) -> Vec<String> {
    let spec = &function.spec;
    let mounts = spec.secrets.iter().map(|mount| format!("the Secret {} as files", mount.name));
    let maps = spec.config_maps.iter().map(|mount| format!("the ConfigMap {} as files", mount.name));
    let template = spec.template.as_ref().and_then(|template| template.spec.as_ref());
    let listed =
        |field: &str| template.and_then(|pod| pod[field].as_array()).is_some_and(|items| !items.is_empty());
    let mut slow: Vec<_> = mounts.chain(maps).collect();
    if listed("volumes") {
        slow.push("volumes in spec.template".to_owned());
    }
    if listed("initContainers") {
        slow.push("init containers in spec.template".to_owned());
    }
    if template.is_some_and(|pod| pod["automountServiceAccountToken"] == true) {
        slow.push("a service account's token".to_owned());
    }
    slow
}

// === impl Revision ===

impl Revision {
    fn of(deployment: &Deployment, traffic: Option<&str>) -> Self {
        let name = deployment.name_any();
        Self {
            traffic: traffic == Some(name.as_str()),
            verified: deployment.annotations().contains_key(VERIFIED),
            wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            created: deployment.metadata.creation_timestamp.as_ref().map(|time| time.0),
            name,
        }
    }
}

// === impl Instance ===

impl Instance {
    fn of(pod: &Pod) -> Self {
        let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
        let statuses = statuses.map_or(&[][..], Vec::as_slice);
        Self {
            pod: pod.name_any(),
            revision: pod.labels().get(labels::REVISION).cloned().unwrap_or_default(),
            ready: system::is_ready(pod),
            state: state(pod, statuses),
            restarts: statuses.iter().map(|status| status.restart_count).sum(),
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        }
    }
}

/// As `kubectl get pods` has it: what a container waits for says more than the pod's phase.
fn state(pod: &Pod, statuses: &[ContainerStatus]) -> String {
    if pod.metadata.deletion_timestamp.is_some() {
        return "Terminating".to_owned();
    }
    let reasons = statuses.iter().filter_map(|status| {
        let state = status.state.as_ref()?;
        let waits = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone());
        waits.or_else(|| state.terminated.as_ref().and_then(|ended| ended.reason.clone()))
    });
    let phase = || pod.status.as_ref().and_then(|status| status.phase.clone());
    reasons.into_iter().next().or_else(phase).unwrap_or_else(|| "Unknown".to_owned())
}

#[cfg(test)]
mod tests;
