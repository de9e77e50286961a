//! Holds `docs/rbac.md` to what the operator really asks of the API server, in both directions.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flint_control::v1::{Firing, FunctionRef};
use flint_kube::{Applier, Events, Lease, WatchMetrics, lease};
use flint_testing::apiserver::{ApiServer, Recorded};
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    build::Builds, control::Control, fetch::Fetcher, function, images::Images, leader, metrics::Metrics,
    package, schedules::Schedules, settings::tests::settings, stores::Stores,
};

/// Group, resource, verb.
type Right = (String, String, String);

const DOCS: &str = include_str!("../../docs/rbac.md");

/// The rights in the tables under the headings that begin with `whose`.
fn documented(whose: &str) -> BTreeSet<Right> {
    let sections = DOCS.split("\n## ").filter(|section| section.starts_with(whose));
    let rows =
        sections.flat_map(str::lines).filter(|line| line.starts_with("| ") && !line.starts_with("| group"));
    rows.flat_map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let group = cells[1].trim_matches('"').to_owned();
        let resource = cells[2].to_owned();
        cells[3]
            .split(' ')
            .map(move |verb| (group.clone(), resource.clone(), verb.to_owned()))
            .collect::<Vec<_>>()
    })
    .collect()
}

fn rights(request: &Recorded) -> Vec<Right> {
    let right = request.rbac();
    let creates = request.query.contains("force=true") && !right.1.contains('/');
    // Applying what does not exist creates it.
    let create = creates.then(|| (right.0.clone(), right.1.clone(), "create".to_owned()));
    std::iter::once(right).chain(create).collect()
}

fn function(spec: Value) -> Value {
    json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "cart", "namespace": "shop"}, "spec": spec})
}

fn code(name: &str) -> Value {
    json!({"runtime": "python3.11", "handler": "app.handler", "source": {"configMap": {"name": name}},
        "schedules": [{"name": "hourly", "cron": "0 * * * *"}]})
}

fn pod(revision: &str, ready: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": format!("{revision}-1"), "namespace": "shop", "labels": {"flint.dev/function": "cart", "flint.dev/revision": revision,
            "app.kubernetes.io/part-of": "flint", "app.kubernetes.io/component": "function"}},
        "status": {"conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "function", "image": "cart:2", "imageID": "", "ready": ready == "True", "restartCount": 0,
                "state": if ready == "True" { json!({"running": {}}) } else { json!({"waiting": {"reason": "ErrImagePull"}}) }}]}})
}

fn revision(server: &ApiServer) -> String {
    let functions = server.objects("Function");
    functions[0]["status"]["latestRevision"].as_str().expect("a revision").to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_operator_does_what_is_written_and_nothing_else() {
    let server = ApiServer::new();
    let client = server.client();
    let map = |name: &str, text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"app.py": text}});
    server.put(&json!({"apiVersion": "flint.dev/v1alpha1", "kind": "Runtime", "metadata": {"name": "python3.11"}, "spec": {"mode": "lambda", "image": "python:1", "build": {"image": "python-build:1"}}}));
    server.put(&map("code", "a"));
    server.put(&map("other", "b"));

    let mut tasks = JoinSet::new();
    let stores = Stores::spawn(&client, &WatchMetrics::new(&Registry::new()).unwrap(), &mut tasks);
    stores.ready().await.unwrap();
    let stop = CancellationToken::new();
    let config = lease::Config::new("flint-system", leader::LEASE, "operator-1");
    let (holding, _lease) = Lease::new(client.clone(), config).spawn(stop.clone());
    holding.acquired().await;
    let applier = Applier::new(client.clone(), flint_api::labels::FIELD_MANAGER);
    let address = "10.0.0.7".parse().unwrap();
    tasks.spawn(leader::advertise(applier, "flint-system".into(), address, holding.clone(), stop.clone()));
    let schedules = Arc::new(Schedules::new(client.clone(), stores.clone()));
    let folder = tempfile::tempdir().unwrap();
    let context = function::Context::new(
        client.clone(),
        stores.clone(),
        Arc::new(settings()),
        Events::new(client.clone(), "flint-operator", "operator-1"),
        Arc::clone(&schedules),
        holding,
        Metrics::new(&Registry::new()).unwrap(),
        Arc::new(Control::new(stores.clone(), 1, &Registry::new()).unwrap()),
        Fetcher::for_tests(client.clone(), stores.clone(), &folder),
        Builds::for_tests(client.clone(), stores.clone(), &folder),
        Images::for_tests(stores.clone(), &folder),
        10,
    );
    tasks.spawn(function::run(Arc::new(context), stop.clone()));
    let settled = || sleep(Duration::from_secs(8));

    // A first revision, ready, with a Service and a Deployment whose names are taken at first.
    server.fail("POST", "/services", 409, "AlreadyExists", "taken");
    server.fail("POST", "/deployments", 409, "AlreadyExists", "taken");
    server.fail("POST", "/revisions", 409, "AlreadyExists", "taken");
    server.put(&function(code("code")));
    settled().await;
    sleep(Duration::from_secs(30)).await;
    server.put(&pod(&revision(&server), "True"));
    settled().await;
    let digest =
        server.objects("Deployment")[0]["metadata"]["annotations"]["flint.dev/package-digest"].clone();
    assert!(package::fetch(&client, &stores, digest.as_str().unwrap()).await.unwrap().is_some());
    let due = Firing {
        function: Some(FunctionRef { namespace: "shop".into(), name: "cart".into() }),
        schedule: "hourly".into(),
        due: "2026-11-21T10:00:00Z".into(),
        done: false,
        status: 0,
    };
    schedules.store_firing(&due).await.unwrap();

    // A second one fails twice over, then takes over; the first goes, with its package.
    let mut update = server.objects("Function")[0].clone();
    update["spec"] = code("other");
    server.put(&update);
    settled().await;
    for state in ["False", "True", "False", "True"] {
        server.put(&pod(&revision(&server), state));
        settled().await;
    }
    assert_eq!(server.objects("Deployment").len(), 1);

    // Somebody points the Service elsewhere.
    let mut service = server.objects("Service")[0].clone();
    service["spec"]["externalName"] = json!("example.org");
    server.put(&service);
    settled().await;

    // Another has its dependencies built, and changes its mind.
    for requirements in ["six", "pillow"] {
        let mut built = function(json!({"runtime": "python3.11", "handler": "app.handler",
            "source": {"inline": {"app.py": "import six", "requirements.txt": requirements}}}));
        built["metadata"] = json!({"name": "till", "namespace": "shop", "generation": requirements.len()});
        server.put(&built);
        settled().await;
    }

    // The function goes and leaves everything behind.
    server.remove("/apis/flint.dev/v1alpha1/namespaces/shop/functions/cart");
    for kind in ["Deployment", "Service", "ConfigMap", "Revision"] {
        for mut object in server.objects(kind) {
            object["metadata"]["ownerReferences"] = json!([]);
            server.put(&object);
        }
    }
    settled().await;
    assert!(server.objects("Deployment").is_empty());

    // The scaler's, the warm pools' and the builds' own tests show what they do.
    let mut done: BTreeSet<Right> = server.requests().iter().flat_map(rights).collect();
    for (group, resource, verb) in [
        ("apps", "deployments/scale", "patch"),
        ("", "pods", "patch"),
        ("", "pods", "delete"),
        ("", "pods/resize", "patch"),
        ("events.k8s.io", "events", "list"),
    ] {
        done.insert((group.into(), resource.into(), verb.into()));
    }
    assert_eq!(done, documented("Operator"));
    stop.cancel();
}
