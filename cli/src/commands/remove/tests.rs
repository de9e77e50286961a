use flint_testing::apiserver::ApiServer;
use serde_json::{Value, json};

use super::*;
use crate::{args::Global, error};

fn function(spec: &Value) -> Value {
    json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "hello", "namespace": "shop", "uid": "u1"}, "spec": spec,
    })
}

fn cluster(server: &ApiServer) -> Cluster {
    Cluster { client: server.client(), namespace: "shop".into(), context: "test".into() }
}

#[test]
fn what_others_may_use_stays_and_is_named() {
    let function: Function = serde_json::from_value(function(&json!({
        "secrets": [{"name": "db", "mountPath": "/db"}],
        "envFrom": [{"secretRef": {"name": "keys"}}, {"configMapRef": {"name": "settings"}}],
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "a"}}}],
    })))
    .unwrap();
    let stays = used(&function).into_iter().collect();
    let removed = [
        Removed { name: "hello".into(), namespace: "shop".into(), stays },
        Removed { name: "thumbnail".into(), namespace: "shop".into(), stays: Vec::new() },
    ];
    insta::assert_snapshot!(anstream::adapter::strip_str(&render(&removed)).to_string());
}

#[tokio::test]
async fn it_is_done_when_nothing_is_left() {
    let server = ApiServer::new();
    server.put(&json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "hello-1", "namespace": "shop", "labels": {"flint.dev/function": "hello"}},
    }));
    let cluster = cluster(&server);
    let late = gone(&cluster, "hello", Instant::now()).await.unwrap_err();
    assert_eq!(
        (late.code(), late.to_string().as_str()),
        (error::PLATFORM, "1 object of hello is still there: Pod/hello-1")
    );
    server.remove("/api/v1/namespaces/shop/pods/hello-1");
    gone(&cluster, "hello", Instant::now()).await.unwrap();
}

#[tokio::test]
async fn only_the_function_that_was_seen_is_deleted() {
    let server = ApiServer::new();
    server.put(&function(&json!({})));
    let seen: Function = serde_json::from_value(function(&json!({}))).unwrap();
    delete(&cluster(&server), &seen).await.unwrap();
    let request = server.requests().pop().unwrap();
    assert_eq!(request.body["preconditions"]["uid"], "u1");
    // Gone already is as good.
    delete(&cluster(&server), &seen).await.unwrap();
}

#[tokio::test]
async fn a_function_that_was_named_must_be_there() {
    let server = ApiServer::new();
    let output = Output::new(&Global::default());
    let error = find(&cluster(&server), &["hello".into()], None, &output).await.unwrap_err();
    assert_eq!(error.code(), error::NOT_FOUND);
}
