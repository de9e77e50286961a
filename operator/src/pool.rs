//! Warm pools: pods of a Runtime that wait in each namespace which may need them, and the tickets by which gateways make them instances.
//!
//! One task looks at a namespace whenever something in it changes: which pools there should be, who fits into them, and which pods
//! wait. It writes Deployments and tells the gateways; then neither it nor the API server has any part in a start. A claim
//! comes back to it afterwards, from the claimed pod itself ([`record`]), and is counted by the scaler ([`claims`]).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flint_api::labels;
use flint_control::v1;
use flint_core::wire::{WATCHDOG_ADMIN_PORT, WATCHDOG_PORT};
use flint_kube::{Applier, Events, lease::Holding};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{Resource, ResourceExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

mod claims;
mod fit;
mod metrics;
mod plan;
mod pod;
mod record;
mod resize;
mod tickets;

pub(crate) use claims::{Bridge, Claims};
pub(crate) use metrics::Metrics;
pub(crate) use record::{Recorder, Unrecorded};
pub(crate) use tickets::Told;

use claims::{age, lives, restarts};
use plan::{Known, Plan, World, plan};

use crate::{control::Control, key::Key, settings::Settings, startability::is_ready, stores::Stores};

/// What the task works with.
pub(crate) struct Context {
    /// Writes objects.
    pub(crate) applier: Applier,
    /// What is known of the cluster.
    pub(crate) stores: Stores,
    /// The gateways.
    pub(crate) control: Arc<Control>,
    /// The installation.
    pub(crate) settings: Arc<Settings>,
    /// Says on Functions why they start as ordinary pods.
    pub(crate) events: Events,
    /// Whether we lead.
    pub(crate) holding: Holding,
    /// What is counted.
    pub(crate) metrics: Metrics,
}

/// The task's own memory.
struct Pools {
    context: Context,
    /// Namespaces in which there are or were pools.
    used: HashSet<String>,
    /// Why functions do not fit, as it was told, and when.
    misfits: HashMap<Key, (String, Instant)>,
}

/// Changes come in groups (a Deployment's status, its pods): they are looked at together.
const PACE: Duration = Duration::from_millis(100);
/// A look at a namespace of thousands of functions takes a while: then there are pauses of so many times what it took, up to [`REST`].
const SHARE: u32 = 9;
/// The longest such pause.
const REST: Duration = Duration::from_secs(3);
/// Tickets are renewed, pools shrink again, and what went wrong is tried again.
const ROUND: Duration = Duration::from_secs(30);
/// Kubernetes forgets events after an hour.
const TELL_AGAIN: Duration = Duration::from_secs(55 * 60);
/// A pod that waits and has been started again so often is made anew.
const HOPELESS: i32 = 3;
/// A claimed pod whose revision is gone is younger than this only while watches catch up.
const STALE: Duration = Duration::from_secs(30);

/// Keeps pools until `shutdown`.
pub(crate) async fn run(context: Context, shutdown: CancellationToken) {
    let functions = context.stores.subscribe();
    let pools = context.stores.subscribe_pools();
    for function in context.stores.functions.state() {
        functions.push(&Key::of(&function));
    }
    for deployment in context.stores.deployments.state() {
        if deployment.labels().contains_key(labels::POOL) {
            pools.push(&Key::new(&deployment.namespace().unwrap_or_default(), ""));
        }
    }
    let mut task = Pools { context, used: HashSet::new(), misfits: HashMap::new() };
    let mut changed: BTreeSet<String> = BTreeSet::new();
    let mut look_at = Instant::now();
    let mut pace = PACE;
    let mut round = interval(ROUND);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let was_settled = changed.is_empty();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = sleep_until(look_at), if !was_settled => {
                let began = Instant::now();
                for namespace in std::mem::take(&mut changed) {
                    task.look(&namespace).await;
                }
                pace = (began.elapsed() * SHARE).clamp(PACE, REST);
                continue;
            }
            key = pools.next() => {
                task.used.insert(key.namespace.clone());
                changed.insert(key.namespace);
            }
            key = functions.next() => {
                changed.insert(key.namespace);
            }
            _ = round.tick() => {
                task.context.control.claims.sweep();
                task.misfits.retain(|key, _| task.context.stores.function(key).is_some());
                changed.extend(task.used.iter().cloned());
            }
        }
        if was_settled {
            look_at = Instant::now() + pace;
        }
    }
}

// === impl Pools ===

impl Pools {
    async fn look(&mut self, namespace: &str) {
        let stores = &self.context.stores;
        let has_size =
            |runtime: &Arc<flint_api::Runtime>| runtime.spec.pool.as_ref().is_some_and(|pool| pool.size > 0);
        if !self.used.contains(namespace) && !stores.runtimes.state().iter().any(has_size) {
            return;
        }
        if !self.context.holding.is_held() {
            return;
        }
        let of_namespace = |name: Option<String>| name.as_deref() == Some(namespace);
        let deployments: Vec<_> = stores
            .deployments
            .state()
            .into_iter()
            .filter(|deployment| {
                deployment.labels().contains_key(labels::POOL) && of_namespace(deployment.namespace())
            })
            .collect();
        let lately = |pool: &Key| self.context.control.claims.lately(pool);
        let plan = plan(&World {
            settings: &self.context.settings,
            namespace,
            functions: self.functions(namespace),
            pools: deployments.clone(),
            claimed_lately: &lately,
        });
        if !plan.apply.is_empty() {
            self.used.insert(namespace.to_owned());
        }
        if let Err(error) = self.apply(namespace, &plan).await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(namespace, %error, cause, "pools could not be brought up to date; tried again");
        }
        self.tell_gateways(namespace, &deployments, &plan);
        self.tell_functions(&plan).await;
        self.end_stale(namespace).await;
    }

    fn functions(&self, namespace: &str) -> Vec<Known> {
        let stores = &self.context.stores;
        let functions = stores.functions.state().into_iter();
        functions
            .filter(|function| function.namespace().as_deref() == Some(namespace))
            .filter_map(|function| {
                let runtime = stores.runtime(function.spec.runtime.as_deref()?)?;
                let status = function.status.as_ref();
                let revision = status.and_then(|status| status.revision.as_deref());
                let deployment = revision.and_then(|revision| stores.deployments.find(namespace, revision));
                let shares = status.map(|status| status.traffic.as_slice()).unwrap_or_default();
                let beside = shares
                    .iter()
                    .filter(|share| share.weight > 0 && Some(share.revision.as_str()) != revision)
                    .filter_map(|share| stores.deployments.find(namespace, &share.revision))
                    .collect();
                Some(Known { function, runtime, deployment, beside })
            })
            .collect()
    }

    async fn apply(&self, namespace: &str, plan: &Plan) -> Result<(), flint_kube::Error> {
        let Context { applier, settings, .. } = &self.context;
        for (pool, replicas, is_new) in &plan.apply {
            if *is_new {
                tracing::info!(namespace, pool = pool.name, replicas, "a pool is made");
                applier.apply(&pool.secret(settings, None)).await?;
            }
            let deployment = applier.apply(&pool.deployment(*replicas)).await?;
            if *is_new {
                // With its Deployment known, the Secret goes when that goes.
                applier.apply(&pool.secret(settings, deployment.metadata.uid.as_deref())).await?;
            }
        }
        for (name, uid) in &plan.delete {
            tracing::info!(namespace, pool = name, "a pool goes");
            applier.delete::<Deployment>(namespace, name, Some(uid)).await?;
        }
        Ok(())
    }

    /// Who waits, and who may claim them.
    fn tell_gateways(&self, namespace: &str, deployments: &[Arc<Deployment>], plan: &Plan) {
        let Context { control, stores, settings, metrics, .. } = &self.context;
        let mut pools: BTreeMap<String, v1::Pool> = deployments
            .iter()
            .filter(|deployment| deployment.metadata.deletion_timestamp.is_none())
            .map(|deployment| {
                let name = deployment.name_any();
                (name.clone(), v1::Pool { namespace: namespace.to_owned(), name, members: Vec::new() })
            })
            .collect();
        for pod in stores.pods.state() {
            if pod.metadata.namespace.as_deref() == Some(namespace)
                && let Some(pool) = pod.labels().get(labels::POOL).and_then(|pool| pools.get_mut(pool))
                && let Some(member) = member(&pod)
                && !control.claims.is_claimed(&member.uid)
            {
                pool.members.push(member);
            }
        }
        for pool in pools.values_mut() {
            pool.members.sort_by(|one, other| one.pod.cmp(&other.pod));
            metrics.waiting(namespace, &pool.name, pool.members.len());
        }
        for (name, _) in &plan.delete {
            metrics.gone(namespace, name);
        }
        let main = plan
            .tickets
            .iter()
            .filter_map(|(key, ticket)| Some(((key.clone(), None), ticket.as_ref().ok()?.clone())));
        let beside = plan
            .beside
            .iter()
            .map(|((key, revision), content)| ((key.clone(), Some(revision.clone())), content.clone()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let pools = pools.into_values().collect();
        let news = control.pools.update(
            namespace,
            pools,
            &main.chain(beside).collect(),
            &settings.master_key,
            now,
            rand::random,
        );
        for message in news {
            control.gateways.broadcast(&message);
        }
    }

    /// Says on a Function why no pod of its pool will do.
    async fn tell_functions(&mut self, plan: &Plan) {
        let now = Instant::now();
        for (key, ticket) in &plan.tickets {
            let Err(misfit) = ticket else {
                self.misfits.remove(key);
                continue;
            };
            let told = self.misfits.get(key);
            if told.is_some_and(|(told, at)| told == misfit && now - *at < TELL_AGAIN) {
                continue;
            }
            let Some(function) = self.context.stores.function(key) else { continue };
            let note = format!("It starts as an ordinary pod, not from the warm pool, because {misfit}.");
            self.context.events.normal(function.as_ref(), "NoWarmStart", "WarmStart", &note).await;
            self.misfits.insert(key.clone(), (misfit.clone(), now));
        }
    }

    /// Ends instances from pools whose revision is gone or whose container has ended; the function's deletion ends the others.
    async fn end_stale(&self, namespace: &str) {
        let Context { stores, applier, .. } = &self.context;
        for pod in stores.pods.state() {
            let waits = pod.labels().contains_key(labels::POOL);
            if pod.metadata.namespace.as_deref() != Some(namespace)
                || !(waits || pod.labels().contains_key(labels::FROM_POOL))
                || !lives(&pod)
            {
                continue;
            }
            let revision = pod.labels().get(labels::REVISION).map(String::as_str).unwrap_or_default();
            let orphan = age(&pod) >= STALE && stores.deployments.find(namespace, revision).is_none();
            // One that waits and does not come up may have been claimed without anybody having heard of it.
            let useless = if waits { restarts(&pod) >= HOPELESS } else { orphan || restarts(&pod) > 0 };
            if !useless {
                continue;
            }
            let name = pod.name_any();
            tracing::info!(namespace, pod = name, revision, "an instance from a pool is of no use any more");
            if let Err(error) = applier.delete::<Pod>(namespace, &name, pod.metadata.uid.as_deref()).await {
                tracing::warn!(namespace, pod = name, %error, "an instance from a pool could not be ended");
            }
        }
    }
}

/// A pod that waits and can be claimed.
fn member(pod: &Pod) -> Option<v1::PoolMember> {
    let address = pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()?;
    (lives(pod) && is_ready(pod)).then(|| v1::PoolMember {
        pod: pod.name_any(),
        uid: pod.meta().uid.clone().unwrap_or_default(),
        address: SocketAddr::new(address, WATCHDOG_PORT).to_string(),
        claims: SocketAddr::new(address, WATCHDOG_ADMIN_PORT).to_string(),
    })
}
