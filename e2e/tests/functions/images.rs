//! Code that becomes an image, in the registry of the tests' own cluster, and code that `flint deploy` brings through a registry.

use flint_api::Revision;
use flint_e2e::{
    FunctionBuilder, Namespace, cli::Flint, eventually, functions::PATIENCE, namespace::with_namespace,
};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// The registry of `e2e/values.yaml` as pods reach it, and this machine too.
const FROM_PODS: &str = "10.244.0.1:5000";

/// The image that the function's status says its code is in.
async fn image(function: &FunctionBuilder) -> String {
    let status = function.current().await.status.unwrap_or_default();
    status.package.and_then(|package| package.image).expect("status.package.image")
}

async fn says(function: &FunctionBuilder, word: &str) {
    eventually("the code's answer", PATIENCE, || async {
        let body = function.ok("/").await;
        if body == format!("\"{word}\"") { Ok(()) } else { Err(body) }
    })
    .await;
}

fn word(namespace: &Namespace, word: &str) -> FunctionBuilder {
    // Where it is, and that nobody can change it.
    let code = format!(
        "import os\ndef handler(event, context):\n    return '{word}' if not os.access(__file__, os.W_OK) else 'writable'\n"
    );
    namespace.function("layered").python(&code).set("build", json!({"output": "image"}))
}

#[tokio::test]
async fn code_in_an_image_answers_from_its_layer_and_the_same_code_is_the_same_image() {
    with_namespace("images", |namespace| async move {
        if !namespace.cluster.node_is_local() {
            return;
        }
        let function = word(&namespace, "one").apply().await;
        says(&function, "one").await;
        function.ready().await;
        let first = image(&function).await;
        let repository = format!("/functions/{}/layered@sha256:", namespace.name);
        assert!(first.contains(&repository), "{first}");
        let pods = namespace.pods("layered").await;
        let pod: &Pod = pods.first().expect("a pod");
        let container = &pod.spec.as_ref().expect("a spec").containers[0];
        assert_eq!(container.image.as_deref(), Some(first.as_str()));
        let env = container.env.clone().unwrap_or_default();
        assert!(!env.iter().any(|env| env.name.starts_with("FLINT_PACKAGE")), "nothing is fetched: {env:?}");
        let revision = function.current().await.status.unwrap_or_default().revision.expect("a revision");
        let revision = namespace.api::<Revision>().get(&revision).await.expect("its Revision").spec;
        assert_eq!(
            (revision.image.as_str(), revision.package.and_then(|package| package.image)),
            (first.as_str(), Some(first.clone()))
        );

        let function = word(&namespace, "two").apply().await;
        says(&function, "two").await;
        assert_ne!(image(&function).await, first);
        let function = word(&namespace, "one").apply().await;
        says(&function, "one").await;
        function.ready().await;
        assert_eq!(image(&function).await, first, "the same code on the same image");
        function.zero().await;
        says(&function, "one").await;
    })
    .await;
}

#[tokio::test]
async fn a_folder_goes_through_a_registry_to_an_answer_and_is_sent_once() {
    with_namespace("cli-registry", |namespace| async move {
        if !namespace.cluster.node_is_local() {
            return;
        }
        let flint = Flint::new(&namespace).await;
        flint.file(
            "hello/app.py",
            "def handler(event, context):\n    return open('data/word.bin', 'rb').read()[2:].decode()\n",
        );
        // No text, so that the Function itself cannot hold it.
        std::fs::create_dir(flint.folder().join("hello/data")).expect("a folder");
        std::fs::write(flint.folder().join("hello/data/word.bin"), b"\xff\x00through a registry").expect("a file");
        flint.file(
            "hello/flint.yaml",
            "functions:\n  hello:\n    runtime: python3.11\n    handler: app.handler\n    scaling: {window: 6s, scaleToZeroAfter: 6s}\n",
        );
        let place = format!("{FROM_PODS}/{}", namespace.name);
        let deploy = ["deploy", "hello", "--registry", place.as_str(), "--plain-http"];
        let deployed = flint.run(&deploy).await;
        assert_eq!(deployed.code, 0, "{deployed:#?}");
        let function = namespace.function("hello");
        assert_eq!(function.ok("/").await, "\"through a registry\"");
        let spec = function.current().await.spec;
        let reference = spec.source.and_then(|source| source.oci).expect("spec.source.oci").reference;
        assert!(reference.starts_with(&format!("{place}/hello@sha256:")), "{reference}");

        let before = function.current().await.metadata.generation;
        let again = flint.run(&deploy).await;
        assert_eq!(again.code, 0, "{again:#?}");
        assert_eq!(function.current().await.metadata.generation, before, "the same files are the same artifact");
    })
    .await;
}
