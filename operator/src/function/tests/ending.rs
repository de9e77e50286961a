//! Namespaces on their way out.

use super::*;

#[tokio::test(start_paused = true)]
async fn in_a_namespace_on_its_way_out_nothing_is_put_right_and_nothing_said() {
    let mut cluster = Cluster::new().await;
    cluster.put(&python("a"));
    cluster.settle().await;
    let package = cluster.server.names("ConfigMap").remove(0);
    cluster.server.end("shop");
    cluster.remove(&format!("/api/v1/namespaces/shop/configmaps/{package}"));
    assert_eq!(cluster.settle().await, ["PATCH configmaps/cart-code-…"]);
    // The others of the namespace are not even tried.
    let mut other = python("b");
    other["metadata"]["name"] = json!("till");
    other["metadata"]["uid"] = json!("uid-till");
    cluster.put(&other);
    cluster.server.forget_requests();
    let key = Key::new("shop", "till");
    let function = cluster.context.stores.function(&key).unwrap();
    cluster.context.reconcile(&key, function).await.unwrap();
    cluster.remove(FUNCTION);
    cluster.context.gone(&Key::new("shop", "cart")).await;
    assert!(cluster.server.writes().is_empty(), "{:?}", cluster.server.writes());
    cluster.end().await;
}
