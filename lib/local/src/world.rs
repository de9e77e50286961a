//! The one task that knows everything: it takes in what happens, has each function decide, and does what that comes to.
//!
//! It stands where operator, API server and kubelet stand in a cluster: the gateway's reports come in on the same stream, the
//! processes' announcements at the same home, and the gateway is told of functions and processes as by a watch. All is
//! one task, so nothing here can disagree with itself.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use flint_control::v1::{
    FiringStored, GatewayMessage, OperatorMessage, Peers, Report, gateway_message, operator_message,
};
use flint_gateway::{
    control::Line,
    index,
    table::{Routes, Tables},
};
use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    Config, Ended, Error, Event, FunctionSpec, Key, Project, Reason, State, environment, home,
    limits::Limits,
    process::{self, Gone, Handle, Launch},
    scaling::{SAMPLE, SAMPLES_PER_DECISION, Why},
    served::{Act, Served},
    snapshot,
    tell::Teller,
    told,
};

/// What the world is made of.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) place: Place,
    pub(crate) teller: Arc<Teller>,
    pub(crate) limits: Limits,
    /// The gateway's table, to see what it has taken over.
    pub(crate) tables: Arc<Tables>,
    /// The gateway's source.
    pub(crate) gateway: mpsc::Sender<index::Event>,
    /// Where the tasks of processes tell of their end.
    pub(crate) gone: mpsc::Sender<Gone>,
    pub(crate) functions: BTreeMap<Key, Served>,
    /// Functions that are removed, for as long as they have processes.
    pub(crate) leaving: Vec<Served>,
    pub(crate) routes: HashMap<Key, Vec<String>>,
    pub(crate) handles: HashMap<String, Handle>,
    pub(crate) started: Instant,
    /// When the gateway was heard last.
    pub(crate) heard: Option<Instant>,
    /// Processes ever started; their names count on.
    pub(crate) count: u64,
    /// Somebody could not start a process for want of room.
    pub(crate) is_short: bool,
    pub(crate) told_short: bool,
}

/// Addresses and folders of this platform.
pub(crate) struct Place {
    /// Where functions are called.
    pub(crate) gateway: SocketAddr,
    /// Where processes call home.
    pub(crate) home: SocketAddr,
    /// Signs announcements.
    pub(crate) master: Vec<u8>,
    /// Where watchdogs leave their last words.
    pub(crate) folder: PathBuf,
}

/// What the platform's user wants.
pub(crate) enum Command {
    /// Serve that.
    Update(Project, Arc<Routes>, oneshot::Sender<()>),
    /// Tell what there is.
    Functions(oneshot::Sender<Vec<snapshot::Function>>),
    /// New processes for a function.
    Restart(Key, oneshot::Sender<Result<(), Error>>),
    /// End everything.
    Stop,
}

/// What comes in, beside commands.
pub(crate) struct Inputs {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) lines: mpsc::Receiver<Line>,
    pub(crate) calls: mpsc::Receiver<home::Call>,
    pub(crate) gone: mpsc::Receiver<Gone>,
}

/// A gateway that was not heard for this long may have any demand: five reports' time.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// On top of a function's timeout, for a process to end.
const SLACK: Duration = Duration::from_secs(10);

// === impl World ===

impl World {
    /// Runs until it is told to stop, or nobody could tell it any more, and every process has ended.
    pub(crate) async fn run(mut self, mut inputs: Inputs) {
        let mut line: Option<Line> = None;
        let mut samples: u64 = 0;
        let mut sample = interval(SAMPLE);
        sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                said = hear(&mut line) => match said {
                    Some(message) => self.said(message, line.as_ref()).await,
                    // The gateway ended the stream: so do we.
                    None => line = None,
                },
                Some(new) = inputs.lines.recv() => line = Some(new),
                Some((announcement, address, answer)) = inputs.calls.recv() => {
                    let key = Key::new(&announcement.namespace, &announcement.function);
                    let known = self.ready(&key, &announcement.pod, address).await;
                    // Who is not there any more needs no answer.
                    let _ = answer.send(known);
                }
                Some(gone) = inputs.gone.recv() => self.gone(gone).await,
                command = inputs.commands.recv() => match command {
                    Some(Command::Update(project, routes, done)) => {
                        self.update(project, routes).await;
                        let _ = done.send(());
                    }
                    Some(Command::Functions(answer)) => {
                        let _ = answer.send(self.snapshot());
                    }
                    Some(Command::Restart(key, done)) => {
                        let _ = done.send(self.restart(&key).await);
                    }
                    Some(Command::Stop) | None => break,
                },
                _ = sample.tick() => {
                    samples += 1;
                    let tick = samples.is_multiple_of(SAMPLES_PER_DECISION);
                    self.look_at_all(if tick { Why::Tick } else { Why::Sample }).await;
                }
            }
        }
        self.end(inputs.gone).await;
    }

    async fn end(mut self, mut gone: mpsc::Receiver<Gone>) {
        for key in self.functions.keys().cloned().collect::<Vec<_>>() {
            if let Some(served) = self.functions.get_mut(&key) {
                let acts = served.end_all();
                self.act(&key, acts).await;
            }
        }
        while !self.handles.is_empty() {
            // The tasks of processes bound how long that is.
            let Some(one) = gone.recv().await else { return };
            self.handles.remove(&one.name);
            self.tell_ended(one);
        }
        self.limits.end();
    }

    async fn said(&mut self, message: GatewayMessage, line: Option<&Line>) {
        let answer = match message.message {
            Some(gateway_message::Message::Hello(hello)) => {
                Some(operator_message::Message::Peers(Peers { gateways: vec![hello.gateway] }))
            }
            Some(gateway_message::Message::Report(report)) => {
                self.report(report).await;
                None
            }
            Some(gateway_message::Message::Firing(firing)) => {
                let function = firing.function.clone().unwrap_or_default();
                if let (true, Ok(due)) = (firing.done, firing.due.parse()) {
                    self.teller.tell(Event::ScheduleFired {
                        function: Key::new(function.namespace, function.name),
                        schedule: firing.schedule.clone(),
                        due,
                        status: u16::try_from(firing.status).unwrap_or_default(),
                    });
                }
                let flint_control::v1::Firing { function, schedule, due, done, status: _ } = firing;
                Some(operator_message::Message::FiringStored(FiringStored { function, schedule, due, done }))
            }
            None => None,
        };
        if let (Some(answer), Some(line)) = (answer, line) {
            // A gateway that does not take it has ended the stream, which is heard next.
            let _ = line.answers.send(OperatorMessage { message: Some(answer) }).await;
        }
    }

    async fn report(&mut self, report: Report) {
        let now = Instant::now();
        self.heard = Some(now);
        for demand in report.demands {
            let Some(function) = demand.function.as_ref() else { continue };
            let key = Key::new(&function.namespace, &function.name);
            let Some(served) = self.functions.get_mut(&key) else { continue };
            served.scaling.report(now - self.started, &demand);
            if demand.queued > 0 {
                self.look(&key, Why::Woken).await;
            }
        }
    }

    async fn look_at_all(&mut self, why: Why) {
        let awake = self.functions.iter().filter(|(_, served)| !served.is_at_rest());
        let keys: Vec<_> = awake.map(|(key, _)| key.clone()).collect();
        for key in keys {
            if why == Why::Tick {
                self.end_what_never_starts(&key).await;
            }
            self.look(&key, why).await;
        }
    }

    async fn look(&mut self, key: &Key, why: Why) {
        let now = Instant::now();
        let known = self.heard.is_some_and(|heard| now - heard < SILENT_AFTER);
        let Some(served) = self.functions.get_mut(key) else { return };
        let acts = served.look(why, now, self.started, known);
        self.act(key, acts).await;
    }

    /// A process that takes longer to start than anybody waits for it will not start.
    async fn end_what_never_starts(&mut self, key: &Key) {
        let (now, limit) = (Instant::now(), self.config.start_timeout);
        let Some(served) = self.functions.get_mut(key) else { return };
        let late = served
            .processes
            .iter()
            .find(|(_, process)| process.state == State::Starting && now - process.started > limit);
        let Some((name, _)) = late.map(|(name, process)| (name.clone(), process.started)) else { return };
        let reason = Reason::new(
            "Instance.StartTimeout",
            format!(
                "it was not ready within {limit:?}: a lambda handler asks for its first event when its file is loaded, an http program answers at $PORT"
            ),
        );
        let mut acts: Vec<_> = served.end(&name, Ended::Failed(reason.clone())).into_iter().collect();
        acts.extend(served.fail(reason, now));
        self.act(key, acts).await;
    }

    async fn ready(&mut self, key: &Key, name: &str, address: SocketAddr) -> bool {
        let now = Instant::now();
        let Some(served) = self.functions.get_mut(key) else { return false };
        let Some(acts) = served.ready(name, address, now) else { return false };
        let Some(process) = served.processes.get(name) else { return false };
        let revision = process.revision.clone();
        self.teller.tell(Event::InstanceReady {
            function: key.clone(),
            instance: name.to_owned(),
            revision: revision.clone(),
            init: now - process.started,
        });
        let limit = served.spec.effective.concurrency;
        // Before it is said that its revision serves, so that nobody waits for the second word.
        self.tell_gateway(told::process(key, name, &revision, Some(address), State::Ready, limit)).await;
        self.act(key, acts).await;
        self.use_room().await;
        true
    }

    async fn gone(&mut self, gone: Gone) {
        self.handles.remove(&gone.name);
        let key = gone.function.clone();
        self.tell_gateway(told::process_gone(&key, &gone.name)).await;
        let acts = self.tell_ended(gone);
        self.act(&key, acts).await;
        self.use_room().await;
    }

    /// Tells of an end, and says what is to be done about it.
    fn tell_ended(&mut self, gone: Gone) -> Vec<Act> {
        let Gone { name, function, reason } = gone;
        let now = Instant::now();
        let known = self.functions.get_mut(&function).filter(|served| served.processes.contains_key(&name));
        let served = match known {
            Some(served) => Some(served),
            None => self.leaving.iter_mut().find(|served| served.processes.contains_key(&name)),
        };
        let Some((process, why, acts)) = served.and_then(|served| served.ended(&name, reason, now)) else {
            return Vec::new();
        };
        self.teller.tell(Event::InstanceEnded {
            function: function.clone(),
            instance: name,
            revision: process.revision,
            reason: why,
        });
        self.leaving.retain(|served| !served.processes.is_empty());
        // Of one that is removed nothing is to be done any more.
        if self.functions.contains_key(&function) { acts } else { Vec::new() }
    }

    /// Those who had no room for a process may have it now.
    async fn use_room(&mut self) {
        if std::mem::take(&mut self.is_short) {
            self.look_at_all(Why::Woken).await;
        }
    }

    async fn update(&mut self, project: Project, routes: Arc<Routes>) {
        let now = Instant::now();
        self.routes = named(&project);
        let specs: BTreeMap<Key, FunctionSpec> =
            project.functions.into_iter().map(|spec| (spec.key.clone(), spec)).collect();
        let removed: Vec<_> = self.functions.keys().filter(|key| !specs.contains_key(key)).cloned().collect();
        for key in removed {
            self.remove(key).await;
        }
        for (key, spec) in specs {
            self.tell_what_is_missing(&spec);
            let acts = match self.functions.get_mut(&key) {
                Some(served) => served.update(spec, now),
                None => {
                    let (served, acts) = Served::new(spec, now, Timestamp::now());
                    self.functions.insert(key.clone(), served);
                    acts
                }
            };
            self.act(&key, acts).await;
            // Those that it keeps without traffic.
            self.look(&key, Why::Woken).await;
        }
        // After the functions that they lead to.
        self.tell_gateway(index::Event::Routes(routes)).await;
        self.tell_gateway(index::Event::Complete).await;
    }

    async fn remove(&mut self, key: Key) {
        let Some(served) = self.functions.get_mut(&key) else { return };
        let acts = served.end_all();
        self.act(&key, acts).await;
        if let Some(served) = self.functions.remove(&key) {
            if !served.processes.is_empty() {
                self.leaving.push(served);
            }
            self.tell_gateway(index::Event::FunctionGone(key.clone())).await;
            self.teller.tell(Event::FunctionRemoved { function: key });
        }
    }

    fn tell_what_is_missing(&self, spec: &FunctionSpec) {
        let is_new = self.functions.get(&spec.key).is_none_or(|served| served.spec.memory != spec.memory);
        if let (Some(bytes), Some(why), true) = (spec.memory, self.limits.missing(), is_new) {
            let mib = bytes / (1024 * 1024);
            let message = format!(
                "its memory limit of {mib} MiB is not enforced here: no control group can be made ({why}); a session of \
                 your own has one: systemd-run --user --scope -p Delegate=yes COMMAND"
            );
            self.teller.tell(Event::Notice { function: Some(spec.key.clone()), message });
        }
    }

    async fn restart(&mut self, key: &Key) -> Result<(), Error> {
        let served = self.functions.get_mut(key).ok_or_else(|| Error::UnknownFunction(key.to_string()))?;
        let acts = served.restart(Instant::now());
        self.act(key, acts).await;
        Ok(())
    }

    /// Does what was decided, and what follows from it.
    async fn act(&mut self, key: &Key, acts: Vec<Act>) {
        let mut acts = VecDeque::from(acts);
        while let Some(act) = acts.pop_front() {
            match act {
                Act::Start => {
                    if let Err(reason) = self.start(key)
                        && let Some(served) = self.functions.get_mut(key)
                    {
                        // The others would fail in the same way.
                        acts.retain(|act| *act != Act::Start);
                        acts.extend(served.fail(reason, Instant::now()));
                    }
                }
                Act::End(name, _) => {
                    let Some(served) = self.functions.get(key) else { continue };
                    if let Some(process) = served.processes.get(&name) {
                        let limit = served.spec.effective.concurrency;
                        let told = told::process(
                            key,
                            &name,
                            &process.revision,
                            process.address,
                            State::Ending,
                            limit,
                        );
                        self.tell_gateway(told).await;
                    }
                    if let Some(handle) = self.handles.get(&name) {
                        handle.end();
                    }
                }
                Act::Show => {
                    if let Some(served) = self.functions.get(key) {
                        let told = told::function(served);
                        self.tell_gateway(told).await;
                    }
                }
                Act::Switched(took) => {
                    if let Some(served) = self.functions.get(key) {
                        let (function, revision) = (key.clone(), served.serving.clone());
                        told::shown(&self.tables, |table| {
                            let shown = table.get_key(key);
                            shown.is_some_and(|shown| shown.seen.revision.as_ref() == Some(&revision))
                        })
                        .await;
                        self.teller.tell(Event::FunctionUpdated { function, revision, took });
                    }
                }
                Act::Failed(reason, older_serves) => {
                    if let Some(served) = self.functions.get(key) {
                        let (function, revision) = (key.clone(), served.latest.clone());
                        self.teller.tell(Event::FunctionFailed { function, revision, reason, older_serves });
                    }
                }
                Act::Refuse(reason) => self.tell_start(key, Some(&reason)).await,
                Act::Readmit => self.tell_start(key, None).await,
            }
        }
    }

    /// Starts a process of the latest revision, if there is room.
    fn start(&mut self, key: &Key) -> Result<(), Reason> {
        let starting = self.functions.values().flat_map(|served| served.processes.values());
        let starting = starting.filter(|process| process.state == State::Starting).count();
        let Some(served) = self.functions.get_mut(key) else { return Ok(()) };
        if starting >= self.config.starting.max(1) || self.handles.len() >= self.config.processes.max(1) {
            self.is_short = true;
            if self.handles.len() >= self.config.processes && !std::mem::replace(&mut self.told_short, true) {
                let most = self.config.processes;
                let message =
                    format!("there are {most} processes, as many as may be here: more requests wait");
                self.teller.tell(Event::Notice { function: Some(key.clone()), message });
            }
            return Ok(());
        }
        self.count += 1;
        let name = format!("{}-{}", served.latest, self.count);
        let cannot = |error: std::io::Error| Reason::new("Instance.NotStarted", error.to_string());
        let last_word = self.place.folder.join(&name);
        let environment =
            environment::of(&served.spec, &served.latest, &name, &self.place, &last_word).map_err(cannot)?;
        let launch = Launch {
            name: name.clone(),
            function: key.clone(),
            environment,
            last_word,
            memory: served.spec.memory,
            patience: served.spec.effective.timeout.get() + SLACK,
        };
        let teller = Arc::clone(&self.teller);
        let handle = process::start(&self.config.program, &self.limits, launch, teller, self.gone.clone())
            .map_err(cannot)?;
        served.started(name.clone(), handle.pid, Instant::now());
        let revision = served.latest.clone();
        self.teller.tell(Event::InstanceStarting { function: key.clone(), instance: name.clone(), revision });
        self.handles.insert(name, handle);
        Ok(())
    }

    async fn tell_start(&self, key: &Key, reason: Option<&Reason>) {
        if let Some(served) = self.functions.get(key) {
            self.tell_gateway(told::start(key, &served.latest, reason)).await;
        }
    }

    async fn tell_gateway(&self, event: index::Event) {
        // A gateway that has ended needs to know nothing.
        let _ = self.gateway.send(event).await;
    }
}

async fn hear(line: &mut Option<Line>) -> Option<GatewayMessage> {
    match line {
        Some(line) => line.said.recv().await,
        None => std::future::pending().await,
    }
}

/// The routes of each function, as people write them.
fn named(project: &Project) -> HashMap<Key, Vec<String>> {
    let mut routes: HashMap<Key, Vec<String>> = HashMap::new();
    for route in &project.routes {
        let name = flint_core::paths::route_key(route.method.as_ref(), &route.path);
        routes.entry(route.function.clone()).or_default().push(name);
    }
    routes
}
