//! The scaler: holds what the gateways report against what runs, and writes the scale of the Deployments that get requests.
//!
//! What to decide is `flint_core::scale`'s; here is when, from what, and what becomes of it.
//!
//! # When
//!
//! Only functions that have instances, demand or a minimum are held in memory and looked at: those at rest cost nothing.
//! Their demand is sampled every second and decided upon every other second, as Knative does. In between, a report of
//! waiting requests, a call home, or a change the watches saw wakes the scaler for that function at once. Woken, it
//! only ever raises: a descent keeps to the pace of the ticks, or each of its own steps, seen by the watch, would set
//! off the next one.
//!
//! # From zero
//!
//! From the report to the request on its way to the API server there is one wake-up, a few lookups in memory and no
//! await: no read of the API, no tick, no queue behind other writes (only descents have to queue). While that write is
//! under way later reports change nothing; when it is done the function is looked at again, with the latest of them.
//!
//! # Races
//!
//! - *The watch is behind our own write.* What was written last stands for what is asked for until the watch has shown
//!   it, or [`UNSEEN`] has passed; otherwise the scaler would write again what it has written, or undo it.
//! - *Somebody else writes the scale.* The watch shows it, and it is put right, as any drift.
//! - *Two operators write.* Only the leader runs a scaler, and a leader that loses its lease ends.
//! - *A request comes while the last instance goes.* The gateway reports it as any other that waits, and the scale is
//!   raised again; the instance that goes has been taken out of the gateways' tables, so nothing is lost but the time of
//!   a start.
//! - *The Deployment is missing*, or not there before the first request. The reconciler hears of it, once a second at most, and makes
//!   it; its watch wakes us.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    sync::Arc,
    time::Duration,
};

use flint_api::labels;
use flint_core::scale::{Scaler as Memory, Seen};
use flint_kube::Applier;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

mod metrics;
mod target;

use metrics::Gauges;
pub(crate) use metrics::Metrics;
use target::{Nothing, Target, Unit, target, units};
pub(crate) use target::{called, keep_called};

use crate::{
    control::{Control, Reading},
    key::Key,
    stores::Stores,
};

/// How often demand is sampled; the width of the averages' buckets.
const SAMPLE: Duration = Duration::from_secs(1);
/// Every this many samples there is a decision; two seconds, Knative's tick.
const SAMPLES_PER_DECISION: u64 = 2;
/// A queue before instances that are ready, or news of the watch, are decided upon no more often than this.
const WOKEN_PACE: Duration = Duration::from_millis(500);
/// For this long our own write is believed over a watch that has not shown it: far beyond any watch's delay.
const UNSEEN: Duration = Duration::from_secs(5);
/// A scale raised within this time of having been lowered should not have been lowered.
const FLAP: Duration = Duration::from_secs(60);
/// The API server has this long to write a scale.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// After a failed write the next one waits, from the first to twice as long each time up to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The reconciler is asked for a missing Deployment no more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Descents written at a time: they are not urgent, and must not crowd out what is.
const DESCENTS: usize = 16;
/// How often what no longer exists is forgotten.
const SWEEP: Duration = Duration::from_secs(30);

struct Scaler {
    client: Client,
    stores: Stores,
    control: Arc<Control>,
    metrics: Metrics,
    started: Instant,
    active: HashMap<Unit, Active>,
    /// When the reconciler was last asked for a Deployment.
    asked: HashMap<Key, Instant>,
    writes: JoinSet<Written>,
    descents: Arc<Semaphore>,
    /// Functions whose descent found no room; each once, see [`Active::queues`].
    descending: VecDeque<Unit>,
}

/// What is remembered of a function that is not at rest.
struct Active {
    memory: Memory,
    decided: Option<Instant>,
    written: Option<(String, u32, Instant)>,
    writing: bool,
    /// Whether it waits for room to descend. It is decided upon again when there is some, and may rise at any time before.
    queues: bool,
    failures: u32,
    not_before: Option<Instant>,
    lowered: Option<Instant>,
    /// Of the function's traffic; a revision with demand of its own has none, or they would be told twice.
    gauges: Option<Gauges>,
}

/// What became of a write.
struct Written {
    unit: Unit,
    revision: String,
    from: u32,
    to: u32,
    took: Duration,
    result: Result<(), Failed>,
}

enum Failed {
    Missing,
    Other(String),
}

/// Why a function is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Sample,
    Tick,
    Woken,
}

/// Scales until `shutdown`. The stores must be ready, and this process the leader.
pub(crate) async fn run(
    client: Client,
    stores: Stores,
    control: Arc<Control>,
    metrics: Metrics,
    shutdown: CancellationToken,
) {
    let demand = control.wake.subscribe();
    let watched = stores.subscribe();
    let mut scaler = Scaler::new(client, stores, control, metrics);
    for key in scaler.stores.deployments.owners() {
        watched.push(&key);
    }
    let mut samples: u64 = 0;
    let mut sample = tokio::time::interval(SAMPLE);
    sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweep = tokio::time::interval(SWEEP);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            key = demand.next() => scaler.look(&key, Why::Woken),
            Some(written) = scaler.writes.join_next() => {
                scaler.written(written);
                scaler.descend();
            }
            key = watched.next() => scaler.look(&key, Why::Woken),
            _ = sample.tick() => {
                samples += 1;
                scaler.look_at_all(if samples.is_multiple_of(SAMPLES_PER_DECISION) { Why::Tick } else { Why::Sample });
            }
            _ = sweep.tick() => scaler.sweep(),
        }
    }
}

// === impl Scaler ===

impl Scaler {
    fn new(client: Client, stores: Stores, control: Arc<Control>, metrics: Metrics) -> Self {
        Self {
            client,
            stores,
            control,
            metrics,
            started: Instant::now(),
            active: HashMap::new(),
            asked: HashMap::new(),
            writes: JoinSet::new(),
            descents: Arc::new(Semaphore::new(DESCENTS)),
            descending: VecDeque::new(),
        }
    }

    fn look_at_all(&mut self, why: Why) {
        let units: Vec<Unit> = self.active.keys().cloned().collect();
        for unit in units {
            self.look_at(&unit, why);
        }
        self.metrics.functions(self.active.len());
    }

    fn look(&mut self, key: &Key, why: Why) {
        for unit in units(&self.stores, &self.control, key) {
            self.look_at(&unit, why);
        }
    }

    fn look_at(&mut self, unit: &Unit, why: Why) {
        let key = &unit.key;
        let target = match target(&self.stores, &self.control, unit) {
            Ok(target) => target,
            Err(nothing) => return self.nothing(unit, nothing),
        };
        let reading = target.read(&self.control, key);
        let now = Instant::now();
        let time = now - self.started;
        let active = match self.active.entry(unit.clone()) {
            hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hash_map::Entry::Vacant(_) if is_at_rest(&target, &reading) => return,
            hash_map::Entry::Vacant(entry) => {
                // What was averaged while nobody could look at it is long past.
                target.take(&self.control, key);
                let seen = seen(&target, target.present + target.bridging(), &reading);
                let gauges = target.main.then(|| self.metrics.gauges(key));
                entry.insert(Active::new(Memory::new(time, &seen, &target.spec), gauges))
            }
        };
        let deployed = active.present(&target, now);
        let seen = seen(&target, deployed + target.bridging(), &reading);
        let starting = seen.ready == 0 && seen.waiting > 0;
        if why == Why::Woken && !starting && active.decided.is_some_and(|decided| now - decided < WOKEN_PACE)
        {
            return;
        }
        if why != Why::Woken || (!starting && seen.waiting > 0) {
            let taken = target.take(&self.control, key);
            if taken.known {
                active.memory.record(time, seen.ready, taken.sample, &target.spec);
            }
        }
        if why == Why::Sample && seen.waiting == 0 {
            return;
        }

        let decision = active.memory.decide(time, &seen, &target.spec);
        active.decided = Some(now);
        if let Some(gauges) = &active.gauges {
            gauges.decided(&decision);
        }
        let kept = match why {
            Why::Tick => target.floor.min(seen.present),
            _ if target.bridges.is_empty() => seen.present,
            // What is there is not all the Deployment's: what it has is kept below.
            _ => 0,
        };
        // One that has not proved itself is raised for those who wait, and otherwise by the reconciler, which has them take turns.
        let unproved = target.floor > 0 && seen.waiting == 0;
        let to = if unproved { decision.desired.min(seen.present) } else { decision.desired }.max(kept);
        let share = target.share(to, deployed, &reading);
        if why == Why::Tick && share.retire > 0 {
            retire(&self.client, &self.control, key, &target, share.retire);
        }
        // Woken, it only ever raises; a descent keeps to the ticks.
        let to = if why == Why::Tick || target.bridges.is_empty() {
            share.deployment
        } else {
            share.deployment.max(deployed)
        };
        if to != deployed {
            self.write(unit, target.revision, deployed, to, &reading);
        } else if !active.writing && active.memory.is_idle(time, &seen, &target.spec) {
            self.active.remove(unit);
        }
    }

    /// There is nothing to scale. What waits for a Deployment that is missing has the reconciler look.
    fn nothing(&mut self, unit: &Unit, nothing: Nothing) {
        let key = &unit.key;
        self.active.remove(unit);
        let now = Instant::now();
        let may_ask = self.asked.get(key).is_none_or(|asked| now - *asked >= ASK_AGAIN);
        if nothing == Nothing::Deployment && may_ask && self.control.demand.read(key).waiting > 0 {
            tracing::info!(function = %key, "requests wait for a function that has no Deployment");
            self.asked.insert(key.clone(), now);
            self.stores.touch(key);
        }
    }

    fn write(&mut self, unit: &Unit, revision: String, from: u32, to: u32, reading: &Reading) {
        let Some(active) = self.active.get_mut(unit) else { return };
        let now = Instant::now();
        if active.writing || active.not_before.is_some_and(|not_before| now < not_before) {
            return;
        }
        let permit = if to < from {
            let Ok(permit) = Arc::clone(&self.descents).try_acquire_owned() else {
                if !std::mem::replace(&mut active.queues, true) {
                    self.descending.push_back(unit.clone());
                }
                return;
            };
            Some(permit)
        } else {
            None
        };
        active.writing = true;
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &unit.key.namespace);
        let metrics = self.metrics.clone();
        let reported = reading.reported.filter(|_| from == 0 && reading.waiting > 0);
        let unit = unit.clone();
        self.writes.spawn(async move {
            let sent = Instant::now();
            if let Some(reported) = reported {
                metrics.report_to_write(sent - reported);
            }
            let result = scale(&api, &revision, to).await;
            drop(permit);
            Written { unit, revision, from, to, took: sent.elapsed(), result }
        });
    }

    fn written(&mut self, written: Result<Written, tokio::task::JoinError>) {
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                // A defect, in one write: every function may write again.
                tracing::error!(%error, "a write of a scale ended badly");
                self.active.values_mut().for_each(|active| active.writing = false);
                return;
            }
        };
        let Written { unit, revision, from, to, took, result } = written;
        let key = &unit.key;
        let now = Instant::now();
        let Some(active) = self.active.get_mut(&unit) else { return };
        active.writing = false;
        match result {
            Ok(()) => {
                self.metrics.written("ok", took);
                tracing::debug!(function = %key, revision, from, to, ms = took.as_millis(), "scaled");
                if from == 0 {
                    self.control.instances.starting(key.clone());
                }
                if active.wrote(revision, from, to, now) {
                    self.metrics.flapped();
                }
            }
            Err(failed) => {
                let wait = RETRY.1.min(RETRY.0 * 2_u32.saturating_pow(active.failures));
                active.failures = active.failures.saturating_add(1);
                active.not_before = Some(now + wait);
                match failed {
                    Failed::Missing => {
                        self.metrics.written("missing", took);
                        self.stores.touch(key);
                    }
                    Failed::Other(error) => {
                        self.metrics.written("error", took);
                        tracing::warn!(function = %key, revision, from, to, error, "a scale was not written");
                    }
                }
                return;
            }
        }
        self.look_at(&unit, Why::Woken);
    }

    /// Looks again at a function whose descent found no room, now that there is some.
    fn descend(&mut self) {
        while self.descents.available_permits() > 0 {
            let Some(unit) = self.descending.pop_front() else { return };
            if let Some(active) = self.active.get_mut(&unit) {
                active.queues = false;
                self.look_at(&unit, Why::Tick);
            }
        }
    }

    fn sweep(&mut self) {
        self.control.demand.sweep();
        self.control.instances.sweep();
        self.control.failures.sweep(&self.stores);
        let now = Instant::now();
        self.asked.retain(|_, asked| now - *asked < ASK_AGAIN);
    }
}

// === impl Active ===

impl Active {
    fn new(memory: Memory, gauges: Option<Gauges>) -> Self {
        Self {
            memory,
            decided: None,
            written: None,
            writing: false,
            queues: false,
            failures: 0,
            not_before: None,
            lowered: None,
            gauges,
        }
    }

    /// Instances that are asked for: what was written last, until the watch has shown it.
    fn present(&mut self, target: &Target, now: Instant) -> u32 {
        match &self.written {
            Some((revision, replicas, at))
                if *revision == target.revision && *replicas != target.present && now - *at < UNSEEN =>
            {
                *replicas
            }
            _ => {
                self.written = None;
                target.present
            }
        }
    }

    /// Notes a write; true when it raises what was lowered a moment ago.
    fn wrote(&mut self, revision: String, from: u32, to: u32, now: Instant) -> bool {
        self.failures = 0;
        self.not_before = None;
        self.written = Some((revision, to, now));
        if to < from {
            self.lowered = Some(now);
            return false;
        }
        self.lowered.take().is_some_and(|lowered| now - lowered < FLAP)
    }
}

fn seen(target: &Target, present: u32, reading: &Reading) -> Seen {
    // An instance that has been told to go may still look ready.
    Seen { present, ready: target.ready.min(present), waiting: reading.waiting, known: reading.known }
}

fn is_at_rest(target: &Target, reading: &Reading) -> bool {
    target.present == 0
        && target.bridges.is_empty()
        && target.spec.min == 0
        && reading.waiting == 0
        && reading.in_flight == 0
        && reading.sample.concurrency == 0.0
}

/// Ends instances that came from a pool, the oldest first. They finish what they are at.
fn retire(client: &Client, control: &Arc<Control>, key: &Key, target: &Target, count: u32) {
    for bridge in target.bridges.iter().take(count as usize) {
        tracing::info!(function = %key, pod = bridge.pod, "an instance from a pool ends");
        control.claims.retire(&bridge.uid);
        let (client, control) = (client.clone(), Arc::clone(control));
        let (namespace, pod, uid) = (key.namespace.clone(), bridge.pod.clone(), bridge.uid.clone());
        // Not one of `writes`, of which a function has one at a time.
        tokio::spawn(async move {
            let applier = Applier::new(client, labels::FIELD_MANAGER);
            let deleted =
                tokio::time::timeout(WRITE_LIMIT, applier.delete::<Pod>(&namespace, &pod, Some(&uid)));
            match deleted.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(namespace, pod, %error, "an instance from a pool was not ended");
                    control.claims.keep(&uid);
                }
                Err(_) => control.claims.keep(&uid),
            }
        });
    }
}

async fn scale(api: &Api<Deployment>, name: &str, replicas: u32) -> Result<(), Failed> {
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let params =
        PatchParams { field_manager: Some(labels::FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match tokio::time::timeout(WRITE_LIMIT, api.patch_scale(name, &params, &patch)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(kube::Error::Api(status))) if status.code == 404 => Err(Failed::Missing),
        Ok(Err(error)) => Err(Failed::Other(error.to_string())),
        Err(_) => Err(Failed::Other(format!("the API server did not answer within {WRITE_LIMIT:?}"))),
    }
}

#[cfg(test)]
mod tests;
