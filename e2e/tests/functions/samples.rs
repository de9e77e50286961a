//! The samples with stores: a server that speaks DynamoDB and S3 stands in for AWS's, itself a function of the same namespace.

use flint_e2e::{Namespace, namespace::with_namespace, packages::Packages, sdks};
use serde_json::{Value, json};
use tokio::process::Command;

#[tokio::test]
async fn a_url_is_shortened_and_found_again() {
    with_namespace("shortener", |namespace| async move {
        let (_store, packages) = store(&namespace).await;
        let shortener = namespace.example("samples/url-shortener.yaml", Some(&packages)).await;
        let unknown = redirect(&shortener.url("/nothing"), &namespace).await;
        assert_eq!(unknown, (302, "https://example.org/".to_owned()));
        let http = &namespace.cluster.http;
        let link = json!({"url": "https://example.com/a/long/way"});
        let answer = http.post(shortener.url("/")).json(&link).send().await.expect("an answer");
        assert_eq!(
            answer.headers().get("access-control-allow-origin").map(|value| value.as_bytes()),
            Some(&b"*"[..])
        );
        let made: Value = answer.json().await.expect("JSON");
        let code = made["code"].as_str().expect("a code");
        let found = redirect(&shortener.url(&format!("/{code}")), &namespace).await;
        assert_eq!(found, (302, "https://example.com/a/long/way".to_owned()));
    })
    .await;
}

#[tokio::test]
async fn a_picture_becomes_three_smaller_ones() {
    with_namespace("resize", |namespace| async move {
        let (store, packages) = store(&namespace).await;
        let resize = namespace.example("samples/resize.yaml", Some(&packages)).await;
        let mut python = Command::new(sdks::python().await.join("python"));
        let name = format!("{}.{}", resize.name(), namespace.name);
        let saw = sdks::saw(python.arg(sdks::script("resize.py")).args([&namespace.cluster.url, &name, &store])).await;
        let sizes = json!({"desktop/a cat.jpg": [1920, 1440], "tablet/a cat.jpg": [1024, 768], "phone/a cat.jpg": [480, 360]});
        assert_eq!(saw["sizes"], sizes, "{saw}");
        assert_eq!(saw["stored"], json!(["desktop/a cat.jpg", "phone/a cat.jpg", "tablet/a cat.jpg"]), "{saw}");
        assert_eq!(saw["corrupt"], "UnidentifiedImageError", "{saw}");
    })
    .await;
}

#[tokio::test]
async fn one_handler_takes_whatever_triggers_it() {
    with_namespace("generic", |namespace| async move {
        let function = namespace.example("samples/generic-handler.yaml", None).await;
        let from =
            |text: String| -> Value { serde_json::from_str::<Value>(&text).expect("JSON")["from"].clone() };
        assert_eq!(from(function.ok("/orders").await), "GET /orders");
        let url = format!(
            "{}/2015-03-31/functions/generic-handler.{}/invocations",
            namespace.cluster.url, namespace.name
        );
        for (event, expected) in [
            (
                json!({"Records": [{"s3": {"bucket": {"name": "uploads"}, "object": {"key": "a.csv"}}}]}),
                "s3://uploads/a.csv",
            ),
            (json!({"Records": [{"eventSource": "aws:sqs", "messageId": "17"}]}), "message 17"),
            (json!({"foo": "bar"}), "a call"),
        ] {
            let answer = namespace.cluster.http.post(&url).json(&event).send().await.expect("an answer");
            assert_eq!(from(answer.text().await.expect("a body")), expected);
        }
    })
    .await;
}

/// Starts the store; its URL, and where packages come from.
async fn store(namespace: &Namespace) -> (String, Packages) {
    let packages = Packages::start(&namespace.cluster).await;
    let store = namespace.example("samples/store.yaml", Some(&packages)).await;
    store.ready().await;
    (store.url(""), packages)
}

async fn redirect(url: &str, namespace: &Namespace) -> (u16, String) {
    let answer = namespace.cluster.http.get(url).send().await.expect("an answer");
    let location =
        answer.headers().get("location").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    (answer.status().as_u16(), location)
}
