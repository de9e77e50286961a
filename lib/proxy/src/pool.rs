//! Kept connections to one instance, inside the endpoint object itself: no map, no lock, no key.
//!
//! A worker has its own endpoint for each instance, so everything here belongs to one thread. Idle connections are taken last
//! in, first out: what is warm stays warm, and what is not needed grows old and goes. Ages are counted in sweeps (one per
//! second) and not read from a clock, because a request should not pay for a limit that is 30 seconds away.
//!
//! hyper's connection is a task of its own on the same thread. It sees the other end close while idle, so a checkout only has
//! to ask a flag. The race that stays is the instance closing just when a request is written: the instance does not
//! close idle connections before we do (30 s here, 75 s there), and [`crate::SendError`] tells the rest apart.
//!
//! A connection comes back when the answer's body ends. It is not kept if the request's body had not been sent to its
//! end by then, nor past its age, nor once the endpoint is closed.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Request, Response, Version};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use crate::{
    body::Body,
    io::UpstreamIo,
    multiplex::{Multiplex, Stream},
    replay::{Attempt, Gate, Recall},
    send::{NotSentReason, SendError},
    target,
    timeout::Timers,
};

/// A second: the unit that ages are counted in.
const SWEEP: Duration = Duration::from_secs(1);

/// How connections to instances are kept.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Connections to one instance from one worker, busy and idle.
    pub max_open: usize,
    /// How long a connection is kept unused. Below the watchdog's 75 s, so that we close first.
    pub idle: Duration,
    /// How long a connection is used at all, less up to a fifth, so that they do not all end together.
    pub age: Duration,
    /// How long a connection may take to come up.
    pub connect: Duration,
    /// How long a body is held back for a `100 Continue` that does not come.
    pub continue_after: Duration,
    /// HTTP/2 connections to one instance from one worker.
    pub http2_connections: usize,
    /// Streams on one HTTP/2 connection before another is opened.
    pub http2_streams: usize,
}

/// A worker's endpoints, and the sweep that lets their connections grow old.
#[derive(Clone)]
pub struct Pool {
    inner: Rc<PoolInner>,
}

/// One instance, as one worker sees it. Clones are the same endpoint.
#[derive(Clone)]
pub struct Endpoint {
    inner: Rc<EndpointInner>,
}

/// What an endpoint has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Connections opened.
    pub connects: u64,
    /// Requests sent on a connection that was there already.
    pub reused: u64,
    /// Connections now open, busy or idle.
    pub open: usize,
    /// HTTP/1.1 connections now idle.
    pub idle: usize,
}

/// A connection on loan for one request.
pub(crate) struct Lease {
    kind: LeaseKind,
    /// Ends the request's body when the answer has ended before it.
    recall: Option<Recall>,
}

enum LeaseKind {
    Single(Rc<EndpointInner>, Kept),
    Stream { _stream: Stream },
}

struct PoolInner {
    config: PoolConfig,
    timers: Timers,
    /// Sweeps so far.
    age: Cell<u64>,
    endpoints: RefCell<Vec<Weak<EndpointInner>>>,
}

struct EndpointInner {
    address: SocketAddr,
    pool: Rc<PoolInner>,
    idle: RefCell<VecDeque<Kept>>,
    multiplex: Multiplex,
    open: Rc<Cell<usize>>,
    closed: Cell<bool>,
    connects: Cell<u64>,
    reused: Cell<u64>,
}

/// An HTTP/1.1 connection that may serve another request.
struct Kept {
    sender: http1::SendRequest<Body>,
    received: Arc<AtomicU64>,
    /// The sweep that it is not used after.
    expires: u64,
    idle_since: u64,
    used: bool,
}

/// Counts a connection as open while its task lives.
pub(crate) struct Open(Rc<Cell<usize>>);

// === impl PoolConfig ===

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            // The gateway bounds what is in flight; this only bounds a mistake.
            max_open: 1024,
            idle: Duration::from_secs(30),
            age: Duration::from_secs(300),
            // In a cluster a connection takes less than a millisecond, or one lost SYN (1 s), or it will not come.
            connect: Duration::from_millis(1500),
            continue_after: Duration::from_secs(1),
            http2_connections: 4,
            http2_streams: 64,
        }
    }
}

// === impl Pool ===

impl Pool {
    /// A pool and its sweep, on this thread's local runtime.
    ///
    /// # Panics
    ///
    /// Outside of a `LocalRuntime` or `LocalSet`.
    #[must_use]
    pub fn start(config: PoolConfig, timers: Timers) -> Self {
        let inner =
            Rc::new(PoolInner { config, timers, age: Cell::new(0), endpoints: RefCell::new(Vec::new()) });
        tokio::task::spawn_local(sweep(Rc::downgrade(&inner)));
        Self { inner }
    }

    /// An endpoint for an instance. Its connections last as long as it, or until [`Endpoint::close`].
    #[must_use]
    pub fn endpoint(&self, address: SocketAddr) -> Endpoint {
        let inner = Rc::new(EndpointInner {
            address,
            pool: Rc::clone(&self.inner),
            idle: RefCell::default(),
            multiplex: Multiplex::default(),
            open: Rc::default(),
            closed: Cell::new(false),
            connects: Cell::new(0),
            reused: Cell::new(0),
        });
        self.inner.endpoints.borrow_mut().push(Rc::downgrade(&inner));
        Endpoint { inner }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("endpoints", &self.inner.endpoints.borrow().len())
            .finish_non_exhaustive()
    }
}

async fn sweep(pool: Weak<PoolInner>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        let age = pool.age.get() + 1;
        pool.age.set(age);
        let idle = pool.config.idle.as_secs();
        pool.endpoints.borrow_mut().retain(|endpoint| {
            let Some(endpoint) = endpoint.upgrade() else { return false };
            endpoint.idle.borrow_mut().retain(|kept| kept.still_good(age, idle));
            endpoint.multiplex.sweep(age, idle);
            true
        });
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Where the instance is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Sends a request and waits for the head of its answer; the answer's body streams.
    ///
    /// The request goes by HTTP/2 if its version says so, otherwise by HTTP/1.1. It must have been through
    /// [`crate::forward::request`] or be as clean: a path and a `host`. A body of an attempt that wants it is held back
    /// until the instance says `100 Continue` (HTTP/1.1 only).
    ///
    /// Dropping the future ends the request: its connection is closed, or its stream is reset.
    ///
    /// # Errors
    ///
    /// See [`SendError`]: what may be tried again follows from the variant.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        if self.inner.closed.get() {
            return Err(SendError::not_sent(request, NotSentReason::Closed));
        }
        if request.version() == Version::HTTP_2 {
            self.send_on_stream(request).await
        } else {
            self.send_alone(request).await
        }
    }

    /// Opens a connection ahead of its first request, to be found idle by it.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn warm(&self) -> Result<(), NotSentReason> {
        let mut kept = self.inner.connect().await?;
        kept.sender.ready().await.map_err(NotSentReason::Ended)?;
        self.inner.keep(kept);
        Ok(())
    }

    /// The instance went away: idle connections close at once, requests in flight finish, and no new ones start.
    pub fn close(&self) {
        self.inner.closed.set(true);
        self.inner.idle.borrow_mut().clear();
        self.inner.multiplex.clear();
    }

    /// Whether [`Self::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.closed.get()
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        EndpointStats {
            connects: self.inner.connects.get(),
            reused: self.inner.reused.get(),
            open: self.inner.open.get(),
            idle: self.inner.idle.borrow().len(),
        }
    }

    async fn send_alone(&self, mut request: Request<Body>) -> Result<Response<Body>, SendError> {
        let inner = &self.inner;
        target::origin_form(&mut request);
        loop {
            let mut kept = match inner.checkout() {
                Some(kept) => kept,
                None => match inner.connect().await {
                    Ok(kept) => kept,
                    Err(reason) => return Err(SendError::not_sent(request, reason)),
                },
            };
            let reused = std::mem::replace(&mut kept.used, true);
            let attempt = request.body().as_attempt();
            let recall = attempt.map(Attempt::recall);
            let gate = attempt.and_then(|attempt| attempt.gate().cloned());
            if let Some(gate) = &gate {
                target::expect_continue(&mut request, gate);
            }
            let before = kept.received.load(Relaxed);
            let sending = kept.sender.try_send_request(request);
            let outcome = match gate {
                None => sending.await,
                Some(gate) => inner.send_behind(&gate, sending).await,
            };
            let mut error = match outcome {
                Ok(response) => {
                    inner.count(reused);
                    let lease = Lease { kind: LeaseKind::Single(Rc::clone(inner), kept), recall };
                    return Ok(response.map(|incoming| Body::answer(incoming, lease)));
                }
                Err(error) => error,
            };
            let Some(back) = error.take_message() else {
                let answered = kept.received.load(Relaxed) != before;
                return Err(SendError::written(error.into_error(), reused, answered));
            };
            if let Some(recall) = recall {
                recall.forgo();
            }
            if !reused {
                return Err(SendError::not_sent(back, NotSentReason::Ended(error.into_error())));
            }
            // An idle connection that just ended: the next one, and at last a new one.
            request = back;
        }
    }

    async fn send_on_stream(&self, mut request: Request<Body>) -> Result<Response<Body>, SendError> {
        let inner = &self.inner;
        target::absolute_form(&mut request, inner.address);
        loop {
            let stream = match inner.stream().await {
                Ok(stream) => stream,
                Err(reason) => return Err(SendError::not_sent(request, reason)),
            };
            let attempt = request.body().as_attempt();
            let recall = attempt.map(Attempt::recall);
            if let Some(gate) = attempt.and_then(Attempt::gate) {
                // hyper's HTTP/2 client passes no informational answers on: flow control holds a long body back instead.
                gate.open();
            }
            let reused = stream.reused();
            let outcome = stream.sender().try_send_request(request).await;
            let mut error = match outcome {
                Ok(response) => {
                    inner.count(reused);
                    let lease = Lease { kind: LeaseKind::Stream { _stream: stream }, recall };
                    return Ok(response.map(|incoming| Body::answer(incoming, lease)));
                }
                Err(error) => error,
            };
            let Some(back) = error.take_message() else {
                return Err(SendError::written(error.into_error(), reused, false));
            };
            if let Some(recall) = recall {
                recall.forgo();
            }
            if !reused {
                return Err(SendError::not_sent(back, NotSentReason::Ended(error.into_error())));
            }
            request = back;
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.inner.address)
            .field("stats", &self.stats())
            .finish()
    }
}

// === impl EndpointInner ===

impl EndpointInner {
    /// The connection used last that is still good.
    fn checkout(&self) -> Option<Kept> {
        let mut idle = self.idle.borrow_mut();
        for _ in 0..idle.len() {
            let kept = idle.pop_back()?;
            if kept.sender.is_ready() {
                return Some(kept);
            }
            // Not closed and not ready: the tail of its last request is still being written.
            if !kept.sender.is_closed() {
                idle.push_front(kept);
            }
        }
        None
    }

    fn keep(&self, mut kept: Kept) {
        let age = self.pool.age.get();
        if self.closed.get() || kept.expires <= age || kept.sender.is_closed() {
            return;
        }
        kept.idle_since = age;
        self.idle.borrow_mut().push_back(kept);
    }

    fn count(&self, reused: bool) {
        if reused {
            self.reused.set(self.reused.get() + 1);
        }
    }

    /// Waits for an answer, and lets the body go if neither it nor a 100 comes for a while.
    async fn send_behind<F: Future>(&self, gate: &Gate, sending: F) -> F::Output {
        let mut sending = std::pin::pin!(sending);
        let deadline = Instant::now() + self.pool.config.continue_after;
        if let Ok(outcome) = self.pool.timers.timeout(deadline, sending.as_mut()).await {
            return outcome;
        }
        gate.open();
        sending.await
    }

    async fn stream(&self) -> Result<Stream, NotSentReason> {
        let config = &self.pool.config;
        match self.multiplex.stream(config.http2_connections, config.http2_streams).await {
            Ok(stream) => Ok(stream),
            Err(opening) => {
                let socket = self.dial().await?;
                self.connects.set(self.connects.get() + 1);
                let open = Open::count(&self.open);
                opening.opened(socket, open, self.expires()).await.map_err(NotSentReason::Ended)
            }
        }
    }

    async fn connect(&self) -> Result<Kept, NotSentReason> {
        let socket = self.dial().await?;
        self.connects.set(self.connects.get() + 1);
        let received = Arc::new(AtomicU64::new(0));
        let io = TokioIo::new(UpstreamIo::new(socket, Arc::clone(&received)));
        let (sender, connection) = http1::handshake(io).await.map_err(NotSentReason::Ended)?;
        let open = Open::count(&self.open);
        let address = self.address;
        tokio::task::spawn_local(async move {
            let _open = open;
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%address, %error, "connection to the instance ended");
            }
        });
        Ok(Kept { sender, received, expires: self.expires(), idle_since: 0, used: false })
    }

    async fn dial(&self) -> Result<TcpStream, NotSentReason> {
        if self.open.get() >= self.pool.config.max_open {
            return Err(NotSentReason::NoRoom);
        }
        let limit = self.pool.config.connect;
        let socket = self
            .pool
            .timers
            .timeout(Instant::now() + limit, TcpStream::connect(self.address))
            .await
            .map_err(|_| NotSentReason::ConnectTimeout(limit))?
            .map_err(NotSentReason::Connect)?;
        socket.set_nodelay(true).map_err(NotSentReason::Connect)?;
        Ok(socket)
    }

    /// The sweep after which a connection made now is not used: its age less a part that differs from one to the next.
    fn expires(&self) -> u64 {
        let age = self.pool.config.age.as_secs();
        let part = (self.connects.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (age / 5 + 1);
        self.pool.age.get() + age - part
    }
}

// === impl Kept ===

impl Kept {
    fn still_good(&self, age: u64, idle: u64) -> bool {
        let unused = age.saturating_sub(self.idle_since);
        // One that is neither ready nor closed after a second waits for a body that nobody sends.
        !self.sender.is_closed()
            && self.expires > age
            && unused < idle
            && (self.sender.is_ready() || unused <= 1)
    }
}

// === impl Lease ===

impl Lease {
    /// The answer has been read to its end.
    pub(crate) fn release(mut self) {
        let finished = self.recall.take().is_none_or(|recall| recall.finished());
        if let LeaseKind::Single(endpoint, kept) = self.kind
            && finished
        {
            endpoint.keep(kept);
        }
    }
}

// === impl Open ===

impl Open {
    fn count(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
