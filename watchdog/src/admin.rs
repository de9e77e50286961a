//! The admin port: `/healthz`, `/readyz`, `/metrics`, `/drained` and `/beside` for the container beside us, and claims.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use flint_core::pool::CLAIM_PATH;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::answer::Answer;
use crate::instance::{Health, Instance};
use crate::pool::Desk;

/// Probes and scrapers come often or open a new connection.
const IDLE: Duration = Duration::from_secs(120);
/// How often a container that waits to end looks whether it may: far below what anybody notices at a pod's end.
const DRAINED_LOOK: Duration = Duration::from_millis(50);

/// What the port speaks of: an instance, or a pod that waits to become one.
pub(crate) struct Admin {
    desk: Option<Desk>,
    loaded: AtomicBool,
    instance: OnceLock<Arc<Instance>>,
}

/// Serves the admin port, for ever.
pub(crate) async fn serve(admin: Arc<Admin>, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let admin = admin.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let admin = admin.clone();
                async move { Ok::<_, Infallible>(admin.answer(request).await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(IDLE);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

// === impl Admin ===

impl Admin {
    /// Of an instance.
    pub(crate) fn of(instance: Arc<Instance>) -> Self {
        Self { desk: None, loaded: AtomicBool::new(true), instance: OnceLock::from(instance) }
    }

    /// Of a pod that waits for a claim, once it has loaded.
    pub(crate) fn waiting(desk: Desk) -> Self {
        Self { desk: Some(desk), loaded: AtomicBool::new(false), instance: OnceLock::new() }
    }

    /// It has loaded: a claim finds everything up.
    pub(crate) fn loaded(&self) {
        self.loaded.store(true, Ordering::Relaxed);
    }

    /// It has been claimed.
    pub(crate) fn claimed(&self, instance: Arc<Instance>) {
        // There is one claim only.
        let _ = self.instance.set(instance);
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        if request.uri().path() == CLAIM_PATH {
            return match &self.desk {
                Some(desk) => desk.claim(request).await,
                None => Desk::none(),
            };
        }
        match self.instance.get() {
            Some(instance) => answer(instance, &request).await,
            None => self.waiting_answer(request.uri().path()),
        }
    }

    fn waiting_answer(&self, path: &str) -> Response<Answer> {
        let loaded = self.loaded.load(Ordering::Relaxed);
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" if loaded => text(StatusCode::OK, "waiting for a claim\n".to_owned()),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "the pool's process is loading\n".to_owned()),
            // What metrics there are belongs to functions.
            "/metrics" => text(StatusCode::OK, String::new()),
            _ => text(StatusCode::NOT_FOUND, "there are /healthz, /readyz and /claim here\n".to_owned()),
        }
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
        "/beside" => match instance.beside.asked() {
            true => text(StatusCode::OK, "it may live\n".to_owned()),
            false => {
                text(StatusCode::SERVICE_UNAVAILABLE, "its invocation overran its deadline\n".to_owned())
            }
        },
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
            "there are /healthz, /readyz, /metrics, /drained and /beside here\n".to_owned(),
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
