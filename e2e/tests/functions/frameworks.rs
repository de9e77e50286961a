//! Frameworks as people use them, unmodified: the examples, with their real packages, brought in by a build in the cluster.

use flint_e2e::{FunctionBuilder, Namespace, namespace::with_namespace, packages::Packages};
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// Bytes that are no text in any encoding.
const BYTES: [u8; 6] = [0, 255, 254, 10, 13, 128];

#[tokio::test]
async fn chalice_finds_its_routes_by_the_events_of_rest_apis() {
    with_namespace("chalice", |namespace| async move {
        let app = example(&namespace, "chalice").await;
        assert_eq!(json_of(&app.ok("/").await), json!({"hello": "world"}));
        assert_eq!(json_of(&app.ok("/hello/Ada%20Lovelace").await), json!({"hello": "Ada Lovelace"}));
        let missing = app.get("/hello/nobody").await;
        assert_eq!((missing.status, missing.error.as_deref()), (404, None), "Chalice's own: {missing:?}");
        let created = send(&app, "/users", "application/json", br#"{"name":"Ada"}"#.to_vec()).await;
        assert_eq!(json_of(&created.text().await.expect("a body")), json!({"user": {"name": "Ada"}}));
        let unrouted = app.get("/nowhere/at/all").await;
        assert_eq!((unrouted.status, unrouted.error.as_deref()), (404, Some("no_route")), "{unrouted:?}");
    })
    .await;
}

#[tokio::test]
async fn fastapi_runs_by_mangum() {
    with_namespace("fastapi", |namespace| async move {
        let app = example(&namespace, "fastapi").await;
        assert_eq!(json_of(&app.ok("/items/7?q=a%26b").await), json!({"number": 7, "q": "a&b"}));
        assert_eq!(app.get("/items/seven").await.status, 422, "FastAPI's own");
        let created =
            send(&app, "/items", "application/json", br#"{"name":"cup","price":2.5}"#.to_vec()).await;
        assert_eq!(created.status(), 201);
        echoes(&app).await;
        sets_two_cookies(&app).await;
    })
    .await;
}

#[tokio::test]
async fn flask_answers_the_same_as_a_function_and_as_a_server() {
    with_namespace("flask", |namespace| async move {
        for way in ["flask", "flask-server"] {
            serves(&example(&namespace, way).await).await;
        }
    })
    .await;
}

#[tokio::test]
async fn express_answers_the_same_as_a_function_and_as_a_server() {
    with_namespace("express", |namespace| async move {
        for way in ["express", "express-server"] {
            serves(&example(&namespace, way).await).await;
        }
    })
    .await;
}

/// What the app of both kinds and both languages does.
async fn serves(app: &FunctionBuilder) {
    assert_eq!(json_of(&app.ok("/hello/Ada?shout=yes%21").await), json!({"hello": "Ada", "shout": "yes!"}));
    assert_eq!(json_of(&app.ok("/hello/Ada").await), json!({"hello": "Ada", "shout": null}));
    let missing = app.get("/nowhere").await;
    assert_eq!((missing.status, missing.error.as_deref()), (404, None), "the framework's own: {missing:?}");
    echoes(app).await;
    sets_two_cookies(app).await;
}

async fn echoes(app: &FunctionBuilder) {
    let echoed = send(app, "/echo", "application/octet-stream", BYTES.to_vec()).await;
    assert_eq!((echoed.status().as_u16(), &echoed.bytes().await.expect("a body")[..]), (200, &BYTES[..]));
}

async fn sets_two_cookies(app: &FunctionBuilder) {
    let http = &app.namespace().cluster.http;
    let answer = http.get(app.url("/login")).send().await.expect("an answer");
    let cookies: Vec<_> =
        answer.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap_or("")).collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    assert!(cookies[0].starts_with("session=1") && cookies[1].starts_with("theme=dark"), "{cookies:?}");
}

async fn example(namespace: &Namespace, name: &str) -> FunctionBuilder {
    let packages = Packages::start(&namespace.cluster).await;
    namespace.example(&format!("frameworks/{name}.yaml"), Some(&packages)).await
}

async fn send(app: &FunctionBuilder, path: &str, content_type: &str, body: Vec<u8>) -> Response {
    let request = app.namespace().cluster.http.request(Method::POST, app.url(path));
    request.header("content-type", content_type).body(body).send().await.expect("an answer")
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
