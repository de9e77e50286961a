//! Tests of the cluster as a source, against an API server in memory.

use std::time::Duration;

use flint_api::Mode;
use flint_testing::apiserver::ApiServer;
use prometheus::Registry;
use serde_json::{Value, json};

use super::*;
use crate::index::Pod;

fn function(name: &str, spec: Value, status: Value) -> Value {
    json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}")},
        "spec": spec, "status": status,
    })
}

fn hello() -> Value {
    let spec =
        json!({"runtime": "python3.11", "handler": "app.handler", "source": {"inline": {"app.py": "…"}}});
    function("hello", spec, json!({"revision": "hello-1", "latestRevision": "hello-2"}))
}

fn runtime(mode: &str) -> Value {
    json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Runtime",
        "metadata": {"name": "python3.11"}, "spec": {"mode": mode, "image": "python"},
    })
}

fn pod(ready: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "hello-1-x", "namespace": "shop", "uid": "u1",
            "labels": {"flint.dev/function": "hello", "flint.dev/revision": "hello-1"},
        },
        "spec": {"containers": [{
            "name": "function",
            "env": [{"name": "SECRET", "value": "s"}, {"name": "FLINT_CONCURRENCY", "value": "3"}],
        }]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]},
    })
}

struct Watched {
    cluster: ApiServer,
    events: mpsc::Receiver<Event>,
}

fn watch(objects: &[Value]) -> Watched {
    let cluster = ApiServer::new();
    objects.iter().for_each(|object| cluster.put(object));
    let source = Cluster::new(cluster.client(), WatchMetrics::new(&Registry::new()).unwrap());
    let (sender, events) = mpsc::channel(10);
    tokio::spawn(source.run(sender));
    Watched { cluster, events }
}

impl Watched {
    async fn hear(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(10), self.events.recv()).await;
        event.expect("an event in time").expect("an event")
    }

    /// Hears on until the first list is complete.
    async fn all(&mut self) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            match self.hear().await {
                Event::Complete => return all,
                event => all.push(event),
            }
        }
    }
}

fn told_pod(event: &Event) -> &Pod {
    let Event::Pod(pod) = event else { panic!("a pod, not {event:?}") };
    pod
}

#[tokio::test]
async fn what_there_is_is_told_before_it_is_called_complete() {
    let mut watched = watch(&[hello(), runtime("lambda"), pod("True")]);
    let all = watched.all().await;
    let Some(Event::Function(seen)) = all.first() else { panic!("a function first: {all:?}") };
    assert_eq!((seen.key.clone(), seen.mode, seen.concurrency), (Key::new("shop", "hello"), Mode::Lambda, 1));
    assert_eq!(seen.revision.as_deref(), Some("hello-1"));
    let pod = told_pod(&all[1]);
    assert_eq!((pod.revision.as_str(), pod.ready, pod.ending, pod.limit), ("hello-1", true, false, Some(3)));
    assert_eq!(pod.address, Some("10.0.0.1:8012".parse().unwrap()));
}

#[tokio::test]
async fn the_revision_that_serves_is_spoken_to_as_it_was_made() {
    let spec = json!({"runtime": "python3.11", "handler": "app.handler", "timeout": "5s"});
    let status = json!({"revision": "hello-1", "latestRevision": "hello-2", "versions": [
        {"number": 1, "revision": "hello-1", "mode": "http", "timeout": "45s"}, {"number": 2, "revision": "hello-2"},
    ]});
    let all = watch(&[function("hello", spec, status), runtime("lambda")]).all().await;
    let Some(Event::Function(seen)) = all.first() else { panic!("a function: {all:?}") };
    assert_eq!((seen.mode, seen.timeout), (Mode::Http, Duration::from_secs(45)));
    assert_eq!(seen.traffic.own.len(), 1, "of the other nothing is known yet");
}

#[tokio::test]
async fn changes_and_ends_are_told() {
    let mut watched = watch(&[hello(), runtime("lambda"), pod("False")]);
    watched.all().await;
    watched.cluster.put(&pod("True"));
    assert!(told_pod(&watched.hear().await).ready);
    // A pod that is going says so long before it is gone.
    let mut going = pod("True");
    going["metadata"]["deletionTimestamp"] = json!("2026-11-21T00:00:00Z");
    watched.cluster.put(&going);
    assert!(told_pod(&watched.hear().await).ending);
    watched.cluster.remove("/api/v1/namespaces/shop/pods/hello-1-x");
    assert!(matches!(watched.hear().await, Event::PodGone(name) if name.name == "hello-1-x"));
    watched.cluster.remove("/apis/flint.dev/v1alpha1/namespaces/shop/functions/hello");
    assert_eq!(watched.hear().await, Event::FunctionGone(Key::new("shop", "hello")));
}

#[tokio::test]
async fn a_changed_runtime_is_news_of_its_functions() {
    let mut watched = watch(&[hello(), runtime("lambda")]);
    watched.all().await;
    watched.cluster.put(&runtime("http"));
    let event = watched.hear().await;
    assert!(
        matches!(&event, Event::Function(seen) if seen.mode == Mode::Http && seen.concurrency == 100),
        "{event:?}"
    );
}

#[tokio::test]
async fn a_malformed_function_stops_nothing() {
    let broken = function("broken", json!({"timeout": 7, "scaling": "yes"}), json!({}));
    let mut watched = watch(&[broken.clone(), hello(), runtime("lambda")]);
    assert_eq!(watched.all().await.len(), 1);
    watched.cluster.put(&broken);
    watched.cluster.put(&function("later", json!({"image": "x"}), json!({"latestRevision": "later-1"})));
    let event = watched.hear().await;
    assert!(matches!(&event, Event::Function(seen) if seen.key.name == "later"), "{event:?}");
}

#[tokio::test]
async fn a_package_that_cannot_be_built_blocks_a_function_without_an_older_revision() {
    let condition = json!([{
        "type": "Built", "status": "False", "reason": "NoSuchFile", "message": "there is no app.py",
        "lastTransitionTime": "2026-11-21T00:00:00Z",
    }]);
    let spec = json!({"runtime": "python3.11", "handler": "app.handler"});
    let new = function("new", spec.clone(), json!({"conditions": condition}));
    let old = function("old", spec, json!({"conditions": condition, "revision": "old-1"}));
    let all = watch(&[new, old]).all().await;
    let mut blocked: Vec<_> = all
        .iter()
        .map(|event| match event {
            Event::Function(seen) => (seen.key.name.as_str(), seen.blocked.is_some()),
            other => panic!("a function, not {other:?}"),
        })
        .collect();
    blocked.sort_unstable();
    assert_eq!(blocked, [("new", true), ("old", false)]);
}
