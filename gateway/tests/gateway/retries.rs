//! The retry table, row by row.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use flint_gateway::index::Event;
use flint_testing::upstream::{Peer, Upstream};

use crate::support::{Running, function, get, header, pod, post};

const BUSY: &str =
    "HTTP/1.1 429 Too Many Requests\r\nx-flint-error: too_many_requests\r\ncontent-length: 2\r\n\r\n{}";
const DRAINING: &str = "HTTP/1.1 503 Service Unavailable\r\nx-flint-error: draining\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";

/// Instances that misbehave on the first request that any of them gets, and answer all others with the head they saw.
async fn first_time<F>(misbehave: impl Fn(Peer) -> F + Send + Sync + Copy + 'static) -> [Upstream; 2]
where
    F: Future<Output = ()> + Send + 'static,
{
    let requests = Arc::new(AtomicUsize::new(0));
    let instance = async || {
        let requests = Arc::clone(&requests);
        Upstream::start(move |_, mut peer| {
            let requests = Arc::clone(&requests);
            async move {
                while let Some(request) = peer.request().await {
                    if requests.fetch_add(1, Ordering::SeqCst) == 0 {
                        return misbehave(peer).await;
                    }
                    let body = String::from_utf8_lossy(&request.body);
                    peer.ok(&format!("{}\n\n{body}", request.head.replace('\r', ""))).await;
                }
            }
        })
        .await
    };
    [instance().await, instance().await]
}

async fn refuse(mut peer: Peer, with: &'static str) {
    peer.say(with).await;
    peer.closed().await;
}

async fn gateway(instances: &[Upstream]) -> Running {
    let addresses: Vec<_> = instances.iter().map(Upstream::address).collect();
    Running::with(function("hello"), &addresses).await
}

#[tokio::test]
async fn what_was_refused_goes_elsewhere_whatever_its_method() {
    for refusal in [BUSY, DRAINING] {
        let instances = first_time(move |peer| refuse(peer, refusal)).await;
        let gateway = gateway(&instances).await;
        let own = "x-own: one\r\nx-own: two\r\n";
        let answer = gateway.ask(&post("/function/hello/a?b", own, "the body")).await;
        assert_eq!(answer.status, 200, "{refusal}");
        assert_eq!(header(&answer.body, "x-flint-attempt"), Some("2"));
        assert!(answer.body.starts_with("POST /a?b HTTP/1.1\n"), "{}", answer.body);
        assert!(answer.body.contains("\nx-own: one\nx-own: two\n"), "{}", answer.body);
        assert!(answer.body.ends_with("\n\nthe body"));
    }
}

#[tokio::test]
async fn the_only_instance_is_asked_again_after_a_rest() {
    let requests = Arc::new(AtomicUsize::new(0));
    let only = Upstream::start(move |_, mut peer| {
        let requests = Arc::clone(&requests);
        async move {
            while peer.request().await.is_some() {
                if requests.fetch_add(1, Ordering::SeqCst) < 3 {
                    peer.say(BUSY).await;
                } else {
                    peer.ok("at last").await;
                }
            }
        }
    })
    .await;
    let gateway = gateway(std::slice::from_ref(&only)).await;
    let answer = gateway.ask(&post("/function/hello", "", "")).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "at last"));
    assert_eq!(only.connections(), 1, "a refusal costs no connection");
}

#[tokio::test]
async fn an_instance_that_nobody_reaches_is_passed_by() {
    let hello = Upstream::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.ok("reached").await;
        }
    })
    .await;
    let gateway = Running::with(function("hello"), &[Upstream::nobody().await]).await;
    let request = post("/function/hello", "", "the body");
    let asking = gateway.ask(&request);
    let starting = async {
        gateway.metrics_show("flint_gateway_queue_length{namespace=\"default\",function=\"hello\"} 1").await;
        gateway.tell(Event::Pod(pod("hello", "new", hello.address()))).await;
    };
    let (answer, ()) = tokio::join!(asking, starting);
    assert_eq!((answer.status, answer.body.as_str()), (200, "reached"));
}

#[tokio::test]
async fn what_was_cut_off_is_repeated_once_if_that_is_safe() {
    for request in [get("/function/hello"), post("/function/hello", "idempotency-key: 7\r\n", "the body")] {
        let instances = first_time(|peer| async move { drop(peer) }).await;
        let gateway = gateway(&instances).await;
        let answer = gateway.ask(&request).await;
        assert_eq!(answer.status, 200, "{request}");
        assert_eq!(header(&answer.body, "x-flint-attempt"), Some("2"));
    }
}

#[tokio::test]
async fn what_was_cut_off_and_is_not_safe_to_repeat_fails() {
    let instances = first_time(|peer| async move { drop(peer) }).await;
    let gateway = gateway(&instances).await;
    let answer = gateway.ask(&post("/function/hello", "", "the body")).await;
    assert_eq!((answer.status, answer.header("x-flint-error")), (502, Some("function_failed")));
}

#[tokio::test]
async fn what_is_cut_off_every_time_fails_after_the_second() {
    let requests = Arc::new(AtomicUsize::new(0));
    let cutting = {
        let requests = Arc::clone(&requests);
        Upstream::start(move |_, mut peer| {
            let requests = Arc::clone(&requests);
            async move {
                if peer.request().await.is_some() {
                    requests.fetch_add(1, Ordering::SeqCst);
                }
            }
        })
        .await
    };
    let gateway = gateway(std::slice::from_ref(&cutting)).await;
    assert_eq!(gateway.get("/function/hello").await.status, 502);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_that_is_none_fails() {
    let instances = first_time(|peer| refuse(peer, "nonsense\r\n\r\n")).await;
    let gateway = gateway(&instances).await;
    let answer = gateway.get("/function/hello").await;
    assert_eq!((answer.status, answer.header("x-flint-error")), (502, Some("function_failed")));
}

#[tokio::test]
async fn a_long_body_is_held_back_until_it_is_wanted_and_so_can_go_elsewhere() {
    let long = "x".repeat(200_000);
    let requests = Arc::new(AtomicUsize::new(0));
    let instance = async || {
        let requests = Arc::clone(&requests);
        Upstream::start(move |_, mut peer| {
            let requests = Arc::clone(&requests);
            async move {
                while let Some(head) = peer.head().await {
                    assert_eq!(header(&head, "expect"), Some("100-continue"));
                    if requests.fetch_add(1, Ordering::SeqCst) == 0 {
                        return refuse(peer, BUSY).await;
                    }
                    peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
                    let body = peer.bytes(200_000).await.expect("the whole body");
                    peer.ok(&body.len().to_string()).await;
                }
            }
        })
        .await
    };
    let instances = [instance().await, instance().await];
    let gateway = gateway(&instances).await;
    let answer = gateway.ask(&post("/function/hello", "", &long)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "200000"));
}
