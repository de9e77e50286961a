//! What every function's living part shares: the clock, the limit of its line, and the bell that says "somebody waits".

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::mpsc;

use crate::{clock::Clock, live::Live, metrics::Totals, pool::Pools, split::Revisions};

/// Shared by all functions of a gateway.
#[derive(Debug)]
pub struct Hub {
    /// The data plane's time.
    pub clock: Clock,
    /// The most requests that may wait for one function.
    pub queue_capacity: usize,
    /// Counts that belong to no function.
    pub totals: Arc<Totals>,
    /// Revisions that get requests beside those that the traffic goes to.
    pub revisions: Revisions,
    /// The warm pools.
    pub pools: Pools,
    bell: mpsc::Sender<Arc<Live>>,
    going: AtomicBool,
}

/// Room for as many functions as may plausibly wake within one round of the reporter. A ring that finds it full is lost
/// without harm: the next regular report tells the same.
const BELL: usize = 1024;

// === impl Hub ===

impl Hub {
    /// A hub, and where its bell is heard.
    #[must_use]
    pub fn new(clock: Clock, queue_capacity: usize) -> (Arc<Self>, mpsc::Receiver<Arc<Live>>) {
        let (bell, heard) = mpsc::channel(BELL);
        (
            Arc::new(Self {
                clock,
                queue_capacity,
                totals: Arc::default(),
                revisions: Revisions::default(),
                pools: Pools::default(),
                bell,
                going: AtomicBool::new(false),
            }),
            heard,
        )
    }

    /// The gateway goes soon: from here on every answer asks its client to connect anew, to a gateway that stays. Closing
    /// the connections from this side later could cross with a request on its way.
    pub(crate) fn go(&self) {
        self.going.store(true, Ordering::Relaxed);
    }

    /// Whether the gateway goes soon.
    pub(crate) fn is_going(&self) -> bool {
        self.going.load(Ordering::Relaxed)
    }

    /// The first request waits for that function: a pod of a warm pool is claimed for it, or the operator hears of it.
    pub(crate) fn ring(&self, live: &Arc<Live>) {
        if !(live.instances().is_empty() && self.pools.offer(live)) {
            self.ring_operator(live);
        }
    }

    /// The operator hears that a request waits for that function.
    pub(crate) fn ring_operator(&self, live: &Arc<Live>) {
        let _ = self.bell.try_send(Arc::clone(live));
    }
}
