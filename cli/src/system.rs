//! Flint's own part of a cluster: where the chart was installed, and how its pods are.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Pod, Service},
};
use kube::{Api, ResourceExt, api::ListParams};
use serde::Serialize;

use crate::{cluster::Cluster, error::Error};

/// The namespace that the documentation installs Flint in.
pub const NAMESPACE: &str = "flint-system";
/// The gateway's Service and Deployment.
pub const GATEWAY: &str = "flint-gateway";
/// The operator's Deployment.
pub const OPERATOR: &str = "flint-operator";
/// The gateways' pods and Service.
pub const GATEWAY_SELECTOR: &str = "app.kubernetes.io/name=flint,app.kubernetes.io/component=gateway";
/// How Flint gets onto a cluster.
pub const INSTALL: &str =
    "helm install flint charts/flint --namespace flint-system --create-namespace --wait";

/// A part of Flint's, as its Deployment stands.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Installed {
    /// The chart's appVersion.
    pub version: Option<String>,
    /// The image it runs.
    pub image: Option<String>,
    /// Pods asked for.
    pub wanted: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Its arguments.
    #[serde(skip)]
    pub args: Vec<String>,
}

/// A part of Flint's; none where it is not, or not to be seen.
///
/// # Errors
/// When the API server does not answer, or does not let the user look.
pub async fn installed(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Installed>, Error> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
    let deployment = deployments.get_opt(name).await;
    let deployment = deployment
        .map_err(|error| crate::cluster::failure(&format!("look at {name} in {namespace}"), error))?;
    Ok(deployment.map(|deployment| {
        let version = deployment.labels().get("app.kubernetes.io/version").cloned();
        let spec = deployment.spec.unwrap_or_default();
        let container =
            spec.template.spec.and_then(|pod| pod.containers.into_iter().next()).unwrap_or_default();
        Installed {
            version,
            image: container.image,
            wanted: spec.replicas.unwrap_or(1),
            ready: deployment.status.and_then(|status| status.ready_replicas).unwrap_or(0),
            args: container.args.unwrap_or_default(),
        }
    }))
}

/// The namespace that Flint runs in: as the gateway's Service tells, else as the functions' URLs do, else the usual one.
///
/// # Errors
/// When the API server does not answer.
pub async fn namespace(cluster: &Cluster, function_urls: &[String]) -> Result<String, Error> {
    let services: Api<Service> = Api::all(cluster.client.clone());
    match services.list(&ListParams::default().labels(GATEWAY_SELECTOR)).await {
        Ok(list) => {
            let found = list.items.iter().find(|service| service.name_any() == GATEWAY);
            if let Some(namespace) = found.and_then(ResourceExt::namespace) {
                return Ok(namespace);
            }
        }
        // Few may look into all namespaces.
        Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {}
        Err(error) => return Err(crate::cluster::failure("look for Flint", error)),
    }
    let told = function_urls.iter().find_map(|url| namespace_of(url));
    Ok(told.unwrap_or(NAMESPACE).to_owned())
}

/// `http://flint-gateway.NAMESPACE.svc…` names it, where the chart was given no public URL.
fn namespace_of(url: &str) -> Option<&str> {
    let host = url.split_once("://")?.1;
    let (namespace, rest) = host.strip_prefix(GATEWAY)?.strip_prefix('.')?.split_once('.')?;
    rest.starts_with("svc").then_some(namespace)
}

/// Whether a pod says that it can serve.
#[must_use]
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    pod.metadata.deletion_timestamp.is_none() && ready.any(|condition| condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_within_the_cluster_names_the_namespace() {
        let url = "http://flint-gateway.functions.svc.cluster.local/function/hello";
        assert_eq!(namespace_of(url), Some("functions"));
        assert_eq!(namespace_of("https://functions.example.com/function/hello"), None);
        assert_eq!(namespace_of("http://flint-gateway.example.com/function/hello"), None);
    }
}
