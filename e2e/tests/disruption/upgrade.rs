//! `helm upgrade` and `helm rollback` keep functions serving.

use std::{process::Command, time::Duration};

use flint_e2e::{Load, cluster::SYSTEM, namespace::with_namespace};
use reqwest::Method;

use crate::system;

pub(crate) fn helm(arguments: &[&str]) {
    let helm = std::env::var("FLINT_HELM").unwrap_or_else(|_| "helm".to_owned());
    let output =
        Command::new(helm).args(["--namespace", SYSTEM]).args(arguments).output().expect("helm runs");
    assert!(output.status.success(), "helm {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn an_upgrade_and_a_rollback_fail_no_request() {
    with_namespace("helm-upgrade", |namespace| async move {
        let code = "import time\ndef handler(event, context):\n    time.sleep(0.02)\n    return 'word'\n";
        let function = namespace.function("word").python(code).apply().await;
        function.ok("/").await;
        let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/flint");
        let load = Load::start(&function, 2, &Method::POST, "/", Duration::from_millis(20));
        // A value that changes the pods of both parts.
        tokio::task::spawn_blocking(move || {
            helm(&[
                "upgrade",
                "flint",
                chart,
                "--reuse-values",
                "--set",
                "logLevel=debug",
                "--wait",
                "--timeout",
                "180s",
            ])
        })
        .await
        .expect("the upgrade");
        tokio::task::spawn_blocking(|| helm(&["rollback", "flint", "--wait", "--timeout", "180s"]))
            .await
            .expect("the rollback");
        system::rolled_out(&namespace.cluster, "flint-gateway").await;
        load.stop().await.assert_flawless("an upgrade and a rollback of the chart");
        function.zero().await;
        assert_eq!(
            function.get("/").await.status,
            200,
            "the keys are still the same: instances are believed"
        );
    })
    .await;
}
