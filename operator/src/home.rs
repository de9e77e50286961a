//! Home: where instances announce themselves and fetch their packages, and builders bring them, over plain HTTP.
//!
//! Whoever calls here runs a user's code. So the number of connections is bounded, in all and for each address; a head
//! and a body must arrive soon; an announcement is believed only when its signature, its sender's address and the
//! operator's own watch of pods agree; and a package is given to whoever knows its digest, which says what is in it. Packages are
//! served by every replica, the rest by the one that leads.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flint_core::{pool::CLAIMED_PATH, wire};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

mod announce;
mod packages;

use announce::Refused;
pub(crate) use packages::{Content, HERE, PackageSource, Packages, body};

use crate::{
    build::Depot,
    control::Control,
    listen::{Connection, Listener},
    pool::{Recorder, Unrecorded},
    stores::Stores,
};

/// What home needs to answer.
pub(crate) struct Home {
    /// The key from which the functions' keys are derived.
    master: Vec<u8>,
    stores: Stores,
    control: Arc<Control>,
    packages: Packages,
    depot: Depot,
    leader: watch::Receiver<bool>,
    recorder: Option<Recorder>,
}

pub(crate) type Answer = Response<BoxBody<Bytes, io::Error>>;

/// An announcement has about 300 bytes; names of the longest kind make it 1200.
const BODY_LIMIT: usize = 4 << 10;
/// Connections at a time: a few hundred instances may start at once.
const CONNECTIONS: usize = 512;
/// Connections of one address at a time: an instance needs one, and one more for its package.
const CONNECTIONS_PER_SOURCE: usize = 8;
/// A head, and then a body, must arrive in this time.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// A connection ends after this long, whatever it does: time for the largest package over a poor network.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);

// === impl Home ===

impl Home {
    /// A home over this state.
    pub(crate) fn new(
        master: Vec<u8>,
        stores: Stores,
        control: Arc<Control>,
        packages: Packages,
        depot: Depot,
        leader: watch::Receiver<bool>,
    ) -> Self {
        Self { master, stores, control, packages, depot, leader, recorder: None }
    }

    /// Has claims of pods from warm pools put on record.
    pub(crate) fn recording(self, recorder: Recorder) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    async fn answer(&self, source: SocketAddr, request: Request<Incoming>) -> Answer {
        let path = request.uri().path();
        match (request.method(), path, path.strip_prefix("/packages/")) {
            (&Method::POST, "/announce", _) => self.announce(source.ip(), request).await,
            (&Method::POST, CLAIMED_PATH, _) => self.claimed(source.ip(), request).await,
            _ if path.starts_with("/builds/") => self.builder(request).await,
            (&Method::GET, _, Some(digest)) => self.packages.answer(digest, request.headers()).await,
            (_, "/announce" | CLAIMED_PATH, _) | (_, _, Some(_)) => {
                refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "no such method here")
            }
            _ => refusal(StatusCode::NOT_FOUND, "not_found", "there is nothing here"),
        }
    }

    async fn builder(&self, request: Request<Incoming>) -> Answer {
        // What is brought has to be where the next instances ask for it.
        if *self.leader.borrow() {
            self.depot.answer(request).await
        } else {
            refusal(StatusCode::SERVICE_UNAVAILABLE, "not_leader", "another operator leads")
        }
    }

    async fn announce(&self, source: IpAddr, request: Request<Incoming>) -> Answer {
        let (signature, body) = match self.read(request).await {
            Ok(read) => read,
            Err(answer) => return answer,
        };
        let claims = &self.control.claims;
        match announce::verify(&self.master, &self.stores, claims, source, &signature, &body) {
            Ok(announcement) => {
                tracing::debug!(
                    pod = announcement.pod,
                    init_ms = announcement.init_ms,
                    "an instance called home"
                );
                self.control.announce(announcement);
                nothing()
            }
            Err(refused) => {
                if refused == Refused::Unknown {
                    // The watch is a moment behind; the instance calls again.
                    tracing::debug!(%source, "an announcement came before its pod was known");
                } else {
                    tracing::warn!(%source, reason = refused.reason(), "an announcement was refused");
                }
                self.control.metrics.announcement_refused(refused.reason());
                refusal(refused.status(), refused.reason(), &refused.to_string())
            }
        }
    }

    /// A pod from a warm pool says whose it is. The answer comes when that is on record.
    async fn claimed(&self, source: IpAddr, request: Request<Incoming>) -> Answer {
        let (signature, body) = match self.read(request).await {
            Ok(read) => read,
            Err(answer) => return answer,
        };
        let Some(recorder) = &self.recorder else {
            return refusal(StatusCode::NOT_FOUND, "not_found", "there are no warm pools here");
        };
        let Err(error) = recorder.record(source, &signature, &body).await else { return nothing() };
        let status = match &error {
            Unrecorded::Malformed => StatusCode::BAD_REQUEST,
            Unrecorded::Signature | Unrecorded::Foreign => StatusCode::FORBIDDEN,
            // Both may be otherwise in a moment: the pod tries again.
            Unrecorded::Unknown | Unrecorded::Write(_) => StatusCode::CONFLICT,
        };
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::warn!(%source, %error, cause, "a claim is not on record");
        refusal(status, "unrecorded", &error.to_string())
    }

    /// A signature and a small body, where this operator leads.
    async fn read(&self, request: Request<Incoming>) -> Result<(String, Bytes), Answer> {
        if !*self.leader.borrow() {
            return Err(refusal(StatusCode::SERVICE_UNAVAILABLE, "not_leader", "another operator leads"));
        }
        let (head, body) = request.into_parts();
        let signature = head.headers.get(wire::SIGNATURE_HEADER).and_then(|value| value.to_str().ok());
        let signature = signature.unwrap_or_default().to_owned();
        match tokio::time::timeout(READ_LIMIT, Limited::new(body, BODY_LIMIT).collect()).await {
            Ok(Ok(body)) => Ok((signature, body.to_bytes())),
            Ok(Err(_)) => {
                let message = "no announcement is as long";
                Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message))
            }
            Err(_) => Err(refusal(StatusCode::REQUEST_TIMEOUT, "timeout", "the announcement did not arrive")),
        }
    }
}

/// Binds the port.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(address, CONNECTIONS, CONNECTIONS_PER_SOURCE).await
}

/// Serves instances until `shutdown`.
pub(crate) async fn serve(listener: Listener, home: Arc<Home>, shutdown: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Some(accepted) = accepted else { return };
        connections.spawn(serve_connection(Arc::clone(&home), accepted));
    }
}

async fn serve_connection(home: Arc<Home>, connection: Connection) {
    let source = connection.source();
    let service = service_fn(async |request| Ok::<_, Infallible>(home.answer(source, request).await));
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_LIMIT)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(connection), service);
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_LIMIT, serve).await {
        tracing::debug!(%source, %error, "a connection ended badly");
    }
}

/// An answer that says yes and nothing else.
fn nothing() -> Answer {
    let mut answer = Response::new(whole(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// A refusal in the contract's JSON.
pub(crate) fn refusal(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = serde_json::json!({"error": {"code": code, "message": message}}).to_string();
    let mut answer = Response::new(whole(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// A body that is in memory.
fn whole(body: impl Into<Bytes>) -> BoxBody<Bytes, io::Error> {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

#[cfg(test)]
pub(crate) mod tests;
