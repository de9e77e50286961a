//! One instance of a function as the gateway sees it: where it is, and how many of its requests are there now.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use flint_core::balance::Load;

use crate::clock::{Micros, micros};

/// An instance that may get requests. It is shared by all workers; the number in flight is the gateway's, not a worker's.
#[derive(Debug)]
pub struct Instance {
    /// Unique in this process: workers keep their connections by it.
    pub id: u64,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// Its watchdog.
    pub address: SocketAddr,
    /// The most requests it takes at a time; 0 is no limit.
    pub limit: u32,
    /// When the gateway first knew that it can be used.
    pub since: Micros,
    /// How it came to be.
    pub start: Start,
    in_flight: AtomicU32,
    rests_until: AtomicU64,
    refusals: AtomicU32,
}

/// How an instance came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// As an ordinary pod.
    Pod,
    /// By a claim of this gateway's, from a warm pool.
    Pool,
}

/// The first and the longest rest of one that is full. The first is about the time a short request takes: another
/// gateway's is in the slot. With the longest, one that stays full is asked ten times a second.
const BUSY_REST: (Duration, Duration) = (Duration::from_millis(4), Duration::from_millis(100));
/// The same for one that cannot be reached. It looks idle, so it would be chosen first each time and cost its requests
/// a connection's timeout; the watch will tell of its end, or it is back soon.
const UNREACHABLE_REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

// === impl Instance ===

impl Instance {
    /// A new instance without requests.
    #[must_use]
    pub fn new(id: u64, pod: String, uid: String, address: SocketAddr, limit: u32, since: Micros) -> Self {
        Self {
            id,
            pod,
            uid,
            address,
            limit,
            since,
            start: Start::Pod,
            in_flight: AtomicU32::new(0),
            rests_until: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
        }
    }

    /// The same, having come to be in that way.
    #[must_use]
    pub fn started_by(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// Requests of this gateway that are there now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What the choice of an instance looks at. The time is asked for only if the instance has ever rested.
    pub fn load(&self, now: impl Fn() -> Micros) -> Load {
        let rests_until = self.rests_until.load(Ordering::Relaxed);
        Load {
            in_flight: self.in_flight(),
            limit: self.limit,
            resting: rests_until != 0 && rests_until > now(),
        }
    }

    /// Takes a slot if there is one.
    pub(crate) fn take(&self) -> bool {
        let limit = if self.limit == 0 { u32::MAX } else { self.limit };
        // Sequentially consistent, with the counter of those who wait: see `Live`.
        self.in_flight
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |count| (count < limit).then(|| count + 1))
            .is_ok()
    }

    /// Gives a slot back.
    pub(crate) fn give(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// It answered: whatever it refused before is forgotten.
    pub fn answered(&self) {
        if self.refusals.load(Ordering::Relaxed) != 0 {
            self.refusals.store(0, Ordering::Relaxed);
        }
    }

    /// It was full: it rests for a moment, longer each time. Tells how long.
    pub fn busy(&self, now: Micros) -> Duration {
        self.refused(now, BUSY_REST)
    }

    /// It could not be reached: it rests, longer each time. Tells how long.
    pub fn unreachable(&self, now: Micros) -> Duration {
        self.refused(now, UNREACHABLE_REST)
    }

    fn refused(&self, now: Micros, (first, longest): (Duration, Duration)) -> Duration {
        let refusals = self.refusals.fetch_add(1, Ordering::Relaxed).min(8);
        self.rest(now, first.saturating_mul(1 << refusals).min(longest))
    }

    /// It gets nothing for a time.
    pub fn rest(&self, now: Micros, rest: Duration) -> Duration {
        self.rests_until.fetch_max(now + micros(rest), Ordering::Relaxed);
        rest
    }
}
