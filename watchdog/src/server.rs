//! The traffic port: connections from gateways, admission, and the drain at the end.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flint_core::wire::ErrorCode;
use flint_proxy::{Body, Connection, Front, Handler, Limits, RequestBody};
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use tokio::net::TcpListener;

use crate::answer::{Answer, Outgoing, refusal};
use crate::gate::Refusal;
use crate::instance::Instance;
use crate::logs::Level;
use crate::mode::Mode;
use crate::ticket::{Ticket, request_id};

/// Gateways let connections go after 30 s of idleness; far above that, this end never closes first.
const IDLE: Duration = Duration::from_secs(75);
/// What gateways take of a client's head (64 KiB), and what they add to it.
const LARGEST_HEAD: usize = 128 * 1024;
/// The same in fields: gateways take 100 of a client's, and add a dozen.
const MOST_HEADERS: usize = 128;
/// The last bytes of the last answers; a client that does not take them has had its time.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// A refused body of this size is read away, so that closing does not destroy the refusal under way.
const SMALL_BODY: usize = 128 * 1024;

/// Serves the traffic port.
pub struct Server {
    instance: Arc<Instance>,
    front: Front,
}

/// What answers requests.
struct Service {
    instance: Arc<Instance>,
    mode: Mode,
}

// === impl Server ===

impl Server {
    /// A server for one instance.
    #[must_use]
    pub fn new(instance: Arc<Instance>, mode: Mode) -> Self {
        let limits = Limits {
            keep_alive: IDLE,
            // A gateway opens connections ahead of their first request, too.
            header_time: IDLE,
            // Gateways give up on clients that take nothing after a minute; what they do not take here is behind that.
            write_stall: IDLE,
            header_bytes: LARGEST_HEAD,
            headers: MOST_HEADERS,
            ..Limits::default()
        };
        let service = Service { instance: instance.clone(), mode };
        Self { instance, front: Front::new(Rc::new(service), limits) }
    }

    /// Takes connections, for ever.
    pub async fn serve(self: Rc<Self>, listener: TcpListener) {
        loop {
            self.front.room().await;
            match listener.accept().await {
                Ok((stream, peer)) => self.front.serve(stream, peer),
                Err(error) => {
                    // Too many open files, or a client that left: the next one may be luckier.
                    self.instance
                        .log
                        .say(Level::Warn, &format!("a connection could not be accepted: {error}"));
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }

    /// Ends service: see "Gateway to watchdog" in `docs/internals.md`. Returns when the last answer is out.
    pub async fn drain(&self) {
        self.instance.gate.begin_closing();
        self.front.go_away();
        tokio::time::sleep(self.instance.config.grace).await;
        self.instance.gate.close();
        self.instance.gate.empty().await;
        self.front.close();
        let _ = tokio::time::timeout(LAST_BYTES, self.front.closed()).await;
    }
}

// === impl Service ===

impl Handler for Service {
    type Body = Outgoing;

    async fn handle(self: Rc<Self>, request: Request<RequestBody>, _: Rc<Connection>) -> Response<Outgoing> {
        let (version, request) = (request.version(), request.map(Body::incoming));
        let mut response = match Ticket::admit(&self.instance, request.headers()) {
            Ok(ticket) => self.mode.call(request, ticket).await,
            Err(refused) => self.refuse(refused, request).await.map(Outgoing::Ours),
        };
        if version != Version::HTTP_2 && self.instance.gate.is_closing() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Service {
    async fn refuse(&self, refused: Refusal, request: Request<Body>) -> Response<Answer> {
        let id = request_id(request.headers());
        read_away(request).await;
        match refused {
            Refusal::Busy => {
                self.instance.metrics.refused_busy();
                refusal(ErrorCode::TooManyRequests, "the instance works on as many requests as it may", &id)
            }
            Refusal::Draining => {
                self.instance.metrics.refused_draining();
                refusal(ErrorCode::Draining, "the instance is going", &id)
            }
        }
    }
}

/// Reads a small body that is on its way anyway. One that waits for a 100 must not be asked for: the refusal is to be seen
/// before any byte of it.
async fn read_away(request: Request<Body>) {
    if request.headers().contains_key(EXPECT) || request.body().is_end_stream() {
        return;
    }
    let body = Limited::new(request.into_body(), SMALL_BODY);
    let _ = tokio::time::timeout(Duration::from_millis(50), body.collect()).await;
}
