//! What `/metrics` tells: counts held by each function itself, read when asked, and gone when the function is.
//!
//! A request touches atomics that it reaches through its function, never a map of labels. A function that was never called
//! has no counts and no series, so ten thousand idle ones cost nothing here.

mod collect;

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

use flint_core::wire::ErrorCode;
use flint_proxy::End;
use http::StatusCode;

use crate::{clock::Micros, instance::Start};

pub use collect::Collector;

/// A function's counts; made at its first request.
#[derive(Debug, Default)]
pub struct FunctionMetrics {
    counts: OnceLock<Box<Counts>>,
}

/// The counts themselves.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answers by class: 1xx (upgrades) to 5xx.
    pub classes: [AtomicU64; 5],
    /// From the request's arrival to the end of its answer.
    pub duration: Histogram,
    /// How long a request waited, of those that did.
    pub wait: Histogram,
    /// The phases of a start from zero, in the order of [`Phase`]: by an ordinary pod, and from a warm pool.
    pub cold: [[Histogram; 3]; 2],
    /// Attempts after the first, of one request.
    pub retries: AtomicU64,
    /// Requests that the function failed, in the order of [`Failing`].
    pub failing: [AtomicU64; 3],
}

/// How a function failed a request. Its status does not say: Lambda's Invoke answers 200 for a function that raised, and a
/// stream has sent its head long before it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// It raised, crashed, or answered nonsense.
    Failed,
    /// It did not answer within its timeout.
    Timeout,
    /// Its answer began and had no end.
    CutOff,
}

/// A phase of a start from zero, as a request sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// From the request's arrival until an instance can be used.
    Start,
    /// From then until the request is on its way there.
    Forward,
    /// From then until the head of the answer.
    Answer,
}

/// A histogram of durations. The buckets are few: a panel needs the order of magnitude, and each is a series per function.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

/// What the gateway counts that belongs to no function.
#[derive(Debug, Default)]
pub struct Totals {
    /// Answers without a known function: bad addresses and unknown names.
    pub unrouted: AtomicU64,
    /// Lines of the access log that were dropped because standard output was too slow.
    pub log_dropped: AtomicU64,
    /// Instances that the watch of pods told of first, as ready.
    pub by_watch: AtomicU64,
    /// Announcements that were believed.
    pub by_announcement: AtomicU64,
    /// Instances that probing found.
    pub by_probe: AtomicU64,
    /// Announcements that were not believed.
    pub announcements_refused: AtomicU64,
    /// Announced instances that the watch never confirmed.
    pub announcements_expired: AtomicU64,
    /// 1 while the control stream is open.
    pub control_connected: AtomicU64,
    /// 1 while this gateway fires the schedules.
    pub scheduler_leader: AtomicU64,
    /// Pods of warm pools that became a function's by a claim of ours.
    pub claims_won: AtomicU64,
    /// Functions that have a ticket to a warm pool.
    pub pool_tickets: AtomicU64,
    /// Claims that came second.
    pub claims_lost: AtomicU64,
    /// Claims that were refused, not answered, or of a function that cannot start.
    pub claims_failed: AtomicU64,
    /// Firings of schedules that this gateway made.
    pub firings: AtomicU64,
    /// Firings that were missed and are older than the policy repeats.
    pub firings_skipped: AtomicU64,
}

/// Upper bounds in microseconds: 5 ms to 30 s. 250 ms is where a start from zero should be, 1 s where Kubernetes alone is.
const BOUNDS: [Micros; 8] = [5_000, 25_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 30_000_000];

// === impl FunctionMetrics ===

impl FunctionMetrics {
    /// The counts, made if need be.
    pub fn counts(&self) -> &Counts {
        self.counts.get_or_init(Box::default)
    }

    /// The counts if there was ever a request.
    pub fn get(&self) -> Option<&Counts> {
        self.counts.get().map(Box::as_ref)
    }
}

// === impl Counts ===

impl Counts {
    /// Counts an answer.
    pub fn answered(&self, status: StatusCode, duration: Micros) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.duration.observe(duration);
    }

    /// Counts a request that the function failed.
    pub fn failed(&self, failing: Failing) {
        self.failing[failing as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a phase of a start from zero.
    pub fn cold(&self, start: Start, phase: Phase, duration: Micros) {
        self.cold[start as usize][phase as usize].observe(duration);
    }
}

// === impl Failing ===

impl Failing {
    /// Reads it from the contract's code of an answer and from how its body ended. A tunnel's end says nothing: either side
    /// may have broken it.
    #[must_use]
    pub fn of(code: Option<&str>, status: StatusCode, end: End) -> Option<Self> {
        if code == Some(ErrorCode::FunctionFailed.as_str()) {
            Some(Self::Failed)
        } else if code == Some(ErrorCode::Timeout.as_str()) {
            Some(Self::Timeout)
        } else {
            (end == End::Failed && status != StatusCode::SWITCHING_PROTOCOLS).then_some(Self::CutOff)
        }
    }
}

// === impl Histogram ===

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Micros) {
        let bucket = BOUNDS.iter().position(|bound| duration <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(duration, Ordering::Relaxed);
    }
}
