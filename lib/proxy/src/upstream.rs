//! Kept connections to one instance, inside the endpoint object itself: no map, no lock, no key.
//!
//! They are of two kinds. Our own ([`Wire`]) serve requests that are whole when they are sent; hyper's serve bodies that come
//! while they are sent, and upgrades. A worker has its own endpoint for each instance, so everything here belongs to one thread. Idle connections are taken last
//! in, first out: what is warm stays warm, and what is not needed grows old and goes. Ages are counted in sweeps (one a
//! second) and not read from a clock, because a request should not pay for a limit that is 30 seconds away.
//!
//! hyper's connection is a task of its own on the same thread. It sees the other end close while idle, so a checkout only has
//! to ask a flag. The race that stays is the instance closing just when a request is written: the instance does not
//! close idle connections before we do (30 s here, 75 s there), and [`crate::SendError`] tells the rest apart.
//!
//! A connection comes back when the answer's body ends. It is not kept if the request's body had not been sent to its
//! end by then, nor past its age, nor once the endpoint is closed.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::VecDeque,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

use crate::{
    body::Body,
    endpoint::EndpointStats,
    gate::Gate,
    io::UpstreamIo,
    multiplex::{Multiplex, Stream},
    pool::Shared,
    replay::Recall,
    send::NotSentReason,
    stock::Block,
    wire::Wire,
};

/// An instance's connections.
pub(crate) struct Upstream {
    address: SocketAddr,
    pool: Rc<Shared>,
    #[allow(
        clippy::vec_box,
        reason = "it goes into a request and back each time: a pointer is what is moved"
    )]
    wires: RefCell<Vec<Box<Wire>>>,
    idle: RefCell<VecDeque<Kept>>,
    multiplex: Multiplex,
    open: Rc<Cell<usize>>,
    closed: Cell<bool>,
    connects: Cell<u64>,
    reused: Cell<u64>,
}

/// An HTTP/1.1 connection that may serve another request.
pub(crate) struct Kept {
    pub(crate) sender: http1::SendRequest<Body>,
    /// It has served a request.
    pub(crate) used: bool,
    received: Arc<AtomicU64>,
    /// The sweep that it is not used after.
    expires: u64,
    idle_since: u64,
}

/// A connection on loan for one request.
pub(crate) struct Lease {
    kind: LeaseKind,
    /// Ends the request's body when the answer has ended before it.
    recall: Option<Recall>,
}

enum LeaseKind {
    Connection(Rc<Upstream>, Kept),
    Stream { _stream: Stream },
}

/// Counts a connection as open while its task lives.
pub(crate) struct Open(Rc<Cell<usize>>);

// === impl Upstream ===

impl Upstream {
    pub(crate) fn new(address: SocketAddr, pool: Rc<Shared>) -> Self {
        Self {
            address,
            pool,
            wires: RefCell::default(),
            idle: RefCell::default(),
            multiplex: Multiplex::default(),
            open: Rc::default(),
            closed: Cell::new(false),
            connects: Cell::new(0),
            reused: Cell::new(0),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn close(&self) {
        self.closed.set(true);
        self.wires.borrow_mut().clear();
        self.idle.borrow_mut().clear();
        self.multiplex.clear();
    }

    pub(crate) fn stats(&self) -> EndpointStats {
        EndpointStats {
            connects: self.connects.get(),
            reused: self.reused.get(),
            open: self.open.get(),
            idle: self.wires.borrow().len() + self.idle.borrow().len(),
        }
    }

    /// Whether a connection is open or coming up.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get() > 0
    }

    /// Lets go what is old, unused or closed.
    pub(crate) fn sweep(&self) {
        let (age, idle) = (self.pool.age(), self.pool.sweeps(self.pool.config.idle));
        self.wires.borrow_mut().retain(|wire| wire.still_good(age, idle));
        self.idle.borrow_mut().retain(|kept| kept.still_good(age, idle));
        self.multiplex.sweep(age, idle);
    }

    /// Room for a request's head while it is written.
    pub(crate) fn scratch(&self) -> RefMut<'_, Vec<u8>> {
        self.pool.scratch.borrow_mut()
    }

    /// What answers are read into.
    pub(crate) fn block(&self) -> &Block {
        &self.pool.block
    }

    /// Our own connection used last that is still open.
    pub(crate) fn checkout_wire(&self) -> Option<Box<Wire>> {
        let mut wires = self.wires.borrow_mut();
        loop {
            let wire = wires.pop()?;
            if wire.is_open() {
                return Some(wire);
            }
        }
    }

    pub(crate) fn keep_wire(&self, mut wire: Box<Wire>) {
        let age = self.pool.age();
        if self.closed.get() || wire.expires <= age {
            return;
        }
        wire.idle_since = age;
        self.wires.borrow_mut().push(wire);
    }

    pub(crate) async fn connect_wire(&self) -> Result<Box<Wire>, NotSentReason> {
        let (socket, open) = self.dial().await?;
        Ok(Wire::new(socket, open, self.expires()))
    }

    /// hyper's connection used last that is still good.
    pub(crate) fn checkout(&self) -> Option<Kept> {
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

    pub(crate) fn keep(&self, mut kept: Kept) {
        let age = self.pool.age();
        if self.closed.get() || kept.expires <= age || kept.sender.is_closed() {
            return;
        }
        kept.idle_since = age;
        self.idle.borrow_mut().push_back(kept);
    }

    pub(crate) fn count(&self, reused: bool) {
        if reused {
            self.reused.set(self.reused.get() + 1);
        }
    }

    /// Waits for an answer, and lets the body go if neither it nor a 100 comes for a while.
    pub(crate) async fn send_behind<F: Future>(&self, gate: &Gate, sending: F) -> F::Output {
        let mut sending = std::pin::pin!(sending);
        let deadline = Instant::now() + self.pool.config.continue_after;
        if let Ok(outcome) = self.pool.timers.timeout(deadline, sending.as_mut()).await {
            return outcome;
        }
        gate.open();
        sending.await
    }

    pub(crate) async fn stream(&self) -> Result<Stream, NotSentReason> {
        let config = &self.pool.config;
        match self.multiplex.stream(config.http2_connections, config.http2_streams).await {
            Ok(stream) => Ok(stream),
            Err(opening) => {
                let (socket, open) = self.dial().await?;
                opening
                    .opened(socket, open, self.expires())
                    .await
                    .map_err(|error| NotSentReason::Ended(error.into()))
            }
        }
    }

    pub(crate) async fn connect(&self) -> Result<Kept, NotSentReason> {
        let (socket, open) = self.dial().await?;
        let received = Arc::new(AtomicU64::new(0));
        let io = TokioIo::new(UpstreamIo::new(socket, Arc::clone(&received)));
        let (sender, connection) =
            http1::handshake(io).await.map_err(|error| NotSentReason::Ended(error.into()))?;
        let address = self.address;
        tokio::task::spawn_local(async move {
            let _open = open;
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%address, %error, "connection to the instance ended");
            }
        });
        Ok(Kept { sender, received, expires: self.expires(), idle_since: 0, used: false })
    }

    /// Ends the connection that is idle longest: those of one kind must not keep the other out.
    fn let_one_go(&self) -> bool {
        let mut wires = self.wires.borrow_mut();
        if wires.is_empty() {
            return self.idle.borrow_mut().pop_front().is_some();
        }
        drop(wires.remove(0));
        true
    }

    /// A socket, counted from before it is there.
    async fn dial(&self) -> Result<(TcpStream, Open), NotSentReason> {
        if self.open.get() >= self.pool.config.max_open && !self.let_one_go() {
            return Err(NotSentReason::NoRoom);
        }
        let open = Open::count(&self.open);
        self.pool.opens();
        let limit = self.pool.config.connect;
        let socket = self
            .pool
            .timers
            .timeout(Instant::now() + limit, TcpStream::connect(self.address))
            .await
            .map_err(|_| NotSentReason::ConnectTimeout(limit))?
            .map_err(NotSentReason::Connect)?;
        socket.set_nodelay(true).map_err(NotSentReason::Connect)?;
        self.connects.set(self.connects.get() + 1);
        Ok((socket, open))
    }

    /// The sweep after which a connection made now is not used: its age less a part that differs from one to the next.
    fn expires(&self) -> u64 {
        let age = self.pool.sweeps(self.pool.config.age);
        let part = (self.connects.get().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % (age / 5 + 1);
        self.pool.age() + age - part
    }
}

// === impl Wire ===

impl Wire {
    fn still_good(&self, age: u64, idle: u64) -> bool {
        self.expires > age && age.saturating_sub(self.idle_since) < idle && self.is_open()
    }
}

// === impl Kept ===

impl Kept {
    /// Bytes that came on it so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

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
    pub(crate) fn of_connection(upstream: &Rc<Upstream>, kept: Kept, recall: Option<Recall>) -> Self {
        Self { kind: LeaseKind::Connection(Rc::clone(upstream), kept), recall }
    }

    pub(crate) fn of_stream(stream: Stream, recall: Option<Recall>) -> Self {
        Self { kind: LeaseKind::Stream { _stream: stream }, recall }
    }

    /// The answer has been read to its end.
    pub(crate) fn release(mut self) {
        let finished = self.recall.take().is_none_or(|recall| recall.finished());
        if let LeaseKind::Connection(upstream, kept) = self.kind
            && finished
        {
            upstream.keep(kept);
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
