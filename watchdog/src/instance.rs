//! What every part of the watchdog shares: one function's instance.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::beside::Beside;
use crate::child::Reaper;
use crate::config::Config;
use crate::gate::Gate;
use crate::logs::{Level, Logger};
use crate::memory::MemoryMeter;
use crate::metrics::{Gauges, Metrics};
use crate::pool::Warm;
use crate::termination::Failure;

/// One function's instance.
pub struct Instance {
    /// The configuration.
    pub config: Config,
    /// The log.
    pub log: Logger,
    /// The counters.
    pub metrics: Metrics,
    /// Admission.
    pub gate: Gate,
    /// Waits for children.
    pub reaper: Arc<Reaper>,
    /// Measures memory.
    pub memory: MemoryMeter,
    /// When the watchdog started, or was claimed.
    pub started: Instant,
    /// The pool that it waited in before it was claimed.
    pub pool: Option<String>,
    /// Where home was last, so that its name need not be resolved.
    pub home_address: Option<SocketAddr>,
    /// The same of packages.
    pub packages_address: Option<SocketAddr>,
    warm: Mutex<Option<Warm>>,
    health: watch::Sender<Health>,
    failure: watch::Sender<Option<Failure>>,
    /// The children alive, for memory and the end.
    children: Mutex<Vec<i32>>,
    /// Whether the container beside us may live.
    pub(crate) beside: Beside,
    /// Counts the requests whose ids had to be changed.
    renamed: AtomicUsize,
}

/// What an instance brings with it from the pool that it waited in.
pub(crate) struct Origin {
    /// The pool's name.
    pub(crate) pool: String,
    /// Where home is.
    pub(crate) home: Option<SocketAddr>,
    /// Where packages are.
    pub(crate) packages: Option<SocketAddr>,
    /// The process that waits to become the function's.
    pub(crate) warm: Option<Warm>,
}

/// Whether requests can be worked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not yet, or not at the moment: what is missing.
    NotReady(&'static str),
    /// Yes; how long the child took to become so.
    Ready(Duration),
}

// === impl Instance ===

impl Instance {
    /// An instance that is not ready yet.
    #[must_use]
    pub fn new(config: Config, log: Logger, started: Instant) -> Arc<Self> {
        Arc::new(Self::build(config, log, started, Arc::new(Reaper::new()), None))
    }

    /// The instance that a pod from a pool has become.
    pub(crate) fn of_pool(
        config: Config,
        log: Logger,
        claimed: Instant,
        reaper: Arc<Reaper>,
        origin: Origin,
    ) -> Arc<Self> {
        Arc::new(Self::build(config, log, claimed, reaper, Some(origin)))
    }

    fn build(
        config: Config,
        log: Logger,
        started: Instant,
        reaper: Arc<Reaper>,
        origin: Option<Origin>,
    ) -> Self {
        let Origin { pool, home, packages, warm } =
            origin.unwrap_or(Origin { pool: String::new(), home: None, packages: None, warm: None });
        Self {
            gate: Gate::new(config.concurrency),
            log,
            metrics: Metrics::default(),
            reaper,
            memory: MemoryMeter::new(std::process::id() == 1),
            started,
            pool: (!pool.is_empty()).then_some(pool),
            home_address: home,
            packages_address: packages,
            warm: Mutex::new(warm),
            health: watch::Sender::new(Health::NotReady("starting")),
            failure: watch::Sender::new(None),
            children: Mutex::default(),
            beside: Beside::default(),
            renamed: AtomicUsize::new(0),
            config,
        }
    }

    /// Where the process that was loaded ahead expects its Runtime API.
    pub(crate) fn take_warm_api(&self) -> Option<TcpListener> {
        self.warm.lock().as_mut()?.take_api()
    }

    /// The process that was loaded ahead, for the first child.
    pub(crate) fn take_warm(&self) -> Option<Warm> {
        self.warm.lock().take()
    }

    /// The child is ready.
    pub fn set_ready(&self, init: Duration) {
        self.health.send_if_modified(|health| {
            let changed = !matches!(health, Health::Ready(_));
            *health = Health::Ready(init);
            changed
        });
    }

    /// The child is not ready.
    pub fn set_not_ready(&self, why: &'static str) {
        self.health.send_if_modified(|health| {
            let changed = matches!(health, Health::Ready(_));
            *health = Health::NotReady(why);
            changed
        });
    }

    /// Whether requests can be worked on; for probes it also matters whether any are taken.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Whether requests can be worked on.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(*self.health.borrow(), Health::Ready(_))
    }

    /// Waits until the child is ready.
    pub async fn ready(&self) -> Duration {
        let mut health = self.health.subscribe();
        loop {
            if let Health::Ready(init) = *health.borrow_and_update() {
                return init;
            }
            if health.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The instance cannot go on: the pod's status has to show why. The first reason stands.
    pub fn fail(&self, failure: Failure) {
        self.log.say(Level::Error, &failure.line());
        self.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                *first = Some(failure);
            }
            is_first
        });
    }

    /// Waits until the instance cannot go on.
    pub async fn failed(&self) -> Failure {
        let mut failure = self.failure.subscribe();
        loop {
            if let Some(failure) = failure.borrow_and_update().clone() {
                return failure;
            }
            if failure.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// A child was started.
    pub fn child_started(&self, pid: i32) {
        self.children.lock().push(pid);
    }

    /// A child has ended.
    pub fn child_ended(&self, pid: i32) {
        self.children.lock().retain(|other| *other != pid);
    }

    /// The most memory that the function has used so far.
    pub fn memory_peak(&self, now: Instant) -> Option<u64> {
        // What a container beside us uses is not seen from here.
        if self.config.command.is_empty() {
            return None;
        }
        self.memory.peak(&self.children.lock(), now)
    }

    /// A number that no other request of this instance has.
    pub fn next_number(&self) -> usize {
        self.renamed.fetch_add(1, Ordering::Relaxed)
    }

    /// The metrics' page.
    #[must_use]
    pub fn metrics_page(&self) -> String {
        let children = self.children.lock().len();
        let gauges = Gauges {
            in_flight: self.gate.in_flight(),
            concurrency: self.config.concurrency.unwrap_or(0),
            ready: matches!(self.health(), Health::Ready(_)) && !self.gate.is_closing(),
            children,
            memory_peak: self.memory_peak(Instant::now()),
            log_dropped: self.log.dropped(),
        };
        self.metrics.render(&self.config.identity, gauges)
    }
}
