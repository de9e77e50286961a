//! What is more than a request and an answer: streams both ways, tunnels, HTTP/2, gRPC.

use std::time::Duration;

use bytes::Bytes;
use flint_gateway::function::Seen;
use flint_testing::upstream::Upstream;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Body, Frame, Incoming},
    client::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Running, config, function, get};

#[tokio::test]
async fn server_sent_events_arrive_as_they_are_sent() {
    let events = Upstream::start(|_, mut peer| async move {
        let _ = peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        peer.say("9\r\ndata: 1\n\n\r\n").await;
        // The second is sent only once the client has gone or nothing more can come: the first must be there before.
        peer.closed().await;
    })
    .await;
    let gateway = Running::with(function("hello"), &[events.address()]).await;
    let mut client = gateway.connect().await;
    client.say(&get("/function/hello")).await;
    assert!(client.head().await.expect("a head").contains("200 OK"));
    client.until("data: 1\n\n").await.expect("the first event");
    drop(client);
    // The client's end ends the stream and gives the slot back.
    gateway
        .metrics_show("flint_gateway_in_flight_requests{namespace=\"default\",function=\"hello\"} 0")
        .await;
}

#[tokio::test]
async fn an_upload_and_its_echo_stream_at_the_same_time() {
    let echo = Upstream::start(|_, mut peer| async move {
        let _ = peer.head().await;
        peer.say("HTTP/1.1 100 Continue\r\n\r\n").await;
        peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
        while let Some(chunk) = peer.until("\r\n").await {
            let line = peer.until("\r\n").await.unwrap_or_default();
            peer.say(&format!("{chunk}{line}")).await;
            if chunk.starts_with('0') {
                break;
            }
        }
    })
    .await;
    let gateway = Running::with(function("hello"), &[echo.address()]).await;
    let mut client = gateway.connect().await;
    client.say("POST /function/hello HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.say("4\r\nping\r\n").await;
    assert!(client.head().await.expect("a head, before the upload ends").contains("200 OK"));
    client.until("ping").await.expect("the first echo");
    client.say("4\r\npong\r\n0\r\n\r\n").await;
    client.until("pong").await.expect("the second echo");
    client.until("0\r\n\r\n").await.expect("the end");
}

#[tokio::test]
async fn a_websocket_passes_and_holds_its_slot_until_it_closes() {
    let socket = Upstream::start(|_, mut peer| async move {
        let head = peer.head().await.unwrap_or_default().to_ascii_lowercase();
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: websocket"), "{head}");
        peer.say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
        while let Some(line) = peer.until("\n").await {
            peer.say(&format!("echo {line}")).await;
        }
    })
    .await;
    let gateway = Running::with(function("hello"), &[socket.address()]).await;
    let mut client = gateway.connect().await;
    client
        .say("GET /function/hello HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    let head = client.head().await.expect("a head");
    assert!(head.contains("101") && head.contains("x-request-id"), "{head}");
    client.say("one\n").await;
    client.until("echo one\n").await.expect("an echo");
    gateway
        .metrics_show("flint_gateway_in_flight_requests{namespace=\"default\",function=\"hello\"} 1")
        .await;
    drop(client);
    gateway
        .metrics_show("flint_gateway_in_flight_requests{namespace=\"default\",function=\"hello\"} 0")
        .await;
    gateway
        .metrics_show("flint_gateway_requests_total{namespace=\"default\",function=\"hello\",code=\"1xx\"} 1")
        .await;
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_ended() {
    let silent = Upstream::start(|_, mut peer| async move {
        let _ = peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        peer.silence().await;
    })
    .await;
    let mut config = config();
    config.settings.idle_timeout = Duration::from_millis(50);
    let gateway = Running::start_as(config).await.knowing(function("hello"), &[silent.address()]).await;
    let mut client = gateway.connect().await;
    client.say(&get("/function/hello")).await;
    client.until("half").await.expect("the first half");
    assert_eq!(client.bytes(1).await, None, "the connection ends, and with it the answer is known to be cut");
}

async fn http2(
    gateway: &Running,
) -> http2::SendRequest<http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>> {
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served() {
    let hello = Upstream::start(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.ok(request.head.lines().next().unwrap_or_default()).await;
        }
    })
    .await;
    let gateway = Running::with(Seen { concurrency: 0, ..function("hello") }, &[hello.address()]).await;
    let mut client = http2(&gateway).await;
    let asking = (0..20).map(|number| {
        let uri = format!("http://gateway.example.com/function/hello/{number}");
        client.send_request(Request::get(uri).body(Full::default().boxed()).unwrap())
    });
    let answers = futures::future::join_all(asking.collect::<Vec<_>>()).await;
    for (number, answer) in answers.into_iter().enumerate() {
        let body = answer.unwrap().into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("GET /{number} HTTP/1.1"));
    }
}

/// An instance that speaks HTTP/2: it sends back what it gets, message by message, and gRPC's trailers at the end.
async fn grpc_echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                assert_eq!((request.version(), request.uri().path()), (Version::HTTP_2, "/pkg.Echo/Say"));
                assert_eq!(request.headers()["te"], "trailers");
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let body = request.into_body().with_trailers(async move { Some(Ok(trailers)) });
                let response = Response::builder().header("content-type", "application/grpc").body(body);
                Ok::<_, std::convert::Infallible>(response.unwrap())
            });
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

#[tokio::test]
async fn grpc_passes_with_its_streams_and_its_trailers() {
    let gateway = Running::with(function("hello"), &[grpc_echo().await]).await;
    let mut client = http2(&gateway).await;
    let (messages, sent) = tokio::sync::mpsc::channel::<Frame<Bytes>>(4);
    let sent = futures::StreamExt::map(tokio_stream::wrappers::ReceiverStream::new(sent), Ok);
    let request = Request::post("http://hello.default/pkg.Echo/Say")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(StreamBody::new(sent).boxed())
        .unwrap();
    messages.send(Frame::data(Bytes::from_static(b"one"))).await.unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    messages.send(Frame::data(Bytes::from_static(b"two"))).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    drop(messages);
    let trailers = body.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert!(body.is_end_stream());
}
