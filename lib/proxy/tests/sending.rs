//! An endpoint against instances that do what real ones do only sometimes.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use flint_proxy::{Body, NotSentReason, PoolConfig, REPLAY_BUFFER, Replay, SendError};
use flint_testing::upstream::{Peer, Upstream};
use http::{StatusCode, header};
use http_body_util::BodyExt;
use support::{get, pool, pool_with, post, text, until};

/// Answers every request with its path.
async fn polite() -> Upstream {
    Upstream::start(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            let path = request.head.split(' ').nth(1).unwrap().to_owned();
            peer.ok(&path).await;
        }
    })
    .await
}

#[tokio::test(flavor = "local")]
async fn a_kept_connection_serves_the_next_request() {
    let upstream = polite().await;
    let endpoint = pool().endpoint(upstream.address());
    assert_eq!(text(endpoint.send(get("/one")).await.unwrap()).await, "/one");
    assert_eq!(text(endpoint.send(get("/two")).await.unwrap()).await, "/two");
    assert_eq!(upstream.connections(), 1);
    assert_eq!(endpoint.stats().reused, 1);
}

#[tokio::test(flavor = "local")]
async fn requests_at_once_have_a_connection_each_and_the_last_one_used_is_taken_first() {
    let upstream = polite().await;
    let endpoint = pool().endpoint(upstream.address());
    let (one, two) = futures::join!(endpoint.send(get("/one")), endpoint.send(get("/two")));
    assert_eq!(endpoint.stats().connects, 2);
    drop((text(one.unwrap()).await, text(two.unwrap()).await));
    for _ in 0..5 {
        text(endpoint.send(get("/again")).await.unwrap()).await;
    }
    assert_eq!(endpoint.stats().connects, 2);
    assert_eq!(endpoint.stats().idle, 2);
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_the_instance_closed_while_idle_is_not_used() {
    let upstream = Upstream::start(|connection, mut peer| async move {
        peer.request().await;
        peer.ok(&format!("connection {connection}")).await;
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    assert_eq!(text(endpoint.send(get("/")).await.unwrap()).await, "connection 0");
    until(|| endpoint.stats().open == 0).await;
    assert_eq!(text(endpoint.send(get("/")).await.unwrap()).await, "connection 1");
}

#[tokio::test(flavor = "local")]
async fn connection_close_is_obeyed() {
    let upstream = Upstream::start(|connection, mut peer| async move {
        peer.request().await;
        peer.say(&format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\n{connection}"))
            .await;
        peer.closed().await;
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    assert_eq!(text(endpoint.send(get("/")).await.unwrap()).await, "0");
    assert_eq!(text(endpoint.send(get("/")).await.unwrap()).await, "1");
}

#[tokio::test(flavor = "local")]
async fn a_refused_connection_gives_the_request_back_as_it_was() {
    let refusing = pool().endpoint(Upstream::nobody().await);
    let error = refusing.send(post(Body::full("order"))).await.unwrap_err();
    let SendError::NotSent(back) = error else { panic!("{error:?}") };
    assert!(matches!(back.reason, NotSentReason::Connect(_)), "{:?}", back.reason);

    let upstream = Upstream::start(|_, mut peer| async move {
        let request = peer.request().await.unwrap();
        peer.ok(std::str::from_utf8(&request.body).unwrap()).await;
    })
    .await;
    let answer = pool().endpoint(upstream.address()).send(back.request.unwrap()).await.unwrap();
    assert_eq!(text(answer).await, "order");
}

#[tokio::test(flavor = "local")]
async fn a_connection_reset_before_the_answer_is_told_as_such() {
    let upstream = Upstream::start(|_, mut peer| async move {
        peer.request().await;
        peer.reset();
    })
    .await;
    let error = pool().endpoint(upstream.address()).send(get("/")).await.unwrap_err();
    assert!(matches!(error, SendError::NoAnswer { reused: false, refused: false, .. }), "{error:?}");
}

#[tokio::test(flavor = "local")]
async fn a_kept_connection_that_ends_as_the_request_is_on_its_way_is_told_as_reused() {
    let upstream = Upstream::start(|_, mut peer| async move {
        peer.request().await;
        peer.ok("first").await;
        peer.request().await;
        peer.reset();
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    text(endpoint.send(get("/")).await.unwrap()).await;
    let error = endpoint.send(get("/")).await.unwrap_err();
    assert!(matches!(error, SendError::NoAnswer { reused: true, .. }), "{error:?}");
}

#[tokio::test(flavor = "local")]
async fn an_answer_that_broke_off_within_its_head_is_told_from_none() {
    for beginning in ["HTTP/1.1 2", "HTTP/1.1 200 OK\r\ncontent-le", "this is not HTTP\r\n\r\n"] {
        let upstream = Upstream::start(move |_, mut peer| async move {
            peer.request().await;
            peer.say(beginning).await;
        })
        .await;
        let error = pool().endpoint(upstream.address()).send(get("/")).await.unwrap_err();
        assert!(matches!(error, SendError::BadAnswer(_)), "{beginning:?}: {error:?}");
    }
}

#[tokio::test(flavor = "local")]
async fn an_answer_that_broke_off_within_its_body_fails_there_and_the_connection_is_not_kept() {
    let upstream = Upstream::start(|_, mut peer| async move {
        peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await;
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    let answer = endpoint.send(get("/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.into_body().collect().await.is_err());
    assert_eq!(endpoint.stats().idle, 0);
}

#[tokio::test(flavor = "local")]
async fn an_answer_that_nobody_reads_ends_its_connection() {
    let (closed, mut is_closed) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::start(move |_, mut peer| {
        let closed = closed.clone();
        async move {
            peer.request().await;
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this").await;
            peer.closed().await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    drop(endpoint.send(get("/")).await.unwrap());
    is_closed.recv().await.unwrap();
    assert_eq!(endpoint.stats().idle, 0);
}

#[tokio::test(flavor = "local")]
async fn giving_up_on_an_answer_ends_its_connection() {
    let (closed, mut is_closed) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::start(move |_, mut peer| {
        let closed = closed.clone();
        async move {
            peer.request().await;
            closed.send(()).await.unwrap();
            peer.closed().await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    tokio::select! {
        _ = endpoint.send(get("/")) => panic!("there is no answer"),
        _ = is_closed.recv() => {}
    }
    is_closed.recv().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn a_closed_endpoint_closes_what_is_idle_and_takes_nothing_more() {
    let (closed, mut is_closed) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::start(move |_, mut peer| {
        let closed = closed.clone();
        async move {
            peer.request().await;
            peer.ok("").await;
            peer.closed().await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    text(endpoint.send(get("/")).await.unwrap()).await;
    endpoint.close();
    is_closed.recv().await.unwrap();
    let error = endpoint.send(get("/")).await.unwrap_err();
    assert!(
        matches!(&error, SendError::NotSent(back) if matches!(back.reason, NotSentReason::Closed)),
        "{error:?}"
    );
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_closed_under_a_request_lets_it_finish() {
    let upstream = polite().await;
    let endpoint = pool().endpoint(upstream.address());
    let answer = endpoint.send(get("/slow")).await.unwrap();
    endpoint.close();
    assert_eq!(text(answer).await, "/slow");
    until(|| endpoint.stats().open == 0).await;
}

#[tokio::test(flavor = "local")]
async fn an_endpoint_opens_no_more_connections_than_it_may() {
    let upstream = Upstream::start(|_, peer| peer.silence()).await;
    let endpoint =
        pool_with(PoolConfig { max_open: 1, ..PoolConfig::default() }).endpoint(upstream.address());
    let first = endpoint.send(get("/"));
    let second = async {
        until(|| endpoint.stats().open == 1).await;
        endpoint.send(get("/")).await
    };
    tokio::select! {
        _ = first => panic!("silence is no answer"),
        error = second => {
            let error = error.unwrap_err();
            assert!(matches!(&error, SendError::NotSent(back) if matches!(back.reason, NotSentReason::NoRoom)), "{error:?}");
        }
    }
}

#[tokio::test(flavor = "local")]
async fn an_idle_connection_grows_old_and_goes() {
    let upstream = polite().await;
    let endpoint = pool().endpoint(upstream.address());
    text(endpoint.send(get("/")).await.unwrap()).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(endpoint.stats().idle, 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(endpoint.stats().idle, 0);
}

#[tokio::test(flavor = "local")]
async fn a_warmed_endpoint_has_a_connection_before_the_first_request() {
    let upstream = polite().await;
    let endpoint = pool().endpoint(upstream.address());
    endpoint.warm().await.unwrap();
    text(endpoint.send(get("/")).await.unwrap()).await;
    assert_eq!(upstream.connections(), 1);
}

// --- bodies ---

fn long() -> Body {
    Body::full("x".repeat(REPLAY_BUFFER + 1))
}

#[tokio::test(flavor = "local")]
async fn a_short_body_can_be_sent_again() {
    let breaking = Upstream::start(|_, mut peer| async move {
        assert_eq!(peer.request().await.unwrap().body, b"an order");
        peer.reset();
    })
    .await;
    let working = Upstream::start(|_, mut peer| async move {
        let request = peer.request().await.unwrap();
        assert!(!request.head.contains("expect"));
        peer.ok(std::str::from_utf8(&request.body).unwrap()).await;
    })
    .await;
    let pool = pool();
    let replay = Replay::new(Body::full("an order"), REPLAY_BUFFER);
    let error = pool.endpoint(breaking.address()).send(post(replay.attempt())).await.unwrap_err();
    assert!(matches!(error, SendError::NoAnswer { .. }));
    assert!(replay.intact());
    let answer = pool.endpoint(working.address()).send(post(replay.attempt())).await.unwrap();
    assert_eq!(text(answer).await, "an order");
}

#[tokio::test(flavor = "local")]
async fn a_long_body_is_held_back_and_a_refusal_leaves_it_whole() {
    let (closed, mut is_closed) = tokio::sync::mpsc::channel(1);
    let refusing = Upstream::start(move |_, mut peer| {
        let closed = closed.clone();
        async move {
            let head = peer.head().await.unwrap();
            assert!(head.contains("expect: 100-continue"), "{head}");
            peer.say("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 4\r\n\r\nfull").await;
            peer.closed().await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let working = Upstream::start(|_, mut peer| async move {
        peer.head().await.unwrap();
        peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        let body = peer.bytes(REPLAY_BUFFER + 1).await.unwrap();
        peer.ok(&body.len().to_string()).await;
    })
    .await;
    let pool = pool();
    let replay = Replay::new(long(), REPLAY_BUFFER);
    let refusal = pool.endpoint(refusing.address());
    let answer = refusal.send(post(replay.attempt())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(text(answer).await, "full");
    assert!(replay.intact());
    // The refusing connection still expects a body: it cannot be used again.
    is_closed.recv().await.unwrap();
    assert_eq!(refusal.stats().idle, 0);

    let answer = pool.endpoint(working.address()).send(post(replay.attempt())).await.unwrap();
    assert_eq!(text(answer).await, (REPLAY_BUFFER + 1).to_string());
    assert!(!replay.intact());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_instance_that_never_says_continue_gets_the_body_after_a_while() {
    let upstream = Upstream::start(|_, mut peer| async move {
        peer.request().await.unwrap();
        peer.ok("got it").await;
    })
    .await;
    let endpoint = pool_with(PoolConfig { connect: Duration::from_secs(86_400), ..PoolConfig::default() })
        .endpoint(upstream.address());
    let replay = Replay::new(long(), REPLAY_BUFFER);
    let mut request = post(replay.attempt());
    request.headers_mut().insert(header::CONTENT_LENGTH, (REPLAY_BUFFER + 1).into());
    assert_eq!(text(endpoint.send(request).await.unwrap()).await, "got it");
}

#[tokio::test(flavor = "local")]
async fn an_answer_before_the_end_of_the_body_ends_both() {
    let (closed, mut is_closed) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::start(move |_, mut peer: Peer| {
        let closed = closed.clone();
        async move {
            peer.head().await.unwrap();
            peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            peer.until("beginning").await.unwrap();
            peer.ok("enough").await;
            peer.closed().await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let endpoint = pool().endpoint(upstream.address());
    let frames =
        futures::stream::once(async { Ok::<_, std::io::Error>(http_body::Frame::data("beginning".into())) });
    let endless = futures::StreamExt::chain(frames, futures::stream::pending());
    let replay = Replay::new(Body::boxed(http_body_util::StreamBody::new(Box::pin(endless))), REPLAY_BUFFER);
    let answer = endpoint.send(post(replay.attempt())).await.unwrap();
    assert_eq!(text(answer).await, "enough");
    is_closed.recv().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn a_body_that_fails_is_told_from_an_instance_that_does() {
    let upstream = Upstream::start(|_, peer| peer.closed()).await;
    let endpoint = pool().endpoint(upstream.address());
    let failing = futures::stream::iter([
        Ok(http_body::Frame::data("beginning".into())),
        Err(std::io::Error::other("the client went away")),
    ]);
    let body = Body::boxed(http_body_util::StreamBody::new(failing));
    let error = endpoint.send(post(body)).await.unwrap_err();
    assert!(error.body().is_some(), "{error:?}");
}
