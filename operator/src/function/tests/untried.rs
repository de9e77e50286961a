//! Functions that start with their first request, and not before.

use super::*;
use crate::control::tests::report;

fn lazy(image: &str) -> Value {
    cart(json!({"image": image, "scaling": {"initialReplicas": 0}}))
}

/// The replicas that the Deployment of the latest revision asks for.
fn asked(cluster: &Cluster) -> Value {
    let path = format!("/apis/apps/v1/namespaces/shop/deployments/{}", cluster.latest());
    cluster.server.get(&path).expect("a Deployment")["spec"]["replicas"].clone()
}

/// So many requests wait at a gateway.
fn wait(cluster: &Cluster, requests: u32) {
    let gateway: Arc<str> = "a".into();
    cluster.context.control.demand.connected(&gateway);
    cluster.context.control.demand.report(&gateway, report("cart", 0.0, requests, 0));
}

#[tokio::test(start_paused = true)]
async fn a_function_without_initial_replicas_is_ready_at_once_with_one_write_of_its_status() {
    let mut cluster = Cluster::new().await;
    cluster.put(&lazy("cart:1"));
    assert_eq!(
        cluster.settle().await,
        [
            "POST revisions",
            "POST services",
            "PATCH functions/cart/status",
            "POST events",
            "PATCH revisions/cart-…/status",
        ]
    );
    for kind in ["Ready", "Deployed"] {
        assert_eq!(
            (cluster.condition(kind).0, cluster.condition(kind).1),
            ("True".into(), "NotStarted".into())
        );
    }
    assert_eq!(cluster.events(), ["RevisionCreated"]);
    assert!(cluster.settle().await.is_empty());
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn it_takes_no_turn_among_those_who_start_and_waits_for_one_only_without_requests() {
    let mut cluster = Cluster::with_room_for(1).await;
    cluster.put(&lazy("cart:1"));
    cluster.settle().await;
    assert!(cluster.context.starts.claim(&Key::new("shop", "other")));
    cluster.settle().await;
    assert_eq!(cluster.condition("Ready").1, "NotStarted");
    // The scaler raises it from there: who waits for an answer waits for nobody's trial.
    wait(&cluster, 1);
    cluster.settle().await;
    assert_eq!(asked(&cluster), 0);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_fetched_or_built_has_its_deployment_which_remembers_it() {
    let design = |source: Option<&str>| {
        let package = crate::package::Package {
            digest: "sha256:11".into(),
            size: 1,
            data: None,
            source: source.map(str::to_owned),
            resolved: None,
            needs: None,
            image: None,
        };
        let runtime = json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3.11"},
            "spec": {"mode": "lambda", "image": "python:1", "command": ["python3"]}});
        let function = serde_json::from_value(python("a")).unwrap();
        let runtime = serde_json::from_value(runtime).unwrap();
        design::design(&settings(), &function, Some(&runtime), &[], Some(package)).unwrap()
    };
    assert!(design(None).is_remade());
    assert!(!design(Some("archive https://example.com/a.zip")).is_remade());
}

#[tokio::test(start_paused = true)]
async fn its_first_request_shows_whether_it_can() {
    let mut cluster = Cluster::new().await;
    cluster.put(&lazy("cart:none"));
    cluster.settle().await;
    wait(&cluster, 1);
    assert_eq!(
        cluster.settle().await,
        ["PATCH secrets/flint-key-c", "POST deployments", "PATCH functions/cart/status",]
    );
    assert_eq!((asked(&cluster), cluster.condition("Ready").1), (json!(1), "Starting".into()));
    let revision = cluster.latest();
    let broken = json!({"waiting": {"reason": "ErrImagePull", "message": "cart:none: not found"}});
    cluster.pod(&revision, 0, Some(broken));
    cluster.settle().await;
    assert_eq!(
        (cluster.condition("Ready").0, cluster.condition("Ready").1),
        ("False".into(), "ImagePullFailed".into())
    );
    cluster.pod(&revision, 0, None);
    cluster.settle().await;
    assert_eq!((cluster.condition("Ready").0, cluster.condition("Ready").1), ("True".into(), "Ready".into()));
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_update_before_the_first_request_takes_over_untried() {
    let mut cluster = Cluster::new().await;
    cluster.put(&lazy("cart:1"));
    cluster.settle().await;
    let update = changed(&cluster, &lazy("cart:2"));
    cluster.put(&update);
    cluster.settle().await;
    assert_eq!((cluster.serving(), cluster.revisions().len()), (cluster.latest(), 0));
    assert_eq!(cluster.condition("Ready").1, "NotStarted");
    assert!(cluster.settle().await.is_empty());
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_has_served_is_never_replaced_untried() {
    let mut cluster = Cluster::new().await;
    cluster.put(&lazy("cart:1"));
    cluster.settle().await;
    wait(&cluster, 1);
    cluster.settle().await;
    let old = cluster.latest();
    cluster.pod(&old, 0, None);
    wait(&cluster, 0);
    cluster.settle().await;
    let update = changed(&cluster, &lazy("cart:2"));
    cluster.put(&update);
    cluster.settle().await;
    assert_eq!((cluster.serving(), asked(&cluster)), (old, json!(1)));
    assert_eq!(cluster.condition("Ready").1, "Starting");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn instances_that_are_kept_are_started_all_the_same() {
    let mut cluster = Cluster::new().await;
    cluster.put(&cart(json!({"image": "cart:1", "scaling": {"initialReplicas": 0, "minReplicas": 2}})));
    cluster.settle().await;
    assert_eq!((asked(&cluster), cluster.condition("Ready").1), (json!(1), "Starting".into()));
    cluster.end().await;
}
