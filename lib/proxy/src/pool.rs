//! A worker's endpoints, how their connections are kept, and the sweep that lets them grow old.

use std::{
    cell::{Cell, RefCell},
    fmt,
    net::SocketAddr,
    rc::{Rc, Weak},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{endpoint::Endpoint, stock::Block, timeout::Timers, upstream::Upstream};

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
    /// How often connections are looked at, while there are any: the unit that the limits above are counted in.
    pub sweep: Duration,
    /// HTTP/2 connections to one instance from one worker.
    pub http2_connections: usize,
    /// Streams on one HTTP/2 connection before another is opened.
    pub http2_streams: usize,
}

/// A worker's endpoints, and the sweep that lets their connections grow old.
#[derive(Clone)]
pub struct Pool {
    shared: Rc<Shared>,
}

/// What the endpoints of a pool have in common.
pub(crate) struct Shared {
    pub(crate) config: PoolConfig,
    pub(crate) timers: Timers,
    /// Where heads of requests are written before they are sent.
    pub(crate) scratch: RefCell<Vec<u8>>,
    /// What answers are read into.
    pub(crate) block: Block,
    /// Sweeps so far.
    age: Cell<u64>,
    /// Nothing is open, so nothing is swept.
    resting: Cell<bool>,
    /// Told when something is, or when nobody is left.
    opened: Rc<Notify>,
    upstreams: RefCell<Vec<Weak<Upstream>>>,
}

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
            sweep: Duration::from_secs(1),
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
        let shared = Rc::new(Shared {
            config,
            timers,
            scratch: RefCell::default(),
            block: Block::default(),
            age: Cell::new(0),
            resting: Cell::new(false),
            opened: Rc::default(),
            upstreams: RefCell::default(),
        });
        tokio::task::spawn_local(sweep(Rc::downgrade(&shared), shared.config.sweep));
        Self { shared }
    }

    /// An endpoint for an instance. Its connections last as long as it, or until [`Endpoint::close`].
    #[must_use]
    pub fn endpoint(&self, address: SocketAddr) -> Endpoint {
        let upstream = Rc::new(Upstream::new(address, Rc::clone(&self.shared)));
        self.shared.upstreams.borrow_mut().push(Rc::downgrade(&upstream));
        Endpoint::new(upstream)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.shared.upstreams.borrow().len();
        f.debug_struct("Pool").field("endpoints", &endpoints).finish_non_exhaustive()
    }
}

async fn sweep(pool: Weak<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.age.set(pool.age.get() + 1);
        let mut open = false;
        pool.upstreams.borrow_mut().retain(|upstream| {
            let there = upstream.upgrade();
            if let Some(upstream) = &there {
                upstream.sweep();
                open |= upstream.is_open();
            }
            there.is_some()
        });
        if !open {
            // A process that serves nobody is not woken for it.
            pool.resting.set(true);
            let opened = Rc::clone(&pool.opened);
            drop(pool);
            opened.notified().await;
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Now, in sweeps.
    pub(crate) fn age(&self) -> u64 {
        self.age.get()
    }

    /// A time in sweeps, one at least.
    pub(crate) fn sweeps(&self, time: Duration) -> u64 {
        u64::try_from(time.as_millis() / self.config.sweep.as_millis().max(1)).unwrap_or(u64::MAX).max(1)
    }

    /// There is a connection to look after.
    pub(crate) fn opens(&self) {
        if self.resting.replace(false) {
            self.opened.notify_one();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.opened.notify_one();
    }
}
