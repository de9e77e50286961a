use flint_testing::apiserver::ApiServer;
use futures::stream;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{core::error_boundary::InvalidObject, runtime::reflector::store};
use serde_json::json;

use super::*;

type Guarded = Result<Event<DeserializeGuard<ConfigMap>>, watcher::Error>;

fn named(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "shop", "resourceVersion": "1"}}))
        .unwrap()
}

fn good(name: &str) -> DeserializeGuard<ConfigMap> {
    DeserializeGuard(Ok(named(name)))
}

fn bad(name: &str) -> DeserializeGuard<ConfigMap> {
    DeserializeGuard(Err(InvalidObject { error: "no map".into(), metadata: named(name).metadata }))
}

/// The names heard of, and the names in the store at the end.
async fn watched(events: Vec<Guarded>) -> (Vec<String>, Vec<String>) {
    let metrics = WatchMetrics::new(&Registry::new()).unwrap();
    let (reader, writer) = store();
    let mut heard = Vec::new();
    run(stream::iter(events), writer, &metrics, |_| (), |object: &ConfigMap| heard.push(object.name_any()))
        .await;
    let mut kept: Vec<_> = reader.state().iter().map(|object| object.name_any()).collect();
    kept.sort();
    (heard, kept)
}

#[tokio::test]
async fn a_malformed_object_stops_nothing_and_keeps_its_last_good_form() {
    let (heard, kept) = watched(vec![
        Ok(Event::Init),
        Ok(Event::InitApply(bad("never-good"))),
        Ok(Event::InitApply(good("fine"))),
        Ok(Event::InitDone),
        Ok(Event::Apply(bad("fine"))),
        Ok(Event::Apply(good("later"))),
    ])
    .await;
    assert_eq!(heard, ["fine", "later"]);
    assert_eq!(kept, ["fine", "later"]);
}

#[tokio::test]
async fn what_went_while_the_watch_was_away_is_heard_of() {
    let gone = watcher::Error::WatchError(Box::new(
        kube::core::Status::failure("too old", "Expired").with_code(410),
    ));
    let (heard, kept) = watched(vec![
        Ok(Event::Init),
        Ok(Event::InitApply(good("stays"))),
        Ok(Event::InitApply(good("goes"))),
        Ok(Event::InitDone),
        Err(gone),
        Ok(Event::Init),
        Ok(Event::InitApply(good("stays"))),
        Ok(Event::InitDone),
    ])
    .await;
    assert_eq!(kept, ["stays"]);
    assert_eq!(heard.iter().filter(|name| *name == "goes").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_is_asked_again() {
    let server = ApiServer::new();
    server.put(
        &json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code", "namespace": "shop"}}),
    );
    server.fail("GET", "/configmaps", 503, "ServiceUnavailable", "starting");
    let metrics = WatchMetrics::new(&Registry::new()).unwrap();
    let (reader, writer) = store();
    let counted = metrics.clone();
    let task = tokio::spawn(async move {
        let api = Api::all(server.client());
        keep::<ConfigMap>(api, watcher::Config::default(), writer, &counted, |_| (), |_| ()).await;
    });
    reader.wait_until_ready().await.unwrap();
    assert_eq!(reader.len(), 1);
    assert_eq!(metrics.errors.with_label_values(&["ConfigMap"]).get(), 1);
    task.abort();
}
