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

use flint_api::RevisionPackage;
use flint_kube::lease::jittered;
use flint_package::Limits;
use kube::Client;
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    jobs::{self, Jobs, Pauses},
    key::Key,
    packages::{Storehouse, Volume},
    stores::Stores,
};

mod archive;
mod credentials;
mod failure;
mod git;
mod http;
mod oci;
mod order;
mod reach;
mod registry;
mod trust;

pub(crate) use failure::Failure;
pub(crate) use order::{Order, REFRESH};
pub(crate) use reach::Reach;
pub(crate) use trust::Trust;

use credentials::Credentials;
use http::Http;
use order::What;

/// Makes packages of what is elsewhere.
pub(crate) struct Fetcher {
    client: Client,
    stores: Stores,
    workshop: Workshop,
    reach: Reach,
    trust: Trust,
    /// How often what moves is looked at; none: only when it is asked for.
    interval: Option<Duration>,
    lanes: Semaphore,
    jobs: Jobs<Order, Made>,
    /// Packages of older revisions that are being fetched again, by digest. At most [`MOST_RESTORED`].
    restored: Mutex<HashMap<String, AbortOnDropHandle<()>>>,
    fetches: IntCounterVec,
}

/// Where packages are made, and within what bounds.
#[derive(Clone)]
pub(crate) struct Workshop {
    /// Where they are kept then.
    pub(crate) volume: Arc<Volume>,
    /// The same, with what is behind it.
    pub(crate) store: Storehouse,
    /// What they may cost.
    pub(crate) bounds: Bounds,
    /// HOST:PORT of registries that are asked without TLS.
    pub(crate) insecure: Arc<[String]>,
}

/// What a source may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of an archive as it is fetched.
    pub(crate) archive: u64,
    /// Bytes of a repository at one commit, as they are fetched.
    pub(crate) repository: u64,
    /// What is in it.
    pub(crate) limits: Limits,
}

/// A package that is on the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    /// `sha256:HEX`
    pub(crate) digest: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// What the source was at that moment: a commit, or an artifact's digest.
    pub(crate) resolved: Option<String>,
}

/// How far an order is.
pub(crate) type Progress = jobs::Progress<Made>;

/// Jobs that fetch at a time: each takes a file's worth of disk twice, and a core while it packs.
const LANES: usize = 4;
/// All of one attempt: the largest archive at 100 kB/s.
const ATTEMPT: Duration = Duration::from_secs(600);
/// Older revisions' packages that are fetched again at a time, and the attempts for each.
const MOST_RESTORED: usize = 64;
const RESTORE_ATTEMPTS: u32 = 6;
/// So many times in a row what moves cannot be looked at before anybody is told, as long as there is a package.
const MISSES: u32 = 3;

// === impl Fetcher ===

impl Fetcher {
    /// A fetcher without jobs.
    ///
    /// # Errors
    /// When the registry has metrics of those names.
    pub(crate) fn new(
        client: Client,
        stores: Stores,
        workshop: Workshop,
        reach: Reach,
        trust: Trust,
        interval: Option<Duration>,
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
        let (lanes, jobs, restored) = (Semaphore::new(LANES), Jobs::new(stores.clone()), Mutex::default());
        Ok(Self { client, stores, workshop, reach, trust, interval, lanes, jobs, restored, fetches })
    }

    /// How far the function's order is; none when it was never given.
    pub(crate) fn progress(&self, key: &Key, order: &Order) -> Option<Progress> {
        self.jobs.progress(key, order).filter(|progress| match progress {
            // Lost, or damaged: it has to be made again.
            Progress::Made(made) => self.has(&made.digest),
            Progress::Working | Progress::Failed(_) => true,
        })
    }

    /// Takes an order, in the place of any other that the function gave. `known` is what an earlier process made of it.
    pub(crate) fn start(self: &Arc<Self>, key: &Key, order: &Order, known: Option<Made>) {
        let work = Arc::clone(self).work(key.clone(), order.clone(), known);
        self.jobs.start(key, order.clone(), work);
    }

    /// Has a package that an older revision needs, and that was lost, fetched again from what the revision recorded. A few attempts;
    /// whoever still misses it then has it begun anew.
    pub(crate) fn restore(self: &Arc<Self>, key: &Key, package: &RevisionPackage) {
        let source: Option<flint_api::Source> =
            package.origin.clone().and_then(|origin| serde_json::from_value(origin).ok());
        let Some(order) = source.as_ref().and_then(Order::of_source) else { return };
        let mut restored = self.restored.lock();
        restored.retain(|_, task| !task.is_finished());
        if restored.len() >= MOST_RESTORED || restored.contains_key(&package.digest) {
            return;
        }
        let lost = Made {
            digest: package.digest.clone(),
            bytes: u64::try_from(package.bytes).unwrap_or_default(),
            resolved: package.commit.clone(),
        };
        let (fetcher, key, digest) = (Arc::clone(self), key.clone(), lost.digest.clone());
        let task = tokio::spawn(async move { fetcher.work_again(&key, &order, &lost).await });
        restored.insert(digest, AbortOnDropHandle::new(task));
    }

    async fn work_again(&self, key: &Key, order: &Order, lost: &Made) {
        let mut pauses = Pauses::new();
        for _ in 0..RESTORE_ATTEMPTS {
            let result = self.attempt(key, order, Some(lost)).await;
            let label = result.as_ref().map_or_else(|failure| failure.reason, |_| "ok");
            self.fetches.with_label_values(&[label]).inc();
            match result {
                Ok(made) if made.digest == lost.digest => {
                    tracing::info!(function = %key, digest = made.digest, "an older revision's package was fetched again");
                    return self.stores.touch(key);
                }
                Ok(made) => {
                    tracing::warn!(function = %key, digest = lost.digest, found = made.digest, "an older revision's source is not what it was");
                    return;
                }
                Err(failure) => {
                    tracing::warn!(function = %key, digest = lost.digest, reason = failure.reason, message = failure.message, "an older revision's package was not fetched again");
                    if !failure.heals {
                        return;
                    }
                }
            }
            tokio::time::sleep(pauses.next()).await;
        }
    }

    /// Whether the package is here, whoever made it.
    pub(crate) fn has(&self, digest: &str) -> bool {
        self.workshop.volume.has(digest)
    }

    /// The function is gone, or has another kind of source.
    pub(crate) fn forget(&self, key: &Key) {
        self.jobs.forget(key);
    }

    /// The packages that functions are about to have.
    pub(crate) fn digests(&self) -> HashSet<String> {
        self.jobs.made().into_iter().map(|made| made.digest).collect()
    }

    /// Works on an order: until it is done, or for as long as what it names may move.
    async fn work(self: Arc<Self>, key: Key, order: Order, mut known: Option<Made>) {
        let interval = self.interval.filter(|_| order.moves());
        let (mut pauses, mut misses) = (Pauses::new(), 0);
        loop {
            let result = self.attempt(&key, &order, known.as_ref()).await;
            let result_label = result.as_ref().map_or_else(|failure| failure.reason, |_| "ok");
            self.fetches.with_label_values(&[result_label]).inc();
            let wait = match result {
                Ok(made) => {
                    (pauses, misses) = (Pauses::new(), 0);
                    if known.as_ref() != Some(&made) {
                        let Made { digest, bytes, resolved } = &made;
                        tracing::info!(function = %key, digest, bytes, resolved, "a source was fetched");
                    }
                    self.jobs.tell(&key, &order, Progress::Made(made.clone()));
                    known = Some(made);
                    interval
                }
                Err(failure) => {
                    let heals = failure.heals;
                    tracing::info!(function = %key, reason = failure.reason, message = failure.message, heals, "a source was not fetched");
                    misses += 1;
                    // A server may be away for a moment without anybody hearing of it who has the code already.
                    let serves = known.as_ref().is_some_and(|known| self.has(&known.digest));
                    if !heals || !serves || misses >= MISSES {
                        self.jobs.tell(&key, &order, Progress::Failed(failure));
                    }
                    let again = pauses.next();
                    if heals { Some(again) } else { interval }
                }
            };
            let Some(wait) = wait else { return };
            tokio::time::sleep(jittered(wait)).await;
        }
    }

    async fn attempt(&self, key: &Key, order: &Order, known: Option<&Made>) -> Result<Made, Failure> {
        let _turn = self.lanes.acquire().await.map_err(Failure::store)?;
        let fetch = async {
            if let Some(known) = known {
                // It may have come from another replica. Where it has not, or the store is away, it is made again.
                let here = self.workshop.store.bring(&known.digest).await.unwrap_or_else(|error| {
                    tracing::warn!(
                        digest = known.digest,
                        error = format!("{error:#}"),
                        "a package did not come from the store"
                    );
                    false
                });
                if here && !order.moves() {
                    return Ok(known.clone());
                }
            }
            let mut credentials = Credentials::read(&self.client, &key.namespace, order.secret()).await?;
            credentials.authorities.extend(self.trust.read().await?);
            let (workshop, reach) = (&self.workshop, self.reach);
            let made = match &order.what {
                What::Archive(archive) => {
                    archive::fetch(archive, Http::new(reach, credentials)?, workshop).await
                }
                What::Git(git) => git::fetch(git, Http::new(reach, credentials)?, workshop, known).await,
                What::Oci(oci) => oci::fetch(oci, reach, credentials, workshop, known).await,
            }?;
            workshop.store.keep(&made.digest).await.map_err(|error| Failure::store(format!("{error:#}")))?;
            Ok(made)
        };
        let late = || {
            Failure::unreachable("The source", format_args!("it takes longer than {} s", ATTEMPT.as_secs()))
        };
        timeout(ATTEMPT, fetch).await.unwrap_or_else(|_| Err(late()))
    }
}

#[cfg(test)]
impl Fetcher {
    /// A fetcher over nothing but a folder, for tests of others.
    pub(crate) fn for_tests(client: Client, stores: Stores, folder: &tempfile::TempDir) -> Arc<Self> {
        let volume = Arc::new(Volume::open(folder.path(), 1 << 20).expect("a volume"));
        let bounds = Bounds { archive: 1 << 20, repository: 1 << 20, limits: Limits::default() };
        let store = Storehouse::new(Arc::clone(&volume), None);
        let workshop = Workshop { volume, store, bounds, insecure: Arc::default() };
        let (reach, trust) = (Reach::default(), Trust::default());
        let fetcher = Self::new(client, stores, workshop, reach, trust, None, &Registry::new());
        Arc::new(fetcher.expect("a fetcher"))
    }

    /// Removes a package from the volume; says whether it was there.
    pub(crate) fn lose(&self, digest: &str) -> bool {
        let had = self.workshop.volume.has(digest);
        self.workshop.volume.remove(digest).expect("the volume");
        had
    }

    /// Puts a package on the volume.
    pub(crate) fn keep(&self, digest: &str, text: &str) {
        let mut file = self.workshop.volume.draft().expect("a file");
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("room");
        self.workshop.volume.put(digest, file).expect("room");
    }

    /// Makes a job be so far. A package is on the volume then.
    pub(crate) fn set(&self, key: &Key, function: &flint_api::Function, progress: Progress) {
        let order = Order::of(function).expect("an order");
        if let Progress::Made(made) = &progress {
            self.workshop
                .volume
                .put(&made.digest, self.workshop.volume.draft().expect("a file"))
                .expect("room");
        }
        self.jobs.put(key, order, progress, std::future::pending());
    }
}

#[cfg(test)]
mod tests;
