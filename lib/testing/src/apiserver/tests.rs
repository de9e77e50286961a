use futures::StreamExt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, WatchEvent, WatchParams},
};

use super::*;

fn code(name: &str, label: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop", "labels": {"of": label}}})
}

#[tokio::test]
async fn lists_by_label_and_over_namespaces() {
    let server = ApiServer::new();
    server.put(&code("a", "cart"));
    server.put(&code("b", "till"));
    let all: Api<ConfigMap> = Api::all(server.client());
    let list = all.list(&ListParams::default().labels("of=till")).await.unwrap();
    assert_eq!(list.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["b"]);
}

#[tokio::test]
async fn a_watch_tells_what_came_before_it_and_after_it() {
    let server = ApiServer::new();
    server.put(&code("before", "cart"));
    let maps: Api<ConfigMap> = Api::namespaced(server.client(), "shop");
    let mut events = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let mut next = async || match events.next().await.unwrap().unwrap() {
        WatchEvent::Added(map) => format!("+{}", map.name_any()),
        WatchEvent::Deleted(map) => format!("-{}", map.name_any()),
        other => format!("{other:?}"),
    };
    assert_eq!(next().await, "+before");
    server.put(&code("after", "cart"));
    assert_eq!(next().await, "+after");
    server.remove("/api/v1/namespaces/shop/configmaps/before");
    assert_eq!(next().await, "-before");
}

#[tokio::test]
async fn scale_changes_replicas_and_the_generation() {
    let server = ApiServer::new();
    server.put(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cart", "namespace": "shop"}, "spec": {"replicas": 0},
    }));
    let deployments: Api<Deployment> = Api::namespaced(server.client(), "shop");
    let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
    deployments.patch_scale("cart", &PatchParams::default(), &patch).await.unwrap();
    let cart = deployments.get("cart").await.unwrap();
    assert_eq!(cart.spec.and_then(|spec| spec.replicas), Some(3));
    assert_eq!(cart.metadata.generation, Some(2));
    let request = server.requests().remove(0);
    assert_eq!(request.rbac(), ("apps".into(), "deployments/scale".into(), "patch".into()));
}
