//! What is known of functions and instances, put together from everyone who tells of them.
//!
//! The watch of pods is the truth. An announcement (and the answer to a probe) is a hint that runs ahead of it: believed if
//! nothing that the watch has told speaks against it, for [`HINT`] at most unless the watch confirms it, and withdrawn the
//! moment the watch tells of the pod's end. So the worst that a lie can do is to send a function's requests for some
//! seconds to an address that is no other function's pod; and to tell one, it takes the key of the control stream.
//!
//! The index is plain data without clocks or tasks: events go in, [`Index::settle`] brings the table and the functions'
//! instances up to date with all that came since.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use flint_core::balance;

use crate::{
    clock::{Micros, micros},
    function::{Blocked, Function, Key, Seen},
    hub::Hub,
    instance::{Instance, Start},
    live::Live,
    split::Split,
    table::{Routes, Table, Tables},
};

/// How long a hint is believed without the watch's word. The kubelet's news of a ready pod takes one to two seconds.
pub const HINT: Duration = Duration::from_secs(10);

/// Something that somebody tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A function came or changed.
    Function(Seen),
    /// A function went.
    FunctionGone(Key),
    /// A pod came or changed.
    Pod(Pod),
    /// A pod went.
    PodGone(PodName),
    /// An instance called home, and the operator believed it.
    Announced(Hint),
    /// A pod of a warm pool was claimed from here, and is ready.
    Claimed(Hint),
    /// An instance answered a probe.
    Probed(Hint),
    /// Whether a revision can start: `Some` says why it cannot.
    Start {
        /// The function.
        key: Key,
        /// The revision that was tried.
        revision: String,
        /// Why it fails.
        blocked: Option<Blocked>,
    },
    /// The stream to the operator is open anew: what it said of starts before is void.
    Connected,
    /// The gateways there are.
    Peers(Vec<String>),
    /// The paths of functions, all of them.
    Routes(Arc<Routes>),
    /// A source has told all there is; from now on it tells of changes.
    Complete,
}

/// A pod of a function, as the watch tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: PodName,
    /// Its uid.
    pub uid: String,
    /// The function in its labels.
    pub function: String,
    /// The revision in its labels.
    pub revision: String,
    /// Its watchdog, once it has an address.
    pub address: Option<SocketAddr>,
    /// Its readiness.
    pub ready: bool,
    /// It is going, or has ended.
    pub ending: bool,
    /// Requests at a time that its watchdog was told to take.
    pub limit: Option<u32>,
}

/// A pod's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodName {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
}

/// That an instance is ready, from somebody who knows before the watch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The function.
    pub function: String,
    /// The revision.
    pub revision: String,
    /// The pod.
    pub pod: PodName,
    /// The pod's uid.
    pub uid: String,
    /// The watchdog.
    pub address: SocketAddr,
}

/// All that is known.
pub struct Index {
    hub: Arc<Hub>,
    tables: Arc<Tables>,
    me: String,
    peers: Vec<String>,
    table: Table,
    table_changed: bool,
    pods: HashMap<PodName, Pod>,
    /// Names of the pods and hints of each function.
    members: HashMap<Key, BTreeSet<String>>,
    by_address: HashMap<IpAddr, PodName>,
    /// Pods that are up but not ready: worth a probe when somebody waits.
    unready: HashSet<PodName>,
    hints: HashMap<PodName, (Hint, Micros)>,
    instances: HashMap<PodName, Arc<Instance>>,
    /// The uids of instances that were claimed from here.
    claimed: HashSet<String>,
    /// Why revisions cannot start. Bounded by what the operator, which takes back what is over, says of functions that exist.
    starts: HashMap<Key, BTreeMap<String, Blocked>>,
    changed: HashSet<Key>,
    next_instance: u64,
}

// === impl Index ===

impl Index {
    /// An index that knows nothing. `me` is this gateway's name among its peers.
    #[must_use]
    pub fn new(hub: Arc<Hub>, tables: Arc<Tables>, me: String) -> Self {
        Self {
            hub,
            tables,
            me,
            peers: Vec::new(),
            table: Table::default(),
            table_changed: false,
            pods: HashMap::new(),
            members: HashMap::new(),
            by_address: HashMap::new(),
            unready: HashSet::new(),
            hints: HashMap::new(),
            instances: HashMap::new(),
            claimed: HashSet::new(),
            starts: HashMap::new(),
            changed: HashSet::new(),
            next_instance: 0,
        }
    }

    /// Takes in what somebody tells. [`Self::settle`] puts it in use.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::Function(seen) => self.function(seen),
            Event::FunctionGone(key) => self.function_gone(&key),
            Event::Pod(pod) => self.pod(pod),
            Event::PodGone(name) => self.pod_gone(&name),
            Event::Announced(hint) => {
                let totals = Arc::clone(&self.hub.totals);
                let told =
                    if self.hint(hint) { &totals.by_announcement } else { &totals.announcements_refused };
                told.fetch_add(1, Ordering::Relaxed);
            }
            Event::Claimed(hint) => {
                let uid = hint.uid.clone();
                if self.hint(hint) {
                    self.claimed.insert(uid);
                }
            }
            Event::Probed(hint) => {
                if self.hint(hint) {
                    self.hub.totals.by_probe.fetch_add(1, Ordering::Relaxed);
                }
            }
            Event::Start { key, revision, blocked } => self.start(key, revision, blocked),
            Event::Connected => {
                let failing = std::mem::take(&mut self.starts);
                self.changed.extend(failing.into_keys());
            }
            Event::Routes(routes) => {
                self.table.set_routes(routes);
                self.table_changed = true;
            }
            // For the keeper, once everything before it is in use.
            Event::Complete => {}
            Event::Peers(peers) => {
                if self.peers != peers {
                    self.peers = peers;
                    self.changed.extend(self.members.keys().cloned());
                }
            }
        }
    }

    /// Lets go of hints that nobody confirmed in time.
    pub fn expire(&mut self, now: Micros) {
        let expired: Vec<_> =
            self.hints.iter().filter(|(_, (_, until))| *until <= now).map(|(name, _)| name.clone()).collect();
        for name in expired {
            self.drop_hint(&name);
            self.hub.totals.announcements_expired.fetch_add(1, Ordering::Relaxed);
        }
        if !self.claimed.is_empty() {
            let instances: HashSet<&str> =
                self.instances.values().map(|instance| instance.uid.as_str()).collect();
            self.claimed.retain(|uid| instances.contains(uid.as_str()));
        }
    }

    /// Whether any pod is up and not known to be ready.
    #[must_use]
    pub fn has_unready(&self) -> bool {
        !self.unready.is_empty()
    }

    /// Pods that are up, belong to a revision that gets requests, are not known to be ready, and are waited for.
    pub fn waited_for(&self) -> impl Iterator<Item = Hint> {
        self.unready.iter().filter(|name| !self.hints.contains_key(name)).filter_map(|name| {
            let pod = self.pods.get(name)?;
            let function = self.table.get(&pod.function, &name.namespace)?;
            let waiting = if function.seen.is_main(&pod.revision) {
                function.live.waiting()
            } else {
                let key = &function.seen.key;
                let others = self.hub.revisions.of(key);
                others
                    .iter()
                    .find(|live| live.revision() == Some(&pod.revision))
                    .map_or(0, |live| live.waiting())
            };
            (waiting > 0).then_some(Hint {
                function: pod.function.clone(),
                revision: pod.revision.clone(),
                pod: name.clone(),
                uid: pod.uid.clone(),
                address: pod.address?,
            })
        })
    }

    /// Puts all that was told in use: first the table, then the instances of each function that changed.
    pub fn settle(&mut self) {
        if std::mem::take(&mut self.table_changed) {
            self.tables.store(self.table.clone());
        }
        for key in std::mem::take(&mut self.changed) {
            self.settle_function(&key);
        }
    }

    fn function(&mut self, seen: Seen) {
        let key = seen.key.clone();
        let live = match self.table.get_key(&key) {
            Some(known) if known.seen == seen => return,
            Some(known) => Arc::clone(&known.live),
            None => Arc::new(Live::new(key.clone(), Arc::clone(&self.hub))),
        };
        let split = Split::of(&seen, &live, &self.hub);
        self.table.insert(Arc::new(Function::new(seen, live).with(split)));
        self.table_changed = true;
        self.changed.insert(key);
    }

    /// What all functions share.
    pub(crate) fn hub(&self) -> Arc<Hub> {
        Arc::clone(&self.hub)
    }

    /// Gives their instances to the revisions that are called beside those that the traffic goes to.
    pub(crate) fn settle_revisions(&mut self) {
        self.changed.extend(self.hub.revisions.keys());
        self.settle();
    }

    /// Lets go of revisions that get requests no more, when the last one has been answered. Those who still wait there share the
    /// instances with the function's own line by now, and do not hear of the slots that come back to it.
    pub(crate) fn sweep_revisions(&mut self) {
        for key in self.hub.revisions.keys() {
            let function = self.table.get_key(&key);
            let named = |revision: &str| {
                function.is_some_and(|function| {
                    let traffic = &function.seen.traffic;
                    !function.seen.is_main(revision)
                        && (traffic.shares.iter().any(|share| share.revision == revision)
                            || traffic.versions.iter().any(|(_, known)| known == revision)
                            || traffic.latest.as_deref() == Some(revision))
                })
            };
            for live in self.hub.revisions.of(&key) {
                if live.waiting() > 0 && !live.revision().is_some_and(&named) {
                    live.settle();
                }
            }
            self.hub
                .revisions
                .retain(&key, |live| live.revision().is_some_and(&named) || live.demand.present() > 0);
        }
    }

    fn function_gone(&mut self, key: &Key) {
        if let Some(function) = self.table.remove(key) {
            self.table_changed = true;
            self.starts.remove(key);
            function.live.set_gone();
            for live in self.hub.revisions.of(key) {
                live.set_gone();
            }
        }
    }

    fn pod(&mut self, pod: Pod) {
        let name = pod.name.clone();
        let key = Key::new(&name.namespace, &pod.function);
        match self.pods.get(&name) {
            Some(known) if *known == pod => return,
            // The same name with another uid, function or address is another pod.
            Some(known) if known.uid != pod.uid || known.function != pod.function => self.pod_gone(&name),
            Some(known) if known.address != pod.address => self.forget_address(&name),
            _ => {}
        }
        if pod.ending || pod.ready {
            // Withdrawn, or confirmed.
            self.drop_hint(&name);
        }
        if let Some(address) = pod.address
            && !pod.ending
        {
            self.by_address.insert(address.ip(), name.clone());
        }
        if pod.address.is_some() && !pod.ready && !pod.ending {
            self.unready.insert(name.clone());
        } else {
            self.unready.remove(&name);
        }
        self.members.entry(key.clone()).or_default().insert(name.name.clone());
        self.changed.insert(key);
        self.pods.insert(name, pod);
    }

    fn pod_gone(&mut self, name: &PodName) {
        self.drop_hint(name);
        self.unready.remove(name);
        self.forget_address(name);
        if let Some(pod) = self.pods.remove(name) {
            self.leave(name, &pod.function);
        }
    }

    fn forget_address(&mut self, name: &PodName) {
        let Some(address) = self.pods.get(name).and_then(|pod| pod.address) else { return };
        // The next pod with that address may have been told of before this one's end.
        if self.by_address.get(&address.ip()) == Some(name) {
            self.by_address.remove(&address.ip());
        }
    }

    /// Believes a hint, unless something that is known speaks against it.
    fn hint(&mut self, hint: Hint) -> bool {
        let key = Key::new(&hint.pod.namespace, &hint.function);
        if self.table.get_key(&key).is_none() {
            return false;
        }
        if self.by_address.get(&hint.address.ip()).is_some_and(|owner| *owner != hint.pod) {
            return false;
        }
        if let Some(pod) = self.pods.get(&hint.pod) {
            let same = pod.uid == hint.uid && pod.function == hint.function && pod.revision == hint.revision;
            if !same || pod.ending || pod.address.is_some_and(|address| address.ip() != hint.address.ip()) {
                return false;
            }
            if pod.ready {
                return true;
            }
        }
        self.members.entry(key.clone()).or_default().insert(hint.pod.name.clone());
        self.changed.insert(key);
        let until = self.hub.clock.now() + micros(HINT);
        self.hints.insert(hint.pod.clone(), (hint, until));
        true
    }

    fn drop_hint(&mut self, name: &PodName) {
        if let Some((hint, _)) = self.hints.remove(name) {
            self.leave(name, &hint.function);
        }
    }

    /// A pod or a hint went: the name stays a member while the other is there.
    fn leave(&mut self, name: &PodName, function: &str) {
        let key = Key::new(&name.namespace, function);
        if !self.pods.contains_key(name)
            && !self.hints.contains_key(name)
            && let Some(members) = self.members.get_mut(&key)
        {
            members.remove(&name.name);
            if members.is_empty() {
                self.members.remove(&key);
            }
            self.instances.remove(name);
        }
        self.changed.insert(key);
    }

    fn start(&mut self, key: Key, revision: String, blocked: Option<Blocked>) {
        match blocked {
            Some(blocked) => {
                self.starts.entry(key.clone()).or_default().insert(revision, blocked);
            }
            None => {
                let Some(failing) = self.starts.get_mut(&key) else { return };
                failing.remove(&revision);
                if failing.is_empty() {
                    self.starts.remove(&key);
                }
            }
        }
        self.changed.insert(key);
    }

    fn settle_function(&mut self, key: &Key) {
        let Some(function) = self.table.get_key(key).cloned() else { return };
        let members = self.members.get(key).cloned().unwrap_or_default();
        // The function's own line, and those of other revisions. One that has become the function's own keeps its instances for
        // those who still wait there.
        let main = (function.seen.revision.clone(), Arc::clone(&function.live));
        let others = self.hub.revisions.of(key).into_iter();
        let mut lines: Vec<_> =
            others.map(|live| (live.revision().map(str::to_owned), live, Vec::new())).collect();
        lines.insert(0, (main.0, main.1, Vec::new()));
        for name in members {
            let name = PodName { namespace: key.namespace.clone(), name };
            let wanted = |revision: &str| lines.iter().any(|(of, ..)| of.as_deref() == Some(revision));
            let Some((revision, instance)) = self.instance(&name, &function, wanted) else {
                self.instances.remove(&name);
                continue;
            };
            for (_, _, instances) in lines.iter_mut().filter(|(of, ..)| of.as_ref() == Some(&revision)) {
                instances.push(Arc::clone(&instance));
            }
        }
        for (revision, live, mut instances) in lines {
            instances.sort_by_cached_key(|instance| {
                (balance::rank(&self.peers, &self.me, &instance.pod), instance.pod.clone())
            });
            let failing = self.starts.get(key).and_then(|failing| match &revision {
                Some(revision) => failing.get(revision),
                // Nothing is deployed, and none of those that could be can start.
                None => failing.values().next(),
            });
            let own = live.revision().is_none().then_some(function.seen.blocked.as_ref()).flatten();
            let blocked = failing.or(own);
            live.set_blocked(blocked.cloned());
            live.set_instances(instances);
        }
    }

    /// The instance that a pod is, if it can get requests, and its revision: the one it was before unless it moved or changed its
    /// limit.
    fn instance(
        &mut self,
        name: &PodName,
        function: &Function,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<(String, Arc<Instance>)> {
        let pod = self.pods.get(name).filter(|pod| !pod.ending);
        let hint = self.hints.get(name).map(|(hint, _)| hint);
        let (uid, address, revision) = match (pod, hint) {
            (Some(pod), _) if pod.ready => (&pod.uid, pod.address?, pod.revision.clone()),
            (_, Some(hint)) => (&hint.uid, hint.address, hint.revision.clone()),
            _ => return None,
        };
        if !wanted(&revision) {
            return None;
        }
        let limit = pod.and_then(|pod| pod.limit).unwrap_or(function.seen.concurrency);
        if let Some(known) = self.instances.get(name)
            && known.uid == *uid
            && known.address == address
            && known.limit == limit
        {
            return Some((revision, Arc::clone(known)));
        }
        if hint.is_none() {
            self.hub.totals.by_watch.fetch_add(1, Ordering::Relaxed);
        }
        self.next_instance += 1;
        let since = self.hub.clock.now();
        let instance =
            Instance::new(self.next_instance, name.name.clone(), uid.clone(), address, limit, since);
        let instance =
            Arc::new(instance.started_by(if self.claimed.contains(uid) { Start::Pool } else { Start::Pod }));
        self.instances.insert(name.clone(), Arc::clone(&instance));
        Some((revision, instance))
    }
}

#[cfg(test)]
mod tests;
