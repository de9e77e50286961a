//! Functions that start with their first request, and not before.

use flint_e2e::{eventually, functions::PATIENCE, namespace::with_namespace};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

#[tokio::test]
async fn a_function_that_waits_for_its_first_request_is_ready_without_a_deployment_and_answers_it() {
    with_namespace("untried", |namespace| async move {
        let function =
            namespace.function("hello").python("def handler(event, context):\n    return 'hello'\n");
        let function = function.scaling("initialReplicas", json!(0)).apply().await;
        assert_eq!(function.ready().await.reason, "NotStarted");
        let deployments = namespace.api::<Deployment>().list(&Default::default()).await.expect("a list");
        assert!(deployments.items.is_empty(), "{deployments:?}");
        assert_eq!(function.ok("/").await, "\"hello\"");
        eventually("a function that has shown that it can", PATIENCE, || async {
            let ready = function.ready().await;
            if ready.reason == "Ready" { Ok(()) } else { Err(ready) }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn what_is_wrong_with_it_is_seen_by_the_first_request() {
    with_namespace("untried-broken", |namespace| async move {
        let function = namespace.function("broken").python("raise RuntimeError('no key')\n");
        let function = function.scaling("initialReplicas", json!(0)).apply().await;
        assert_eq!(function.ready().await.reason, "NotStarted");
        eventually("an answer that says why", PATIENCE, || async {
            let answer = function.get("/").await;
            let said = answer.status == 503 && answer.body.contains("no key");
            if said { Ok(()) } else { Err(answer.body) }
        })
        .await;
        let ready = function.condition("Ready", "False").await;
        assert!(ready.message.contains("no key"), "{ready:?}");
    })
    .await;
}
