//! A container beside the watchdog that speaks the Runtime API, played by the test over the port that the two share.

use serde_json::{Value, json};

use crate::support::{Answer, Function, Watchdog, eventually, request, send};
use http::Method;

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A watchdog without a child, and where its Runtime API is.
async fn alone(function: impl FnOnce(Function) -> Function) -> (Watchdog, u16) {
    let port = free_port();
    let beside = Function::new("lambda", &[]).var("FLINT_RUNTIME_API_PORT", &port.to_string());
    let watchdog = function(beside).start().await;
    eventually(|| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
    (watchdog, port)
}

/// Asks for the next invocation on a connection of its own; its id and its event.
async fn next(port: u16) -> (String, Value) {
    let answer =
        Answer::read(send(port, request(Method::GET, "/2018-06-01/runtime/invocation/next", "")).await).await;
    (answer.header("lambda-runtime-aws-request-id").expect("an invocation").to_owned(), answer.json())
}

async fn respond(port: u16, id: &str, body: &'static str) -> u16 {
    let path = format!("/2018-06-01/runtime/invocation/{id}/response");
    send(port, request(Method::POST, &path, body)).await.status().as_u16()
}

/// Kubelet's probe.
async fn may_live(watchdog: &Watchdog) -> bool {
    watchdog.admin("/beside").await.status == 200
}

#[tokio::test]
async fn an_image_takes_invocations_at_the_port_and_is_ready_when_it_asks() {
    let (watchdog, port) = alone(|function| function).await;
    assert_eq!(watchdog.admin("/readyz").await.status, 503);
    let image = tokio::spawn(async move {
        let (id, event) = next(port).await;
        assert_eq!(event, json!({"a": 1}));
        respond(port, &id, "\"done\"").await
    });
    watchdog.becomes_ready().await;
    let answer = watchdog.invoke(r#"{"a":1}"#).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "\"done\"".to_owned()));
    assert_eq!(image.await.unwrap(), 202);
    assert!(may_live(&watchdog).await);
    let report = watchdog.line(|line| line["durationMs"].is_f64()).await;
    assert_eq!(
        report["maxMemoryUsedMB"],
        Value::Null,
        "what another container uses is not known, and not made up"
    );
}

#[tokio::test]
async fn one_that_overruns_its_deadline_is_ended_by_kubelet_and_the_next_life_takes_requests() {
    let (watchdog, port) = alone(|function| function.timeout_ms(200)).await;
    let overrunning = tokio::spawn(async move { next(port).await });
    watchdog.becomes_ready().await;
    let answer = watchdog.invoke("{}").await;
    assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"));
    assert!(answer.text().contains("Task timed out after 0.20 seconds"), "{}", answer.text());
    let (late, _) = overrunning.await.unwrap();
    assert_eq!(respond(port, &late, "\"late\"").await, 400, "nobody waits for it");
    assert!(!may_live(&watchdog).await);
    assert_eq!(watchdog.admin("/readyz").await.status, 503, "nothing is sent to it");
    // Kubelet has ended and started it: the same port, another life.
    let image = tokio::spawn(async move {
        let (id, _) = next(port).await;
        respond(port, &id, "\"again\"").await
    });
    watchdog.becomes_ready().await;
    assert!(may_live(&watchdog).await);
    assert_eq!(watchdog.invoke("{}").await.text(), "\"again\"");
    assert_eq!(image.await.unwrap(), 202);
}

#[tokio::test]
async fn one_that_cannot_initialize_ends_the_instance_with_its_reason() {
    let (mut watchdog, port) = alone(|function| function).await;
    let error = r#"{"errorType":"Runtime.ImportModuleError","errorMessage":"No module named 'app'"}"#;
    let answer = send(port, request(Method::POST, "/2018-06-01/runtime/init/error", error)).await;
    assert_eq!(answer.status(), 202);
    assert_eq!(watchdog.exit().await, 1);
    assert_eq!(watchdog.termination_message()["errorMessage"], "No module named 'app'");
}

#[tokio::test]
async fn an_invocation_that_it_crashed_on_is_answered_when_it_is_back() {
    let (watchdog, port) = alone(|function| function).await;
    let first = tokio::spawn(async move { next(port).await });
    watchdog.becomes_ready().await;
    let (answer, ()) = tokio::join!(watchdog.invoke("{}"), async {
        first.await.unwrap();
        // It crashed; this is what kubelet started in its place.
        tokio::spawn(async move { next(port).await });
    });
    assert_eq!(answer.header("x-amz-function-error"), Some("Unhandled"));
    assert_eq!(answer.json()["errorType"], "Runtime.NoResponse");
}
