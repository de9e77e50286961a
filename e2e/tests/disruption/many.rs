//! Many functions at once: they have the node to themselves.

use std::time::Duration;

use flint_e2e::{namespace::with_namespace, node};
use futures::future::join_all;
use serde_json::json;

#[tokio::test]
async fn two_hundred_functions_applied_at_once_settle() {
    with_namespace("many", |namespace| async move {
        let begin = tokio::time::Instant::now();
        let functions: Vec<_> = join_all((0..200).map(|number| {
            let code = format!("def handler(event, context):\n    return {number}\n");
            namespace
                .function(&format!("many-{number}"))
                .python(&code)
                .scaling("scaleToZeroAfter", json!("1s"))
                .apply()
        }))
        .await;
        println!("200 Functions applied in {:.1} s", begin.elapsed().as_secs_f64());
        let limit = Duration::from_secs(600);
        flint_e2e::eventually("all 200 ready", limit, || async {
            let list = namespace
                .api::<flint_api::Function>()
                .list(&Default::default())
                .await
                .map_err(|error| error.to_string())?;
            let ready = |function: &flint_api::Function| {
                function.status.as_ref().is_some_and(|status| {
                    status.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
                })
            };
            let ready = list.items.iter().filter(|function| ready(function)).count();
            if ready == 200 { Ok(()) } else { Err(format!("{ready} of 200 ready")) }
        })
        .await;
        println!("200 Functions ready after {:.1} s", begin.elapsed().as_secs_f64());
        if namespace.cluster.node_is_local() {
            let [gateways, operators] = ["flint-gateway", "flint-operator"].map(node::resident);
            println!("resident, in KiB: gateways {gateways:?}, operators {operators:?}");
        }
        assert_eq!(functions[137].get("/").await.body, "137");
    })
    .await;
}
