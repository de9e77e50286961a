//! Reaching functions from inside the cluster, and the addresses of the contract.

use std::time::Duration;

use flint_e2e::{eventually, functions::PATIENCE, namespace::with_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use reqwest::Method;
use serde_json::{Value, json};

const HELLO: &str = "def handler(event, context):\n    return 'hello'\n";

#[tokio::test]
async fn a_pod_reaches_a_function_at_zero_by_its_cluster_name() {
    with_namespace("cluster-name", |namespace| async move {
        let function = namespace.function("greeter").python(HELLO).apply().await;
        function.ready().await;
        function.zero().await;
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "caller", "namespace": namespace.name},
            "spec": {
                "restartPolicy": "Never",
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "curl", "image": namespace.cluster.image("flint-provided"),
                    "command": ["curl", "-sS", "--fail", "--max-time", "60", format!("http://greeter.{}", namespace.name)],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        namespace.apply(&pod).await.expect("a pod");
        let pods = namespace.api::<Pod>();
        eventually("the caller's end", PATIENCE, || async {
            let phase = pods.get("caller").await.map_err(|error| error.to_string())?.status.and_then(|status| status.phase);
            if phase.as_deref() == Some("Succeeded") { Ok(()) } else { Err(format!("{phase:?}")) }
        })
        .await;
        assert_eq!(pods.logs("caller", &LogParams::default()).await.expect("its log"), "\"hello\"");
    })
    .await;
}

#[tokio::test]
async fn addresses_are_the_contracts() {
    with_namespace("addresses", |namespace| async move {
        let code = "def handler(event, context):\n    return event\n";
        let function = namespace.function("echo").python(code).apply().await;
        function.ok("/").await;
        let event: Value =
            serde_json::from_str(&function.get("/a/b%20c?x=1&y=2&x=3").await.body).expect("the event");
        assert_eq!(event["version"], "2.0");
        assert_eq!(event["rawPath"], "/a/b%20c");
        assert_eq!(event["rawQueryString"], "x=1&y=2&x=3");
        assert_eq!(event["queryStringParameters"]["x"], "1,3");

        let cluster = &namespace.cluster;
        let invoke = |name: String| {
            cluster.http.post(format!("{}/2015-03-31/functions/{name}/invocations", cluster.url))
        };
        let answer =
            invoke(format!("echo.{}", namespace.name)).body("{\"a\": 1}").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.json::<Value>().await.expect("JSON"),
            json!({"a": 1}),
            "Lambda's Invoke passes the payload as it is"
        );
        let dry = invoke(format!("echo.{}", namespace.name))
            .header("x-amz-invocation-type", "DryRun")
            .send()
            .await
            .expect("an answer");
        assert_eq!(dry.status(), 204);

        let by_host = cluster
            .http
            .get(format!("{}/by-host", cluster.url))
            .header("host", format!("echo.{}.svc.cluster.local", namespace.name));
        let event: Value = by_host.send().await.expect("an answer").json().await.expect("the event");
        assert_eq!(event["rawPath"], "/by-host");

        let asynchronous = cluster
            .http
            .post(format!("{}/async-function/echo.{}", cluster.url, namespace.name))
            .send()
            .await
            .expect("an answer");
        assert_eq!(asynchronous.status(), 501);
        for (path, code) in
            [("/function/nobody.nowhere", "function_not_found"), ("/nothing/here", "no_route")]
        {
            let answer = cluster.http.get(format!("{}{path}", cluster.url)).send().await.expect("an answer");
            assert_eq!(answer.status(), 404);
            assert_eq!(answer.headers()["x-flint-error"], code);
            assert!(answer.headers().contains_key("x-request-id"));
            let body: Value = answer.json().await.expect("a refusal is JSON");
            assert_eq!(body["error"]["code"], code);
        }
    })
    .await;
}

#[tokio::test]
async fn request_ids_and_trace_parents_pass_through_and_come_back() {
    with_namespace("ids", |namespace| async move {
        let code = "def handler(event, context):\n    return {'id': context.aws_request_id, 'headers': event['headers']}\n";
        let function = namespace.function("ids").python(code).apply().await;
        function.ok("/").await;
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = namespace.cluster.http.request(Method::GET, function.url("/")).header("x-request-id", "my-own-id").header("traceparent", trace);
        let answer = request.timeout(Duration::from_secs(30)).send().await.expect("an answer");
        assert_eq!(answer.headers()["x-request-id"], "my-own-id");
        let seen: Value = answer.json().await.expect("JSON");
        assert_eq!(seen["headers"]["x-request-id"], "my-own-id");
        assert!(seen["headers"]["traceparent"].as_str().is_some_and(|seen| seen.contains("0af7651916cd43dd8448eb211c80319c")), "{seen}");
    })
    .await;
}
