//! Home: where instances announce themselves and fetch their packages, over plain HTTP.
//!
//! Whoever calls here runs a user's code. So the number of connections is bounded, in all and for each address; a head
//! and a body must arrive soon; an announcement is believed only when its signature, its sender's address and the
//! operator's own watch of pods agree; and a package is given to whoever knows its digest, which says what is in it.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use flint_core::wire;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

mod announce;
mod packages;

pub(crate) use packages::{PackageSource, Packages};

use crate::{control::Control, stores::Stores};

/// What home needs to answer.
pub(crate) struct Home {
    /// The key from which the functions' keys are derived.
    master: Vec<u8>,
    stores: Stores,
    control: Arc<Control>,
    packages: Packages,
    leader: watch::Receiver<bool>,
    sources: Mutex<HashMap<IpAddr, usize>>,
}

type Answer = Response<Full<Bytes>>;

/// An announcement has about 300 bytes; names of the longest kind make it 1200.
const BODY_LIMIT: usize = 4 << 10;
/// Connections at a time: a few hundred instances may start at once.
const CONNECTIONS: usize = 512;
/// Connections of one address at a time: an instance needs one, and one more for its package.
const CONNECTIONS_PER_SOURCE: usize = 8;
/// A head, and then a body, must arrive in this time.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// A connection ends after this long, whatever it does: a package is a MiB.
const CONNECTION_LIMIT: Duration = Duration::from_secs(60);

// === impl Home ===

impl Home {
    /// A home over this state.
    pub(crate) fn new(
        master: Vec<u8>,
        stores: Stores,
        control: Arc<Control>,
        packages: Packages,
        leader: watch::Receiver<bool>,
    ) -> Self {
        Self { master, stores, control, packages, leader, sources: Mutex::default() }
    }

    async fn answer(&self, source: SocketAddr, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        match (request.method(), path, path.strip_prefix("/packages/")) {
            (&Method::POST, "/announce", _) => self.announce(source.ip(), request).await,
            (&Method::GET, _, Some(digest)) => self.packages.answer(digest, request.headers()).await,
            (_, "/announce", _) | (_, _, Some(_)) => {
                refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "no such method here")
            }
            _ => refusal(StatusCode::NOT_FOUND, "not_found", "there is nothing here"),
        }
    }

    async fn announce(&self, source: IpAddr, request: Request<Incoming>) -> Answer {
        if !*self.leader.borrow() {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, "not_leader", "another operator leads");
        }
        let (head, body) = request.into_parts();
        let signature = head
            .headers
            .get(wire::SIGNATURE_HEADER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let body = match tokio::time::timeout(READ_LIMIT, Limited::new(body, BODY_LIMIT).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) => {
                return refusal(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "request_too_large",
                    "no announcement is as long",
                );
            }
            Err(_) => {
                return refusal(StatusCode::REQUEST_TIMEOUT, "timeout", "the announcement did not arrive");
            }
        };
        match announce::verify(&self.master, &self.stores, source, signature, &body) {
            Ok(announcement) => {
                tracing::debug!(
                    pod = announcement.pod,
                    init_ms = announcement.init_ms,
                    "an instance called home"
                );
                self.control.announce(announcement);
                let mut answer = Response::default();
                *answer.status_mut() = StatusCode::NO_CONTENT;
                answer
            }
            Err(refused) => {
                tracing::warn!(%source, reason = refused.reason(), "an announcement was refused");
                self.control.metrics.announcement_refused(refused.reason());
                refusal(refused.status(), refused.reason(), &refused.to_string())
            }
        }
    }

    /// Counts a connection of an address; false when it has too many.
    fn enter(&self, source: IpAddr) -> bool {
        let mut sources = self.sources.lock();
        let connections = sources.entry(source).or_default();
        *connections += 1;
        if *connections > CONNECTIONS_PER_SOURCE {
            *connections -= 1;
            return false;
        }
        true
    }

    fn leave(&self, source: IpAddr) {
        let mut sources = self.sources.lock();
        if let Some(connections) = sources.get_mut(&source) {
            *connections -= 1;
            if *connections == 0 {
                sources.remove(&source);
            }
        }
    }
}

/// Binds the port, so that a wrong address ends the program before anything else starts.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Serves instances until `shutdown`.
pub(crate) async fn serve(listener: TcpListener, home: Arc<Home>, shutdown: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        // Waits for room first: what cannot be served yet stays in the kernel's queue. Closed by nobody.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, source)) => {
                let home = Arc::clone(&home);
                connections.spawn(async move {
                    let source = SocketAddr::new(source.ip().to_canonical(), source.port());
                    if home.enter(source.ip()) {
                        connection(&home, stream, source).await;
                        home.leave(source.ip());
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: some come back.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(home: &Home, stream: TcpStream, source: SocketAddr) {
    let service = service_fn(async |request| Ok::<_, Infallible>(home.answer(source, request).await));
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_LIMIT)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_LIMIT, serve).await {
        Ok(Err(error)) => tracing::debug!(%source, %error, "a connection ended badly"),
        Ok(Ok(())) | Err(_) => {}
    }
}

/// A refusal in the contract's JSON.
fn refusal(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({"error": {"code": code, "message": message}}).to_string();
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

#[cfg(test)]
mod tests;
