//! The cluster and Flint on it: version and clock, kinds, parts, runtimes, the gateway's URL, DNS, images.

use std::collections::BTreeSet;

use flint_api::Runtime;
use http::Request;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use k8s_openapi::{
    api::{core::v1::Event, discovery::v1::EndpointSlice},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, ResourceExt, api::ListParams, client::Body};

use super::Finding;
use crate::{
    args::Global,
    cluster::{Cluster, failure, innermost},
    error::Error,
    gateway::{Gateway, Way},
    system::{self, INSTALL, Installed},
    text,
};

/// The oldest Kubernetes that the chart takes (charts/flint/Chart.yaml).
const OLDEST: (u32, u32) = (1, 30);
/// More than requests take, and less than tokens and schedules mind.
const SKEW: SignedDuration = SignedDuration::from_secs(5);
/// What is to be done when what runs is not what this program knows.
const UPGRADE: &str =
    "helm upgrade flint charts/flint --namespace flint-system --reuse-values, or the flint of that version";

/// Whether the API server answers, how old it is, and what time it thinks it is.
pub(super) async fn reach(cluster: &Cluster) -> Vec<Finding> {
    let version = match cluster.client.apiserver_version().await {
        Ok(version) => version,
        Err(error) if matches!(error, kube::Error::Api(_)) => {
            return vec![Finding::failed("cluster", &failure("ask the cluster for its version", error))];
        }
        Err(error) => {
            let said = format!("context {} does not answer: {}", cluster.context, innermost(&error));
            let remedy = "is the cluster up, and its server in the kubeconfig right? kubectl cluster-info";
            return vec![Finding::fail("cluster", said, remedy)];
        }
    };
    let number = |text: &str| text.trim_end_matches('+').parse().unwrap_or(0);
    let found = (number(&version.major), number(&version.minor));
    vec![judge_version(&version.git_version, found, &cluster.context), clock(cluster).await]
}

fn judge_version(text: &str, found: (u32, u32), context: &str) -> Finding {
    if found < OLDEST {
        let said = format!("Kubernetes {text} is older than Flint takes");
        return Finding::fail("cluster", said, format!("upgrade it to {}.{} or later", OLDEST.0, OLDEST.1));
    }
    Finding::pass("cluster", format!("Kubernetes {text} answers, context {context}"))
}

async fn clock(cluster: &Cluster) -> Finding {
    let before = Timestamp::now();
    let request = Request::get("/version").body(Body::empty());
    let Ok(request) = request else { return Finding::pass("clock", "not looked at") };
    let answer = cluster.client.send(request).await;
    let told = answer.ok().and_then(|answer| {
        let date = answer.headers().get(http::header::DATE)?.to_str().ok()?.to_owned();
        rfc2822::parse(&date).ok().map(|date| date.timestamp())
    });
    judge_clock(told.map(|told| told.duration_since(before)))
}

/// By how much the cluster's clock is ahead of ours; it tells whole seconds.
fn judge_clock(ahead: Option<SignedDuration>) -> Finding {
    match ahead {
        None => Finding::warn("clock", "the API server does not tell its time", "a proxy may be in between"),
        Some(ahead) if ahead.abs() <= SKEW => {
            Finding::pass("clock", "this machine's and the cluster's agree")
        }
        Some(ahead) => {
            let which = if ahead.is_negative() { "behind" } else { "ahead of" };
            let said = format!("the cluster's is {} {which} this machine's", text::span(ahead.abs()));
            Finding::warn(
                "clock",
                said,
                "run NTP on both: tokens, schedules and `logs --since` go by the clock",
            )
        }
    }
}

/// Whether the kinds are there, and know what this program's do.
pub(super) async fn kinds(cluster: &Cluster) -> Vec<Finding> {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let mut findings = Vec::new();
    for ours in flint_api::all_crds() {
        let name = ours.name_any();
        findings.push(match api.get_opt(&name).await {
            Ok(theirs) => judge_kind(&name, &ours, theirs.as_ref()),
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                return vec![unseen_kinds(cluster).await];
            }
            Err(error) => Finding::failed(&format!("kind {name}"), &failure("look at the kinds", error)),
        });
    }
    findings
}

/// Who may not look at definitions sees at least whether the kind is served.
async fn unseen_kinds(cluster: &Cluster) -> Finding {
    match cluster.functions().list(&ListParams::default().limit(1)).await {
        Ok(_) => Finding::pass("kinds", "Functions are served (you may not look at their definition)"),
        Err(error) => Finding::unseen("kinds", &failure("list functions", error)),
    }
}

fn judge_kind(
    name: &str,
    ours: &CustomResourceDefinition,
    theirs: Option<&CustomResourceDefinition>,
) -> Finding {
    let check = format!("kind {name}");
    let Some(theirs) = theirs else { return Finding::fail(&check, "not installed", INSTALL) };
    let served =
        theirs.spec.versions.iter().find(|version| version.name == flint_api::VERSION && version.served);
    if served.is_none() {
        return Finding::fail(&check, format!("version {} is not served", flint_api::VERSION), UPGRADE);
    }
    let (ours, theirs) = (fields(ours), fields(theirs));
    let (missing, more) = (list(&ours, &theirs), list(&theirs, &ours));
    match (missing.is_empty(), more.is_empty()) {
        (true, true) => {
            Finding::pass(&check, format!("{}, with the fields that this flint knows", flint_api::VERSION))
        }
        (false, _) => Finding::warn(&check, format!("older than this flint: it has no {missing}"), UPGRADE),
        (true, false) => Finding::warn(
            &check,
            format!("newer than this flint, which has no {more}"),
            "get the flint of that version",
        ),
    }
}

fn list(of: &BTreeSet<String>, without: &BTreeSet<String>) -> String {
    let fields: Vec<_> = of.difference(without).map(String::as_str).collect();
    fields.join(", ")
}

/// The fields of `spec`, by their paths.
fn fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    fn walk(schema: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            walk(field, &path, found);
            found.insert(path);
        }
        if schema["items"].is_object() {
            walk(&schema["items"], path, found);
        }
    }
    let mut found = BTreeSet::new();
    let version = crd.spec.versions.iter().find(|version| version.name == flint_api::VERSION);
    let schema = version.and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref());
    if let Some(Ok(schema)) = schema.map(serde_json::to_value) {
        walk(&schema["properties"]["spec"], "spec", &mut found);
    }
    found
}

/// Operator and gateway: whether they are ready, and of this program's version.
pub(super) async fn parts(cluster: &Cluster, namespace: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in [system::OPERATOR, system::GATEWAY] {
        findings.push(match system::installed(cluster, namespace, name).await {
            Ok(installed) => judge_part(name, namespace, installed.as_ref()),
            Err(error) => Finding::unseen(name, &error),
        });
    }
    findings
}

fn judge_part(name: &str, namespace: &str, installed: Option<&Installed>) -> Finding {
    let Some(installed) = installed else {
        return Finding::fail(name, format!("not installed in {namespace}"), INSTALL);
    };
    let version = installed.version.as_deref().unwrap_or("of an unknown version");
    let pods = format!("{} of {} pods ready", installed.ready, installed.wanted);
    let look =
        format!("kubectl -n {namespace} get pods,events; kubectl -n {namespace} logs deployment/{name}");
    if installed.ready == 0 {
        return Finding::fail(name, pods, look);
    }
    if installed.ready < installed.wanted {
        return Finding::warn(name, pods, look);
    }
    if installed.version.as_deref() != Some(env!("CARGO_PKG_VERSION")) {
        let said = format!("{version}, and this flint is {}", env!("CARGO_PKG_VERSION"));
        return Finding::warn(name, said, UPGRADE);
    }
    Finding::pass(name, format!("{version}, {pods}"))
}

/// Whether functions have something to run in.
pub(super) async fn runtimes(cluster: &Cluster) -> Vec<Finding> {
    let api: Api<Runtime> = Api::all(cluster.client.clone());
    vec![match api.list(&ListParams::default()).await {
        Ok(list) if list.items.is_empty() => Finding::warn(
            "runtimes",
            "there are none: only functions with an image can run",
            "install the chart with its `runtimes`",
        ),
        Ok(list) => {
            let names: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
            Finding::pass("runtimes", text::list(&names))
        }
        Err(error) => Finding::unseen("runtimes", &failure("list runtimes", error)),
    }]
}

/// Whether the gateway is reached from here.
pub(super) async fn gateway(cluster: &Cluster, global: &Global) -> Vec<Finding> {
    let found = Gateway::find(cluster, global).await;
    let answers = match &found {
        Ok(gateway) => gateway.answers().await,
        Err(_) => false,
    };
    vec![judge_gateway(found.map(|gateway| (gateway.url, gateway.way)), answers)]
}

fn judge_gateway(found: Result<(String, Way), Error>, answers: bool) -> Finding {
    let check = "gateway's URL";
    match found {
        Err(error) => Finding::failed(check, &error),
        Ok((url, Way::Url)) => Finding::pass(check, format!("{url} answers")),
        Ok((url, Way::Given)) if answers => Finding::pass(check, format!("{url}, as you gave it, answers")),
        Ok((url, Way::Given)) => Finding::fail(
            check,
            format!("{url}, as you gave it, is no gateway that answers"),
            "correct --url or FLINT_URL, or leave it out",
        ),
        Ok((_, Way::Forward(pod))) if answers => Finding::warn(
            check,
            format!("only by a port-forward to {pod}: `flint invoke` works, other clients have no URL"),
            "set publicUrl, ingress or gateway.service.type in the chart's values (docs/values.md)",
        ),
        Ok((_, Way::Forward(pod))) => Finding::fail(
            check,
            format!("a port-forward to {pod} leads to no gateway that answers"),
            "kubectl logs of that pod",
        ),
    }
}

/// Whether names are resolved in the cluster: pods find the operator, and callers the functions, by them.
pub(super) async fn dns(cluster: &Cluster) -> Vec<Finding> {
    let api: Api<EndpointSlice> = Api::namespaced(cluster.client.clone(), "kube-system");
    let selector = ListParams::default().labels("kubernetes.io/service-name=kube-dns");
    vec![match api.list(&selector).await {
        Ok(list) => {
            let endpoints = list.items.iter().flat_map(|slice| &slice.endpoints);
            let ready = endpoints.filter(|endpoint| {
                endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
            });
            judge_dns(!list.items.is_empty(), ready.count())
        }
        Err(error) => Finding::unseen("DNS", &failure("look at the cluster's DNS", error)),
    }]
}

fn judge_dns(known: bool, ready: usize) -> Finding {
    match (known, ready) {
        (false, _) => Finding::warn(
            "DNS",
            "there is no Service kube-dns in kube-system",
            "if the cluster has another DNS, all is well: operator and gateway are ready only with one",
        ),
        (true, 0) => Finding::fail(
            "DNS",
            "no server of kube-dns is ready",
            "kubectl -n kube-system get pods -l k8s-app=kube-dns",
        ),
        (true, ready) => Finding::pass("DNS", format!("{} of kube-dns ready", text::count(ready, "server"))),
    }
}

/// Whether nodes get the images that they were asked to run, as events of the last hour or so tell.
pub(super) async fn images(cluster: &Cluster, namespace: &str) -> Vec<Finding> {
    let mut failed = BTreeSet::new();
    for place in BTreeSet::from([namespace, &cluster.namespace]) {
        let api: Api<Event> = Api::namespaced(cluster.client.clone(), place);
        match api.list(&ListParams::default().fields("type=Warning")).await {
            Ok(list) => failed.extend(list.items.iter().filter_map(|event| failed_pull(place, event))),
            Err(error) => {
                return vec![Finding::unseen("images", &failure(&format!("list events in {place}"), error))];
            }
        }
    }
    vec![judge_images(&failed)]
}

/// Which image of which pod could not be pulled, and why.
fn failed_pull(namespace: &str, event: &Event) -> Option<String> {
    let message = event.message.as_deref()?;
    let pod = event.involved_object.name.as_deref().unwrap_or_default();
    message.starts_with("Failed to pull image").then(|| format!("{namespace}/{pod}: {message}"))
}

fn judge_images(failed: &BTreeSet<String>) -> Finding {
    match failed.first() {
        None => Finding::pass("images", "no event tells of one that could not be pulled"),
        Some(first) => {
            let more =
                if failed.len() > 1 { format!(" (and {} more)", failed.len() - 1) } else { String::new() };
            let remedy = "is the registry reachable from the nodes, and are pull secrets set? (functions.imagePullSecrets in the chart's values)";
            Finding::warn("images", format!("{first}{more}"), remedy)
        }
    }
}

#[cfg(test)]
mod tests;
