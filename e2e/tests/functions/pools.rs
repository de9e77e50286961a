//! Functions that start from a warm pool.

use std::collections::BTreeSet;

use flint_e2e::{
    eventually,
    functions::PATIENCE,
    namespace::with_namespace,
    pools::{labelled, pooled, pooled_with, waiting},
};
use futures::future::join_all;
use kube::ResourceExt;
use serde_json::json;

const WHO: &str = "import os\ndef handler(event, context):\n    return os.environ['FLINT_FUNCTION']\n";

/// A `bootstrap` in the shell's language: answers with the function's name.
const BOOTSTRAP: &str = r#"#!/bin/bash
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  curl -sS -o /dev/null -D /tmp/headers "$api/invocation/next"
  id=$(grep -i '^lambda-runtime-aws-request-id:' /tmp/headers | tr -d '\r' | cut -d' ' -f2)
  curl -sS -o /dev/null -X POST "$api/invocation/$id/response" -d "\"$FLINT_FUNCTION\""
done
"#;

#[tokio::test]
async fn each_runtime_starts_from_its_pool_and_the_pods_end_with_the_demand() {
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
            (
                "own",
                pooled(&namespace, "provided", 1).await,
                namespace.function("own").bootstrap(BOOTSTRAP),
                "\"own\"",
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
        let pool: Vec<_> = waiting(&namespace, 4).await.iter().map(ResourceExt::name_any).collect();
        for (name, function, body) in &started {
            let answer = function.get("/").await;
            assert_eq!((answer.status, answer.body.as_str()), (200, *body));
            assert_eq!(function.get("/").await.status, 200, "the second request");
            // On a machine so busy that it takes five seconds to be ready, an ordinary one is started beside it.
            let pods = eventually(&format!("the pod of {name}"), PATIENCE, || async {
                // Asked again each time: who is idle ends, and a busy machine may look too late.
                assert_eq!(function.get("/").await.status, 200);
                let mut pods = namespace.pods(name).await;
                pods.retain(|pod| pod.labels().contains_key("flint.dev/from-pool"));
                if pods.is_empty() { Err("no pod from the pool") } else { Ok(pods) }
            })
            .await;
            assert_eq!(pods.len(), 1, "one pod was taken");
            assert!(pool.contains(&pods[0].name_any()), "{} waited in the pool", pods[0].name_any());
            let owners = pods[0].owner_references();
            assert_eq!((owners.len(), owners[0].kind.as_str()), (1, "Function"));
        }
        // Others wait in their place, and the claimed ones end when nobody asks any more.
        for (_, function, _) in &started {
            function.zero().await;
        }
        let again: Vec<_> = waiting(&namespace, 4).await.iter().map(ResourceExt::name_any).collect();
        assert!(again.iter().all(|pod| !pool.contains(pod)), "{again:?} were not used before");
    })
    .await;
}

#[tokio::test]
async fn twelve_functions_at_once_with_a_pool_of_five_are_all_answered() {
    with_namespace("pool-burst", |namespace| async move {
        let runtime = pooled(&namespace, "python3.11", 5).await;
        let functions = join_all((0..12).map(|number| {
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
        // Watched meanwhile: who is busy may hear of the last answer when the first of the claimed are gone again.
        let claims = eventually("claims on record", PATIENCE, || async {
            let claimed = labelled(&namespace, "flint.dev/from-pool").await.len();
            if claimed > 0 { Ok(claimed) } else { Err(claimed) }
        });
        let (answers, claimed) =
            tokio::join!(join_all(functions.iter().map(|function| function.get("/"))), claims);
        for (function, answer) in functions.iter().zip(answers) {
            assert_eq!((answer.status, answer.body), (200, format!("\"{}\"", function.name())));
        }
        println!("12 functions at once: {claimed} or more from the pool of 5");
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
async fn a_pod_from_the_pool_is_resized_to_what_its_function_asks_for() {
    with_namespace("pool-resize", |namespace| async move {
        let resources = |cpu: &str, memory: &str| {
            json!({"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"cpu": cpu, "memory": memory}})
        };
        let runtime = pooled_with(&namespace, "python3.11", 1, &resources("1", "256Mi")).await;
        let function = |name: &str, asked: &serde_json::Value| {
            namespace.function(name).python(WHO).set("runtime", json!(runtime)).set("resources", asked.clone())
        };
        let (less, more) = (resources("500m", "128Mi"), resources("500m", "512Mi"));
        let [less, more] = [function("less", &less).apply().await, function("more", &more).apply().await];
        for function in [&less, &more] {
            function.ready().await;
            function.zero().await;
        }
        waiting(&namespace, 1).await;
        assert_eq!(less.get("/").await.status, 200);
        eventually("the function's resources", PATIENCE, || async {
            // Asked again each time: who is idle ends.
            assert_eq!(less.get("/").await.status, 200, "it serves on");
            let pods = namespace.pods("less").await;
            let from_pool = pods.iter().find(|pod| pod.labels().contains_key("flint.dev/from-pool"));
            let pod = from_pool.ok_or("no pod from the pool")?;
            // What kubelet has done, not what was asked of it.
            let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
            let actual = statuses.and_then(|statuses| statuses.first()?.resources.clone()).unwrap_or_default();
            let limits = actual.limits.unwrap_or_default();
            let limit = |name: &str| limits.get(name).map(|quantity| quantity.0.as_str());
            if (limit("cpu"), limit("memory")) == (Some("500m"), Some("128Mi")) {
                Ok(())
            } else {
                Err("other limits")
            }
        })
        .await;
        let told = eventually("the event that says why", PATIENCE, || async {
            let events = more.events().await;
            events.iter().find(|(reason, _)| reason == "NoWarmStart").cloned().ok_or(events)
        })
        .await;
        assert!(told.1.contains("memory limit"), "{told:?}");
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

#[tokio::test]
async fn revisions_that_share_the_requests_start_from_the_pool_each_with_its_own_code() {
    with_namespace("pool-shares", |namespace| async move {
        let runtime = pooled(&namespace, "process", 2).await;
        let function = namespace.function("word").scaling("minReplicas", json!(0));
        let says = |word: &str| format!("#!/bin/sh\necho -n {word}\n");
        let first = function.clone().process(&says("one")).set("runtime", json!(runtime)).apply().await;
        assert_eq!(first.ok("/").await, "one");
        let halves = json!([{"revision": 1, "weight": 50}, {"revision": 2, "weight": 50}]);
        let function = function
            .process(&says("two"))
            .set("runtime", json!(runtime))
            .set("traffic", halves)
            .apply()
            .await;
        eventually("two shares", PATIENCE, || async {
            let traffic = function.current().await.status.unwrap_or_default().traffic;
            if traffic.len() == 2 { Ok(()) } else { Err(traffic) }
        })
        .await;
        function.zero().await;
        waiting(&namespace, 2).await;
        let mut words = BTreeSet::new();
        for _ in 0..4 {
            let answer = function.get("/").await;
            assert_eq!(answer.status, 200);
            words.insert(answer.body);
        }
        assert_eq!(words, BTreeSet::from(["one".to_owned(), "two".to_owned()]));
        eventually("claims on record", PATIENCE, || async {
            // Asked again each time: who is idle ends.
            assert_eq!(function.get("/").await.status, 200);
            let claimed = labelled(&namespace, "flint.dev/from-pool").await;
            let revisions: BTreeSet<_> =
                claimed.iter().filter_map(|pod| pod.labels().get("flint.dev/revision").cloned()).collect();
            if revisions.len() == 2 { Ok(()) } else { Err(revisions) }
        })
        .await;
        let mut ordinary = namespace.pods("word").await;
        ordinary.retain(|pod| !pod.labels().contains_key("flint.dev/from-pool"));
        assert!(ordinary.is_empty(), "no ordinary pod beside them");
    })
    .await;
}
