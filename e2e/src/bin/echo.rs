//! A container that knows nothing of Flint: HTTP echo, server-sent events, WebSocket, uploads and gRPC on one port.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use flint_e2e::echo::{
    Message,
    echo_server::{Echo, EchoServer},
};
use futures::{SinkExt, StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio_tungstenite::{
    WebSocketStream, tungstenite::handshake::derive_accept_key, tungstenite::protocol::Role,
};
use tonic::{Status, Streaming};

type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

struct Service;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await?;
    println!("listening on {port}");
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service =
                hyper::service::service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
            let builder = auto::Builder::new(TokioExecutor::new());
            if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
                eprintln!("connection: {error}");
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> Response<Body> {
    let grpc = |headers: &HeaderMap| {
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
    };
    if grpc(request.headers()) {
        let service = TowerToHyperService::new(EchoServer::new(Service));
        return match hyper::service::Service::call(&service, request).await {
            Ok(response) => response.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(never) => match never {},
        };
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/events") => events(),
        (&Method::GET, "/websocket") => websocket(request),
        (_, "/count") => count(request).await,
        (_, "/slow") => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            text(StatusCode::OK, "slow")
        }
        (_, "/teapot") => text(StatusCode::IM_A_TEAPOT, "short and stout"),
        _ => {
            let line = format!(
                "{} {} {}",
                request.method(),
                request.uri(),
                request.headers().get("host").map_or("", |host| host.to_str().unwrap_or_default())
            );
            text(StatusCode::OK, &line)
        }
    }
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes())).map_err(Into::into).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Five events, 200 ms apart: a client that gets the first before the last was sent sees that nothing buffers.
fn events() -> Response<Body> {
    let events = stream::iter(0..5).then(|number| async move {
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(Frame::data(Bytes::from(format!("data: {number}\n\n"))))
    });
    let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(events)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/event-stream"));
    response
}

/// Answers with the number of bytes of the body, without keeping them.
async fn count(request: Request<Incoming>) -> Response<Body> {
    let mut body = request.into_body();
    let mut bytes = 0_u64;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Err(error) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }
    text(StatusCode::OK, &bytes.to_string())
}

/// Sends every message back.
fn websocket(mut request: Request<Incoming>) -> Response<Body> {
    let Some(key) =
        request.headers().get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()))
    else {
        return text(StatusCode::BAD_REQUEST, "no WebSocket");
    };
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(&mut request).await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut response = text(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    if let Ok(key) = key.parse() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, key);
    }
    response
}

// === impl Service ===

#[tonic::async_trait]
impl Echo for Service {
    type StreamStream = stream::BoxStream<'static, Result<Message, Status>>;

    async fn once(&self, request: tonic::Request<Message>) -> Result<tonic::Response<Message>, Status> {
        Ok(tonic::Response::new(request.into_inner()))
    }

    async fn stream(
        &self,
        request: tonic::Request<Streaming<Message>>,
    ) -> Result<tonic::Response<Self::StreamStream>, Status> {
        Ok(tonic::Response::new(request.into_inner().boxed()))
    }

    async fn fail(&self, _: tonic::Request<Message>) -> Result<tonic::Response<Message>, Status> {
        Err(Status::failed_precondition("as asked"))
    }
}
