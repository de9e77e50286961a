//! Container images that are made for AWS Lambda, as they are: the Runtime API is in the container beside them.

use std::time::Duration;

use flint_e2e::{Namespace, eventually, functions::PATIENCE, namespace::with_namespace};
use serde_json::json;

/// The code of an image in Python: AWS's own client with a handler, as `CMD` of AWS's base images starts it.
const START: &str = "cd /tmp && printf '%s' \"$CODE\" >app.py && exec python3 -m awslambdaric app.handler";
const CODE: &str = "import os, time\n\
    def handler(event, context):\n\
    \x20   if event['rawPath'] == '/sleep': time.sleep(60)\n\
    \x20   if event['rawPath'] == '/exit': os._exit(3)\n\
    \x20   return {'memory': context.memory_limit_in_mb, 'name': context.function_name, 'uid': os.getuid()}\n";

#[tokio::test]
async fn an_image_for_lambda_goes_from_zero_to_an_answer_and_back() {
    with_namespace("lambda-image", |namespace| async move {
        let function = namespace
            .function("go")
            .set("image", json!(namespace.cluster.image("flint-e2e-go")))
            .set("mode", json!("lambda"))
            .set("command", json!(["/opt/bootstrap"]))
            .apply()
            .await;
        assert_eq!(function.ok("/").await, "\"hello from Go\"");
        function.zero().await;
        assert_eq!(function.ok("/").await, "\"hello from Go\"", "from zero");
    })
    .await;
}

#[tokio::test]
async fn an_image_that_overruns_its_deadline_or_crashes_is_answered_and_lives_again() {
    with_namespace("lambda-image-ends", |namespace| async move {
        let function = image(&namespace).apply().await;
        let body: serde_json::Value = serde_json::from_str(&function.ok("/").await).expect("JSON");
        assert_eq!(body, json!({"memory": "256", "name": "image", "uid": 65532}));
        let late = function.get("/sleep").await;
        assert_eq!((late.status, late.error.as_deref()), (504, Some("timeout")), "{late:?}");
        answers_again(&function).await;
        let crashed = function.get("/exit").await;
        assert!([502, 504].contains(&crashed.status), "{crashed:?}");
        answers_again(&function).await;
    })
    .await;
}

async fn answers_again(function: &flint_e2e::FunctionBuilder) {
    // Kubelet starts a container again after a pause that grows.
    eventually("an answer after its restart", PATIENCE + Duration::from_secs(60), || async {
        let answer = function.get("/").await;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .await;
}

fn image(namespace: &Namespace) -> flint_e2e::FunctionBuilder {
    namespace
        .function("image")
        .set("image", json!(namespace.cluster.image("flint-python3.11")))
        .set("mode", json!("lambda"))
        .set("command", json!(["sh", "-c", START]))
        .set("env", json!([{"name": "CODE", "value": CODE}]))
        .set("resources", json!({"limits": {"memory": "256Mi"}}))
        .set("timeout", json!("3s"))
}
