//! The controller against an API server in memory: what is written when, and what is said of it.

use flint_kube::{Lease, lease};
use flint_testing::apiserver::ApiServer;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::advance};

mod builds;
mod ending;
mod sources;
mod untried;
mod versions;

use super::*;
use crate::{
    fetch::Fetcher,
    settings::tests::settings,
    stores::tests::{Fill, stores},
};

const FUNCTION: &str = "/apis/flint.dev/v1alpha1/namespaces/shop/functions/cart";
/// Kinds that the operator watches, mirrored from the API server into its stores.
const WATCHED: [&str; 7] = ["Function", "Runtime", "Revision", "Deployment", "Service", "ConfigMap", "Job"];

/// A cluster without controllers: pods are as a test says.
struct Cluster {
    server: ApiServer,
    fill: Fill,
    context: Arc<Context>,
    mirrored: Vec<Value>,
    stop: CancellationToken,
    lease: JoinHandle<()>,
    fetcher: Arc<Fetcher>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn new() -> Self {
        Self::with_room_for(10).await
    }

    async fn with_room_for(max_starting: usize) -> Self {
        let server = ApiServer::new();
        let (stores, fill) = stores();
        let client = server.client();
        let stop = CancellationToken::new();
        let config = lease::Config::new("flint-system", "flint-operator", "operator-1");
        let (holding, lease) = Lease::new(client.clone(), config).spawn(stop.clone());
        holding.acquired().await;
        let folder = tempfile::tempdir().unwrap();
        let fetcher = Fetcher::for_tests(client.clone(), stores.clone(), &folder);
        let control = Arc::new(Control::new(stores.clone(), 1, &Registry::new()).unwrap());
        let context = Arc::new(Context::new(
            client.clone(),
            stores.clone(),
            Arc::new(settings()),
            Events::new(client.clone(), "flint-operator", "operator-1"),
            Arc::new(Schedules::new(client, stores.clone())),
            holding,
            Metrics::new(&Registry::new()).unwrap(),
            control,
            Arc::clone(&fetcher),
            Builds::for_tests(server.client(), stores.clone(), &folder),
            Images::for_tests(stores.clone(), &folder),
            max_starting,
        ));
        server.forget_requests();
        let mut cluster =
            Self { server, fill, context, mirrored: Vec::new(), stop, lease, fetcher, _folder: folder };
        cluster.put(&json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3.11"},
            "spec": {"mode": "lambda", "image": "python:1", "command": ["python3", "-m", "awslambdaric", "{handler}"]}}));
        cluster
    }

    /// What a user, or another controller, writes.
    fn put(&mut self, object: &Value) {
        self.server.put(object);
        self.watch();
    }

    fn remove(&mut self, path: &str) {
        self.server.remove(path);
        self.watch();
    }

    /// Brings the stores to what the API server has.
    fn watch(&mut self) {
        let now: Vec<_> = WATCHED.iter().flat_map(|kind| self.server.objects(kind)).collect();
        let name = |object: &Value| {
            (
                object["kind"].clone(),
                object["metadata"]["namespace"].clone(),
                object["metadata"]["name"].clone(),
            )
        };
        for gone in self.mirrored.iter().filter(|old| !now.iter().any(|new| name(new) == name(old))) {
            self.fill.remove(gone);
        }
        for object in &now {
            self.fill.put(object);
        }
        self.mirrored = now;
    }

    /// Looks at the function as often as it takes until nothing is left to do; says what was written.
    async fn settle(&mut self) -> Vec<String> {
        self.server.forget_requests();
        let key = Key::new("shop", "cart");
        for _ in 0..10 {
            let before = self.server.writes().len();
            self.watch();
            let function = self.context.stores.function(&key).expect("a Function");
            self.context.reconcile(&key, function).await.expect("a reconciliation");
            self.watch();
            if self.server.writes().len() == before {
                break;
            }
        }
        let writes = self.server.writes().into_iter().filter(|write| !write.contains("/leases/"));
        writes.map(|write| short(&write)).collect()
    }

    fn function(&self) -> Value {
        self.server.get(FUNCTION).expect("the Function")
    }

    /// The only Deployment, or the newest.
    fn revisions(&self) -> Vec<String> {
        self.server.names("Deployment")
    }

    fn latest(&self) -> String {
        self.function()["status"]["latestRevision"].as_str().expect("a revision").to_owned()
    }

    fn serving(&self) -> String {
        self.function()["status"]["revision"].as_str().expect("a revision").to_owned()
    }

    fn condition(&self, kind: &str) -> (String, String, String) {
        let function = self.function();
        let conditions = function["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = conditions.iter().find(|condition| condition["type"] == kind).expect("the condition");
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    /// A pod of a revision: ready, or in the state given.
    fn pod(&mut self, revision: &str, number: u32, state: Option<Value>) {
        let ready = state.is_none();
        let state = state.unwrap_or_else(|| json!({"running": {}}));
        self.fill.put(&json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": format!("{revision}-{number}"), "namespace": "shop",
                "labels": {"flint.dev/function": "cart", "flint.dev/revision": revision}},
            "status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "containerStatuses": [{"name": "function", "image": "cart:2", "imageID": "", "ready": ready, "restartCount": 0, "state": state}],
            }}));
    }

    fn events(&self) -> Vec<String> {
        let events = self.server.objects("Event");
        events.iter().map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
    }

    async fn end(self) {
        self.stop.cancel();
        self.lease.await.unwrap();
    }
}

/// `PATCH deployments/cart-…`: without the hash, which goldens elsewhere hold.
fn short(write: &str) -> String {
    let (method, path) = write.split_once(' ').unwrap();
    let (_, tail) = path.split_once("/namespaces/shop/").unwrap();
    let parts = tail.split('/').map(|part| match part.rsplit_once('-') {
        Some((stem, hash)) if hash.len() == 8 => format!("{stem}-…"),
        _ => part.split('.').next().unwrap().to_owned(),
    });
    format!("{method} {}", parts.collect::<Vec<_>>().join("/"))
}

fn cart(spec: Value) -> Value {
    json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": "cart", "namespace": "shop", "uid": "uid-cart", "creationTimestamp": "2026-11-21T09:00:00Z"}, "spec": spec})
}

fn python(code: &str) -> Value {
    cart(json!({"runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": code}}}))
}

fn image(image: &str) -> Value {
    cart(json!({"image": image}))
}

/// The function changed: a new spec on the object that is there.
fn changed(cluster: &Cluster, spec: &Value) -> Value {
    let mut function = cluster.function();
    function["spec"] = spec["spec"].clone();
    function
}

#[tokio::test(start_paused = true)]
async fn a_function_gets_its_objects_and_then_nothing_more_is_written() {
    let mut cluster = Cluster::new().await;
    cluster.put(&python("a"));
    assert_eq!(
        cluster.settle().await,
        [
            "PATCH secrets/flint-key-c",
            "PATCH configmaps/cart-code-…",
            "POST revisions",
            "POST deployments",
            "POST services",
            "PATCH functions/cart/status",
            "POST events",
        ]
    );
    assert_eq!(cluster.condition("Ready").0, "Unknown");
    assert_eq!(cluster.serving(), cluster.latest());
    assert!(cluster.settle().await.is_empty());
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_was_ready_once_says_so_and_is_ready_at_zero() {
    let mut cluster = Cluster::new().await;
    cluster.put(&python("a"));
    cluster.settle().await;
    let revision = cluster.latest();
    cluster.pod(&revision, 1, None);
    assert_eq!(
        cluster.settle().await,
        [
            "PATCH deployments/cart-…",
            "PATCH functions/cart/status",
            "POST events",
            "PATCH revisions/cart-…/status"
        ]
    );
    assert_eq!(cluster.condition("Ready").0, "True");
    assert_eq!(cluster.events(), ["RevisionCreated", "RevisionReady"]);
    cluster.fill.remove(&json!({"kind": "Pod", "metadata": {"name": format!("{revision}-1"), "namespace": "shop", "labels": {"flint.dev/function": "cart"}}}));
    assert!(cluster.settle().await.is_empty(), "numbers are told once a second");
    advance(Duration::from_secs(1)).await;
    assert_eq!(cluster.settle().await, ["PATCH functions/cart/status"]);
    assert_eq!(
        (cluster.condition("Ready").0, cluster.function()["status"]["replicas"].clone()),
        ("True".into(), json!(0))
    );
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_update_comes_up_beside_the_old_takes_over_and_the_old_goes() {
    let mut cluster = Cluster::new().await;
    cluster.put(&image("cart:1"));
    cluster.settle().await;
    let old = cluster.latest();
    for number in 0..3 {
        cluster.pod(&old, number, None);
    }
    cluster.settle().await;

    let update = changed(&cluster, &image("cart:2"));
    cluster.put(&update);
    cluster.settle().await;
    let new = cluster.latest();
    assert_ne!(old, new);
    assert_eq!((cluster.serving(), cluster.condition("Ready").0), (old.clone(), "Unknown".into()));

    // It proves itself with one instance, and grows to what the old one has.
    cluster.pod(&new, 0, None);
    assert!(cluster.settle().await.contains(&"PATCH deployments/cart-…/scale".into()));
    let deployment = cluster.server.get(&format!("/apis/apps/v1/namespaces/shop/deployments/{new}")).unwrap();
    assert_eq!((deployment["spec"]["replicas"].clone(), cluster.serving()), (json!(3), old.clone()));
    assert_eq!(cluster.condition("Deployed").1, "RollingOut");

    // It takes over when it has as many; the old one stays until every gateway knows.
    cluster.pod(&new, 1, None);
    cluster.pod(&new, 2, None);
    cluster.settle().await;
    assert_eq!((cluster.serving(), cluster.condition("Ready").0), (new.clone(), "True".into()));
    assert_eq!(cluster.revisions().len(), 2);
    advance(plan::DRAIN_AFTER).await;
    assert_eq!(cluster.settle().await, ["DELETE deployments/cart-…"]);
    assert_eq!(cluster.revisions(), [new]);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_update_never_gets_traffic_says_why_and_a_fix_heals_it() {
    let mut cluster = Cluster::new().await;
    cluster.put(&image("cart:1"));
    cluster.settle().await;
    let good = cluster.latest();
    cluster.pod(&good, 0, None);
    cluster.settle().await;

    let update = changed(&cluster, &image("cart:none"));
    cluster.put(&update);
    cluster.settle().await;
    let bad = cluster.latest();
    cluster.pod(
        &bad,
        0,
        Some(json!({"waiting": {"reason": "ErrImagePull", "message": "cart:none: not found"}})),
    );
    cluster.settle().await;
    let (status, reason, message) = cluster.condition("Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "ImagePullFailed"));
    assert!(message.ends_with(&format!("Revision {good} keeps serving.")), "{message}");
    assert_eq!(cluster.serving(), good);
    assert!(cluster.events().contains(&"RevisionFailed".to_owned()));

    let fix = changed(&cluster, &image("cart:1"));
    cluster.put(&fix);
    advance(plan::DRAIN_AFTER).await;
    cluster.settle().await;
    assert_eq!(
        (cluster.latest(), cluster.serving(), cluster.revisions()),
        (good.clone(), good.clone(), vec![good])
    );
    assert_eq!(cluster.condition("Ready").0, "True");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_same_code_in_a_new_revision_keeps_its_package() {
    let mut cluster = Cluster::new().await;
    cluster.put(&python("a"));
    cluster.settle().await;
    let first = cluster.latest();
    cluster.pod(&first, 0, None);
    cluster.settle().await;
    let packages = cluster.server.names("ConfigMap");

    let mut update = changed(&cluster, &python("a"));
    update["spec"]["timeout"] = json!("5s");
    cluster.put(&update);
    cluster.settle().await;
    let second = cluster.latest();
    cluster.pod(&second, 0, None);
    cluster.settle().await;
    advance(plan::DRAIN_AFTER).await;
    cluster.settle().await;
    assert_eq!(cluster.revisions(), std::slice::from_ref(&second));
    assert_eq!(cluster.server.names("ConfigMap"), packages);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn drift_is_put_right_and_replicas_are_left_to_the_scale() {
    let mut cluster = Cluster::new().await;
    cluster.put(&image("cart:1"));
    cluster.settle().await;
    let path = format!("/apis/apps/v1/namespaces/shop/deployments/{}", cluster.latest());
    let mut deployment = cluster.server.get(&path).unwrap();
    deployment["spec"]["replicas"] = json!(7);
    cluster.put(&deployment);
    assert!(cluster.settle().await.is_empty());
    deployment["spec"]["template"]["spec"]["containers"][1]["image"] = json!("miner:1");
    cluster.put(&deployment);
    assert_eq!(cluster.settle().await, ["PATCH deployments/cart-…"]);
    let healed = cluster.server.get(&path).unwrap();
    assert_eq!(healed["spec"]["template"]["spec"]["containers"][1]["image"], "cart:1");
    assert_eq!(healed["spec"]["replicas"], 7);
    cluster.remove("/api/v1/namespaces/shop/services/cart");
    assert_eq!(cluster.settle().await, ["POST services"]);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_strangers_service_is_left_alone_and_told_of_until_it_goes() {
    let mut cluster = Cluster::new().await;
    let stranger = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "cart", "namespace": "shop"}, "spec": {"type": "ClusterIP"}});
    cluster.server.put(&stranger);
    cluster.put(&image("cart:1"));
    cluster.settle().await;
    let revision = cluster.latest();
    cluster.pod(&revision, 0, None);
    cluster.settle().await;
    assert_eq!(
        cluster.server.get("/api/v1/namespaces/shop/services/cart").unwrap()["spec"]["type"],
        "ClusterIP"
    );
    assert_eq!(
        (cluster.condition("Ready").1, cluster.condition("Deployed").0),
        ("ServiceConflict".into(), "True".into())
    );
    cluster.remove("/api/v1/namespaces/shop/services/cart");
    cluster.settle().await;
    assert_eq!(cluster.condition("Ready").0, "True");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_source_in_a_config_map_is_waited_for_and_followed() {
    let mut cluster = Cluster::new().await;
    cluster.put(&cart(
        json!({"runtime": "python3.11", "handler": "app.handler", "source": {"configMap": {"name": "code"}}}),
    ));
    cluster.settle().await;
    assert_eq!(cluster.condition("Built").1, "SourceNotFound");
    let code = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code", "namespace": "shop"}, "data": {"app.py": text}});
    cluster.put(&code("a"));
    cluster.settle().await;
    let first = cluster.latest();
    assert_eq!(cluster.condition("Built").0, "True");
    assert!(cluster.settle().await.is_empty());
    cluster.put(&code("b"));
    cluster.settle().await;
    assert_ne!(cluster.latest(), first);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_told_with_what_to_do() {
    for (spec, condition, reason) in [
        (
            json!({"runtime": "cobol", "handler": "a.b", "source": {"inline": {"a": "b"}}}),
            "Deployed",
            "RuntimeNotFound",
        ),
        (
            json!({"runtime": "python3.11", "handler": "a.b", "source": {"inline": {"requirements.txt": "pillow"}}}),
            "Built",
            "DependenciesNotSupported",
        ),
        (
            json!({"runtime": "python3.11", "handler": "a.b", "source": {"inline": {"../a": "b"}}}),
            "Built",
            "SourceInvalid",
        ),
        (
            json!({"image": "cart:1", "template": {"spec": {"hostNetwork": true}}}),
            "Deployed",
            "TemplateRefused",
        ),
        (json!({"image": "cart:1", "port": 8012}), "Deployed", "SpecInvalid"),
    ] {
        let mut cluster = Cluster::new().await;
        cluster.put(&cart(spec));
        cluster.settle().await;
        for kind in ["Ready", condition] {
            let (status, told, message) = cluster.condition(kind);
            assert_eq!((status.as_str(), told.as_str()), ("False", reason), "{message}");
            assert!(message.ends_with('.'), "{message}");
        }
        assert!(cluster.revisions().is_empty());
        cluster.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_refuses_becomes_a_condition() {
    let mut cluster = Cluster::new().await;
    cluster.put(&image("cart:1"));
    cluster.server.fail(
        "POST",
        "/deployments",
        422,
        "Invalid",
        "spec.template.spec.containers[1].env[0].name: Invalid value",
    );
    let key = Key::new("shop", "cart");
    let function = cluster.context.stores.function(&key).unwrap();
    cluster.context.reconcile(&key, function).await.unwrap();
    let (status, reason, message) = cluster.condition("Deployed");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "Refused"));
    assert!(message.contains("env[0].name"), "{message}");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_leaves_the_status_and_is_tried_again() {
    let mut cluster = Cluster::new().await;
    cluster.put(&image("cart:1"));
    cluster.server.fail("PATCH", "/secrets/", 503, "ServiceUnavailable", "away");
    let key = Key::new("shop", "cart");
    let function = cluster.context.stores.function(&key).unwrap();
    assert!(cluster.context.reconcile(&key, function).await.is_err());
    assert!(cluster.function()["status"].is_null());
    cluster.settle().await;
    assert_eq!(cluster.condition("Ready").0, "Unknown");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_a_function_waits_at_zero_for_its_turn() {
    let mut cluster = Cluster::with_room_for(1).await;
    assert!(cluster.context.starts.claim(&Key::new("shop", "other")));
    cluster.put(&image("cart:1"));
    cluster.settle().await;
    let path = format!("/apis/apps/v1/namespaces/shop/deployments/{}", cluster.latest());
    assert_eq!(cluster.server.get(&path).unwrap()["spec"]["replicas"], 0);
    assert_eq!(cluster.condition("Ready").1, "WaitingToStart");
    assert_eq!(cluster.context.starts.release(&Key::new("shop", "other")), [Key::new("shop", "cart")]);
    cluster.settle().await;
    assert_eq!(cluster.server.get(&path).unwrap()["spec"]["replicas"], 1);
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_lead_writes_nothing() {
    let mut cluster = Cluster::new().await;
    cluster.stop.cancel();
    while cluster.context.holding.is_held() {
        tokio::task::yield_now().await;
    }
    cluster.put(&image("cart:1"));
    let key = Key::new("shop", "cart");
    let function = cluster.context.stores.function(&key).unwrap();
    assert!(matches!(cluster.context.reconcile(&key, function).await, Err(Error::NotLeader)));
    assert!(cluster.server.objects("Deployment").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_function_left_behind_is_deleted_once_it_is_surely_gone() {
    let mut cluster = Cluster::new().await;
    cluster.put(&python("a"));
    cluster.settle().await;
    // kubectl delete --cascade=orphan takes the owners away.
    for kind in ["Deployment", "Service", "ConfigMap"] {
        for mut object in cluster.server.objects(kind) {
            object["metadata"]["ownerReferences"] = json!([]);
            cluster.put(&object);
        }
    }
    let key = Key::new("shop", "cart");
    cluster.context.gone(&key).await;
    assert_eq!(cluster.revisions().len(), 1, "the API server still has the Function");
    cluster.remove(FUNCTION);
    cluster.context.gone(&key).await;
    for kind in ["Deployment", "Service", "ConfigMap"] {
        assert!(cluster.server.objects(kind).is_empty(), "{kind}");
    }
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_function_that_comes_again_waits_for_the_objects_of_the_one_before() {
    let mut cluster = Cluster::new().await;
    cluster.put(&python("a"));
    cluster.settle().await;
    let revision = cluster.latest();
    cluster.remove(FUNCTION);
    let mut again = python("a");
    again["metadata"]["uid"] = json!("uid-again");
    cluster.put(&again);
    cluster.settle().await;
    assert_eq!(cluster.condition("Deployed").1, "Replacing");
    cluster.remove(&format!("/apis/apps/v1/namespaces/shop/deployments/{revision}"));
    cluster.settle().await;
    assert_eq!(cluster.condition("Deployed").1, "Replacing");
    cluster.remove(&format!("/apis/flint.dev/v1alpha1/namespaces/shop/revisions/{revision}"));
    cluster.settle().await;
    for kind in ["Deployment", "ConfigMap", "Revision"] {
        let owner = cluster.server.objects(kind)[0]["metadata"]["ownerReferences"][0]["uid"].clone();
        assert_eq!(owner, "uid-again", "{kind}");
    }
    assert_eq!(cluster.condition("Deployed").1, "Starting");
    cluster.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_controller_works_through_what_is_there_and_what_comes() {
    let mut cluster = Cluster::new().await;
    cluster.put(&image("cart:1"));
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(Arc::clone(&cluster.context), stop.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.revisions().len(), 1);
    let update = changed(&cluster, &image("cart:2"));
    cluster.put(&update);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(cluster.revisions().len(), 2);
    stop.cancel();
    task.await.unwrap();
    cluster.end().await;
}
