//! The traffic port: connections from gateways, admission, and the drain at the end.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flint_core::wire::ErrorCode;
use http::header::{CONNECTION, EXPECT, HeaderValue};
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::answer::{Answer, refusal};
use crate::gate::Refusal;
use crate::instance::Instance;
use crate::logs::Level;
use crate::mode::Mode;
use crate::ticket::{Ticket, request_id};

/// Gateways let connections go after 30 s of idleness; far above that, this end never closes first.
pub(crate) const IDLE: Duration = Duration::from_secs(75);
/// The last bytes of the last answers; a client that does not take them has had its time.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// A window that a stream of large frames does not wait for: 1 MiB, where HTTP/2 begins with 64 KiB.
const WINDOW: u32 = 1024 * 1024;
/// A refused body of this size is read away, so that closing does not destroy the refusal under way.
const SMALL_BODY: usize = 128 * 1024;

/// Serves the traffic port.
pub struct Server {
    instance: Arc<Instance>,
    mode: Mode,
    phase: watch::Sender<Phase>,
    connections: TaskTracker,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Serving,
    /// HTTP/2 connections are told to open no more streams; what HTTP/1 says in each answer.
    GoingAway,
    /// Connections end with the answer that they are in.
    Ending,
}

// === impl Server ===

impl Server {
    /// A server for one instance.
    #[must_use]
    pub fn new(instance: Arc<Instance>, mode: Mode) -> Arc<Self> {
        Arc::new(Self {
            instance,
            mode,
            phase: watch::Sender::new(Phase::Serving),
            connections: TaskTracker::new(),
        })
    }

    /// Takes connections, for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    self.connections.spawn(self.clone().connection(stream));
                }
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
        self.phase.send_replace(Phase::GoingAway);
        tokio::time::sleep(self.instance.config.grace).await;
        self.instance.gate.close();
        self.instance.gate.empty().await;
        self.phase.send_replace(Phase::Ending);
        self.connections.close();
        let _ = tokio::time::timeout(LAST_BYTES, self.connections.wait()).await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
        builder.http2().initial_stream_window_size(WINDOW).initial_connection_window_size(4 * WINDOW);
        let multiplexed = AtomicBool::new(false);
        let service = service_fn(|request: Request<Incoming>| {
            if request.version() == Version::HTTP_2 {
                multiplexed.store(true, Ordering::Relaxed);
            }
            let server = self.clone();
            async move { server.answer(request).await }
        });
        let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let (mut going, mut ending) = (self.phase.subscribe(), self.phase.subscribe());
        let mut told = false;
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = reached(&mut going, Phase::GoingAway), if !told => {
                    told = true;
                    if multiplexed.load(Ordering::Relaxed) {
                        connection.as_mut().graceful_shutdown();
                    }
                }
                () = reached(&mut ending, Phase::Ending), if told => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                    return;
                }
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
        let version = request.version();
        let mut response = match Ticket::admit(&self.instance, request.headers()) {
            Ok(ticket) => self.mode.call(request, ticket).await,
            Err(refused) => self.refuse(refused, request).await,
        };
        if version != Version::HTTP_2 && self.instance.gate.is_closing() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    async fn refuse(&self, refused: Refusal, request: Request<Incoming>) -> Response<Answer> {
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

async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// Reads a small body that is on its way anyway. One that waits for a 100 must not be asked for: the refusal is to be seen
/// before any byte of it.
async fn read_away(request: Request<Incoming>) {
    if request.headers().contains_key(EXPECT) || request.body().is_end_stream() {
        return;
    }
    let body = Limited::new(request.into_body(), SMALL_BODY);
    let _ = tokio::time::timeout(Duration::from_millis(50), body.collect()).await;
}
