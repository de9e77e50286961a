//! Instances that go while requests come: scale-down, deletion, eviction, and a hard kill.

use std::{collections::BTreeSet, time::Duration};

use flint_e2e::{FunctionBuilder, Load, Namespace, functions::PATIENCE, namespace::with_namespace, node};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, EvictParams};
use reqwest::Method;
use serde_json::json;

async fn word(namespace: &Namespace, replicas: u32) -> FunctionBuilder {
    let code = "import time\ndef handler(event, context):\n    time.sleep(float(event['rawPath'][1:] or 0.02))\n    return 'word'\n";
    let function = namespace
        .function("word")
        .python(code)
        .scaling("minReplicas", json!(replicas))
        .scaling("maxReplicas", json!(4))
        .apply()
        .await;
    function.ok("/").await;
    function.pods_become(replicas as usize).await;
    function.ready().await;
    function
}

#[tokio::test]
async fn a_scale_down_under_load_fails_no_request() {
    with_namespace("scale-down", |namespace| async move {
        let function = word(&namespace, 4).await;
        let load = Load::start(&function, 2, &Method::POST, "/", Duration::from_millis(20));
        tokio::time::sleep(Duration::from_secs(2)).await;
        function.clone().scaling("minReplicas", json!(1)).apply().await;
        flint_e2e::eventually("fewer pods", PATIENCE, || async {
            let pods = namespace.pods("word").await.len();
            if pods < 4 { Ok(()) } else { Err(pods) }
        })
        .await;
        tokio::time::sleep(Duration::from_secs(8)).await;
        load.stop().await.assert_flawless("a scale-down under load");
    })
    .await;
}

#[tokio::test]
async fn deleted_and_evicted_pods_fail_no_request() {
    with_namespace("deleted-pod", |namespace| async move {
        let function = word(&namespace, 2).await;
        let load = Load::start(&function, 2, &Method::POST, "/", Duration::from_millis(20));
        let pods = namespace.api::<Pod>();
        let name = |pod: &Pod| pod.metadata.name.clone().expect("a name");
        tokio::time::sleep(Duration::from_secs(1)).await;
        pods.delete(&name(&namespace.pods("word").await[0]), &DeleteParams::default())
            .await
            .expect("it is deleted");
        tokio::time::sleep(Duration::from_secs(4)).await;
        function.pods_become(2).await;
        // What a drain does to each pod of a node.
        pods.evict(&name(&namespace.pods("word").await[0]), &EvictParams::default())
            .await
            .expect("it is evicted");
        tokio::time::sleep(Duration::from_secs(6)).await;
        load.stop().await.assert_flawless("a deleted and an evicted pod under load");
    })
    .await;
}

#[tokio::test]
async fn a_hard_kill_loses_only_what_was_in_flight_and_repeats_the_idempotent() {
    with_namespace("hard-kill", |namespace| async move {
        if !namespace.cluster.node_is_local() {
            println!("skipped: the node's processes are not on this machine");
            return;
        }
        let function = word(&namespace, 2).await;
        let kill_one = || async {
            let pods = namespace.pods("word").await;
            let uids: BTreeSet<_> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
            let uid = uids.first().expect("a pod");
            node::signal("KILL", &node::processes_with(&format!("FLINT_POD_UID={uid}")))
                .expect("the pod's processes are killed");
        };
        // Two requests that take a second, one per pod; the pod of one is killed in the middle.
        for method in [Method::GET, Method::POST] {
            function.pods_become(2).await;
            flint_e2e::eventually("two ready pods", PATIENCE, || async {
                let ready = function.current().await.status.unwrap_or_default().ready_replicas;
                if ready == 2 { Ok(()) } else { Err(ready) }
            })
            .await;
            let requests = (0..2).map(|_| {
                let (function, method) = (function.clone(), method.clone());
                tokio::spawn(async move {
                    function.request(method, "/1.5", "").await.expect("an answer from the gateway")
                })
            });
            let requests: Vec<_> = requests.collect();
            tokio::time::sleep(Duration::from_millis(700)).await;
            kill_one().await;
            let answers: Vec<_> =
                join_all(requests).await.into_iter().map(|answer| answer.expect("a request")).collect();
            let good = answers.iter().filter(|answer| answer.status == 200).count();
            if method == Method::GET {
                assert_eq!(good, 2, "a GET is repeated elsewhere: {answers:?}");
            } else {
                assert_eq!(good, 1, "only the POST in the killed pod is lost: {answers:?}");
                let lost = answers.iter().find(|answer| answer.status != 200).expect("the lost one");
                assert_eq!((lost.status, lost.error.as_deref()), (502, Some("function_failed")), "{lost:?}");
            }
            assert_eq!(function.get("/").await.status, 200, "the next request works");
        }
    })
    .await;
}
