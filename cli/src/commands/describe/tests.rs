use flint_testing::apiserver::ApiServer;
use serde_json::{Value, json};

use super::*;
use crate::error::NOT_FOUND;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn put_function(server: &ApiServer, spec: Value, status: Value) {
    server.put(&json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": "hello", "namespace": "shop", "generation": 1, "creationTimestamp": "2026-11-20T12:00:00Z"},
        "spec": spec, "status": status,
    }));
}

fn put_objects(server: &ApiServer) {
    let labels = json!({"flint.dev/function": "hello", "flint.dev/revision": "hello-3f9c2a71"});
    server.put(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "hello-3f9c2a71", "namespace": "shop", "labels": labels, "creationTimestamp": "2026-11-21T11:00:00Z",
            "annotations": {"flint.dev/verified": "true"},
        },
        "spec": {"replicas": 1, "selector": {}, "template": {}},
    }));
    server.put(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "hello-3f9c2a71-7d9f-x2x4z", "namespace": "shop", "labels": labels, "creationTimestamp": "2026-11-21T11:58:00Z"},
        "spec": {"nodeName": "node-1", "containers": [{"name": "function"}]},
        "status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "function", "image": "i", "imageID": "i", "ready": true, "restartCount": 2, "state": {"running": {}}}],
        },
    }));
    for (name, object, reason, time) in [
        ("one", json!({"kind": "Function", "name": "hello"}), "RevisionReady", "2026-11-21T11:01:00Z"),
        (
            "two",
            json!({"kind": "Pod", "name": "hello-3f9c2a71-7d9f-x2x4z"}),
            "Unhealthy",
            "2026-11-21T11:58:30Z",
        ),
        (
            "other",
            json!({"kind": "Pod", "name": "other-3f9c2a71-7d9f-x2x4z"}),
            "Unhealthy",
            "2026-11-21T11:59:00Z",
        ),
    ] {
        server.put(&json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "shop"}, "involvedObject": object,
            "reason": reason, "message": format!("{reason} it is."), "lastTimestamp": time, "count": 3,
            "type": if reason == "Unhealthy" { "Warning" } else { "Normal" },
        }));
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-11-21T11:00:00Z"})
}

async fn described(server: &ApiServer) -> String {
    let cluster = Cluster { client: server.client(), namespace: "shop".into(), context: "test".into() };
    let facts = gather(&cluster, "hello").await.unwrap();
    anstream::adapter::strip_str(&render::render(&facts, now())).to_string()
}

#[tokio::test]
async fn a_function_that_serves_is_described_from_the_outside_in() {
    let server = ApiServer::new();
    put_objects(&server);
    put_function(
        &server,
        json!({
            "runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": ""}},
            "secrets": [{"name": "db", "mountPath": "/db"}],
            "schedules": [
                {"name": "nightly", "cron": "0 2 * * *", "timeZone": "Europe/Berlin"},
                {"name": "off", "cron": "rate(5 minutes)", "enabled": false},
            ],
        }),
        json!({
            "observedGeneration": 1, "runtime": "python3.11", "revision": "hello-3f9c2a71", "latestRevision": "hello-3f9c2a71",
            "replicas": 1, "readyReplicas": 1, "package": {"digest": "sha256:00c0ffee", "bytes": 12288},
            "url": "https://fn.example.com/function/hello.shop", "clusterUrl": "http://hello.shop",
            "lastInvocation": "2026-11-21T11:57:00Z",
            "conditions": [
                condition("Ready", "True", "Ready", "The function answers at its URL."),
                condition("Built", "True", "Packaged", "The code is packed: 12288 bytes."),
                condition("Deployed", "True", "Deployed", "Revision hello-3f9c2a71 gets the traffic."),
            ],
            "schedules": [{
                "name": "nightly", "lastFiring": "2026-11-21T01:00:00Z", "lastDone": true, "lastStatus": 200, "nextFiring": "2026-11-22T01:00:00Z",
            }],
        }),
    );
    insta::assert_snapshot!(described(&server).await);
}

#[tokio::test]
async fn one_that_does_not_start_says_so_first() {
    let server = ApiServer::new();
    let message = "Runtime.ImportModuleError: Unable to import module 'app': No module named 'numpy'";
    put_function(
        &server,
        json!({"runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": ""}}}),
        json!({
            "observedGeneration": 1, "runtime": "python3.11", "latestRevision": "hello-3f9c2a71", "revision": "hello-3f9c2a71",
            "conditions": [
                condition("Ready", "False", "InitFailed", message),
                condition("Built", "True", "Packaged", "The code is packed: 812 bytes."),
                condition("Deployed", "False", "InitFailed", message),
            ],
        }),
    );
    insta::assert_snapshot!(described(&server).await);
}

#[tokio::test]
async fn one_that_is_not_there_is_not_found() {
    let server = ApiServer::new();
    let cluster = Cluster { client: server.client(), namespace: "shop".into(), context: "test".into() };
    assert_eq!(gather(&cluster, "hello").await.unwrap_err().code(), NOT_FOUND);
}

#[tokio::test]
async fn what_the_user_may_not_see_is_left_out() {
    let server = ApiServer::new();
    put_function(&server, json!({"image": "hello"}), json!({}));
    for path in ["/deployments", "/pods", "/events"] {
        server.fail("GET", path, 403, "Forbidden", "no");
    }
    assert!(described(&server).await.starts_with("callable: not yet"));
}
