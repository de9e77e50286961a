//! What the gateways see of each function: the last words of every gateway, and their sum.
//!
//! A gateway that leaves is believed for [`GONE_AFTER`] more, so that a broken connection does not look like the end of
//! demand; one that stays and says nothing for [`SILENT_AFTER`] makes the sum unknown, which stops every scale-down.
//! Functions and revisions that do not exist have no entry, whatever a gateway says, and gateways are bounded by their
//! registry: so these bound the memory.
//!
//! Requests that go wherever a function's traffic goes are reported without a revision, those that are for one of several with it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use flint_control::v1;
use flint_core::{canary::Outcomes, scale::Sample};
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{changes::Changes, key::Key, stores::Stores};

/// A gateway that left and has not been heard for this long has no demand any more: three reports' time.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(3);
/// A connected gateway that has not been heard for this long may have any demand: five reports' time.
pub(crate) const SILENT_AFTER: Duration = Duration::from_secs(5);
/// Rates are taken over no shorter time than this, the pace of urgent reports: one request within a millisecond is no
/// thousand a second.
const SHORTEST_MS: u32 = 100;

/// The demand of all functions, as all gateways report it.
pub(crate) struct Demand {
    stores: Stores,
    wake: Changes,
    inner: Mutex<Inner>,
}

/// The sum of all gateways for one function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// Averages since they were last taken.
    pub(crate) sample: Sample,
    /// Requests that wait for an instance at this moment.
    pub(crate) waiting: u32,
    /// Requests forwarded and unanswered at this moment.
    pub(crate) in_flight: u32,
    /// Whether every gateway has been heard lately.
    pub(crate) known: bool,
    /// When the latest report with waiting requests arrived.
    pub(crate) reported: Option<Instant>,
}

#[derive(Debug, Default)]
struct Inner {
    gateways: HashMap<Arc<str>, Gateway>,
    functions: HashMap<Key, Shares>,
    last_invocations: HashMap<Key, Timestamp>,
    /// When revisions were last called, and how that ended, since this operator leads.
    revisions: HashMap<Key, HashMap<String, Called>>,
}

#[derive(Debug)]
struct Called {
    at: Instant,
    outcomes: Outcomes,
}

#[derive(Debug)]
struct Gateway {
    connected: bool,
    /// None until the first report of this connection.
    heard: Option<Instant>,
    since: Instant,
}

type Shares = HashMap<Whose, Share>;

/// A gateway, and the revision that the requests are for; empty for those that go where the traffic goes.
type Whose = (Arc<str>, Box<str>);

/// One gateway's part of one function's demand.
#[derive(Debug, Default)]
struct Share {
    concurrency: f64,
    rps: f64,
    queued: u32,
    in_flight: u32,
    /// Not yet taken: time, the average's integral over it (requests × ms), and arrivals in it.
    elapsed_ms: f64,
    integral: f64,
    arrived: f64,
    at: Option<Instant>,
    reported: Option<Instant>,
}

// === impl Demand ===

impl Demand {
    /// No demand and no gateways. `wake` hears of functions that come to life or wait.
    pub(crate) fn new(stores: Stores, wake: Changes) -> Self {
        Self { stores, wake, inner: Mutex::default() }
    }

    /// A gateway has connected; what it said over an earlier connection stands until it reports again.
    pub(crate) fn connected(&self, gateway: &Arc<str>) {
        let now = Instant::now();
        let entry = Gateway { connected: true, heard: None, since: now };
        self.inner.lock().gateways.insert(Arc::clone(gateway), entry);
    }

    /// A gateway's connection has ended.
    pub(crate) fn disconnected(&self, gateway: &Arc<str>) {
        if let Some(gateway) = self.inner.lock().gateways.get_mut(gateway) {
            gateway.connected = false;
        }
    }

    /// Takes in a gateway's report, and has the scaler look at what waits or has come to life.
    pub(crate) fn report(&self, gateway: &Arc<str>, report: v1::Report) {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let Some(entry) = inner.gateways.get_mut(gateway) else { return };
        entry.heard = Some(now);
        for demand in report.demands {
            let Some(reference) = demand.function.as_ref() else { continue };
            let key = Key::new(&reference.namespace, &reference.name);
            let known = inner.functions.contains_key(&key);
            if !known && self.stores.function(&key).is_none() {
                continue;
            }
            if demand.arrived > 0 || demand.queued > 0 || demand.in_flight > 0 {
                let minute = Timestamp::now().as_second().div_euclid(60) * 60;
                if let Ok(minute) = Timestamp::from_second(minute) {
                    inner.last_invocations.insert(key.clone(), minute);
                }
            }
            let revision = demand.revision.as_str();
            if !revision.is_empty() {
                if !self.has_revision(&key, revision) {
                    continue;
                }
                inner.called(&key, &demand, now);
            }
            let whose = (Arc::clone(gateway), revision.into());
            let shares = inner.functions.entry(key.clone()).or_default();
            let first = !shares.contains_key(&whose);
            shares.entry(whose).or_default().add(&demand, now);
            if !known || first || demand.queued > 0 {
                self.wake.touch(&key);
            }
        }
    }

    /// The demand at this moment, of all revisions; averages are left to be taken.
    pub(crate) fn read(&self, function: &Key) -> Reading {
        self.read_of(function, |_| true)
    }

    /// The demand for some revisions; the empty name stands for requests that are for none in particular.
    pub(crate) fn read_of(&self, function: &Key, which: impl Fn(&str) -> bool) -> Reading {
        let now = Instant::now();
        let mut inner = self.inner.lock();
        inner.forget_gateways(now);
        let known = inner.is_known(now);
        inner
            .functions
            .get(function)
            .map_or(Reading { known, ..Reading::default() }, |shares| Reading::sum(shares, which, known))
    }

    /// The demand for some revisions at this moment; their next averages begin here.
    pub(crate) fn take_of(&self, function: &Key, which: impl Fn(&str) -> bool) -> Reading {
        let now = Instant::now();
        let reading = self.read_of(function, &which);
        let mut inner = self.inner.lock();
        if let Some(shares) = inner.functions.get_mut(function) {
            shares.retain(|(_, revision), share| !which(revision) || share.taken(now));
            if shares.is_empty() {
                inner.functions.remove(function);
            }
        }
        reading
    }

    /// The revisions that requests were for within this time, with the time since the last of them.
    pub(crate) fn called(&self, function: &Key, within: Duration) -> Vec<(String, Duration)> {
        let now = Instant::now();
        let inner = self.inner.lock();
        let called = inner.revisions.get(function).into_iter().flatten();
        called
            .map(|(revision, called)| (revision.clone(), now - called.at))
            .filter(|(_, ago)| *ago < within)
            .collect()
    }

    /// How the requests for a revision ended, since this operator leads.
    pub(crate) fn outcomes(&self, function: &Key, revision: &str) -> Outcomes {
        let inner = self.inner.lock();
        let called = inner.revisions.get(function).and_then(|revisions| revisions.get(revision));
        called.map_or_else(Outcomes::default, |called| called.outcomes)
    }

    fn has_revision(&self, function: &Key, revision: &str) -> bool {
        let found = self.stores.revisions.find(&function.namespace, revision);
        found.is_some_and(|found| found.spec.function == function.name)
    }

    /// Every function that this operator has heard of requests for, with the minute of the last one.
    pub(crate) fn last_invocations(&self) -> Vec<(Key, Timestamp)> {
        self.inner.lock().last_invocations.iter().map(|(key, minute)| (key.clone(), *minute)).collect()
    }

    /// Forgets functions that no longer exist.
    pub(crate) fn sweep(&self) {
        let mut inner = self.inner.lock();
        inner.functions.retain(|function, _| self.stores.function(function).is_some());
        inner.last_invocations.retain(|function, _| self.stores.function(function).is_some());
        inner.revisions.retain(|function, revisions| {
            revisions.retain(|revision, _| self.has_revision(function, revision));
            !revisions.is_empty()
        });
    }
}

// === impl Inner ===

impl Inner {
    fn called(&mut self, key: &Key, demand: &v1::Demand, now: Instant) {
        let revisions = self.revisions.entry(key.clone()).or_default();
        let called = revisions
            .entry(demand.revision.clone())
            .or_insert_with(|| Called { at: now, outcomes: Outcomes::default() });
        if demand.arrived > 0 || demand.queued > 0 || demand.in_flight > 0 {
            called.at = now;
        }
        let v1::Demand { answered: requests, errors, slow, .. } = *demand;
        called.outcomes += Outcomes { requests, errors, slow };
    }

    fn is_known(&self, now: Instant) -> bool {
        !self.gateways.is_empty()
            && self.gateways.values().all(|gateway| {
                !gateway.connected || gateway.heard.is_some_and(|heard| now - heard < SILENT_AFTER)
            })
    }

    fn forget_gateways(&mut self, now: Instant) {
        let Self { gateways, functions, .. } = self;
        let before = gateways.len();
        gateways.retain(|_, gateway| {
            gateway.connected || now - gateway.heard.unwrap_or(gateway.since) < GONE_AFTER
        });
        if gateways.len() < before {
            functions.retain(|_, shares| {
                shares.retain(|(gateway, _), _| gateways.contains_key(gateway));
                !shares.is_empty()
            });
        }
    }
}

// === impl Share ===

impl Share {
    fn add(&mut self, demand: &v1::Demand, now: Instant) {
        let elapsed_ms = f64::from(demand.elapsed_ms.max(1));
        let arrived = demand.arrived as f64;
        self.concurrency = demand.concurrency;
        self.rps = arrived * 1000.0 / f64::from(demand.elapsed_ms.max(SHORTEST_MS));
        self.queued = demand.queued;
        self.in_flight = demand.in_flight;
        self.elapsed_ms += elapsed_ms;
        self.integral += demand.concurrency * elapsed_ms;
        self.arrived += arrived;
        self.at = Some(now);
        if demand.queued > 0 {
            self.reported = Some(now);
        }
    }

    /// Averages since they were last taken; the last ones again where nothing was reported since.
    fn sample(&self) -> Sample {
        if self.elapsed_ms == 0.0 {
            return Sample { concurrency: self.concurrency, rps: self.rps };
        }
        Sample {
            concurrency: self.integral / self.elapsed_ms,
            rps: self.arrived * 1000.0 / self.elapsed_ms.max(f64::from(SHORTEST_MS)),
        }
    }

    /// Begins the next averages; false when there is nothing left to remember.
    fn taken(&mut self, now: Instant) -> bool {
        (self.elapsed_ms, self.integral, self.arrived) = (0.0, 0.0, 0.0);
        let demand = self.queued > 0 || self.in_flight > 0 || self.concurrency > 0.0 || self.rps > 0.0;
        // What has demand is in every report, every second: left out for this long, it has none.
        demand && self.at.is_some_and(|at| now - at < SILENT_AFTER)
    }
}

// === impl Reading ===

impl Reading {
    fn sum(shares: &Shares, which: impl Fn(&str) -> bool, known: bool) -> Self {
        let shares = shares.iter().filter(|((_, revision), _)| which(revision));
        shares.fold(Self { known, ..Self::default() }, |sum, (_, share)| {
            let sample = share.sample();
            Self {
                sample: Sample {
                    concurrency: sum.sample.concurrency + sample.concurrency,
                    rps: sum.sample.rps + sample.rps,
                },
                waiting: sum.waiting.saturating_add(share.queued),
                in_flight: sum.in_flight.saturating_add(share.in_flight),
                known,
                reported: sum.reported.max(share.reported),
            }
        })
    }
}

#[cfg(test)]
mod tests;
