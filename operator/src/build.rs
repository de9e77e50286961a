//! Builds: a source that names dependencies which it does not bring becomes a package by a Job in the function's namespace.
//!
//! What is to be built has a name that says all of it ([`order`]), so one Job serves every function of the namespace with the same
//! code, a build that was made is not made again, and another leader finds what this one began: the Job and its pods say how far
//! it is ([`state`]), and the revision that came of it remembers its build. [`plan`] decides, this module does. The builder in the
//! pod brings the package to the [`Depot`]. What runs goes on whatever becomes of a build.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use flint_api::{Function, Runtime};
use flint_kube::{Applier, Created, Error, last_said};
use flint_package::{Draft, Limits};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

mod caches;
mod depot;
mod job;
mod order;
mod plan;
mod settings;
mod state;
mod wanted;

pub(crate) use caches::Caches;
pub(crate) use depot::Depot;
pub(crate) use job::COMPONENT;
pub(crate) use settings::{BuildConfig, PodConfig};
pub(crate) use wanted::Wanted;

use order::Order;
use plan::{Situation, Step};
use settings::Installation;
use state::{State, is_running};

use crate::{
    function::problem::{self, Problem},
    key::Key,
    package::{self, DIGEST_ANNOTATION, Package, SOURCE_ANNOTATION},
    packages::{Storehouse, Volume},
    settings::Settings,
    stores::Stores,
};

/// Makes packages of sources with dependencies.
pub(crate) struct Builds {
    applier: Applier,
    stores: Stores,
    settings: Arc<Settings>,
    config: BuildConfig,
    volume: Arc<Volume>,
    store: Storehouse,
    /// Which manifests of a fetched source name what it does not bring, by its digest. Bounded: [`MOST_KNOWN`].
    needs: Mutex<HashMap<String, Vec<String>>>,
    /// Jobs that this process made, which the watch may not have told yet.
    made: Mutex<HashMap<(String, String), Instant>>,
    /// Jobs, by uid, whose builder has its key from this process. As many as run.
    keys: Mutex<HashSet<String>>,
}

/// A Job that the watch has not told of by then was deleted at once, and has no place any more.
const UNSEEN: Duration = Duration::from_secs(60);
/// A reconciliation waits so long for the store that the operators share.
const STORE_PATIENCE: Duration = Duration::from_secs(20);
/// A store that did not answer is asked again after this.
const STORE_RETRY: Duration = Duration::from_secs(20);
/// What the controller of Jobs calls it when the API server takes no pod of it.
const POD_REFUSED: &str = "FailedCreate";
/// More sources than this are looked at again.
const MOST_KNOWN: usize = 4096;

// === impl Builds ===

impl Builds {
    /// Builds that nobody has asked for.
    pub(crate) fn new(
        applier: Applier,
        stores: Stores,
        settings: Arc<Settings>,
        config: BuildConfig,
        store: Storehouse,
    ) -> Self {
        let (needs, made, keys) = (Mutex::default(), Mutex::default(), Mutex::default());
        let volume = Arc::clone(store.volume());
        Self { applier, stores, settings, config, volume, store, needs, made, keys }
    }

    /// The package of a function whose source is the package `source`: that itself, or what a build makes of it.
    pub(crate) async fn package(
        &self,
        key: &Key,
        function: &Function,
        runtime: Option<&Runtime>,
        source: Package,
    ) -> Result<Result<Package, Problem>, Error> {
        let needs = match self.needs(&source).await {
            Ok(needs) => needs,
            Err(problem) => return Ok(Err(problem)),
        };
        let order = match runtime.map(|runtime| order::order(key, function, runtime, &source.digest, &needs))
        {
            Some(Ok(Some(order))) => order,
            Some(Err(problem)) => return Ok(Err(problem)),
            Some(Ok(None)) | None => {
                self.want(key, None).await?;
                return Ok(Ok(source));
            }
        };
        self.want(key, Some(&order.name)).await?;
        if let Err(problem) = self.shelve(&source).await {
            return Ok(Err(problem));
        }
        let job = self.stores.job(&key.namespace, &order.name);
        let mut situation = self.situation(&order, job.as_deref());
        if let Some(refused) = self.refused(job.as_deref()).await {
            situation.state = refused;
        }
        if let Err(problem) = self.bring(&mut situation).await {
            return Ok(Err(problem));
        }
        let (step, result) = plan::plan(situation);
        self.take(step, key, &order, function, job.as_deref()).await?;
        Ok(match result {
            Ok(package) => {
                let package = Package { resolved: source.resolved.clone(), ..package };
                Ok(self.with_bytes(key, package).await)
            }
            Err(problem) => Err(problem),
        })
    }

    /// The function is gone, or has nothing to build.
    pub(crate) async fn forget(&self, key: &Key) -> Result<(), Error> {
        self.want(key, None).await
    }

    fn situation<'a>(&self, order: &'a Order, job: Option<&Job>) -> Situation<'a> {
        let now = Timestamp::now();
        let pods = self.stores.build_pods(&order.namespace, &order.name);
        let state = state::state(job, &pods, now);
        let at_hand = match &state {
            State::Done(digest, _) => self.at_hand(digest),
            _ => false,
        };
        let uid = job.and_then(|job| job.metadata.uid.as_deref()).unwrap_or_default();
        let deployed = self.deployed(order).map(|package| {
            let at_hand = self.at_hand(&package.digest);
            (package, at_hand)
        });
        let has_key = self.keys.lock().contains(uid);
        Situation { order, state, deployed, at_hand, room: self.room(), has_key, now }
    }

    /// What refuses the pod of a Job that has none.
    async fn refused(&self, job: Option<&Job>) -> Option<State> {
        let job = job?;
        let (namespace, name) = (job.namespace()?, job.name_any());
        if !state::is_podless(job, &self.stores.build_pods(&namespace, &name), Timestamp::now()) {
            return None;
        }
        match last_said(self.applier.client(), job, POD_REFUSED).await {
            Ok(said) => said.map(|said| state::refused(job, &said)),
            Err(error) => {
                tracing::warn!(namespace, build = name, %error, "it cannot be read why a build has no pod");
                None
            }
        }
    }

    /// Brings what a build made from the store that the operators share, where this one lacks it. While that store does not answer,
    /// nothing is built again: it has been made, and what runs goes on.
    async fn bring(&self, situation: &mut Situation<'_>) -> Result<(), Problem> {
        let lacked = |at_hand: bool, digest: &String| (!at_hand).then(|| digest.clone());
        let made = match &situation.state {
            State::Done(digest, _) => lacked(situation.at_hand, digest),
            _ => None,
        };
        if let Some(digest) = made {
            situation.at_hand = self.bring_one(&digest).await?;
        }
        let deployed = situation.deployed.as_ref().and_then(|(package, has)| lacked(*has, &package.digest));
        if let Some(digest) = deployed {
            // It is not built again for a store that is away: whoever starts asks for it then.
            let here = self.bring_one(&digest).await.unwrap_or(true);
            situation.deployed.iter_mut().for_each(|(_, at_hand)| *at_hand = here);
        }
        Ok(())
    }

    async fn bring_one(&self, digest: &str) -> Result<bool, Problem> {
        let away = |why: String| {
            tracing::warn!(digest, why, "a package that was built does not come from the store");
            let text = format!(
                "The package that was built does not come from the package store: {why}. It is tried again."
            );
            Problem { again: Some(STORE_RETRY), ..Problem::build(problem::STORE_FAILED, text) }
        };
        match timeout(STORE_PATIENCE, self.store.bring(digest)).await {
            Ok(brought) => brought.map_err(|error| away(format!("{error:#}"))),
            Err(_) => Err(away(format!("no answer within {} s", STORE_PATIENCE.as_secs()))),
        }
    }

    async fn take(
        &self,
        step: Step,
        key: &Key,
        order: &Order,
        function: &Function,
        job: Option<&Job>,
    ) -> Result<(), Error> {
        let at = Installation { settings: &self.settings, builds: &self.config };
        let uid = job.and_then(|job| job.metadata.uid.clone()).unwrap_or_default();
        match step {
            Step::Wait => {}
            Step::Queue => self.stores.wanted.queue(key),
            Step::Create => {
                // Before it is made: another function may ask for the last place at this moment.
                let name = (order.namespace.clone(), order.name.clone());
                self.made.lock().insert(name.clone(), Instant::now());
                let created = self.applier.create(&job::job(at, order, function)).await;
                if !matches!(created, Ok(Created::New)) {
                    self.made.lock().remove(&name);
                }
                created?;
                tracing::info!(function = %key, build = order.name, manifest = order.manifest, "a build begins");
            }
            Step::GiveKey => {
                let authorities = self.authorities().await;
                self.applier.apply(&job::secret(at, order, &uid, authorities.as_deref())).await?;
                let jobs = self.stores.jobs.state();
                let mut keys = self.keys.lock();
                keys.retain(|uid| jobs.iter().any(|job| job.metadata.uid.as_ref() == Some(uid)));
                keys.insert(uid);
            }
            Step::Delete => {
                self.keys.lock().remove(&uid);
                self.applier.delete::<Job>(&order.namespace, &order.name, Some(&uid)).await?;
            }
        }
        Ok(())
    }

    /// Notes what a function wants. What nobody wants any more is ended: its result would be nobody's.
    async fn want(&self, key: &Key, build: Option<&str>) -> Result<(), Error> {
        let Some(left) = self.stores.wanted.want(key, build) else { return Ok(()) };
        let Some(job) = self.stores.job(&key.namespace, &left).filter(|job| is_running(job)) else {
            return Ok(());
        };
        tracing::info!(function = %key, build = left, "a build that nobody wants any more is ended");
        self.applier.delete::<Job>(&key.namespace, &left, job.metadata.uid.as_deref()).await
    }

    /// Whether another build may begin.
    fn room(&self) -> bool {
        let mut made = self.made.lock();
        made.retain(|(namespace, name), since| {
            self.stores.job(namespace, name).is_none() && since.elapsed() < UNSEEN
        });
        let now = Timestamp::now();
        let has_place = |job: &Job| {
            let pods = self
                .stores
                .build_pods(job.metadata.namespace.as_deref().unwrap_or_default(), &job.name_any());
            state::has_place(job, &pods, now)
        };
        let running = self.stores.jobs.state().iter().filter(|job| has_place(job)).count();
        running + made.len() < self.config.at_once
    }

    /// The package of the same build that a revision of the namespace has, one whose bytes are at hand if there is any.
    fn deployed(&self, order: &Order) -> Option<Package> {
        let mark = plan::mark(&order.name);
        let all = self.stores.deployments.state();
        let same = all.iter().filter(|deployment| {
            deployment.metadata.namespace.as_deref() == Some(&order.namespace)
                && deployment.annotations().get(SOURCE_ANNOTATION) == Some(&mark)
        });
        let mut packages = same.filter_map(|deployment| {
            let annotations = deployment.annotations();
            let bytes = annotations.get(package::BYTES_ANNOTATION)?.parse().ok()?;
            Some(plan::built(order, annotations.get(DIGEST_ANNOTATION)?.clone(), bytes))
        });
        let first = packages.next()?;
        if self.at_hand(&first.digest) {
            return Some(first);
        }
        packages.find(|package| self.at_hand(&package.digest)).or(Some(first))
    }

    fn at_hand(&self, digest: &str) -> bool {
        self.volume.has(digest) || self.in_config_map(digest)
    }

    fn in_config_map(&self, digest: &str) -> bool {
        let is = |map: &kube::core::PartialObjectMeta<_>| {
            map.annotations().get(DIGEST_ANNOTATION).is_some_and(|has| has == digest)
        };
        self.stores.config_maps.find_by(is).is_some()
    }

    /// A small package is kept in a ConfigMap, as those of inline code are: it outlives this operator's volume.
    async fn with_bytes(&self, key: &Key, mut package: Package) -> Package {
        let maps = self.stores.config_maps.of(key);
        let stored = maps.iter().any(|map| map.annotations().get(DIGEST_ANNOTATION) == Some(&package.digest));
        if !stored && package.size <= package::PACKAGE_LIMIT {
            let (volume, digest) = (Arc::clone(&self.volume), package.digest.clone());
            let read = move || {
                let (mut file, _) = volume.read(&digest).ok()??;
                let mut bytes = Vec::new();
                std::io::Read::read_to_end(&mut file, &mut bytes).ok()?;
                Some(bytes.into())
            };
            package.data = tokio::task::spawn_blocking(read).await.ok().flatten();
        }
        package
    }

    /// Puts a source that is in memory where builders find it.
    async fn shelve(&self, source: &Package) -> Result<(), Problem> {
        let Some(data) = source.data.clone().filter(|_| !self.volume.has(&source.digest)) else {
            return Ok(());
        };
        let (volume, digest) = (Arc::clone(&self.volume), source.digest.clone());
        let put = move || {
            let mut file = volume.draft().map_err(|error| error.to_string())?;
            std::io::Write::write_all(&mut file, &data).map_err(|error| error.to_string())?;
            volume.put(&digest, file).map_err(|error| error.to_string())
        };
        let put = tokio::task::spawn_blocking(put).await.unwrap_or_else(|error| Err(error.to_string()));
        put.map_err(|error| {
            Problem::build(problem::STORE_FAILED, format!("The source cannot be stored: {error}."))
        })
    }

    /// Which manifests name what the source does not bring.
    async fn needs(&self, source: &Package) -> Result<Vec<String>, Problem> {
        if let Some(needs) = &source.needs {
            return Ok(needs.clone());
        }
        if let Some(known) = self.needs.lock().get(&source.digest) {
            return Ok(known.clone());
        }
        let (volume, digest) = (Arc::clone(&self.volume), source.digest.clone());
        let look = move || {
            // What is not here has been deployed as it is, and is being fetched again.
            let Some((file, _)) = volume.read(&digest).map_err(|error| error.to_string())? else {
                return Ok(None);
            };
            let limits = Limits { unpacked: u64::MAX, ..Limits::default() };
            let spool = volume.spool().map_err(|error| error.to_string())?;
            let mut draft = Draft::new(spool, limits);
            flint_package::read(file, &mut draft).map_err(|error| error.to_string())?;
            draft.missing_dependencies().map(Some).map_err(|error| error.to_string())
        };
        let looked = tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(error.to_string()));
        let unread =
            |error| Problem::build(problem::STORE_FAILED, format!("The source cannot be read: {error}."));
        let Some(needs) = looked.map_err(unread)? else { return Ok(Vec::new()) };
        let needs: Vec<_> = needs.into_iter().map(str::to_owned).collect();
        let mut known = self.needs.lock();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(source.digest.clone(), needs.clone());
        Ok(needs)
    }

    /// The installation's own authorities, as their file has them now.
    async fn authorities(&self) -> Option<Vec<u8>> {
        let file = self.config.authorities.as_ref()?;
        match tokio::fs::read(file).await {
            Ok(pem) => Some(pem),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "a build goes without the installation's authorities");
                None
            }
        }
    }
}

#[cfg(test)]
impl Builds {
    /// Builds over the volume in a folder, for tests of others.
    pub(crate) fn for_tests(client: kube::Client, stores: Stores, folder: &tempfile::TempDir) -> Arc<Self> {
        let volume = Arc::new(Volume::open(folder.path(), 1 << 20).expect("a volume"));
        let settings = Arc::new(crate::settings::tests::settings());
        let applier = Applier::new(client, flint_api::labels::FIELD_MANAGER);
        let store = Storehouse::new(volume, None);
        Arc::new(Self::new(applier, stores, settings, settings::tests::config(), store))
    }
}

#[cfg(test)]
mod tests {
    use flint_testing::apiserver::ApiServer;
    use serde_json::json;

    use super::*;
    use crate::stores::tests::stores;

    #[tokio::test]
    async fn a_build_whose_pod_is_refused_says_why_and_gives_its_place_to_others() {
        let (server, folder) = (ApiServer::new(), tempfile::tempdir().unwrap());
        let (stores, mut fill) = stores();
        let builds = Builds::for_tests(server.client(), stores.clone(), &folder);
        let job = |name: &str, labels: serde_json::Value| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "spec": {"template": {}},
                "metadata": {"name": name, "namespace": "shop", "uid": name, "creationTimestamp": "2026-11-21T10:00:00Z", "labels": labels}})
        };
        let at_once = builds.config.at_once;
        for number in 0..at_once {
            fill.put(&job(&format!("flint-build-{number}"), json!({})));
        }
        assert!(builds.room(), "none of them has a pod");
        let job = stores.job("shop", "flint-build-0").unwrap();
        assert_eq!(builds.refused(Some(&job)).await, None, "nobody has said why");
        server.put(&json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "reason": POD_REFUSED, "eventTime": null,
            "note": "Error creating: pods \"x\" is forbidden: exceeded quota: small", "metadata": {"name": "a", "namespace": "shop"}}));
        let Some(State::Stuck(failure)) = builds.refused(Some(&job)).await else { panic!("stuck") };
        assert!(failure.message.contains("exceeded quota: small"), "{failure:?}");
    }
}
