//! The admin server: `/healthz`, `/readyz` and `/metrics` on a port of its own.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus::{Registry, TextEncoder, process_collector::ProcessCollector};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Error, Readiness};

/// What the admin server tells.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Every metric of this process.
    pub registry: Registry,
    /// Whether this process is ready.
    pub readiness: Readiness,
}

/// Content type of Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

// === impl Admin ===

impl Admin {
    /// A registry with the process' own metrics in it (memory, CPU time, descriptors), and nothing ready yet.
    ///
    /// # Errors
    /// When the registry refuses the process' collector.
    pub fn new() -> Result<Self, Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self())).map_err(Error::Register)?;
        Ok(Self { registry, readiness: Readiness::default() })
    }

    /// The routes, for a server of one's own.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self))
    }

    /// Binds the port, so that a wrong address ends the program before anything else starts.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
        TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let serve = axum::serve(listener, self.router()).with_graceful_shutdown(shutdown.cancelled_owned());
        if let Err(error) = serve.await {
            tracing::error!(%error, "the admin server ended");
        }
    }
}

async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    let missing = admin.readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))).into_response()
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match TextEncoder::new().encode_to_string(&admin.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get(admin: &Admin, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = admin.clone().router().oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readyz_names_what_is_missing() {
        let admin = Admin::new().unwrap();
        let stores = admin.readiness.part("stores");
        let (status, body) = get(&admin, "/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "not ready: stores\n"));
        stores.ready();
        assert_eq!(get(&admin, "/readyz").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_include_the_process_itself() {
        let admin = Admin::new().unwrap();
        let (status, body) = get(&admin, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(body.contains("process_resident_memory_bytes"), "{body}");
    }

    #[tokio::test]
    async fn healthz_answers_while_nothing_is_ready() {
        let admin = Admin::new().unwrap();
        let _never = admin.readiness.part("never");
        assert_eq!(get(&admin, "/healthz").await.0, StatusCode::OK);
    }
}
