//! Workers and a whole small proxy, spoken to byte by byte.

#![allow(clippy::unwrap_used)]

mod support;

use std::{net::Ipv4Addr, time::Duration};

use flint_proxy::{End, Limits, Workers, WorkersConfig};
use flint_testing::upstream::{Peer, Upstream};
use support::{BODY_LIMIT, Proxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const GET: &str = "GET /path?query HTTP/1.1\r\nhost: hello.shop\r\n\r\n";

/// Answers with the head that it got, as the body.
async fn mirror() -> Upstream {
    Upstream::start(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.ok(&request.head).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_request_goes_through_with_its_path_and_host_and_comes_back() {
    let upstream = mirror().await;
    let proxy = Proxy::to(upstream.address());
    let mut client = Peer::connect(proxy.address).await;
    for _ in 0..3 {
        client.say(GET).await;
        let answer = client.request().await.unwrap();
        assert!(answer.head.starts_with("HTTP/1.1 200 OK"), "{}", answer.head);
        let seen = String::from_utf8(answer.body).unwrap();
        assert!(seen.starts_with("GET /path?query HTTP/1.1"), "{seen}");
        assert!(seen.contains("host: hello.shop"), "{seen}");
        assert!(seen.contains("x-forwarded-for: 127.0.0.1"), "{seen}");
        assert!(seen.contains("x-forwarded-host: hello.shop"), "{seen}");
        assert!(seen.contains("x-forwarded-proto: http"), "{seen}");
    }
    assert_eq!(upstream.connections(), 1);
    let ends = proxy.ends.lock();
    assert!(
        ends.len() == 3 && ends.iter().all(|(end, bytes)| *end == End::Complete && *bytes > 0),
        "{ends:?}"
    );
}

#[tokio::test]
async fn too_many_headers_and_too_long_ones_are_431() {
    let upstream = mirror().await;
    let proxy = Proxy::with(
        upstream.address(),
        Limits { header_bytes: 16 * 1024, ..Limits::default() },
        Duration::from_secs(30),
    );
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(17 * 1024));
    for fields in [many, long] {
        let mut client = Peer::connect(proxy.address).await;
        client.say(&format!("GET / HTTP/1.1\r\nhost: hello.shop\r\n{fields}\r\n")).await;
        let head = client.head().await.unwrap();
        assert!(head.starts_with("HTTP/1.1 431"), "{head}");
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_told_apart() {
    let upstream = Upstream::start(|_, mut peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        peer.closed().await;
    })
    .await;
    let proxy = Proxy::to(upstream.address());
    let mut client = Peer::connect(proxy.address).await;
    client.say("POST / HTTP/1.1\r\nhost: hello.shop\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    for _ in 0..=BODY_LIMIT / 0x10000 {
        client.say(&chunk).await;
    }
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
}

#[tokio::test]
async fn a_client_in_the_middle_of_a_body_can_read_why_it_is_refused() {
    let upstream = Upstream::start(|_, mut peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        peer.closed().await;
    })
    .await;
    let proxy = Proxy::to(upstream.address());
    let mut client = tokio::net::TcpStream::connect(proxy.address).await.unwrap();
    let (mut reading, mut writing) = client.split();
    let sending = async {
        writing
            .write_all(b"POST / HTTP/1.1\r\nhost: hello.shop\r\ntransfer-encoding: chunked\r\n\r\n")
            .await?;
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        for _ in 0..BODY_LIMIT / 0x10000 * 8 {
            writing.write_all(chunk.as_bytes()).await?;
        }
        writing.shutdown().await
    };
    let mut answer = Vec::new();
    let (sent, read) = futures::join!(sending, reading.read_to_end(&mut answer));
    sent.unwrap();
    read.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_short_chunked_body_reaches_the_instance() {
    let upstream = Upstream::start(|_, mut peer| async move {
        let request = peer.request().await.unwrap();
        if request.head.contains("content-length: 5") {
            peer.ok(std::str::from_utf8(&request.body).unwrap()).await;
        } else {
            peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
            peer.until("0\r\n\r\n").await.unwrap();
            peer.ok("hello").await;
        }
    })
    .await;
    let proxy = Proxy::to(upstream.address());
    let mut client = Peer::connect(proxy.address).await;
    client.say("POST / HTTP/1.1\r\nhost: hello.shop\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    assert_eq!(client.request().await.unwrap().body, b"hello");
}

#[tokio::test]
async fn a_chunked_body_without_chunks_leaves_the_connection_for_the_next_request() {
    let upstream = mirror().await;
    let proxy = Proxy::to(upstream.address());
    let mut client = Peer::connect(proxy.address).await;
    for _ in 0..3 {
        client
            .say("POST / HTTP/1.1\r\nhost: hello.shop\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")
            .await;
        let seen = String::from_utf8(client.request().await.unwrap().body).unwrap();
        assert!(!seen.contains("chunked"), "{seen}");
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_request() {
    let (seen, mut is_seen) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::start(move |_, mut peer| {
        let seen = seen.clone();
        async move {
            peer.request().await;
            seen.send("request").await.unwrap();
            peer.closed().await;
            seen.send("end").await.unwrap();
        }
    })
    .await;
    let proxy = Proxy::to(upstream.address());
    let mut client = Peer::connect(proxy.address).await;
    client.say(GET).await;
    assert_eq!(is_seen.recv().await, Some("request"));
    client.reset();
    assert_eq!(is_seen.recv().await, Some("end"));
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_takes_nothing_new() {
    let (seen, mut is_seen) = tokio::sync::mpsc::channel(1);
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let upstream = Upstream::start({
        let go = std::sync::Arc::clone(&go);
        move |_, mut peer| {
            let (seen, go) = (seen.clone(), std::sync::Arc::clone(&go));
            async move {
                peer.request().await;
                seen.send(()).await.unwrap();
                go.notified().await;
                peer.ok("in time").await;
                peer.closed().await;
            }
        }
    })
    .await;
    let mut proxy = Proxy::to(upstream.address());
    let idle = Peer::connect(proxy.address).await;
    let mut busy = Peer::connect(proxy.address).await;
    busy.say(GET).await;
    is_seen.recv().await.unwrap();

    proxy.shut_down();
    idle.closed().await;
    go.notify_one();
    let answer = busy.request().await.unwrap();
    assert_eq!(answer.body, b"in time");
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    busy.closed().await;
    let address = proxy.address;
    proxy.ended().await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline() {
    let (seen, mut is_seen) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::start(move |_, mut peer| {
        let seen = seen.clone();
        async move {
            peer.request().await;
            seen.send(()).await.unwrap();
            peer.silence().await;
        }
    })
    .await;
    let mut proxy = Proxy::with(upstream.address(), Limits::default(), Duration::ZERO);
    let mut client = Peer::connect(proxy.address).await;
    client.say(GET).await;
    is_seen.recv().await.unwrap();
    proxy.shut_down();
    proxy.ended().await.unwrap();
    client.closed().await;
}

#[tokio::test]
async fn an_upgraded_connection_passes_bytes_both_ways() {
    let upstream = Upstream::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: echo"), "{head}");
        peer.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nwelcome")
            .await;
        let word = peer.until("!").await.unwrap();
        peer.say(&word).await;
    })
    .await;
    let proxy = Proxy::to(upstream.address());
    let mut client = Peer::connect(proxy.address).await;
    client
        .say("GET / HTTP/1.1\r\nhost: hello.shop\r\nconnection: keep-alive, Upgrade\r\nupgrade: echo\r\n\r\n")
        .await;
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("connection: upgrade") && head.contains("upgrade: echo"), "{head}");
    client.until("welcome").await.unwrap();
    client.say("hello!").await;
    assert_eq!(client.until("!").await.unwrap(), "hello!");
    client.closed().await;
}

#[tokio::test]
async fn an_upgrade_to_http2_is_not_passed_on() {
    let upstream = mirror().await;
    let proxy = Proxy::to(upstream.address());
    let mut client = Peer::connect(proxy.address).await;
    client
        .say(
            "GET / HTTP/1.1\r\nhost: hello.shop\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        )
        .await;
    let seen = String::from_utf8(client.request().await.unwrap().body).unwrap();
    assert!(!seen.contains("upgrade") && !seen.contains("http2-settings"), "{seen}");
}

#[tokio::test]
async fn a_port_that_another_program_has_is_refused_loudly() {
    let other = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    assert!(Workers::bind(WorkersConfig::new(other.local_addr().unwrap())).is_err());
    let ours =
        Workers::bind(WorkersConfig { workers: 3, ..WorkersConfig::new((Ipv4Addr::LOCALHOST, 0).into()) })
            .unwrap();
    assert_eq!(ours.count(), 3);
    assert!(Workers::bind(WorkersConfig::new(ours.local_addr())).is_err());
}

/// A proxy whose worker takes two connections.
fn narrow(upstream: &Upstream) -> Proxy {
    let limits = Limits { connections: 2, ..Limits::default() };
    Proxy::with(upstream.address(), limits, Duration::from_secs(30))
}

#[tokio::test]
async fn over_its_limit_a_worker_lets_clients_wait_while_all_others_have_requests_under_way() {
    let upstream = Upstream::start(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            if request.head.starts_with("GET /quick") {
                peer.ok("").await;
            }
        }
    })
    .await;
    let proxy = narrow(&upstream);
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut client = Peer::connect(proxy.address).await;
        client.say("GET /never HTTP/1.1\r\nhost: hello.shop\r\n\r\n").await;
        busy.push(client);
    }
    support::until_async(async || upstream.connections() == 2).await;
    let mut late = Peer::connect(proxy.address).await;
    late.say("GET /quick HTTP/1.1\r\nhost: hello.shop\r\n\r\n").await;
    drop(busy.pop());
    assert!(late.request().await.unwrap().head.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn at_its_limit_a_worker_closes_those_who_say_nothing_for_those_who_come() {
    let upstream = mirror().await;
    let proxy = narrow(&upstream);
    // One after a request, one in the middle of a head that never ends.
    let mut kept = Peer::connect(proxy.address).await;
    kept.say(GET).await;
    kept.request().await.unwrap();
    let mut trickling = Peer::connect(proxy.address).await;
    trickling.say("GET / HTTP/1.1\r\nx-never: ").await;
    // None of them leaves.
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = Peer::connect(proxy.address).await;
        client.say(GET).await;
        assert!(client.request().await.unwrap().head.starts_with("HTTP/1.1 200"));
        clients.push(client);
    }
}
