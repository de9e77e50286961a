//! Fetching: code that is elsewhere becomes packages, one job for each Function that needs it, beside the reconciler.
//!
//! A job belongs to a Function and an [`Order`], the part of its source that says what to fetch. It tries until it has a package, or
//! until trying again is of no use, and tells the reconciler by touching the Function. Nothing here knows of revisions: whatever a
//! job does or fails to do, what runs goes on. There are at most as many jobs as Functions, and [`LANES`] of them work at a time.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use flint_api::{Archive, Function};
use flint_package::Limits;
use kube::Client;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{key::Key, packages::Volume, stores::Stores};

mod archive;
mod credentials;
mod failure;
mod http;
mod reach;
mod trust;

pub(crate) use failure::Failure;
pub(crate) use reach::Reach;
pub(crate) use trust::Trust;

use credentials::Credentials;

/// Makes packages of what is elsewhere.
pub(crate) struct Fetcher {
    client: Client,
    stores: Stores,
    volume: Arc<Volume>,
    reach: Reach,
    trust: Trust,
    bounds: Bounds,
    lanes: Semaphore,
    jobs: Mutex<HashMap<Key, Job>>,
    fetches: IntCounterVec,
}

/// What a source may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of an archive as it is fetched.
    pub(crate) archive: u64,
    /// What is in it.
    pub(crate) limits: Limits,
}

/// What to fetch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Order {
    archive: Archive,
    /// A text that a user changes to have it fetched again.
    refresh: Option<String>,
}

/// A package that is on the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// `sha256:HEX`
    pub(crate) digest: String,
    /// Its size.
    pub(crate) bytes: u64,
}

/// How far an order is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Progress {
    /// Under way.
    Working,
    /// Done.
    Made(Made),
    /// Failed, for good or until it is tried again.
    Failed(Failure),
}

struct Job {
    order: Order,
    progress: Progress,
    _task: AbortOnDropHandle<()>,
}

/// Jobs that fetch at a time: each takes a file's worth of disk twice, and a core while it packs.
const LANES: usize = 4;
/// All of one attempt: the largest archive at 100 kB/s.
const ATTEMPT: Duration = Duration::from_secs(600);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// The annotation on a Function that has its source fetched again whenever it changes.
const REFRESH: &str = "flint.dev/refresh";

// === impl Fetcher ===

impl Fetcher {
    /// A fetcher without jobs.
    ///
    /// # Errors
    /// When the registry has metrics of those names.
    pub(crate) fn new(
        client: Client,
        stores: Stores,
        volume: Arc<Volume>,
        reach: Reach,
        trust: Trust,
        bounds: Bounds,
        registry: &Registry,
    ) -> Result<Self, prometheus::Error> {
        let fetches = IntCounterVec::new(
            Opts::new(
                "flint_source_fetches_total",
                "Attempts to fetch a source, by the condition's reason or ok.",
            ),
            &["result"],
        )?;
        registry.register(Box::new(fetches.clone()))?;
        let (lanes, jobs) = (Semaphore::new(LANES), Mutex::default());
        Ok(Self { client, stores, volume, reach, trust, bounds, lanes, jobs, fetches })
    }

    /// How far the function's order is; none when it was never given.
    pub(crate) fn progress(&self, key: &Key, order: &Order) -> Option<Progress> {
        let jobs = self.jobs.lock();
        let progress = jobs.get(key).filter(|job| job.order == *order).map(|job| job.progress.clone())?;
        match &progress {
            // Lost, or damaged: it has to be made again.
            Progress::Made(made) if !self.volume.has(&made.digest) => None,
            _ => Some(progress),
        }
    }

    /// Takes an order, in the place of any other that the function gave.
    pub(crate) fn start(self: &Arc<Self>, key: &Key, order: &Order) {
        let mut jobs = self.jobs.lock();
        let work = Arc::clone(self).work(key.clone(), order.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(work));
        jobs.insert(key.clone(), Job { order: order.clone(), progress: Progress::Working, _task: task });
    }

    /// Whether the package is here, whoever made it.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.volume.has(digest)
    }

    /// The function is gone, or has another kind of source.
    pub(crate) fn forget(&self, key: &Key) {
        self.jobs.lock().remove(key);
    }

    /// The packages that functions are about to have.
    pub(crate) fn digests(&self) -> HashSet<String> {
        let jobs = self.jobs.lock();
        let made = jobs.values().filter_map(|job| match &job.progress {
            Progress::Made(made) => Some(made.digest.clone()),
            _ => None,
        });
        made.collect()
    }

    async fn work(self: Arc<Self>, key: Key, order: Order) {
        let mut pause = FIRST_PAUSE;
        loop {
            let result = self.attempt(&key, &order).await;
            let result_label = result.as_ref().map_or_else(|failure| failure.reason, |_| "ok");
            self.fetches.with_label_values(&[result_label]).inc();
            let failure = match result {
                Ok(made) => {
                    tracing::info!(function = %key, digest = made.digest, bytes = made.bytes, "a source was fetched");
                    self.tell(&key, &order, Progress::Made(made));
                    return;
                }
                Err(failure) => failure,
            };
            let heals = failure.heals;
            tracing::info!(function = %key, reason = failure.reason, message = failure.message, heals, "a source was not fetched");
            self.tell(&key, &order, Progress::Failed(failure));
            if !heals {
                return;
            }
            tokio::time::sleep(pause + pause.mul_f64(rand::random::<f64>() / 10.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, key: &Key, order: &Order) -> Result<Made, Failure> {
        let _turn = self.lanes.acquire().await.map_err(Failure::store)?;
        let Order { archive, .. } = order;
        let fetch = async {
            let secret = archive.secret_ref.as_ref().map(|secret| secret.name.as_str());
            let mut credentials = Credentials::read(&self.client, &key.namespace, secret).await?;
            credentials.authorities.extend(self.trust.read().await?);
            let (volume, bounds) = (Arc::clone(&self.volume), self.bounds);
            archive::fetch(archive, self.reach, credentials, volume, bounds.archive, bounds.limits).await
        };
        let late = || {
            Failure::unreachable("The source", format_args!("it takes longer than {} s", ATTEMPT.as_secs()))
        };
        timeout(ATTEMPT, fetch).await.unwrap_or_else(|_| Err(late()))
    }

    fn tell(&self, key: &Key, order: &Order, progress: Progress) {
        if let Some(job) = self.jobs.lock().get_mut(key).filter(|job| job.order == *order) {
            job.progress = progress;
        }
        self.stores.touch(key);
    }
}

#[cfg(test)]
impl Fetcher {
    /// A fetcher over nothing but a folder, for tests of others.
    pub(crate) fn for_tests(client: Client, stores: Stores, folder: &tempfile::TempDir) -> Arc<Self> {
        let volume = Arc::new(Volume::open(folder.path(), 1 << 20).expect("a volume"));
        let bounds = Bounds { archive: 1 << 20, limits: Limits::default() };
        let fetcher =
            Self::new(client, stores, volume, Reach::default(), Trust::default(), bounds, &Registry::new());
        Arc::new(fetcher.expect("a fetcher"))
    }

    /// Removes a package from the volume; says whether it was there.
    pub(crate) fn lose(&self, digest: &str) -> bool {
        let had = self.volume.has(digest);
        self.volume.remove(digest).expect("the volume");
        had
    }

    /// Makes a job be so far. A package is on the volume then.
    pub(crate) fn set(&self, key: &Key, function: &Function, progress: Progress) {
        let order = Order::of(function).expect("an order");
        if let Progress::Made(made) = &progress {
            self.volume.put(&made.digest, self.volume.draft().expect("a file")).expect("room");
        }
        let task = AbortOnDropHandle::new(tokio::spawn(std::future::pending()));
        self.jobs.lock().insert(key.clone(), Job { order, progress, _task: task });
    }
}

// === impl Order ===

impl Order {
    /// What the function wants fetched, if it does.
    pub(crate) fn of(function: &Function) -> Option<Self> {
        let archive = function.spec.source.as_ref()?.archive.clone()?;
        let refresh = function.metadata.annotations.as_ref().and_then(|all| all.get(REFRESH)).cloned();
        Some(Self { archive, refresh })
    }

    /// The order in one line, for the revision that comes of it. An archive is known by what it is, wherever it is from.
    pub(crate) fn text(&self) -> String {
        format!("archive sha256:{}", self.archive.sha256)
    }
}

#[cfg(test)]
mod tests;
