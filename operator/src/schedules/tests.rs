use flint_control::v1::FunctionRef;
use flint_testing::apiserver::ApiServer;
use serde_json::Value;

use super::*;
use crate::stores::tests::{Fill, stores};

const PATH: &str = "/apis/flint.dev/v1alpha1/namespaces/shop/functions/report";

fn function(cron: &str) -> Value {
    json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function",
        "metadata": {"name": "report", "namespace": "shop", "uid": "u1", "creationTimestamp": "2026-11-21T09:00:00Z"},
        "spec": {"image": "report:1", "schedules": [{"name": "hourly", "cron": cron}]},
    })
}

fn world(cron: &str) -> (ApiServer, Fill, Schedules) {
    let server = ApiServer::new();
    let (stores, mut fill) = stores();
    server.put(&function(cron));
    fill.put(&function(cron));
    let schedules = Schedules::new(server.client(), stores);
    (server, fill, schedules)
}

fn firing(due: &str, done: bool) -> Firing {
    Firing {
        function: Some(FunctionRef { namespace: "shop".into(), name: "report".into() }),
        schedule: "hourly".into(),
        due: due.into(),
        done,
        status: if done { 200 } else { 0 },
    }
}

fn status(server: &ApiServer) -> Value {
    server.get(PATH).unwrap()["status"]["schedules"][0].clone()
}

#[tokio::test]
async fn a_firing_is_stored_before_and_after_with_the_one_that_follows() {
    let (server, _fill, schedules) = world("0 * * * *");
    schedules.store_firing(&firing("2026-11-21T10:00:00Z", false)).await.unwrap();
    assert_eq!(
        status(&server),
        json!({"name": "hourly", "lastFiring": "2026-11-21T10:00:00Z", "lastDone": false, "nextFiring": "2026-11-21T11:00:00Z"})
    );
    schedules.store_firing(&firing("2026-11-21T10:00:00Z", true)).await.unwrap();
    assert_eq!(status(&server)["lastDone"], true);
    assert_eq!(status(&server)["lastStatus"], 200);
}

#[tokio::test]
async fn what_is_stored_is_not_stored_again_and_an_older_firing_undoes_nothing() {
    let (server, _fill, schedules) = world("0 * * * *");
    schedules.store_firing(&firing("2026-11-21T10:00:00Z", true)).await.unwrap();
    server.forget_requests();
    schedules.store_firing(&firing("2026-11-21T10:00:00Z", false)).await.unwrap();
    schedules.store_firing(&firing("2026-11-21T10:00:00Z", true)).await.unwrap();
    schedules.store_firing(&firing("2026-11-21T09:00:00Z", true)).await.unwrap();
    assert!(server.writes().is_empty());
}

#[tokio::test]
async fn a_firing_that_could_not_be_stored_is_stored_when_it_comes_again() {
    let (server, _fill, schedules) = world("0 * * * *");
    server.fail("PATCH", "/status", 503, "ServiceUnavailable", "away");
    assert!(schedules.store_firing(&firing("2026-11-21T10:00:00Z", false)).await.is_err());
    schedules.store_firing(&firing("2026-11-21T10:00:00Z", false)).await.unwrap();
    assert_eq!(status(&server)["lastFiring"], "2026-11-21T10:00:00Z");
}

#[tokio::test]
async fn the_next_firing_is_known_before_the_first_and_goes_with_its_schedule() {
    let (server, mut fill, schedules) = world("rate(90 minutes)");
    let now = "2026-11-21T10:00:00Z".parse().unwrap();
    let key = Key::new("shop", "report");
    let with: Function = serde_json::from_value(function("rate(90 minutes)")).unwrap();
    let next = schedules.sync(&key, &with, now).await.unwrap();
    assert_eq!(next, Some("2026-11-21T10:30:00Z".parse().unwrap()));
    let mut without = function("rate(90 minutes)");
    without["spec"]["schedules"] = json!([]);
    without["status"] = server.get(PATH).unwrap()["status"].clone();
    fill.put(&without);
    let without: Function = serde_json::from_value(without).unwrap();
    assert_eq!(schedules.sync(&key, &without, now).await.unwrap(), None);
}

#[test]
fn a_schedule_that_is_none_is_told() {
    let function: Function = serde_json::from_value(function("every day")).unwrap();
    let problem = problem(&function).unwrap();
    assert!(problem.message.starts_with("spec.schedules[hourly]: "), "{}", problem.message);
}
