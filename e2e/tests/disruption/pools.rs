//! Warm pools while the operator is away.

use flint_e2e::{
    eventually,
    functions::PATIENCE,
    namespace::with_namespace,
    pools::{labelled, pooled, waiting},
};
use kube::ResourceExt;
use serde_json::json;

use crate::system;

const WORD: &str = "#!/bin/sh\necho -n word\n";

#[tokio::test]
async fn a_pod_is_claimed_while_no_operator_runs_and_the_next_one_puts_it_on_record() {
    with_namespace("pool-operator", |namespace| async move {
        let runtime = pooled(&namespace, "process", 1).await;
        let function = namespace.function("word").process(WORD).set("runtime", json!(runtime)).apply().await;
        function.ok("/").await;
        function.zero().await;
        let waited = waiting(&namespace, 1).await.remove(0).name_any();
        system::scale(&namespace.cluster, "flint-operator", 0).await;
        // Gateways have the ticket and know the pod: nobody else is needed for a start.
        let answer = function.get("/").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "word"));
        assert_eq!(labelled(&namespace, "flint.dev/pool").await.len(), 1, "nobody has put it on record");
        system::scale(&namespace.cluster, "flint-operator", 2).await;
        let recorded = eventually("the claim on record", PATIENCE, || async {
            let claimed = labelled(&namespace, "flint.dev/from-pool").await;
            let names: Vec<_> = claimed.iter().map(ResourceExt::name_any).collect();
            if names.is_empty() { Err("none") } else { Ok(names) }
        })
        .await;
        assert_eq!(recorded.join(" "), waited);
        // Another pod waits in its place, and is the function's next start.
        let next = waiting(&namespace, 1).await.remove(0).name_any();
        assert_ne!(next, waited);
        function.zero().await;
        assert_eq!(function.get("/").await.status, 200);
        let pods: Vec<_> = namespace.pods("word").await.iter().map(ResourceExt::name_any).collect();
        assert!(!pods.contains(&waited), "{pods:?}");
    })
    .await;
}
