//! Packages outlive the operator that made them.

use flint_e2e::{
    Cluster, cluster::SYSTEM, eventually, files::Files, functions::PATIENCE, namespace::with_namespace_named,
};
use http::Request;
use kube::ResourceExt as _;
use serde_json::json;

use crate::system;

#[tokio::test]
async fn an_instance_gets_its_package_while_the_leader_and_the_source_are_gone() {
    with_namespace_named("e2e-sources-copies", |namespace| async move {
        let cluster = namespace.cluster.clone();
        let files = Files::start(&namespace).await;
        let function =
            files.function("kept", files.archive("/one.zip")).scaling("minReplicas", json!(1)).apply().await;
        function.ready().await;
        assert_eq!(function.ok("/").await, "\"one\"");
        let package = function.current().await.status.unwrap_or_default().package.expect("status.package");
        eventually("a copy at each operator", PATIENCE, || copied(&cluster, &package.digest)).await;
        let first = namespace.pods("kept").await.remove(0);

        // Nobody can make it again, and what the leader has goes with it.
        files.end().await;
        let leader = eventually("a leader", PATIENCE, || async {
            let holder = system::holder(&cluster, "flint-operator").await.ok_or("none")?;
            holder.split('_').next().map(str::to_owned).ok_or("no name")
        })
        .await;
        system::kill_pod(&cluster, SYSTEM, &leader).await;
        system::kill_pod(&cluster, &namespace.name, &first.name_any()).await;

        eventually("another instance, with the package", PATIENCE, || async {
            let pods = namespace.pods("kept").await;
            let ready = pods.iter().find(|pod| pod.uid() != first.uid() && is_ready(pod));
            ready
                .map(|_| ())
                .ok_or_else(|| format!("{:?}", pods.iter().map(|pod| &pod.status).collect::<Vec<_>>()))
        })
        .await;
        assert_eq!(function.ok("/").await, "\"one\"");

        system::rolled_out(&cluster, "flint-operator").await;
        eventually("a copy at the operator that came in its place", PATIENCE, || {
            copied(&cluster, &package.digest)
        })
        .await;
        function.ready().await;
    })
    .await;
}

/// Whether each operator has the package on its own disk.
async fn copied(cluster: &Cluster, digest: &str) -> Result<(), String> {
    let pods = system::pods(cluster, "flint-operator").await;
    let staying: Vec<_> = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    if staying.len() < 2 {
        return Err(format!("{} operators", staying.len()));
    }
    for pod in staying {
        let name = pod.name_any();
        let path = format!("/api/v1/namespaces/{SYSTEM}/pods/{name}:8082/proxy/packages/{digest}");
        let request = Request::get(path).header("x-flint-here", "1").body(Vec::new()).expect("a request");
        if let Err(error) = cluster.client.request_stream(request).await {
            return Err(format!("{name}: {error}"));
        }
    }
    Ok(())
}

fn is_ready(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
