//! aws-lambda-go, as it is published.

use http::Method;

use crate::support::{Function, Watchdog, go_client, request};

fn function() -> Function {
    Function::new("lambda", &[&go_client()])
}

async fn watchdog() -> Watchdog {
    function().ready().await
}

#[tokio::test]
async fn an_event_goes_in_and_the_answer_comes_out() {
    let watchdog = watchdog().await;
    let mut request = request(Method::GET, "/", "");
    request.headers_mut().insert("x-request-id", "go-1".parse().unwrap());
    let answer = watchdog.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "go-1"));
}

#[tokio::test]
async fn an_error_is_a_502_with_its_type() {
    let (status, _, message) = watchdog().await.get("/error").await.refusal();
    assert_eq!((status, message.as_str()), (502, "errorString: boom"));
}

#[tokio::test]
async fn a_panic_is_a_502_and_the_next_request_works() {
    let watchdog = watchdog().await;
    let (status, _, message) = watchdog.get("/panic").await.refusal();
    assert_eq!(status, 502);
    assert!(message.contains("at the handler"), "{message}");
    assert_eq!(watchdog.get("/").await.status, 200);
}

#[tokio::test]
async fn a_streamed_answer_has_its_head() {
    let answer = watchdog().await.get("/stream").await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (203, "streamed"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
}

#[tokio::test]
async fn one_process_takes_several_invocations_at_once() {
    let watchdog = function().var("MEET", "3").concurrency(3).ready().await;
    let answers = futures::future::join_all((0..3).map(|_| watchdog.get("/meet"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
}
