//! Versions: what is recorded, kept and brought back, and how requests move between them.

use super::*;

const RECORDS: &str = "/apis/flint.dev/v1alpha1/namespaces/shop/revisions";

impl Cluster {
    fn record(&self, name: &str) -> Value {
        self.server.get(&format!("{RECORDS}/{name}")).expect("a Revision")
    }

    fn numbers(&self) -> Vec<u64> {
        let mut numbers: Vec<_> = self
            .server
            .objects("Revision")
            .iter()
            .map(|record| record["spec"]["number"].as_u64().unwrap_or_default())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Deploys an image until it serves and what was before is gone; gives its revision.
    async fn deploy(&mut self, spec: Value) -> String {
        let function = match self.server.get(FUNCTION) {
            Some(_) => changed(self, &cart(spec)),
            None => cart(spec),
        };
        self.put(&function);
        self.settle().await;
        let revision = self.latest();
        self.pod(&revision, 0, None);
        self.settle().await;
        advance(plan::DRAIN_AFTER).await;
        self.settle().await;
        revision
    }

    fn shares(&self) -> Vec<(u64, u64)> {
        let function = self.function();
        let shares = function["status"]["traffic"].as_array().cloned().unwrap_or_default();
        let number = |share: &Value, field: &str| share[field].as_u64().unwrap_or_default();
        shares.iter().map(|share| (number(share, "number"), number(share, "weight"))).collect()
    }

    fn without_pod(&mut self, revision: &str) {
        self.fill.remove(&json!({"kind": "Pod", "metadata": {"name": format!("{revision}-0"), "namespace": "shop", "labels": {"flint.dev/function": "cart"}}}));
    }
}

#[tokio::test(start_paused = true)]
async fn each_state_is_recorded_and_numbered() {
    let mut cluster = Cluster::new().await;
    let first = cluster.deploy(json!({"image": "cart:1"})).await;
    let second = cluster.deploy(json!({"image": "cart:2", "env": [{"name": "A", "value": "b"}]})).await;
    assert_eq!(cluster.numbers(), [1, 2]);
    assert_eq!(cluster.revisions(), std::slice::from_ref(&second), "what gets no requests has no Deployment");
    let record = cluster.record(&first);
    assert_eq!(
        (record["spec"]["image"].as_str(), record["spec"]["function"].as_str()),
        (Some("cart:1"), Some("cart"))
    );
    assert_eq!(record["status"]["conditions"][0]["status"], "True");
    assert_eq!(record["status"]["traffic"], "");
    assert_eq!(cluster.record(&second)["status"]["traffic"], "100%");
    // The same again is the same revision.
    let again = cluster.deploy(json!({"image": "cart:1"})).await;
    assert_eq!((again, cluster.numbers()), (first, vec![1, 2]));
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn going_back_brings_the_old_one_up_as_it_was_and_moves_when_it_is_there() {
    let mut cluster = Cluster::new().await;
    let first = cluster.deploy(json!({"image": "cart:1", "env": [{"name": "A", "value": "b"}]})).await;
    let before = cluster.record(&first)["spec"]["template"].clone();
    cluster.without_pod(&first);
    let second = cluster.deploy(json!({"image": "cart:2"})).await;
    let mut back = cluster.function();
    back["spec"]["traffic"] = json!([{"revision": 1}]);
    cluster.put(&back);
    let written = cluster.settle().await;
    assert!(written.contains(&"POST deployments".to_owned()), "{written:?}");
    assert_eq!((cluster.shares(), cluster.serving()), (vec![(2, 100)], second.clone()));
    let deployment =
        cluster.server.get(&format!("/apis/apps/v1/namespaces/shop/deployments/{first}")).unwrap();
    assert_eq!((&deployment["spec"]["template"], &deployment["spec"]["replicas"]), (&before, &json!(1)));
    cluster.pod(&first, 0, None);
    cluster.settle().await;
    assert_eq!((cluster.shares(), cluster.serving()), (vec![(1, 100)], first));
    assert_eq!(cluster.condition("Ready").0, "True");
    assert!(cluster.events().contains(&"TrafficMoved".to_owned()));
    assert!(cluster.settle().await.is_empty(), "and then nothing more is written");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_does_not_exist_is_told_and_nothing_moves() {
    let mut cluster = Cluster::new().await;
    cluster.deploy(json!({"image": "cart:1"})).await;
    cluster.deploy(json!({"image": "cart:1", "traffic": [{"revision": 7}]})).await;
    let (status, reason, message) = cluster.condition("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", problem::REVISION_NOT_FOUND));
    assert!(message.contains("there are 1"), "{message}");
    assert_eq!(cluster.shares(), [(1, 100)]);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn history_is_kept_by_count_and_never_what_is_in_use() {
    let mut cluster = Cluster::new().await;
    let traffic = json!([{"revision": "latest", "weight": 100}, {"revision": 1, "alias": "first"}]);
    let first = cluster.deploy(json!({"image": "cart:1"})).await;
    cluster.without_pod(&first);
    for number in 2..=6 {
        let spec = json!({"image": format!("cart:{number}"), "traffic": traffic, "revisionHistoryLimit": 2});
        let revision = cluster.deploy(spec).await;
        cluster.without_pod(&revision);
    }
    assert_eq!(cluster.numbers(), [1, 4, 5, 6]);
    assert_eq!(cluster.record(&first)["status"]["traffic"], "first");
    assert!(cluster.revisions().contains(&first), "whoever has an alias can be called");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn old_code_is_kept_as_long_as_its_revision() {
    let mut cluster = Cluster::new().await;
    let code = |text: &str| json!({"runtime": "python3.11", "handler": "app.handler", "revisionHistoryLimit": 1, "source": {"inline": {"app.py": text}}});
    for (text, packages) in [("a", 1), ("b", 2), ("c", 2), ("d", 2)] {
        let revision = cluster.deploy(code(text)).await;
        cluster.without_pod(&revision);
        cluster.settle().await;
        assert_eq!(cluster.server.names("ConfigMap").len(), packages, "{text}");
    }
    assert_eq!(cluster.numbers(), [3, 4]);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_from_before_there_were_revisions_gets_one_and_its_pods_stay() {
    let mut cluster = Cluster::new().await;
    let revision = cluster.deploy(json!({"image": "cart:1"})).await;
    cluster.remove(&format!("{RECORDS}/{revision}"));
    let mut old = cluster.function();
    for field in ["traffic", "versions", "lastNumber"] {
        old["status"].as_object_mut().unwrap().remove(field);
    }
    cluster.put(&old);
    assert_eq!(
        cluster.settle().await,
        ["POST revisions", "PATCH functions/cart/status", "PATCH revisions/cart-…/status"]
    );
    assert_eq!((cluster.numbers(), cluster.shares()), (vec![1], vec![(1, 100)]));
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_runtimes_new_image_makes_a_revision_unless_the_function_pins_one() {
    let mut cluster = Cluster::new().await;
    let code = |pin: Value| json!({"runtime": "python3.11", "runtimeImage": pin, "handler": "app.handler", "source": {"inline": {"app.py": "a"}}});
    let pinned = cluster.deploy(code(json!("python:1"))).await;
    let mut runtime = cluster.server.get("/apis/flint.dev/v1alpha1/runtimes/python3.11").unwrap();
    runtime["spec"]["image"] = json!("python:2");
    cluster.put(&runtime);
    assert!(cluster.settle().await.is_empty());
    let followed = cluster.deploy(code(Value::Null)).await;
    assert_ne!(pinned, followed);
    assert_eq!(cluster.record(&pinned)["spec"]["image"], "python:1");
    assert_eq!(cluster.record(&followed)["spec"]["image"], "python:2");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_is_rolled_back_and_the_function_says_so() {
    let mut cluster = Cluster::new().await;
    cluster.deploy(json!({"image": "cart:1"})).await;
    let update = changed(&cluster, &cart(json!({"image": "cart:2", "canary": {"steps": [20]}})));
    cluster.put(&update);
    cluster.settle().await;
    let bad = cluster.latest();
    cluster.pod(&bad, 0, None);
    cluster.settle().await;
    assert_eq!(cluster.shares(), [(1, 80), (2, 20)]);
    assert_eq!(cluster.condition("Deployed").1, "Canary");
    let gateway: Arc<str> = "a".into();
    cluster.context.control.demand.connected(&gateway);
    let demand = flint_control::v1::Demand {
        function: Some(flint_control::v1::FunctionRef { namespace: "shop".into(), name: "cart".into() }),
        revision: bad.clone(),
        arrived: 10,
        answered: 10,
        errors: 9,
        elapsed_ms: 1000,
        ..Default::default()
    };
    cluster.context.control.demand.report(&gateway, flint_control::v1::Report { demands: vec![demand] });
    cluster.settle().await;
    assert_eq!(cluster.shares(), [(1, 100)]);
    let (status, reason, message) = cluster.condition("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "CanaryFailed"));
    assert!(message.contains("9 of 10 failed") && message.contains("keeps serving"), "{message}");
    assert!(cluster.events().contains(&"CanaryRolledBack".to_owned()));
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_version_says_the_timeout_that_its_instances_keep() {
    let mut cluster = Cluster::new().await;
    cluster.deploy(json!({"image": "cart:1", "timeout": "45s"})).await;
    cluster.deploy(json!({"image": "cart:1", "timeout": "5s"})).await;
    let function = cluster.function();
    let versions = function["status"]["versions"].as_array().cloned().unwrap_or_default();
    let said: Vec<_> =
        versions.iter().map(|version| (version["mode"].as_str(), version["timeout"].as_str())).collect();
    assert_eq!(said, [(Some("http"), Some("45s")), (Some("http"), Some("5s"))]);
    cluster.end().await;
}
