//! Warm pools in tests: Runtimes that have one, and the pods that wait.

use flint_api::Runtime;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};

use crate::{Namespace, eventually, functions::PATIENCE};

/// A Runtime like one of the chart's, with a pool. It goes with the namespace.
///
/// # Panics
/// When the API server refuses.
pub async fn pooled(namespace: &Namespace, base: &str, size: u32) -> String {
    pooled_with(namespace, base, size, &Value::Null).await
}

/// The same with resources of its own; null leaves those that it has.
///
/// # Panics
/// When the API server refuses.
pub async fn pooled_with(namespace: &Namespace, base: &str, size: u32, resources: &Value) -> String {
    let client = namespace.cluster.client.clone();
    let runtime = Api::<Runtime>::all(client.clone()).get(base).await.expect("the chart's Runtime");
    let owner = Api::<KubeNamespace>::all(client).get(&namespace.name).await.expect("the namespace");
    let name = format!("{base}-{}", namespace.name);
    let mut spec = serde_json::to_value(&runtime.spec).expect("JSON");
    spec["pool"]["size"] = json!(size);
    if !resources.is_null() {
        spec["resources"] = resources.clone();
    }
    let object = json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Runtime",
        "metadata": {"name": name, "ownerReferences": [{
            "apiVersion": "v1", "kind": "Namespace", "name": namespace.name, "uid": owner.uid().unwrap_or_default(),
        }]},
        "spec": spec,
    });
    namespace.apply(&object).await.expect("a Runtime");
    name
}

/// Pods with that label that are not on their way out.
///
/// # Panics
/// When the API server refuses.
pub async fn labelled(namespace: &Namespace, label: &str) -> Vec<Pod> {
    let pods = namespace.api::<Pod>().list(&ListParams::default().labels(label)).await.expect("pods").items;
    pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits until so many pods wait and are ready.
pub async fn waiting(namespace: &Namespace, count: usize) -> Vec<Pod> {
    eventually(&format!("{count} pods that wait"), PATIENCE, || async {
        let pods: Vec<_> = labelled(namespace, "flint.dev/pool").await.into_iter().filter(is_ready).collect();
        // The gateways hear of them a moment after the API server does.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if pods.len() == count { Ok(pods) } else { Err(pods.len()) }
    })
    .await
}
