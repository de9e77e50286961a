//! Gateways, operators and the API server restart or are away, and functions go on.

use std::time::Duration;

use flint_e2e::{Load, eventually, namespace::with_namespace, node};
use reqwest::Method;
use serde_json::json;

use crate::system;

const WORD: &str = "import time\ndef handler(event, context):\n    time.sleep(0.02)\n    return 'word'\n";

#[tokio::test]
async fn a_gateway_restart_with_two_replicas_fails_no_request() {
    with_namespace("gateway-restart", |namespace| async move {
        let function = namespace.function("word").python(WORD).apply().await;
        function.ok("/").await;
        assert!(system::pods(&namespace.cluster, "flint-gateway").await.len() >= 2, "two gateways");
        let load = Load::start(&function, 4, &Method::POST, "/", Duration::from_millis(20));
        tokio::time::sleep(Duration::from_secs(1)).await;
        system::restart(&namespace.cluster, "flint-gateway").await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        load.stop().await.assert_flawless("a restart of both gateways");
    })
    .await;
}

#[tokio::test]
async fn an_operator_restart_fails_no_request_and_leaves_no_pod_behind() {
    with_namespace("operator-restart", |namespace| async move {
        let function = namespace.function("word").python(WORD).apply().await;
        function.ok("/").await;
        let load = Load::start(&function, 4, &Method::POST, "/", Duration::from_millis(20));
        tokio::time::sleep(Duration::from_secs(1)).await;
        system::restart(&namespace.cluster, "flint-operator").await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        load.stop().await.assert_flawless("a restart of the operators");
        function.zero().await;
        assert_eq!(function.get("/").await.status, 200, "the new leader starts functions");
    })
    .await;
}

#[tokio::test]
async fn warm_functions_answer_without_operator_and_api_server() {
    with_namespace("control-away", |namespace| async move {
        let function = namespace.function("word").python(WORD).scaling("minReplicas", json!(2)).apply().await;
        function.ok("/").await;
        function.pods_become(2).await;
        function.ready().await;
        system::scale(&namespace.cluster, "flint-operator", 0).await;
        let api_server = if namespace.cluster.node_is_local() { node::api_server() } else { Vec::new() };
        if !api_server.is_empty() {
            node::signal("STOP", &api_server).expect("the API server is stopped");
        }
        let load = Load::start(&function, 4, &Method::POST, "/", Duration::from_millis(20));
        tokio::time::sleep(Duration::from_secs(15)).await;
        let report = load.stop().await;
        if !api_server.is_empty() {
            node::signal("CONT", &api_server).expect("the API server goes on");
        }
        system::scale(&namespace.cluster, "flint-operator", 2).await;
        report.assert_flawless("fifteen seconds without operator and API server");
        assert!(report.good > 100, "{} requests", report.good);
    })
    .await;
}

#[tokio::test]
async fn a_schedule_fires_once_a_minute_though_the_firing_gateway_is_killed() {
    with_namespace("schedule-kill", |namespace| async move {
        // The function tells of every firing by calling a second function that counts.
        let counter = "import json\nseen = []\ndef handler(event, context):\n    if event.get('rawPath') == '/seen':\n        return seen\n    seen.append(event['time'])\n    return len(seen)\n";
        let function = namespace
            .function("minutely")
            .python(counter)
            .scaling("minReplicas", json!(1))
            .set("schedules", json!([{"name": "minutely", "cron": "* * * * *"}]))
            .apply()
            .await;
        function.ready().await;
        let seen = || async {
            let body = function.get("/seen").await.body;
            serde_json::from_str::<Vec<String>>(&body).map_err(|error| format!("{error}: {body}"))
        };
        let at_least = |count: usize| {
            let seen = &seen;
            eventually("firings", Duration::from_secs(200), move || async move {
                let seen = seen().await?;
                if seen.len() >= count { Ok(seen) } else { Err(format!("{seen:?}")) }
            })
        };
        at_least(1).await;
        let holder = system::holder(&namespace.cluster, "flint-scheduler").await.expect("one gateway fires");
        let pods = system::pods(&namespace.cluster, "flint-gateway").await;
        let names = pods.iter().filter_map(|pod| pod.metadata.name.clone());
        let pod = names.into_iter().find(|name| holder.contains(name.as_str())).expect("the holder is a gateway's pod");
        system::kill_pod(&namespace.cluster, flint_e2e::cluster::SYSTEM, &pod).await;
        let fired = at_least(3).await;
        for pair in fired.windows(2) {
            let times: Vec<jiff::Timestamp> = pair.iter().map(|time| time.parse().expect("a time")).collect();
            assert_eq!(times[0].duration_until(times[1]).as_secs(), 60, "once per minute: {fired:?}");
        }
        system::rolled_out(&namespace.cluster, "flint-gateway").await;
    })
    .await;
}
