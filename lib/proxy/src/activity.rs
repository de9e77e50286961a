//! What a client's connection is doing, noted at the price of a relaxed store each time.
//!
//! hyper wants its transports `Send` for upgrades, so what they note is atomic though only one thread ever looks.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::Poll,
};

/// A worker's coarse clock in milliseconds since it started, never 0; moved on by the sweep of connections.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<AtomicU64>);

/// What a client's connection is doing, as its socket and its service see it.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Clock,
    /// Requests whose answer has not been written to its end.
    in_flight: AtomicU32,
    /// When the first bytes of a head came, or the connection; 0 while none is awaited.
    head_since: AtomicU64,
    /// When the last request ended.
    idle_since: AtomicU64,
    /// Since when the client has not taken what we write; 0 while it does.
    stalled_since: AtomicU64,
    /// Since when we only wait for it to stop sending; 0 before.
    lingering_since: AtomicU64,
}

// === impl Clock ===

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, milliseconds: u64) {
        self.0.store(milliseconds.max(1), Relaxed);
    }
}

// === impl Activity ===

impl Activity {
    /// A connection that was just accepted: its first head is awaited.
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        let now = clock.now();
        Arc::new(Self {
            clock,
            in_flight: AtomicU32::new(0),
            head_since: AtomicU64::new(now),
            idle_since: AtomicU64::new(now),
            stalled_since: AtomicU64::new(0),
            lingering_since: AtomicU64::new(0),
        })
    }

    pub(crate) fn begin(&self) {
        self.in_flight.store(self.in_flight.load(Relaxed) + 1, Relaxed);
        self.head_since.store(0, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.store(self.in_flight.load(Relaxed).saturating_sub(1), Relaxed);
        self.idle_since.store(self.clock.now(), Relaxed);
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn head_since(&self) -> Option<u64> {
        some(self.head_since.load(Relaxed))
    }

    pub(crate) fn idle_since(&self) -> u64 {
        self.idle_since.load(Relaxed)
    }

    pub(crate) fn stalled_since(&self) -> Option<u64> {
        some(self.stalled_since.load(Relaxed))
    }

    pub(crate) fn lingering_since(&self) -> Option<u64> {
        some(self.lingering_since.load(Relaxed))
    }

    pub(crate) fn linger(&self) {
        if self.lingering_since.load(Relaxed) == 0 {
            self.lingering_since.store(self.clock.now(), Relaxed);
        }
    }

    /// Bytes have come: the first of a head, where no request is under way.
    pub(crate) fn received(&self) {
        if self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.clock.now(), Relaxed);
        }
    }

    pub(crate) fn wrote<T>(&self, outcome: &Poll<T>) {
        let stalled = self.stalled_since.load(Relaxed);
        match outcome {
            Poll::Pending if stalled == 0 => self.stalled_since.store(self.clock.now(), Relaxed),
            Poll::Ready(_) if stalled != 0 => self.stalled_since.store(0, Relaxed),
            _ => {}
        }
    }
}

fn some(milliseconds: u64) -> Option<u64> {
    (milliseconds != 0).then_some(milliseconds)
}
