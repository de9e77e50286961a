//! Flint's own Deployments, as the tests disturb them.

use std::time::Duration;

use flint_e2e::{Cluster, cluster::SYSTEM, eventually};
use k8s_openapi::api::{apps::v1::Deployment, coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;

/// How long a rollout of Flint's own pods may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// Restarts a Deployment as `kubectl rollout restart` does, and waits for its end.
pub(crate) async fn restart(cluster: &Cluster, name: &str) {
    let stamp = jiff::Timestamp::now().to_string();
    let patch = json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": stamp}}}}});
    let deployments = Api::<Deployment>::namespaced(cluster.client.clone(), SYSTEM);
    deployments.patch(name, &PatchParams::default(), &Patch::Strategic(&patch)).await.expect("a restart");
    rolled_out(cluster, name).await;
}

/// Sets the replicas of a Deployment, and waits until it has them.
pub(crate) async fn scale(cluster: &Cluster, name: &str, replicas: i32) {
    let deployments = Api::<Deployment>::namespaced(cluster.client.clone(), SYSTEM);
    let patch = json!({"spec": {"replicas": replicas}});
    deployments.patch_scale(name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("a scale");
    rolled_out(cluster, name).await;
}

/// Waits until all replicas of a Deployment are of its newest kind, ready, and no other is left.
pub(crate) async fn rolled_out(cluster: &Cluster, name: &str) {
    let deployments = Api::<Deployment>::namespaced(cluster.client.clone(), SYSTEM);
    eventually(&format!("the rollout of {name}"), PATIENCE, || async {
        let deployment = deployments.get(name).await.map_err(|error| error.to_string())?;
        let wanted = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let status = deployment.status.unwrap_or_default();
        let numbers = (
            status.updated_replicas.unwrap_or(0),
            status.ready_replicas.unwrap_or(0),
            pods(cluster, name).await.len(),
        );
        let observed = status.observed_generation == deployment.metadata.generation;
        if observed && numbers.0 == wanted && numbers.1 == wanted && i32::try_from(numbers.2) == Ok(wanted) {
            Ok(())
        } else {
            Err(format!("{numbers:?} of {wanted}"))
        }
    })
    .await;
}

/// The pods of one of Flint's Deployments.
pub(crate) async fn pods(cluster: &Cluster, name: &str) -> Vec<Pod> {
    let component = name.strip_prefix("flint-").unwrap_or(name);
    let parameters = ListParams::default()
        .labels(&format!("app.kubernetes.io/name=flint,app.kubernetes.io/component={component}"));
    Api::<Pod>::namespaced(cluster.client.clone(), SYSTEM)
        .list(&parameters)
        .await
        .expect("a list of pods")
        .items
}

/// Deletes a pod at once, as a lost node would.
pub(crate) async fn kill_pod(cluster: &Cluster, namespace: &str, name: &str) {
    let parameters = DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
    Api::<Pod>::namespaced(cluster.client.clone(), namespace)
        .delete(name, &parameters)
        .await
        .expect("the pod is deleted");
}

/// Who holds one of Flint's leases.
pub(crate) async fn holder(cluster: &Cluster, lease: &str) -> Option<String> {
    let leases = Api::<Lease>::namespaced(cluster.client.clone(), SYSTEM);
    leases.get_opt(lease).await.expect("an answer").and_then(|lease| lease.spec?.holder_identity)
}
