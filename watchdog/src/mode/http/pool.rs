//! Connections to the function's server, kept and used again.
//!
//! The last one used is used first. Servers close idle connections after a few seconds (gunicorn 2, Node and uvicorn 5), and a request
//! on a connection that is being closed is lost; on loopback a new connection costs 50 µs. So a connection is kept for one
//! idle second, and the race is left to servers that close earlier than that. A request that was not written yet moves on to a
//! new connection.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// See above.
const IDLE: Duration = Duration::from_secs(1);
/// As many as a busy function needs; more are closed after their answer.
const KEPT: usize = 128;
/// As at the other end: 1 MiB.
const WINDOW: u32 = 1024 * 1024;

/// The pool.
pub(super) struct Pool {
    port: u16,
    kept: Arc<Mutex<VecDeque<Kept>>>,
    multiplexed: Mutex<Option<http2::SendRequest<Incoming>>>,
}

struct Kept {
    sender: http1::SendRequest<Incoming>,
    since: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// Nobody listens.
    #[error("the function's server refused the connection: {0}")]
    Connect(#[source] io::Error),
    /// It is no HTTP that it speaks, or it broke off.
    #[error("the function's server broke off: {0}")]
    Broken(#[source] hyper::Error),
}

// === impl Pool ===

impl Pool {
    pub(super) fn new(port: u16) -> Self {
        Self { port, kept: Arc::default(), multiplexed: Mutex::default() }
    }

    /// Sends over HTTP/1.1.
    pub(super) async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, SendError> {
        let mut request = origin_form(request);
        loop {
            let (mut sender, kept) = match self.take() {
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if kept => request = unsent,
                    _ => return Err(SendError::Broken(error.into_error())),
                },
            }
        }
    }

    /// Sends over HTTP/2 with prior knowledge.
    pub(super) async fn send_multiplexed(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Incoming>, SendError> {
        let mut request = absolute_form(request, self.port);
        loop {
            let open = self.multiplexed.lock().clone().filter(|sender| !sender.is_closed());
            let (mut sender, kept) = match open {
                Some(sender) => (sender, true),
                None => (self.connect_multiplexed().await?, false),
            };
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => {
                    *self.multiplexed.lock() = None;
                    match error.take_message() {
                        Some(unsent) if kept => request = unsent,
                        _ => return Err(SendError::Broken(error.into_error())),
                    }
                }
            }
        }
    }

    /// The server is being replaced: nothing goes to the old one.
    pub(super) fn forget(&self) {
        self.kept.lock().clear();
        *self.multiplexed.lock() = None;
    }

    /// Whether anybody listens.
    pub(super) async fn probe(&self) -> bool {
        loopback(self.port).await.is_ok()
    }

    /// A connection is kept when its answer's head is there, and is ready when the body is over. One that never becomes ready
    /// (the body was not read to its end) goes with its time.
    fn keep(&self, sender: http1::SendRequest<Incoming>) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Kept { sender, since: Instant::now() });
    }

    fn take(&self) -> Option<http1::SendRequest<Incoming>> {
        let mut kept = self.kept.lock();
        kept.retain(|kept| {
            !kept.sender.is_closed() && (kept.since.elapsed() < IDLE || !kept.sender.is_ready())
        });
        let at = kept.iter().rposition(|kept| kept.sender.is_ready())?;
        kept.remove(at).map(|kept| kept.sender)
    }

    async fn stream(&self) -> Result<TokioIo<TcpStream>, SendError> {
        let stream = loopback(self.port).await.map_err(SendError::Connect)?;
        let _ = stream.set_nodelay(true);
        Ok(TokioIo::new(stream))
    }

    async fn connect(&self) -> Result<http1::SendRequest<Incoming>, SendError> {
        let (sender, connection) =
            http1::Builder::new().handshake(self.stream().await?).await.map_err(SendError::Broken)?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }

    async fn connect_multiplexed(&self) -> Result<http2::SendRequest<Incoming>, SendError> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(4 * WINDOW)
            .handshake(self.stream().await?)
            .await
            .map_err(SendError::Broken)?;
        tokio::spawn(connection);
        *self.multiplexed.lock() = Some(sender.clone());
        Ok(sender)
    }
}

/// A server that listens on "localhost" may have taken that for either family.
async fn loopback(port: u16) -> io::Result<TcpStream> {
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Err(refused) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| refused),
        connected => connected,
    }
}

fn origin_form(mut request: Request<Incoming>) -> Request<Incoming> {
    if request.uri().scheme().is_some() || request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(path);
    }
    request
}

/// HTTP/2 has the authority in the address; the client's own where it can be one.
fn absolute_form(mut request: Request<Incoming>, port: u16) -> Request<Incoming> {
    let host = request.headers_mut().remove(http::header::HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = authority.or_else(|| Authority::try_from(format!("127.0.0.1:{port}")).ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = authority;
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    *request.version_mut() = Version::HTTP_2;
    request
}
