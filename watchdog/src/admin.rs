//! The admin port: `/healthz`, `/readyz`, `/metrics`, and `/drained` for the container beside us.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::answer::Answer;
use crate::instance::{Health, Instance};

/// Probes and scrapers come often or open a new connection.
const IDLE: Duration = Duration::from_secs(120);
/// How often a container that waits to end looks whether it may: far below what anybody notices at a pod's end.
const DRAINED_LOOK: Duration = Duration::from_millis(50);

/// Serves the admin port, for ever.
pub async fn serve(instance: Arc<Instance>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let instance = instance.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let instance = instance.clone();
                async move { Ok::<_, Infallible>(answer(&instance, &request).await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(instance: &Instance, request: &Request<Incoming>) -> Response<Answer> {
    match request.uri().path() {
        // The preStop hook of a container beside us: it must not end before its last request has.
        "/drained" => {
            while !instance.gate.is_drained() {
                tokio::time::sleep(DRAINED_LOOK).await;
            }
            text(StatusCode::OK, "drained\n".to_owned())
        }
        "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
        "/readyz" if instance.gate.is_closing() => {
            text(StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned())
        }
        "/readyz" => match instance.health() {
            Health::Ready(_) => text(StatusCode::OK, "ready\n".to_owned()),
            Health::NotReady(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "/metrics" => text(StatusCode::OK, instance.metrics_page()),
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /healthz, /readyz, /metrics and /drained here\n".to_owned(),
        ),
    }
}

fn text(status: StatusCode, body: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(Bytes::from(body))));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
