//! Requests that wait: for a first instance, for room, and in vain.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use flint_gateway::{
    app::Config,
    function::{Key, Seen},
    index::Event,
};
use flint_testing::upstream::Upstream;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Answer, Running, answer, config, function, get, pod, post};

async fn hello() -> Upstream {
    Upstream::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.ok("hello").await;
        }
    })
    .await
}

fn queue(length: usize) -> String {
    format!("flint_gateway_queue_length{{namespace=\"default\",function=\"hello\"}} {length}")
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.header("x-flint-error")), (status, Some(code)), "{}", answer.body);
}

#[tokio::test]
async fn requests_at_zero_wait_for_the_instance_and_are_all_answered() {
    let hello = hello().await;
    let gateway = Running::with(Seen { concurrency: 10, ..function("hello") }, &[]).await;
    let asking = join_all((0..50).map(|_| gateway.get("/function/hello")));
    let starting = async {
        gateway.metrics_show(&queue(50)).await;
        gateway.tell(Event::Pod(pod("hello", "hello-1", hello.address()))).await;
    };
    let (answers, ()) = tokio::join!(asking, starting);
    assert!(answers.iter().all(|answer| answer.status == 200));
    let cold = "flint_gateway_cold_start_seconds_count{namespace=\"default\",function=\"hello\",phase=\"answer\",from=\"pod\"} 50";
    gateway.metrics_show(cold).await;
    gateway.metrics_show(&queue(0)).await;
}

#[tokio::test]
async fn who_comes_before_the_gateway_knows_its_functions_waits_and_is_answered() {
    let hello = hello().await;
    let gateway = Running::begin().await;
    let mut early = gateway.connect().await;
    early.say(&get("/function/hello")).await;
    // The admin port answers by now, so the gateway runs: and it has not refused the early one.
    gateway.metrics_show("flint_gateway_functions 0").await;
    gateway.tell(Event::Function(function("hello"))).await;
    gateway.tell(Event::Pod(pod("hello", "hello-1", hello.address()))).await;
    gateway.tell(Event::Complete).await;
    assert_eq!(answer(&mut early).await.status, 200);
}

#[tokio::test]
async fn a_gateway_that_never_learned_its_functions_ends_when_it_is_told_to() {
    Running::begin().await.ended().await;
}

#[tokio::test]
async fn the_limit_of_an_instance_holds_over_all_workers() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let busy = Upstream::start({
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        move |_, mut peer| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            async move {
                while peer.request().await.is_some() {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::SeqCst);
                    peer.ok("done").await;
                }
            }
        }
    })
    .await;
    let gateway = Running::with(Seen { concurrency: 2, ..function("hello") }, &[busy.address()]).await;
    let answers = join_all((0..60).map(|_| gateway.get("/function/hello"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert!(most.load(Ordering::SeqCst) <= 2);
}

#[tokio::test]
async fn without_an_instance_in_time_the_client_is_told() {
    let mut config = config();
    config.settings.start_timeout = Duration::from_millis(50);
    let gateway = Running::start_as(config).await.knowing(function("hello"), &[]).await;
    refused(&gateway.get("/function/hello").await, 504, "start_timeout");
    gateway.metrics_show(&queue(0)).await;
}

#[tokio::test]
async fn a_start_that_cannot_succeed_is_told_at_once_with_its_reason() {
    let gateway = Running::with(function("hello"), &[]).await;
    let waiting = gateway.get("/function/hello");
    let failing = async {
        gateway.metrics_show(&queue(1)).await;
        gateway.blocked("hello").await;
    };
    let (answer, ()) = tokio::join!(waiting, failing);
    refused(&answer, 503, "not_startable");
    assert!(answer.body.contains("ImagePullFailed: no such image"), "{}", answer.body);
    refused(&gateway.get("/function/hello").await, 503, "not_startable");
}

#[tokio::test]
async fn a_full_line_refuses_and_says_when_to_come_again() {
    let gateway =
        Running::start_as(Config { queue_length: 2, ..config() }).await.knowing(function("hello"), &[]).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut peer = gateway.connect().await;
        peer.say(&get("/function/hello")).await;
        waiting.push(peer);
    }
    gateway.metrics_show(&queue(2)).await;
    let answer = gateway.get("/function/hello").await;
    refused(&answer, 429, "too_many_requests");
    assert_eq!(answer.header("retry-after"), Some("1"));

    // Who goes makes room.
    drop(waiting.pop());
    gateway.metrics_show(&queue(1)).await;
    let mut late = gateway.connect().await;
    late.say(&get("/function/hello")).await;
    gateway.metrics_show(&queue(2)).await;
    let hello = hello().await;
    gateway.tell(Event::Pod(pod("hello", "hello-1", hello.address()))).await;
    assert_eq!(answer_of(waiting.remove(0)).await, 200);
    assert_eq!(answer_of(late).await, 200);
}

async fn answer_of(mut peer: flint_testing::upstream::Peer) -> u16 {
    answer(&mut peer).await.status
}

#[tokio::test]
async fn a_function_that_is_deleted_lets_nobody_wait() {
    let gateway = Running::with(function("hello"), &[]).await;
    let waiting = gateway.get("/function/hello");
    let deleting = async {
        gateway.metrics_show(&queue(1)).await;
        gateway.tell(Event::FunctionGone(Key::new("default", "hello"))).await;
    };
    let (answer, ()) = tokio::join!(waiting, deleting);
    refused(&answer, 404, "function_not_found");
    gateway.metrics_show("flint_gateway_functions 0").await;
}

#[tokio::test]
async fn a_function_that_is_deleted_meanwhile_finishes_its_answer() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let slow = Upstream::start(move |_, mut peer| {
        let mut gone = gone.clone();
        async move {
            if peer.request().await.is_some() {
                let _ = gone.wait_for(|gone| *gone).await;
                peer.ok("late but whole").await;
            }
        }
    })
    .await;
    let gateway = Running::with(function("hello"), &[slow.address()]).await;
    let asking = gateway.get("/function/hello");
    let deleting = async {
        gateway
            .metrics_show("flint_gateway_in_flight_requests{namespace=\"default\",function=\"hello\"} 1")
            .await;
        gateway.tell(Event::PodGone(pod("hello", "hello-0", slow.address()).name)).await;
        gateway.tell(Event::FunctionGone(Key::new("default", "hello"))).await;
        gateway.metrics_show("flint_gateway_functions 0").await;
        go.send_replace(true);
    };
    let (answer, ()) = tokio::join!(asking, deleting);
    assert_eq!((answer.status, answer.body.as_str()), (200, "late but whole"));
}

#[tokio::test]
async fn a_function_that_does_not_answer_in_time_is_a_timeout() {
    let silent = Upstream::start(|_, peer| peer.silence()).await;
    let slow = Seen { timeout: Duration::from_millis(50), ..function("hello") };
    let gateway = Running::with(slow, &[silent.address()]).await;
    refused(&gateway.get("/function/hello").await, 504, "timeout");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_its_length_or_when_it_gets_there() {
    let reader = Upstream::start(|_, mut peer| async move {
        while peer.head().await.is_some() {
            let _ = peer.until("0\r\n\r\n").await;
            peer.ok("read").await;
        }
    })
    .await;
    let lambda = Seen { mode: flint_api::Mode::Lambda, ..function("hello") };
    let gateway = Running::with(lambda, &[reader.address()]).await;
    let long = "x".repeat(1025);
    refused(&gateway.ask(&post("/function/hello", "", &long)).await, 413, "request_too_large");
    let chunked = format!(
        "POST /function/hello HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n401\r\n{long}\r\n0\r\n\r\n"
    );
    refused(&gateway.ask(&chunked).await, 413, "request_too_large");
}

#[tokio::test]
async fn a_huge_body_for_a_function_at_zero_waits_at_the_client_and_arrives_whole() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: usize = 100;
    let counting = Upstream::start(|_, mut peer| async move {
        let _ = peer.head().await;
        peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        let mut whole = 0;
        while whole < CHUNKS && peer.bytes(CHUNK).await.is_some() {
            whole += 1;
        }
        peer.ok(&whole.to_string()).await;
    })
    .await;
    let gateway = Running::with(function("hello"), &[]).await;
    let (mut reading, mut writing) =
        tokio::net::TcpStream::connect(gateway.address).await.unwrap().into_split();
    let sent = Arc::new(AtomicUsize::new(0));
    let sending = tokio::spawn({
        let sent = Arc::clone(&sent);
        async move {
            let length = CHUNK * CHUNKS;
            let head = format!(
                "PUT /function/hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            writing.write_all(head.as_bytes()).await.unwrap();
            let chunk = vec![b'x'; CHUNK];
            for _ in 0..CHUNKS {
                writing.write_all(&chunk).await.unwrap();
                sent.fetch_add(1, Ordering::SeqCst);
            }
            // Dropped, it would say that the client has gone.
            writing
        }
    });
    // Turns enough for a gateway that would take it all.
    for _ in 0..50 {
        gateway.metrics_show(&queue(1)).await;
    }
    // The kernel's buffers hold some.
    assert!(sent.load(Ordering::SeqCst) < CHUNKS / 2, "{} MiB were taken", sent.load(Ordering::SeqCst));
    gateway.tell(Event::Pod(pod("hello", "hello-1", counting.address()))).await;
    let _writing = sending.await.unwrap();
    let mut answer = String::new();
    reading.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(&CHUNKS.to_string()), "{answer}");
}
