//! Updates under load, good and bad.

use std::time::Duration;

use flint_e2e::{Load, eventually, functions::PATIENCE, namespace::with_namespace};
use reqwest::Method;
use serde_json::json;

fn says(word: &str) -> String {
    format!("import time\ndef handler(event, context):\n    time.sleep(0.02)\n    return '{word}'\n")
}

#[tokio::test]
async fn an_update_under_load_fails_no_request() {
    with_namespace("update", |namespace| async move {
        let function = namespace.function("word").python(&says("one")).apply().await;
        function.ok("/").await;
        let load = Load::start(&function, 4, &Method::POST, "/", Duration::from_millis(20));
        for word in ["two", "three"] {
            tokio::time::sleep(Duration::from_secs(2)).await;
            function.clone().python(&says(word)).apply().await;
            let expected = format!("\"{word}\"");
            eventually(&format!("traffic at {word}"), PATIENCE, || async {
                let body = function.get("/").await.body;
                if body == expected { Ok(()) } else { Err(body) }
            })
            .await;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        let report = load.stop().await;
        report.assert_flawless("two updates under load");
        assert_eq!(report.bodies, ["\"one\"", "\"two\"", "\"three\""], "every version answered, in order");
        eventually("one revision is left", PATIENCE, || async {
            let parameters = kube::api::ListParams::default().labels("flint.dev/function=word");
            let list = namespace
                .api::<k8s_openapi::api::apps::v1::Deployment>()
                .list(&parameters)
                .await
                .expect("a list");
            if list.items.len() == 1 { Ok(()) } else { Err(list.items.len()) }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn a_broken_image_leaves_the_old_revision_serving_and_a_fix_heals_it() {
    with_namespace("bad-image", |namespace| async move {
        let function = namespace.function("echo").image("flint-e2e-echo").apply().await;
        function.ok("/").await;
        function.ready().await;
        let load = Load::start(&function, 2, &Method::GET, "/", Duration::from_millis(50));
        let missing = namespace.cluster.image("no-such-image");
        function.clone().set("image", json!(missing)).apply().await;
        let ready = function.condition("Ready", "False").await;
        assert!(ready.message.contains("no-such-image"), "the condition names the image: {ready:?}");
        eventually("an event that says so", PATIENCE, || async {
            let events = function.events().await;
            if events.iter().any(|(_, message)| message.contains("no-such-image")) {
                Ok(())
            } else {
                Err(events)
            }
        })
        .await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        function.clone().image("flint-e2e-http").apply().await;
        function.ready().await;
        load.stop().await.assert_flawless("a broken image and its fix under load");
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_does_not_import_never_gets_traffic() {
    with_namespace("bad-handler", |namespace| async move {
        let function = namespace.function("word").python(&says("good")).apply().await;
        function.ok("/").await;
        function.ready().await;
        let load = Load::start(&function, 2, &Method::GET, "/", Duration::from_millis(50));
        function.clone().python("import not_there_at_all\n").apply().await;
        let ready = function.condition("Ready", "False").await;
        assert!(ready.message.contains("not_there_at_all"), "the condition quotes the error: {ready:?}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        function.clone().python(&says("healed")).apply().await;
        function.ready().await;
        assert_eq!(function.ok("/").await, "\"healed\"");
        let report = load.stop().await;
        report.assert_flawless("a broken handler and its fix under load");
        assert_eq!(report.bodies.first().map(String::as_str), Some("\"good\""));
    })
    .await;
}
