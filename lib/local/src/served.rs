//! One function as it is served: its revisions, its processes, and what is to be done about them. No input, no output.
//!
//! *Latest* is the revision that the spec describes, *serving* is the one that has the requests. While they differ, either one
//! process of the latest is coming up beside the old ones, or the latest has failed and the old ones are kept for as long as
//! they last. A process can only ever be started of the latest: the code of the others is not there any more.
//!
//! A function whose processes hold something that there is only once (a port) cannot have two: there the old one ends first, what
//! comes meanwhile waits, and nothing is left to fall back on.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use flint_core::scale::Spec;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    Ended, FunctionSpec, Reason, State,
    scaling::{Scaling, Why},
};

/// A function.
pub(crate) struct Served {
    pub(crate) spec: Arc<FunctionSpec>,
    pub(crate) latest: String,
    pub(crate) serving: String,
    pub(crate) processes: BTreeMap<String, Process>,
    /// Why the latest revision does not come up.
    pub(crate) failing: Option<Failing>,
    pub(crate) scaling: Scaling,
    /// When `rate(…)` begins to count.
    pub(crate) created: Timestamp,
    bounds: Spec,
    /// Processes that the scaler asks for.
    desired: u32,
    restarts: u32,
    /// When the latest revision was asked for; none once it serves.
    asked: Option<Instant>,
}

/// A process.
pub(crate) struct Process {
    pub(crate) revision: String,
    pub(crate) state: State,
    pub(crate) started: Instant,
    pub(crate) pid: u32,
    pub(crate) address: Option<SocketAddr>,
    /// Why it was told to end.
    pub(crate) ending: Option<Ended>,
}

/// Why a revision does not come up.
pub(crate) struct Failing {
    pub(crate) reason: Reason,
    /// Not tried again before.
    pub(crate) until: Instant,
    /// The gateway was told to refuse requests.
    pub(crate) refusing: bool,
    pause: Duration,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A process of the latest revision.
    Start,
    /// A process has to go.
    End(String, Ended),
    /// The gateway is to know the settings and which revision serves.
    Show,
    /// The latest revision serves from here on.
    Switched(Duration),
    /// The latest revision does not come up; whether an older one serves.
    Failed(Reason, bool),
    /// Those who wait are sent away with the reason, until it is tried again.
    Refuse(Reason),
    /// It is tried again.
    Readmit,
}

/// The pause after a failed start, at first and at most: whoever waits is told at once, and a database that comes up a
/// moment later is found soon.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

// === impl Served ===

impl Served {
    /// A function that is new.
    pub(crate) fn new(spec: FunctionSpec, now: Instant, created: Timestamp) -> (Self, Vec<Act>) {
        let latest = revision(&spec, 0);
        let mut served = Self {
            bounds: bounds(&spec),
            desired: spec.effective.min_replicas,
            serving: latest.clone(),
            latest,
            spec: Arc::new(spec),
            processes: BTreeMap::new(),
            failing: None,
            scaling: Scaling::default(),
            created,
            restarts: 0,
            asked: None,
        };
        let failed = served.fail_if_blocked(now);
        let mut acts = vec![Act::Show];
        acts.extend(failed.is_empty().then_some(Act::Switched(Duration::ZERO)));
        acts.extend(failed);
        (served, acts)
    }

    /// Its spec has changed, perhaps.
    pub(crate) fn update(&mut self, spec: FunctionSpec, now: Instant) -> Vec<Act> {
        if *self.spec == spec {
            return Vec::new();
        }
        self.bounds = bounds(&spec);
        self.spec = Arc::new(spec);
        self.follow(now)
    }

    /// New processes are wanted, of the same code.
    pub(crate) fn restart(&mut self, now: Instant) -> Vec<Act> {
        self.restarts += 1;
        self.follow(now)
    }

    fn follow(&mut self, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        let latest = revision(&self.spec, self.restarts);
        if latest != self.latest {
            // What was tried between the serving one and this is of no use any more.
            let serving = self.serving.clone();
            acts.extend(self.end_where(&Ended::Replaced, |process| process.revision != serving));
            self.latest = latest;
            self.asked = Some(now);
            if self.failing.take().is_some_and(|failing| failing.refusing) {
                acts.push(Act::Readmit);
            }
        }
        acts.push(Act::Show);
        acts.extend(self.settle(now));
        if self.latest != self.serving || self.count(&self.serving, State::Ready) == 0 {
            acts.extend(self.fail_if_blocked(now));
        }
        acts
    }

    /// What cannot even be tried has failed already.
    fn fail_if_blocked(&mut self, now: Instant) -> Vec<Act> {
        let Some(blocked) = self.spec.blocked.clone() else { return Vec::new() };
        self.fail(Reason::new(blocked.reason, blocked.message), now)
    }

    /// A process that was asked for is there, not ready yet.
    pub(crate) fn started(&mut self, name: String, pid: u32, now: Instant) {
        let process = Process {
            revision: self.latest.clone(),
            state: State::Starting,
            started: now,
            pid,
            address: None,
            ending: None,
        };
        self.processes.insert(name, process);
    }

    /// A process says that it can be called. None where it is not known, or is to go.
    pub(crate) fn ready(&mut self, name: &str, address: SocketAddr, now: Instant) -> Option<Vec<Act>> {
        let process = self.processes.get_mut(name).filter(|process| process.ending.is_none())?;
        process.state = State::Ready;
        process.address = Some(address);
        let mut acts = Vec::new();
        if process.revision == self.latest && self.failing.take().is_some_and(|failing| failing.refusing) {
            acts.push(Act::Readmit);
        }
        let is_first = process.revision == self.serving;
        acts.extend(self.settle(now));
        if let Some(asked) = self.asked.take_if(|_| is_first) {
            acts.push(Act::Switched(now - asked));
        }
        Some(acts)
    }

    /// A process is gone; `reason` is what it said, had it not been told to go.
    pub(crate) fn ended(
        &mut self,
        name: &str,
        reason: Reason,
        now: Instant,
    ) -> Option<(Process, Ended, Vec<Act>)> {
        let process = self.processes.remove(name)?;
        if let Some(ended) = process.ending.clone() {
            return Some((process, ended, self.settle(now)));
        }
        let acts = if process.state == State::Starting && process.revision == self.latest {
            self.fail(reason.clone(), now)
        } else {
            self.settle(now)
        };
        Some((process, Ended::Failed(reason), acts))
    }

    /// A process of the latest revision could not come up.
    pub(crate) fn fail(&mut self, reason: Reason, now: Instant) -> Vec<Act> {
        let pause = self.failing.as_ref().map_or(PAUSE.0, |failing| (failing.pause * 2).min(PAUSE.1));
        let older = self.latest != self.serving && self.count(&self.serving, State::Ready) > 0;
        let alone = self.count(&self.latest, State::Ready) == 0 && !older;
        self.failing = Some(Failing { reason: reason.clone(), until: now + pause, refusing: alone, pause });
        let mut acts = vec![Act::Failed(reason.clone(), older)];
        if alone {
            // Who comes after the pause is reason enough to try again.
            self.desired = self.bounds.min;
            acts.push(Act::Refuse(reason));
        }
        acts.extend(self.settle(now));
        acts
    }

    /// A look at demand: asks the scaler, and lets a pause end.
    pub(crate) fn look(&mut self, why: Why, now: Instant, since: Instant, known: bool) -> Vec<Act> {
        let mut acts = Vec::new();
        if let Some(failing) = &mut self.failing
            && failing.refusing
            && failing.until <= now
        {
            failing.refusing = false;
            acts.push(Act::Readmit);
        }
        let ready = self.count(&self.serving, State::Ready);
        let desired = self.scaling.look(now - since, why, &self.bounds, self.desired, ready, known);
        self.desired = desired.unwrap_or(self.desired);
        acts.extend(self.settle(now));
        acts
    }

    /// Whether a look may change anything.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.processes.is_empty()
            && self.bounds.min == 0
            && self.failing.is_none()
            && self.scaling.is_at_rest()
    }

    /// Whether it is worth a start now.
    fn may_start(&self, now: Instant) -> bool {
        self.spec.blocked.is_none() && self.failing.as_ref().is_none_or(|failing| failing.until <= now)
    }

    /// Whether a second process would not find what the first one holds.
    fn is_alone(&self) -> bool {
        self.spec.alone || self.spec.port.is_some()
    }

    /// Brings the processes to what they should be.
    fn settle(&mut self, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.serving != self.latest {
            let new = self.count(&self.latest, State::Ready);
            let beside = !self.is_alone() || self.spec.blocked.is_some();
            if new == 0 && self.count(&self.serving, State::Ready) > 0 && beside {
                // The old ones keep the requests, and one new one shows whether it comes up. A failure is not tried again
                // before something changes: each try would be told.
                let trying = self.count(&self.latest, State::Starting) > 0;
                if !trying && self.failing.is_none() && self.spec.blocked.is_none() {
                    acts.push(Act::Start);
                }
                acts.extend(self.lower());
                return acts;
            }
            self.serving = self.latest.clone();
            acts.push(Act::Show);
            let waits = self.is_alone() && !self.processes.is_empty() && self.desired > 0;
            if !waits && self.spec.blocked.is_none() {
                acts.push(Act::Switched(self.asked.take().map_or(Duration::ZERO, |asked| now - asked)));
            }
            let serving = self.serving.clone();
            acts.extend(self.end_where(&Ended::Replaced, |process| process.revision != serving));
        }
        let there = self.alive(&self.serving);
        let has_room = !self.is_alone() || self.processes.is_empty();
        if there < self.desired && has_room && self.may_start(now) {
            acts.extend((there..self.desired).map(|_| Act::Start));
        }
        acts.extend(self.lower());
        acts
    }

    /// Ends what is too many: those that are not ready first, then the youngest.
    fn lower(&mut self) -> Vec<Act> {
        let excess = self.alive(&self.serving).saturating_sub(self.desired) as usize;
        let serving = |process: &Process| process.revision == self.serving && process.ending.is_none();
        let mut alive: Vec<_> = self.processes.iter().filter(|(_, process)| serving(process)).collect();
        alive.sort_by_key(|(_, process)| (process.state == State::Ready, Reverse(process.started)));
        let excess: Vec<_> = alive.into_iter().take(excess).map(|(name, _)| name.clone()).collect();
        excess.into_iter().filter_map(|name| self.end(&name, Ended::ScaledDown)).collect()
    }

    /// Everything has to go: the function is removed, or the platform stops.
    pub(crate) fn end_all(&mut self) -> Vec<Act> {
        self.end_where(&Ended::Stopped, |_| true)
    }

    /// One has to go, if it is not going already.
    pub(crate) fn end(&mut self, name: &str, why: Ended) -> Option<Act> {
        let process = self.processes.get_mut(name).filter(|process| process.ending.is_none())?;
        process.state = State::Ending;
        process.ending = Some(why.clone());
        Some(Act::End(name.to_owned(), why))
    }

    fn end_where(&mut self, why: &Ended, which: impl Fn(&Process) -> bool) -> Vec<Act> {
        let those = self.processes.iter().filter(|(_, process)| which(process));
        let names: Vec<_> = those.map(|(name, _)| name.clone()).collect();
        names.into_iter().filter_map(|name| self.end(&name, why.clone())).collect()
    }

    fn alive(&self, revision: &str) -> u32 {
        let alive = self.processes.values().filter(|p| p.revision == revision && p.ending.is_none());
        u32::try_from(alive.count()).unwrap_or(u32::MAX)
    }

    fn count(&self, revision: &str, state: State) -> u32 {
        let those = self.processes.values().filter(|process| {
            process.revision == revision && process.state == state && process.ending.is_none()
        });
        u32::try_from(those.count()).unwrap_or(u32::MAX)
    }
}

/// What it asks of the scaler.
fn bounds(spec: &FunctionSpec) -> Spec {
    let asked = flint_kube::scaling::spec(&spec.effective);
    let max = if spec.alone || spec.port.is_some() { 1 } else { asked.max };
    Spec { min: asked.min.min(max), max, ..asked }
}

/// Everything that shapes a process; scaling, routes and schedules do not.
fn revision(spec: &FunctionSpec, restarts: u32) -> String {
    let mut hasher = DefaultHasher::new();
    let effective = &spec.effective;
    (effective.mode as u8, effective.timeout, effective.concurrency).hash(&mut hasher);
    (&spec.handler, &spec.command, &spec.folder, spec.port, &spec.env, spec.memory).hash(&mut hasher);
    (spec.generation, restarts).hash(&mut hasher);
    spec.blocked.as_ref().map(|blocked| (&blocked.reason, &blocked.message)).hash(&mut hasher);
    format!("{}-{:08x}", spec.key.name, hasher.finish() >> 32)
}

#[cfg(test)]
mod tests;
