//! The `lambda_runtime` crate, as it is published.

use http::Method;

use crate::support::{Function, Watchdog, request, rust_client};

async fn watchdog() -> Watchdog {
    Function::new("lambda", &[&rust_client()]).ready().await
}

#[tokio::test]
async fn an_event_goes_in_and_the_answer_comes_out() {
    let watchdog = watchdog().await;
    for id in ["rust-1", "rust-2"] {
        let mut request = request(Method::GET, "/", "");
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        let answer = watchdog.send(request).await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, id));
    }
}

#[tokio::test]
async fn an_error_is_a_502_and_the_next_request_works() {
    let watchdog = watchdog().await;
    let (status, _, message) = watchdog.get("/error").await.refusal();
    assert_eq!(status, 502);
    assert!(message.ends_with(": boom"), "{message}");
    assert_eq!(watchdog.get("/").await.status, 200);
}

#[tokio::test]
async fn a_panic_is_a_502_and_the_next_request_works() {
    let watchdog = watchdog().await;
    let (status, _, message) = watchdog.get("/panic").await.refusal();
    assert_eq!(status, 502);
    assert!(message.contains("at the handler"), "{message}");
    assert_eq!(watchdog.get("/").await.status, 200);
}
