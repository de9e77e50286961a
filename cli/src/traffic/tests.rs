use flint_api::RevisionRef;
use flint_testing::apiserver::ApiServer;
use serde_json::{Value, json};

use super::*;
use crate::{args::Global, error};

const PATH: &str = "/apis/flint.dev/v1alpha1/namespaces/shop/functions/hello";

/// `hello`, whose operator has brought all requests to a version.
fn hello(serves: u32) -> Value {
    json!({
        "apiVersion": "flint.dev/v1alpha1", "kind": "Function", "metadata": {"name": "hello", "namespace": "shop"}, "spec": {"image": "web:1"},
        "status": {
            "observedGeneration": 99, "versions": [{"number": 1, "revision": "hello-1"}, {"number": 2, "revision": "hello-2"}],
            "traffic": [{"revision": format!("hello-{serves}"), "number": serves, "weight": 100}],
        },
    })
}

async fn promote(server: &ApiServer, number: u32, timeout: &str) -> Result<(), Error> {
    let cluster = Cluster { client: server.client(), namespace: "shop".into(), context: "test".into() };
    let wish = Wish { version: RevisionRef::Number(number), weight: Some(100), alias: None };
    let patience = Patience { no_wait: false, timeout: timeout.parse().unwrap() };
    let output = Output::new(&Global { quiet: true, ..Global::default() });
    give(&cluster, "hello", &wish, patience, &output).await
}

#[tokio::test]
async fn it_is_asked_for_in_a_name_of_its_own_and_waited_for() {
    let server = ApiServer::new();
    server.put(&hello(1));
    promote(&server, 1, "10s").await.unwrap();
    let write = server.requests().into_iter().find(|request| request.method == "PATCH").unwrap();
    assert!(write.query.contains("fieldManager=flint-traffic"), "{write:?}");
    assert_eq!(write.body["spec"], json!({"traffic": [{"revision": 1, "weight": 100}]}));
    assert!(write.body["metadata"]["resourceVersion"].is_string(), "{write:?}");
    // Once more is no change.
    server.forget_requests();
    promote(&server, 1, "10s").await.unwrap();
    assert_eq!(server.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn a_write_of_somebody_elses_in_between_is_read_before_the_next_attempt() {
    let server = ApiServer::new();
    server.put(&hello(1));
    server.fail("PATCH", "/functions/hello", 409, "Conflict", "the object has been modified");
    promote(&server, 1, "10s").await.unwrap();
    assert_eq!(server.get(PATH).unwrap()["spec"]["traffic"], json!([{"revision": 1, "weight": 100}]));
}

#[tokio::test]
async fn what_does_not_move_in_time_says_so() {
    let server = ApiServer::new();
    server.put(&hello(2));
    let late = promote(&server, 1, "1s").await.unwrap_err();
    assert_eq!(
        (late.code(), late.to_string().as_str()),
        (error::PLATFORM, "the requests of hello did not move in time")
    );
    assert!(late.remedy().is_some_and(|remedy| remedy.contains("flint versions hello")), "{late:?}");
}

#[tokio::test]
async fn a_function_that_is_not_there_is_not_made() {
    let server = ApiServer::new();
    assert_eq!(promote(&server, 1, "1s").await.unwrap_err().code(), error::NOT_FOUND);
    assert_eq!(server.writes(), Vec::<String>::new());
}
