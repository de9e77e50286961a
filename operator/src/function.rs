//! The controller of Functions: gathers what there is, plans, applies, and says how it went.
//!
//! One function is worked on by one task at a time; several functions at once, up to a limit. Work begins when a watch tells of
//! something, when a plan asked to be looked at again, and after an error with a backoff of the function's own. Nothing is asked
//! of the API server that a watch has told already, and nothing is written that is so already: at rest there are no calls.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use flint_api::{CanaryPhase, Function, FunctionStatus, Revision};
use flint_core::canary::Outcomes;
use flint_kube::{Applier, Events, lease::Holding};
use futures::StreamExt;
use jiff::Timestamp;
use kube::{
    Client, ResourceExt,
    runtime::controller::{self, Action},
};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    build::Builds, control::Control, fetch::Fetcher, images::Images, key::Key, metrics::Metrics, rollout,
    scaler, schedules, schedules::Schedules, settings::Settings, startability, starts::Starts,
    stores::Stores,
};

mod apply;
mod backoff;
mod design;
mod ending;
mod keyring;
mod lambda_image;
mod news;
mod orphans;
mod plan;
pub(crate) mod pod;
pub(crate) mod problem;
mod source;
mod status;
mod told;
mod traffic;

pub(crate) use status::READY;

use backoff::Backoff;
use ending::Ending;
use keyring::Keyring;
use plan::World;
use source::Sources;
use told::{Told, Verdict};

/// What the controller works with.
pub(crate) struct Context {
    /// The API server.
    pub(crate) client: Client,
    /// Writes objects.
    pub(crate) applier: Applier,
    /// What is known of the cluster.
    pub(crate) stores: Stores,
    /// The installation.
    pub(crate) settings: Arc<Settings>,
    /// Says on Functions what a person wants to hear of.
    pub(crate) events: Events,
    /// Who may prove itself now.
    pub(crate) starts: Starts,
    /// The schedules' part of statuses.
    pub(crate) schedules: Arc<Schedules>,
    /// Whether we lead; without it nothing is written.
    pub(crate) holding: Holding,
    /// What is counted.
    pub(crate) metrics: Metrics,
    /// What the gateways say, and who must not be scaled.
    pub(crate) control: Arc<Control>,
    sources: Sources,
    builds: Arc<Builds>,
    images: Arc<Images>,
    keyring: Keyring,
    backoff: Backoff,
    told: Told,
    ending: Ending,
    /// Since when we know that a function's traffic goes where it goes.
    settled: Mutex<HashMap<Key, (Vec<String>, Instant)>>,
    /// Where the counts of a canary's present step begin: its revision, the step, the counts then.
    trials: Mutex<HashMap<Key, (String, u32, Outcomes)>>,
}

/// Why a function could not be brought further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server did not take a change.
    #[error(transparent)]
    Kube(#[from] flint_kube::Error),
    /// The source could not be read.
    #[error("cannot read the source")]
    Source(#[source] kube::Error),
    /// Another operator leads.
    #[error("another operator leads")]
    NotLeader,
}

/// Functions worked on at once: enough to keep the API server busy while answers are under way.
const CONCURRENCY: u16 = 16;
/// A change rarely comes alone (a Deployment's status, its pods): they are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// What no watch tells of (a stranger's Service that went, a policy that changed) is looked at again by then.
const PROBLEM_RETRY: Duration = Duration::from_secs(30);
/// The time of a schedule's next firing in the status may lag this much where no gateway reports it.
const SCHEDULE_LAG: Duration = Duration::from_secs(30);

/// Works until `shutdown`, then finishes what it is at.
pub(crate) async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let stores = context.stores.clone();
    let changes = stores.subscribe();
    for function in stores.functions.state() {
        changes.push(&Key::of(&function));
    }
    for key in orphans::owners(&stores) {
        changes.push(&key);
    }
    let queue = changes
        .into_stream()
        .map(|key| Ok::<_, std::convert::Infallible>(controller::ReconcileRequest::from(key.reference())))
        .take_until(shutdown.cancelled_owned());
    let config = controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE);
    let reconcile = |function, context| Box::pin(reconcile(function, context));
    let functions = stores.functions.clone();
    let results =
        controller::applier(reconcile, on_error, Arc::clone(&context), functions, Box::pin(queue), config);
    results
        .for_each(|result| async {
            if let Err(controller::Error::ObjectNotFound(reference)) = result {
                let key = Key::new(reference.namespace.as_deref().unwrap_or_default(), &reference.name);
                context.gone(&key).await;
            }
        })
        .await;
}

async fn reconcile(function: Arc<Function>, context: Arc<Context>) -> Result<Action, Error> {
    let started = Instant::now();
    let key = Key::of(&function);
    let result = context.reconcile(&key, function).await;
    context.metrics.reconciled(started.elapsed(), result.is_ok());
    if result.is_ok() {
        context.backoff.succeeded(&key);
    }
    result
}

fn on_error(function: Arc<Function>, error: &Error, context: Arc<Context>) -> Action {
    let key = Key::of(&function);
    let wait = context.backoff.failed(&key);
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(function = %key, %error, cause, retry_ms = wait.as_millis(), "a function could not be reconciled");
    Action::requeue(wait)
}

// === impl Context ===

impl Context {
    /// A context that knows nothing of any function yet.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        client: Client,
        stores: Stores,
        settings: Arc<Settings>,
        events: Events,
        schedules: Arc<Schedules>,
        holding: Holding,
        metrics: Metrics,
        control: Arc<Control>,
        fetcher: Arc<Fetcher>,
        builds: Arc<Builds>,
        images: Arc<Images>,
        max_starting: usize,
    ) -> Self {
        Self {
            applier: Applier::new(client.clone(), flint_api::labels::FIELD_MANAGER),
            keyring: Keyring::new(stores.clone(), Arc::clone(&settings)),
            client,
            stores,
            settings,
            events,
            starts: Starts::new(max_starting),
            schedules,
            holding,
            metrics,
            control,
            sources: Sources::new(fetcher),
            builds,
            images,
            backoff: Backoff::default(),
            told: Told::default(),
            ending: Ending::default(),
            settled: Mutex::default(),
            trials: Mutex::default(),
        }
    }

    async fn reconcile(&self, key: &Key, function: Arc<Function>) -> Result<Action, Error> {
        if function.metadata.deletion_timestamp.is_some() {
            // Everything has the Function as its owner: the garbage collector takes it, and pods finish their requests.
            return Ok(Action::await_change());
        }
        if self.ending.has(&function) {
            return Ok(Action::requeue(ending::TRY_AGAIN));
        }
        let world = self.world(key, function).await?;
        let design = world.design();
        let latest = design.as_ref().ok().map(|design| design.revision.as_str());
        for record in world.records.iter().filter(|record| record.metadata.name.as_deref() != latest) {
            self.sources.keep(&self.stores, key, record);
        }
        let may_start = self.may_start(key, &world, design.as_ref().ok());
        let plan = plan::plan(&world, design, may_start);

        self.must_lead()?;
        self.control.preparing.set(key, plan.preparing.clone());
        let applied = apply::apply(&self.applier, &self.keyring, &world.function, &plan.changes).await;
        let mut problems = match applied {
            Err(error) if error.is_ending() => {
                self.ending.refused(&key.namespace);
                return Ok(Action::requeue(ending::TRY_AGAIN));
            }
            applied => applied?,
        };
        problems.extend(schedules::problem(&world.function));

        let status = status::status(&world, &plan, &problems);
        let later = self.write_status(key, &world, &plan, &status).await?;
        self.write_records(key, &world, &plan).await?;
        let next_firing = self.schedules.sync(key, &world.function, world.now).await?;

        let firing_in = next_firing
            .map(|next| next.duration_since(world.now))
            .map(|wait| wait.unsigned_abs() + SCHEDULE_LAG);
        let retry = (!problems.is_empty()).then_some(PROBLEM_RETRY);
        let again = [plan.again, retry, firing_in, later].into_iter().flatten().min();
        Ok(again.map_or_else(Action::await_change, Action::requeue))
    }

    async fn world(&self, key: &Key, function: Arc<Function>) -> Result<World, Error> {
        let package =
            self.sources.package(&self.client, &self.stores, key, &function).await.map_err(Error::Source)?;
        let runtime = function.spec.runtime.as_deref().and_then(|name| self.stores.runtime(name));
        let package = match package {
            Ok(Some(source)) => {
                self.must_lead()?;
                let built = self.builds.package(key, &function, runtime.as_deref(), source).await?;
                built
                    .and_then(|package| self.images.package(key, &function, runtime.as_deref(), package))
                    .map(Some)
            }
            other => other,
        };
        let mut runtimes: Vec<_> =
            self.stores.runtimes.state().iter().map(|runtime| runtime.name_any()).collect();
        runtimes.sort_unstable();
        let deployments = self.stores.deployments.of(key);
        let pods = self.stores.pods.of(key);
        let staying = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none() && !is_over(pod));
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let ready = pods.iter().filter(|pod| startability::is_ready(pod)).count();
        let now = Timestamp::now();
        let owner = function.uid().unwrap_or_default();
        let announced = |revision: &str| self.control.instances.count(key, revision);
        let ours =
            |record: &Arc<Revision>| record.owner_references().iter().any(|reference| reference.uid == owner);
        let (records, others): (Vec<_>, Vec<_>) = self.stores.revisions.of(key).into_iter().partition(ours);
        let leftover: BTreeSet<_> = others.iter().map(|record| record.name_any()).collect();
        let keep = scaler::keep_called(&function);
        let called = scaler::called(&self.control, &function, key);
        let called = called.into_iter().map(|(revision, ago)| (revision, keep.saturating_sub(ago))).collect();
        Ok(World {
            settings: Arc::clone(&self.settings),
            runtime,
            runtimes,
            package,
            revisions: rollout::observe(&deployments, &pods, &owner, announced, now),
            records,
            leftover,
            called,
            woken: self.control.demand.read(key).waiting > 0,
            outcomes: self.outcomes(key, &function),
            deployments,
            services: self.stores.services.of(key),
            config_maps: self.stores.config_maps.of(key),
            instances: (count(staying.count()), count(ready)),
            settled_for: self.settled_for(key, &function),
            now,
            function,
        })
    }

    /// Claims a start for a revision that has to prove itself, and gives it back when it has, or cannot.
    fn may_start(&self, key: &Key, world: &World, design: Option<&design::Design>) -> bool {
        if design.is_some_and(|design| world.is_starting(design) && !world.is_untried(design)) {
            let may_start = self.starts.claim(key);
            for next in self.starts.overdue() {
                self.stores.touch(&next);
            }
            return may_start;
        }
        self.release_start(key);
        true
    }

    fn release_start(&self, key: &Key) {
        for next in self.starts.release(key) {
            self.stores.touch(&next);
        }
    }

    fn settled_for(&self, key: &Key, function: &Function) -> Duration {
        let status = function.status.as_ref();
        let shares = status.into_iter().flat_map(|status| status.traffic.iter().map(|share| &share.revision));
        let mut revisions: Vec<_> =
            shares.chain(status.and_then(|status| status.revision.as_ref())).cloned().collect();
        revisions.sort_unstable();
        revisions.dedup();
        let mut settled = self.settled.lock();
        let now = Instant::now();
        let entry = settled.entry(key.clone()).or_insert_with(|| (revisions.clone(), now));
        if entry.0 != revisions {
            *entry = (revisions, now);
        }
        now.duration_since(entry.1)
    }

    /// How requests for the revision on trial ended, since its present step began or this operator leads.
    fn outcomes(&self, key: &Key, function: &Function) -> Outcomes {
        let trial = function.status.as_ref().and_then(|status| status.canary.as_ref());
        let mut trials = self.trials.lock();
        let Some(trial) = trial.filter(|trial| trial.phase == CanaryPhase::Progressing) else {
            trials.remove(key);
            return Outcomes::default();
        };
        let seen = self.control.demand.outcomes(key, &trial.revision);
        let begins = trials.entry(key.clone()).or_insert_with(|| (trial.revision.clone(), trial.step, seen));
        if begins.0 != trial.revision || begins.1 != trial.step {
            *begins = (trial.revision.clone(), trial.step, seen);
        }
        seen.since(begins.2)
    }

    fn must_lead(&self) -> Result<(), Error> {
        if self.holding.is_held() { Ok(()) } else { Err(Error::NotLeader) }
    }

    /// Writes the status where it is not so already, and the news in it. Gives the time after which to look again, where it has to wait.
    async fn write_status(
        &self,
        key: &Key,
        world: &World,
        plan: &plan::Plan,
        status: &FunctionStatus,
    ) -> Result<Option<Duration>, Error> {
        let ready = status.conditions.iter().find(|condition| condition.type_ == READY);
        self.metrics.function(key, ready.map_or("Unknown", |ready| ready.status.as_str()));
        let before = self.told.before(key, &world.function);
        match self.told.verdict(key, before.as_ref(), status) {
            Verdict::Same => return Ok(None),
            Verdict::Later(wait) => return Ok(Some(wait)),
            Verdict::Write => {}
        }
        let value = serde_json::to_value(status)
            .map_err(|source| flint_kube::Error::Shape { object: format!("status of {key}"), source })?;
        self.applier.status::<Function>(&key.namespace, &key.name, &value).await?;
        self.told.wrote(key, &world.function, status);
        self.tell(key, world, plan, &before.unwrap_or_default(), status).await;
        Ok(None)
    }

    async fn write_records(&self, key: &Key, world: &World, plan: &plan::Plan) -> Result<(), Error> {
        for (name, status) in status::of_records(world, plan) {
            let value = serde_json::to_value(status).map_err(|source| flint_kube::Error::Shape {
                object: format!("status of Revision {name}"),
                source,
            })?;
            self.applier.status::<Revision>(&key.namespace, &name, &value).await?;
        }
        Ok(())
    }

    async fn tell(
        &self,
        key: &Key,
        world: &World,
        plan: &plan::Plan,
        before: &FunctionStatus,
        status: &FunctionStatus,
    ) {
        for news in news::news(before, status, plan.design.as_ref().ok()) {
            let function = world.function.as_ref();
            tracing::info!(function = %key, reason = news.reason, note = news.note, "news");
            if news.warning {
                self.events.warning(function, news.reason, news.action, &news.note).await;
            } else {
                self.events.normal(function, news.reason, news.action, &news.note).await;
            }
        }
    }

    /// The function does not exist (any more): forgets it, and deletes what it left.
    async fn gone(&self, key: &Key) {
        self.release_start(key);
        self.sources.forget(key);
        self.images.forget(key);
        if let Err(error) = self.builds.forget(key).await {
            tracing::warn!(function = %key, %error, "a build that nobody wants any more goes on");
        }
        self.backoff.succeeded(key);
        self.told.forget(key);
        self.schedules.forget(key);
        self.settled.lock().remove(key);
        self.trials.lock().remove(key);
        self.control.preparing.set(key, BTreeSet::new());
        self.metrics.gone(key);
        if !self.holding.is_held() {
            return;
        }
        if let Err(error) = orphans::sweep(&self.applier, &self.stores, key).await {
            tracing::warn!(function = %key, %error, "what a function left could not be deleted");
        }
        if self.ending.is(&key.namespace) {
            return;
        }
        match self.keyring.gone(&self.applier, key).await {
            Err(error) if error.is_ending() => self.ending.refused(&key.namespace),
            // Heals with the first instance that misses its key.
            Err(error) => tracing::warn!(function = %key, %error, "a key has no new owner"),
            Ok(()) => {}
        }
    }
}

fn is_over(pod: &k8s_openapi::api::core::v1::Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

#[cfg(test)]
mod tests;
