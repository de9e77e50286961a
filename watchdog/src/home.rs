//! Requests to the operator's home: plain HTTP/1.1, over one connection that is opened before it is needed.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A Service without an endpoint drops or refuses; either way there is nothing behind it now.
const CONNECT: Duration = Duration::from_secs(2);
/// Within a cluster an address that is right answers far sooner.
const CONNECT_KNOWN: Duration = Duration::from_millis(100);
/// The operator answers from memory or disk.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection to one host.
pub struct Line {
    host: String,
    port: u16,
    /// Where it was last: tried before its name is resolved.
    known: Option<SocketAddr>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

/// Nobody answers there now.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The name or the port.
    #[error("{0} cannot be reached: {1}")]
    Connect(String, #[source] io::Error),
    /// It took too long.
    #[error("{0} did not answer in time")]
    Timeout(String),
    /// The connection broke.
    #[error("the connection to {0} broke: {1}")]
    Broken(String, #[source] hyper::Error),
}

// === impl Line ===

impl Line {
    /// A line that is not open yet.
    #[must_use]
    pub fn new(url: &Uri, known: Option<SocketAddr>) -> Self {
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Self { host, port: url.port_u16().unwrap_or(80), known, sender: None }
    }

    /// Opens the line, if it is not open.
    ///
    /// # Errors
    /// When nobody is there.
    pub async fn open(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, LineError> {
        let usable = self.sender.take().filter(|sender| !sender.is_closed());
        let sender = match usable {
            Some(sender) => sender,
            None => timeout(CONNECT, self.connect()).await.map_err(|_| LineError::Timeout(self.name()))??,
        };
        Ok(self.sender.insert(sender))
    }

    /// Sends a request; its URI needs the path only.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, LineError> {
        let name = self.name();
        if let Ok(host) = HeaderValue::from_str(&name) {
            request.headers_mut().insert(HOST, host);
        }
        let sender = self.open().await?;
        let answer = async {
            sender.ready().await?;
            sender.send_request(request).await
        };
        let answer = timeout(ANSWER, answer).await;
        match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                self.sender = None;
                Err(LineError::Broken(name, error))
            }
            Err(_) => {
                self.sender = None;
                Err(LineError::Timeout(name))
            }
        }
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, LineError> {
        // What is known may be old: it gets one short attempt.
        let known = match self.known.take() {
            Some(known) => timeout(CONNECT_KNOWN, TcpStream::connect(known)).await.ok().and_then(Result::ok),
            None => None,
        };
        let stream = match known {
            Some(stream) => stream,
            None => TcpStream::connect((self.host.as_str(), self.port))
                .await
                .map_err(|error| LineError::Connect(self.name(), error))?,
        };
        let _ = stream.set_nodelay(true);
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| LineError::Broken(self.name(), error))?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// HOST:PORT.
    pub(crate) fn name(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
