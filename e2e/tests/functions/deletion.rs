//! Deleting a Function.

use std::time::Duration;

use flint_api::Function;
use flint_e2e::{eventually, functions::PATIENCE, namespace::with_namespace};
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::{ConfigMap, Pod, Secret, Service},
};
use kube::{Api, api::ListParams};

async fn count<K>(api: Api<K>) -> usize
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug + kube::Resource,
    K::DynamicType: Default,
{
    let mine = ListParams::default().labels("app.kubernetes.io/part-of=flint");
    api.list(&mine).await.expect("a list").items.len()
}

#[tokio::test]
async fn deleting_a_function_finishes_its_request_and_leaves_nothing() {
    with_namespace("deletion", |namespace| async move {
        let code = "import time\ndef handler(event, context):\n    time.sleep(float(event['rawPath'][1:] or 0))\n    return 'finished'\n";
        let function = namespace.function("slow").python(code).apply().await;
        function.ok("/").await;
        let request = {
            let function = function.clone();
            tokio::spawn(async move { function.get("/4").await })
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        namespace.api::<Function>().delete("slow", &Default::default()).await.expect("it is deleted");
        let answer = request.await.expect("the request");
        assert_eq!((answer.status, answer.body.as_str()), (200, "\"finished\""));
        eventually("nothing is left", PATIENCE, || async {
            let left = [
                ("deployments", count(namespace.api::<Deployment>()).await),
                ("replica sets", count(namespace.api::<ReplicaSet>()).await),
                ("pods", count(namespace.api::<Pod>()).await),
                ("services", count(namespace.api::<Service>()).await),
                ("secrets", count(namespace.api::<Secret>()).await),
                ("config maps", count(namespace.api::<ConfigMap>()).await),
            ];
            if left.iter().all(|(_, number)| *number == 0) { Ok(()) } else { Err(left) }
        })
        .await;
        let answer = function.get("/").await;
        assert_eq!((answer.status, answer.error.as_deref()), (404, Some("function_not_found")));
    })
    .await;
}
