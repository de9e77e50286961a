//! HTTP/2 at both ends: streams, trailers, and what an instance refuses.

#![allow(clippy::unwrap_used)]

mod support;

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use flint_proxy::{Body, BoxError, REPLAY_BUFFER, Replay, SendError};
use flint_testing::upstream::Upstream;
use http::{HeaderMap, Request, Response, Version, header};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Proxy, pool, text};
use tokio::net::{TcpListener, TcpStream};

/// Echoes bodies as they come, with what it saw in its headers and trailers.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async {
                let answer = Response::builder()
                    .header("x-version", format!("{:?}", request.version()))
                    .header(
                        "x-authority",
                        request.uri().authority().map_or("none", |authority| authority.as_str()),
                    )
                    .header("x-te", request.headers().get("te").map_or("none", |te| te.to_str().unwrap()));
                Ok::<_, Infallible>(answer.body(with_status(request.into_body())).unwrap())
            });
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// The body, and trailers as gRPC has them.
fn with_status(mut body: Incoming) -> BoxBody<Bytes, BoxError> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Frame<Bytes>, BoxError>>(1);
    tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(BoxError::from);
            if frame.as_ref().is_ok_and(Frame::is_trailers) {
                break;
            }
            if sender.send(frame).await.is_err() {
                return;
            }
        }
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        let _gone = sender.send(Ok(Frame::trailers(trailers))).await;
    });
    let frames =
        futures::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    BodyExt::boxed(StreamBody::new(frames))
}

type Sending = http2::SendRequest<BoxBody<Bytes, Infallible>>;

async fn client(address: SocketAddr) -> Sending {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn grpc<B>(address: SocketAddr, body: B) -> Request<B> {
    Request::post(format!("http://{address}/greeter/hello"))
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_grpc_call_passes_with_its_trailers() {
    let proxy = Proxy::to(echo().await);
    let mut client = client(proxy.address).await;
    let body = http_body_util::Full::new(Bytes::from_static(b"ping")).boxed();
    let answer = client.send_request(grpc(proxy.address, body)).await.unwrap();
    assert_eq!(answer.headers()["x-version"], "HTTP/2.0");
    assert_eq!(answer.headers()["x-authority"], proxy.address.to_string());
    assert_eq!(answer.headers()["x-te"], "trailers");
    let collected = answer.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "ping");
}

#[tokio::test]
async fn both_sides_of_a_grpc_stream_talk_in_turns() {
    let proxy = Proxy::to(echo().await);
    let mut client = client(proxy.address).await;
    let (say, said) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures::stream::unfold(said, |mut said| async {
        Some((Ok::<_, Infallible>(Frame::data(said.recv().await?)), said))
    });
    let answer =
        client.send_request(grpc(proxy.address, BodyExt::boxed(StreamBody::new(frames)))).await.unwrap();
    let mut answer = answer.into_body();
    for word in ["one", "two", "three"] {
        say.send(word.into()).await.unwrap();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), word);
    }
    drop(say);
    assert!(answer.frame().await.unwrap().unwrap().is_trailers());
}

#[tokio::test]
async fn an_ordinary_request_that_came_by_http2_goes_on_by_http1() {
    let upstream = Upstream::start(|_, mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.ok(&request.head).await;
        }
    })
    .await;
    let proxy = Proxy::to(upstream.address());
    let mut client = client(proxy.address).await;
    let request =
        Request::get("http://hello.shop/path?query").body(http_body_util::Empty::new().boxed()).unwrap();
    let seen = text(client.send_request(request).await.unwrap()).await;
    assert!(seen.starts_with("GET /path?query HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("host: hello.shop"), "{seen}");
}

#[tokio::test]
async fn a_drain_lets_streams_finish() {
    let mut proxy = Proxy::to(echo().await);
    let mut client = client(proxy.address).await;
    let (say, said) = tokio::sync::mpsc::channel::<Bytes>(1);
    let frames = futures::stream::unfold(said, |mut said| async {
        Some((Ok::<_, Infallible>(Frame::data(said.recv().await?)), said))
    });
    let answer =
        client.send_request(grpc(proxy.address, BodyExt::boxed(StreamBody::new(frames)))).await.unwrap();
    proxy.shut_down();
    say.send("still here".into()).await.unwrap();
    drop(say);
    let collected = answer.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "still here");
    drop(client);
    proxy.ended().await.unwrap();
}

#[tokio::test(flavor = "local")]
async fn streams_share_a_connection() {
    let endpoint = pool().endpoint(echo().await);
    let send = |word: &'static str| {
        let mut request = grpc(endpoint.address(), Body::full(word));
        request.headers_mut().insert(header::HOST, "hello.shop".parse().unwrap());
        let endpoint = endpoint.clone();
        async move { text(endpoint.send(request).await.unwrap()).await }
    };
    assert_eq!(send("first").await, "first");
    let (one, two) = futures::join!(send("one"), send("two"));
    assert_eq!((one.as_str(), two.as_str()), ("one", "two"));
    assert_eq!(endpoint.stats().connects, 1);
    assert_eq!(endpoint.stats().reused, 2);
}

#[tokio::test(flavor = "local")]
async fn a_stream_that_the_instance_refused_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    });
    let replay = Replay::new(Body::full("an order"), REPLAY_BUFFER);
    let request = grpc(address, replay.attempt());
    let error = pool().endpoint(address).send(request).await.unwrap_err();
    assert!(matches!(error, SendError::NoAnswer { refused: true, .. }), "{error:?}");
    assert!(replay.intact());
    assert!(!replay.attempt().is_end_stream());
}
