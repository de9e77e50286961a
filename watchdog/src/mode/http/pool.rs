//! Connections to the function's server: the engine's own, which the requests themselves drive.
//!
//! The last one used is used first. Servers close idle connections after a few seconds (gunicorn 2, Node and uvicorn 5), and a request
//! on a connection that is being closed is lost; on loopback a new connection costs 50 µs. So a connection is kept for one
//! idle second at most, and the race is left to servers that close earlier than that. A request of which nothing was written moves on
//! to another connection; any other is never sent twice.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use flint_proxy::{
    Body, Endpoint, NotSent, NotSentReason, PoolConfig, REPLAY_BUFFER, Replay, SendError, Sending, Timers,
};
use http::request::Parts;
use http::{Request, Response, Version};
use tokio::net::TcpStream;

/// See above.
const IDLE: Duration = Duration::from_secs(1);
/// How precise that is.
const SWEEP: Duration = Duration::from_millis(500);
/// On loopback nobody waits for a connection, but where the server's backlog is full.
const CONNECT: Duration = Duration::from_secs(5);

/// See `max_open`.
const SLACK: usize = 1024;

/// The pool.
pub(super) struct Pool {
    engine: flint_proxy::Pool,
    port: u16,
    /// The server at both addresses of loopback: one that listens on "localhost" may have taken that for either family.
    endpoints: RefCell<[Endpoint; 2]>,
    /// The one that answered last.
    preferred: Cell<usize>,
}

/// A request's body.
enum Content {
    /// It is short, and most likely here.
    Short(Replay),
    /// It passes as it comes.
    Stream(Body),
}

const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

// === impl Pool ===

impl Pool {
    /// For so many requests at a time.
    pub(super) fn new(port: u16, limit: usize, timers: &Timers) -> Self {
        let config = PoolConfig {
            // Whatever the gate lets in is sent, and connections that were dropped may take a moment to go.
            max_open: limit.saturating_add(SLACK),
            idle: IDLE,
            sweep: SWEEP,
            connect: CONNECT,
            ..PoolConfig::default()
        };
        let engine = flint_proxy::Pool::start(config, timers.clone());
        let endpoints = RefCell::new(endpoints(&engine, port));
        Self { engine, port, endpoints, preferred: Cell::new(0) }
    }

    /// Sends a request that is clean: over HTTP/2 with prior knowledge if its version says so, otherwise over HTTP/1.1.
    ///
    /// # Errors
    /// As the engine's; where nobody listens at either address, what the first of them said.
    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        let (parts, body) = request.into_parts();
        let body = Content::of(body);
        let first = self.preferred.get();
        let endpoint = self.endpoint(first);
        if let Some(sending) = body.lend(&endpoint, &parts) {
            match sending.await {
                // The connection had just ended.
                Err(SendError::NotSent(_)) => {}
                outcome => return outcome,
            }
        }
        let NotSent { request, reason } =
            match endpoint.send(Request::from_parts(parts, body.into_body())).await {
                Err(SendError::NotSent(not_sent)) => *not_sent,
                outcome => return outcome,
            };
        let request = match (request, &reason) {
            (Some(request), NotSentReason::Connect(_)) => request,
            (request, _) => return Err(SendError::NotSent(Box::new(NotSent { request, reason }))),
        };
        let second = (first + 1) % LOOPBACKS.len();
        match self.endpoint(second).send(request).await {
            Err(SendError::NotSent(other)) => {
                Err(SendError::NotSent(Box::new(NotSent { request: other.request, reason })))
            }
            outcome => {
                self.preferred.set(second);
                outcome
            }
        }
    }

    /// The server is being replaced: nothing goes to the old one.
    pub(super) fn forget(&self) {
        let old = self.endpoints.replace(endpoints(&self.engine, self.port));
        old.iter().for_each(Endpoint::close);
    }

    /// Whether anybody listens.
    pub(super) async fn probe(&self) -> bool {
        for (at, address) in LOOPBACKS.into_iter().enumerate() {
            if TcpStream::connect((address, self.port)).await.is_ok() {
                self.preferred.set(at);
                return true;
            }
        }
        false
    }

    fn endpoint(&self, at: usize) -> Endpoint {
        self.endpoints.borrow()[at].clone()
    }
}

// === impl Content ===

impl Content {
    fn of(body: Body) -> Self {
        if body.declared().is_none_or(|length| length > REPLAY_BUFFER as u64) {
            return Self::Stream(body);
        }
        let body = Replay::new(body, REPLAY_BUFFER);
        body.look_ahead();
        Self::Short(body)
    }

    /// Puts the request on its way at once, if it is here whole and a connection is idle.
    fn lend(&self, endpoint: &Endpoint, parts: &Parts) -> Option<Sending> {
        let Self::Short(body) = self else { return None };
        let path = parts.uri.path_and_query()?.as_str();
        let plain = parts.version == Version::HTTP_11 && path.starts_with('/');
        if plain { endpoint.lend(parts, path, &[], body) } else { None }
    }

    fn into_body(self) -> Body {
        match self {
            Self::Short(body) => body.attempt(),
            Self::Stream(body) => body,
        }
    }
}

fn endpoints(engine: &flint_proxy::Pool, port: u16) -> [Endpoint; 2] {
    LOOPBACKS.map(|address| engine.endpoint(SocketAddr::new(address, port)))
}
