//! Functions that start from a warm pool.

use flint_api::Runtime;
use flint_e2e::{Namespace, eventually, functions::PATIENCE, namespace::with_namespace};
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Namespace as KubeNamespace, Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

const WHO: &str = "import os\ndef handler(event, context):\n    return os.environ['FLINT_FUNCTION']\n";

/// A Runtime like one of the chart's, with a pool. It goes with the namespace.
async fn pooled(namespace: &Namespace, base: &str, size: u32) -> String {
    let client = namespace.cluster.client.clone();
    let runtime = Api::<Runtime>::all(client.clone()).get(base).await.expect("the chart's Runtime");
    let owner = Api::<KubeNamespace>::all(client).get(&namespace.name).await.expect("the namespace");
    let name = format!("{base}-{}", namespace.name);
    let mut spec = serde_json::to_value(&runtime.spec).expect("JSON");
    spec["pool"]["size"] = json!(size);
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
async fn labelled(namespace: &Namespace, label: &str) -> Vec<Pod> {
    let pods = namespace.api::<Pod>().list(&ListParams::default().labels(label)).await.expect("pods").items;
    pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Waits until so many pods wait and are ready.
async fn waiting(namespace: &Namespace, count: usize) -> Vec<Pod> {
    eventually(&format!("{count} pods that wait"), PATIENCE, || async {
        let pods: Vec<_> = labelled(namespace, "flint.dev/pool").await.into_iter().filter(is_ready).collect();
        // The gateways hear of them a moment after the API server does.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if pods.len() == count { Ok(pods) } else { Err(pods.len()) }
    })
    .await
}

#[tokio::test]
async fn python_node_and_a_process_start_from_their_pools_and_their_pods_end_with_the_demand() {
    with_namespace("pools", |namespace| async move {
        let functions = [
            ("py", pooled(&namespace, "python3.11", 1).await, namespace.function("py").python(WHO), "\"py\""),
            (
                "js",
                pooled(&namespace, "nodejs", 1).await,
                namespace.function("js").node("exports.handler = async () => process.env.FLINT_FUNCTION;"),
                "\"js\"",
            ),
            (
                "sh",
                pooled(&namespace, "process", 1).await,
                namespace.function("sh").process("#!/bin/sh\necho -n sh\n"),
                "sh",
            ),
        ];
        let mut started = Vec::new();
        for (name, runtime, function, body) in functions {
            let function = function.set("runtime", json!(runtime)).apply().await;
            function.ready().await;
            started.push((name, function, body));
        }
        for (_, function, _) in &started {
            function.zero().await;
        }
        let pool: Vec<_> = waiting(&namespace, 3).await.iter().map(ResourceExt::name_any).collect();
        for (name, function, body) in &started {
            let answer = function.get("/").await;
            assert_eq!((answer.status, answer.body.as_str()), (200, *body));
            assert_eq!(function.get("/").await.status, 200, "the second request");
            let pods = eventually(&format!("the pod of {name}"), PATIENCE, || async {
                let pods = namespace.pods(name).await;
                if pods.is_empty() { Err("no pod") } else { Ok(pods) }
            })
            .await;
            assert_eq!(pods.len(), 1, "no ordinary pod was started beside it");
            assert!(pool.contains(&pods[0].name_any()), "{} waited in the pool", pods[0].name_any());
            assert!(pods[0].labels().contains_key("flint.dev/from-pool"));
            let owners = pods[0].owner_references();
            assert_eq!((owners.len(), owners[0].kind.as_str()), (1, "Function"));
        }
        // Others wait in their place, and the claimed ones end when nobody asks any more.
        for (_, function, _) in &started {
            function.zero().await;
        }
        let again: Vec<_> = waiting(&namespace, 3).await.iter().map(ResourceExt::name_any).collect();
        assert!(again.iter().all(|pod| !pool.contains(pod)), "{again:?} were not used before");
    })
    .await;
}

#[tokio::test]
async fn twenty_functions_at_once_with_a_pool_of_five_are_all_answered() {
    with_namespace("pool-burst", |namespace| async move {
        let runtime = pooled(&namespace, "python3.11", 5).await;
        let functions = join_all((0..20).map(|number| {
            namespace.function(&format!("f{number}")).python(WHO).set("runtime", json!(runtime)).apply()
        }))
        .await;
        for function in &functions {
            function.ready().await;
        }
        for function in &functions {
            function.zero().await;
        }
        waiting(&namespace, 5).await;
        let answers = join_all(functions.iter().map(|function| function.get("/"))).await;
        for (function, answer) in functions.iter().zip(answers) {
            assert_eq!((answer.status, answer.body), (200, format!("\"{}\"", function.name())));
        }
        let claimed = eventually("claims on record", PATIENCE, || async {
            let claimed = labelled(&namespace, "flint.dev/from-pool").await.len();
            if claimed > 0 { Ok(claimed) } else { Err(claimed) }
        })
        .await;
        println!("20 functions at once: {claimed} from the pool of 5");
    })
    .await;
}

#[tokio::test]
async fn a_function_that_needs_what_a_pool_lacks_starts_as_ever_and_says_why() {
    with_namespace("pool-misfit", |namespace| async move {
        let runtime = pooled(&namespace, "python3.11", 1).await;
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": namespace.name},
            "stringData": {"password": "swordfish"},
        });
        namespace.apply(&secret).await.expect("a Secret");
        let function = namespace
            .function("secretive")
            .python("import os\ndef handler(event, context):\n    return os.environ['PASSWORD']\n")
            .set("runtime", json!(runtime))
            .set("env", json!([{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]))
            .apply()
            .await;
        assert_eq!(function.ok("/").await, "\"swordfish\"");
        let told = eventually("the event that says why", PATIENCE, || async {
            let events = function.events().await;
            events.iter().find(|(reason, _)| reason == "NoWarmStart").cloned().ok_or(events)
        })
        .await;
        assert!(told.1.contains("PASSWORD"), "{told:?}");
        function.zero().await;
        waiting(&namespace, 1).await;
        assert_eq!(function.get("/").await.status, 200);
        assert!(labelled(&namespace, "flint.dev/from-pool").await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_forged_claim_is_refused_and_a_claimed_pod_takes_no_other() {
    with_namespace("pool-claims", |namespace| async move {
        if !namespace.cluster.node_is_local() {
            eprintln!("skipped: pods cannot be reached from here");
            return;
        }
        let runtime = pooled(&namespace, "python3.11", 1).await;
        let function = namespace.function("who").python(WHO).set("runtime", json!(runtime)).apply().await;
        function.ready().await;
        function.zero().await;
        let pod = waiting(&namespace, 1).await.remove(0);
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("an address");
        let claim = || {
            let url = format!("http://{address}:8013/claim");
            let request = namespace.cluster.http.post(url).header("x-flint-proof", "00").body("forged");
            async { request.send().await.expect("the pod answers").status().as_u16() }
        };
        assert_eq!(claim().await, 403);
        assert_eq!(function.get("/").await.status, 200);
        assert_eq!(claim().await, 409);
        assert_eq!(namespace.pods("who").await.len().max(1), 1);
    })
    .await;
}
