//! From `kubectl apply` to an answer, to zero, to an answer again, in every language.

use flint_e2e::{FunctionBuilder, eventually, functions::PATIENCE, namespace::with_namespace};
use serde_json::{Value, json};

/// The life that every function has: ready, answering, gone without traffic, answering again from nothing.
async fn lives(function: FunctionBuilder, expected: &str) {
    let function = function.apply().await;
    assert_eq!(function.ok("/").await, expected);
    function.ready().await;
    function.zero().await;
    eventually("a status that says zero", PATIENCE, || async {
        let replicas = function.current().await.status.unwrap_or_default().ready_replicas;
        if replicas == 0 { Ok(()) } else { Err(replicas) }
    })
    .await;
    let ready = function.ready().await;
    assert_eq!(ready.status, "True", "a function at zero is ready");
    let answer = function.get("/").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, expected),
        "the first request after zero is answered"
    );
}

#[tokio::test]
async fn python_says_hello_goes_to_zero_and_says_hello_again() {
    with_namespace("hello-python", |namespace| async move {
        lives(
            namespace.function("hello").python("def handler(event, context):\n    return 'hello'\n"),
            "\"hello\"",
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn node_says_hello_goes_to_zero_and_says_hello_again() {
    with_namespace("hello-node", |namespace| async move {
        let code =
            "exports.handler = async (event) => ({statusCode: 200, body: 'hello from ' + event.rawPath});";
        lives(namespace.function("hello").node(code), "hello from /").await;
    })
    .await;
}

#[tokio::test]
async fn typescript_runs_as_it_is() {
    with_namespace("hello-typescript", |namespace| async move {
        let code = "type Event = { rawPath: string };\n\n\
                    export const handler = async (event: Event): Promise<unknown> => ({ statusCode: 200, body: `hello from ${event.rawPath}` });\n";
        let function = namespace.function("hello").node("").set("source", json!({"inline": {"app.ts": code}}));
        assert_eq!(function.apply().await.ok("/").await, "hello from /");
    })
    .await;
}

#[tokio::test]
async fn ruby_says_hello_goes_to_zero_and_says_hello_again() {
    with_namespace("hello-ruby", |namespace| async move {
        let code = "def handler(event:, context:)\n  { statusCode: 200, body: \"hello from #{event['rawPath']}\" }\nend\n";
        lives(namespace.function("hello").ruby(code), "hello from /").await;
    })
    .await;
}

#[tokio::test]
async fn php_says_hello_goes_to_zero_and_says_hello_again() {
    with_namespace("hello-php", |namespace| async move {
        let code = "<?php\nreturn fn (array $event, $context) => ['statusCode' => 200, 'body' => 'hello from ' . $event['rawPath']];\n";
        lives(namespace.function("hello").php(code), "hello from /").await;
    })
    .await;
}

#[tokio::test]
async fn go_says_hello_through_provided() {
    with_namespace("hello-go", |namespace| async move {
        // A compiled program baked into an image of its own: a user's Runtime, made as the guide says.
        let runtime = json!({
            "apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "e2e-go"},
            "spec": {"mode": "lambda", "image": namespace.cluster.image("flint-e2e-go"), "command": ["/opt/bootstrap"]},
        });
        namespace.apply(&runtime).await.expect("the Runtime is accepted");
        let function = namespace
            .function("hello")
            .set("runtime", json!("e2e-go"))
            .set("handler", json!("bootstrap"))
            .set("source", json!({"inline": {"config.json": "{}"}}));
        lives(function, "\"hello from Go\"").await;
        let runtimes = kube::Api::<flint_api::Runtime>::all(namespace.cluster.client.clone());
        runtimes.delete("e2e-go", &Default::default()).await.expect("it goes");
    })
    .await;
}

#[tokio::test]
async fn a_shell_bootstrap_says_hello_through_provided() {
    with_namespace("hello-bootstrap", |namespace| async move {
        let script = r#"#!/bin/bash
set -eu
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
  event=$(curl -sS -D /tmp/headers "$api/invocation/next")
  id=$(grep -i '^lambda-runtime-aws-request-id:' /tmp/headers | tr -d '\r' | cut -d' ' -f2)
  curl -sS -o /dev/null -X POST "$api/invocation/$id/response" -d '"hello from a shell"'
done
"#;
        lives(namespace.function("hello").bootstrap(script), "\"hello from a shell\"").await;
    })
    .await;
}

#[tokio::test]
async fn a_shell_says_hello_through_process() {
    with_namespace("hello-process", |namespace| async move {
        lives(
            namespace.function("hello").process("#!/bin/sh\necho -n \"hello from a process\"\n"),
            "hello from a process",
        )
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_stock_http_container_says_hello() {
    with_namespace("hello-image", |namespace| async move {
        let function = namespace.function("hello").image("flint-e2e-http").apply().await;
        let body = function.ok("/").await;
        assert!(!body.is_empty());
        function.zero().await;
        assert_eq!(function.get("/").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_config_map_is_a_source_and_a_change_of_it_is_an_update() {
    with_namespace("source-configmap", |namespace| async move {
        let code = |word: &str| -> Value {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code", "namespace": namespace.name},
                "data": {"app.py": format!("def handler(event, context):\n    return '{word}'\n")},
            })
        };
        let function = namespace
            .function("from-map")
            .python("")
            .set("source", json!({"configMap": {"name": "code"}}))
            .apply()
            .await;
        let built = function.condition("Built", "False").await;
        assert!(built.message.contains("code"), "the missing ConfigMap is named: {built:?}");
        namespace.apply(&code("first")).await.expect("a ConfigMap");
        assert_eq!(function.ok("/").await, "\"first\"");
        namespace.apply(&code("second")).await.expect("a ConfigMap");
        eventually("the changed code", PATIENCE, || async {
            let body = function.get("/").await.body;
            if body == "\"second\"" { Ok(()) } else { Err(body) }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn the_environment_reaches_the_code_and_flints_secrets_do_not() {
    with_namespace("environment", |namespace| async move {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": namespace.name},
            "stringData": {"password": "swordfish"},
        });
        namespace.apply(&secret).await.expect("a Secret");
        let code = "import os\ndef handler(event, context):\n    return {k: v for k, v in os.environ.items()}\n";
        let function = namespace
            .function("env")
            .python(code)
            .set("env", json!([{"name": "GREETING", "value": "hi"}, {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]))
            .apply()
            .await;
        let seen: Value = serde_json::from_str(&function.ok("/").await).expect("JSON");
        assert_eq!(seen["GREETING"], "hi");
        assert_eq!(seen["PASSWORD"], "swordfish");
        assert_eq!(seen["AWS_LAMBDA_FUNCTION_NAME"], "env");
        assert_eq!(seen["FLINT_KEY"], Value::Null, "the instance's key is not for the code");
    })
    .await;
}
