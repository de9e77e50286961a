//! Work that goes on beside the reconciler: one job for each Function, which tells how far it is by touching the Function.
//!
//! A job belongs to an order. Another order takes its place, and what the old one still has to say is not heard. There are at most as many
//! jobs as Functions; who gives the orders says how many of them work at a time.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;

use crate::{fetch::Failure, key::Key, stores::Stores};

/// How far an order is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress<M> {
    /// Under way.
    Working,
    /// Done.
    Made(M),
    /// Failed, for good or until it is tried again.
    Failed(Failure),
}

/// The jobs, by function.
pub(crate) struct Jobs<O, M> {
    stores: Stores,
    jobs: Mutex<HashMap<Key, Job<O, M>>>,
}

struct Job<O, M> {
    order: O,
    progress: Progress<M>,
    _task: AbortOnDropHandle<()>,
}

/// Pauses between attempts: each twice as long as the one before, from one second to five minutes.
pub(crate) struct Pauses(Duration);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

// === impl Jobs ===

impl<O: Clone + PartialEq, M: Clone + PartialEq> Jobs<O, M> {
    /// None, for the functions in `stores`.
    pub(crate) fn new(stores: Stores) -> Self {
        Self { stores, jobs: Mutex::default() }
    }

    /// How far the function's order is; none when it was never given.
    pub(crate) fn progress(&self, key: &Key, order: &O) -> Option<Progress<M>> {
        let jobs = self.jobs.lock();
        jobs.get(key).filter(|job| job.order == *order).map(|job| job.progress.clone())
    }

    /// Takes an order, in the place of any other that the function gave.
    pub(crate) fn start(&self, key: &Key, order: O, work: impl Future<Output = ()> + Send + 'static) {
        self.put(key, order, Progress::Working, work);
    }

    /// Makes the function's order be so far. The lock is held until the job is there: what its work tells at once is heard.
    pub(crate) fn put(
        &self,
        key: &Key,
        order: O,
        progress: Progress<M>,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut jobs = self.jobs.lock();
        let task = AbortOnDropHandle::new(tokio::spawn(work));
        jobs.insert(key.clone(), Job { order, progress, _task: task });
    }

    /// Ends the function's job.
    pub(crate) fn forget(&self, key: &Key) {
        self.jobs.lock().remove(key);
    }

    /// What orders have become.
    pub(crate) fn made(&self) -> Vec<M> {
        let jobs = self.jobs.lock();
        let made = jobs.values().filter_map(|job| match &job.progress {
            Progress::Made(made) => Some(made.clone()),
            _ => None,
        });
        made.collect()
    }

    /// Puts down how far an order is, and touches the function if that is news.
    pub(crate) fn tell(&self, key: &Key, order: &O, progress: Progress<M>) {
        if let Some(job) = self.jobs.lock().get_mut(key).filter(|job| job.order == *order) {
            if job.progress == progress {
                return;
            }
            job.progress = progress;
        }
        self.stores.touch(key);
    }
}

// === impl Pauses ===

impl Pauses {
    /// Before the first.
    pub(crate) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// The next pause.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}
