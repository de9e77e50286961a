//! Our own connections to an instance, which serve requests that are here whole.

#![allow(clippy::unwrap_used)]

mod support;

use flint_proxy::{Body, REPLAY_BUFFER, Replay, SendError};
use flint_testing::upstream::Upstream;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use support::{get, pool, post, text};

/// Answers every request with these bytes.
async fn saying(answer: &'static str) -> Upstream {
    Upstream::start(move |_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.say(answer).await;
        }
    })
    .await
}

#[tokio::test(flavor = "local")]
async fn chunks_and_trailers_pass_and_the_connection_serves_on() {
    let answer =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n4\r\n two\r\n0\r\nx-sum: 7\r\n\r\n";
    let upstream = saying(answer).await;
    let endpoint = pool().endpoint(upstream.address());
    for _ in 0..3 {
        let collected = endpoint.send(get("/")).await.unwrap().into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["x-sum"], "7");
        assert_eq!(collected.to_bytes(), "one two");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test(flavor = "local")]
async fn an_answer_without_a_length_ends_with_its_connection() {
    let upstream = Upstream::start(|_, mut peer| async move {
        peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\n\r\nall of it").await;
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    assert_eq!(text(endpoint.send(get("/")).await.unwrap()).await, "all of it");
    assert_eq!(endpoint.stats().idle, 0);
}

#[tokio::test(flavor = "local")]
async fn the_answer_to_head_has_a_length_and_no_body() {
    let upstream = saying("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
    let endpoint = pool().endpoint(upstream.address());
    for _ in 0..2 {
        let mut request = get("/");
        *request.method_mut() = Method::HEAD;
        let answer = endpoint.send(request).await.unwrap();
        assert_eq!(answer.headers()["content-length"], "1000");
        assert_eq!(text(answer).await, "");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test(flavor = "local")]
async fn informational_answers_are_passed_over() {
    let upstream = saying(
        "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let answer = pool().endpoint(upstream.address()).send(get("/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    assert!(!answer.headers().contains_key("link"));
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_says_more_than_was_asked_is_not_used_again() {
    let upstream = saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n").await;
    let endpoint = pool().endpoint(upstream.address());
    for _ in 0..2 {
        assert_eq!(text(endpoint.send(get("/")).await.unwrap()).await, "ok");
    }
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test(flavor = "local")]
async fn another_protocol_that_nobody_asked_for_is_no_answer() {
    let upstream =
        saying("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await;
    let error = pool().endpoint(upstream.address()).send(get("/")).await.unwrap_err();
    assert!(matches!(error, SendError::BadAnswer(_)), "{error:?}");
}

#[tokio::test(flavor = "local")]
async fn a_body_that_no_socket_takes_at_once_arrives_whole() {
    const LONG: usize = 16 * 1024 * 1024;
    let upstream = Upstream::start(|_, mut peer| async move {
        peer.head().await.unwrap();
        let body = peer.bytes(LONG).await.unwrap();
        peer.ok(&body.iter().filter(|byte| **byte == b'x').count().to_string()).await;
    })
    .await;
    let answer = pool().endpoint(upstream.address()).send(post(Body::full("x".repeat(LONG)))).await.unwrap();
    assert_eq!(text(answer).await, LONG.to_string());
}

#[tokio::test(flavor = "local")]
async fn a_request_is_lent_once_a_connection_is_idle_and_takes_fields_along() {
    let upstream = Upstream::start(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.ok(&format!("{}{}", request.head, String::from_utf8_lossy(&request.body))).await;
        }
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    let (parts, ()) =
        Request::put("/function/hello/path?q").header("host", "x").body(()).unwrap().into_parts();
    let value = HeaderValue::from_static("1");
    let body = Replay::new(Body::full("order"), REPLAY_BUFFER);
    body.look_ahead();
    assert!(endpoint.lend(&parts, "/path?q", &[("x-added", &value)], &body).is_none());
    endpoint.warm().await.unwrap();
    for _ in 0..2 {
        let sending = endpoint.lend(&parts, "/path?q", &[("x-added", &value)], &body).unwrap();
        let seen = text(sending.await.unwrap()).await;
        assert!(
            seen.starts_with("PUT /path?q HTTP/1.1\r\nhost: x\r\nx-added: 1\r\ncontent-length: 5"),
            "{seen}"
        );
        assert!(seen.ends_with("order"), "{seen}");
    }
    assert_eq!(upstream.connections(), 1);
}
