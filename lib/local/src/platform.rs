//! The platform as its user holds it: starts it, tells it what to serve, asks it for things, stops it.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use flint_core::{firing, schedule::scheduled_event};
use flint_gateway::{
    app::{self, Gateway, Schedules},
    call::ScheduledCall,
    control::Link,
    front::Settings,
    scheduler,
    table::{Routes, Tables},
};
use flint_telemetry::Admin;
use http::StatusCode;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Answer, Config, Error, Event, Events, Function, Key, Project, client, home,
    limits::Limits,
    record::Recorder,
    tell::Teller,
    told::{self, Told},
    world::{Command, Inputs, Place, World},
};

/// A platform that serves. Dropped without [`Self::stop`] it ends in the background, as long as its runtime lives; processes
/// end with this one in any case.
pub struct Platform {
    address: SocketAddr,
    teller: Arc<Teller>,
    commands: mpsc::Sender<Command>,
    tables: Arc<Tables>,
    scheduled: mpsc::Sender<ScheduledCall>,
    stop: DropGuard,
    gateway: JoinHandle<anyhow::Result<()>>,
    world: JoinHandle<()>,
    home: JoinHandle<()>,
    /// The last words of watchdogs; removed when dropped.
    _folder: TempDir,
}

/// Requests that may wait for one function.
const QUEUE: usize = 1000;
/// Messages on their way between the platform's parts; who sends waits for room.
const MESSAGES: usize = 256;
/// Client connections of one worker.
const CONNECTIONS: usize = 4096;
/// How long a tunnel or a streamed answer may say nothing, as in a cluster.
const IDLE: Duration = Duration::from_secs(300);
/// AWS Lambda's own limit, as in a cluster.
const LAMBDA_BODY: u64 = 6 * 1024 * 1024;
/// The most bytes of a request's head, as in a cluster.
const HEAD: usize = 64 * 1024;

// === impl Platform ===

impl Platform {
    /// Takes the port, starts the gateway and serves `project`. No process is started before a request wants one, but for
    /// those that `minReplicas` asks for.
    ///
    /// # Errors
    /// The port is taken, a part cannot be started, or the project contradicts itself.
    pub async fn start(config: Config, project: Project) -> Result<Self, Error> {
        let routes = told::routes(&project)?;
        let teller = Teller::new();
        let failed = |what| move |source: anyhow::Error| Error::Start { what, source };
        let (lines, lines_in) = mpsc::channel(1);
        let admin = Admin::new().map_err(|error| failed("its metrics")(error.into()))?;
        let gateway = Gateway::bind(gateway_config(&config, Link::Here(lines)), admin)
            .await
            .map_err(|source| Error::Listen { address: config.listen, source })?
            .recorded(Arc::new(Recorder(Arc::clone(&teller))));
        let address = gateway.address();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|error| failed("the port that processes call")(error.into()))?;
        let folder = tempfile::Builder::new()
            .prefix("flint-")
            .tempdir()
            .map_err(|error| failed("its temporary folder")(error.into()))?;
        let place = Place {
            gateway: address,
            home: listener
                .local_addr()
                .map_err(|error| failed("the port that processes call")(error.into()))?,
            master: rand::random::<[u8; 32]>().to_vec(),
            folder: folder.path().to_owned(),
        };

        let (told, telling) = mpsc::channel(MESSAGES);
        let (calls, calls_in) = mpsc::channel(MESSAGES);
        let (gone, gone_in) = mpsc::channel(MESSAGES);
        let (commands, commands_in) = mpsc::channel(MESSAGES);
        let stop = CancellationToken::new();
        let home = tokio::spawn(home::serve(listener, place.master.clone(), calls));
        let (parts, scheduler_parts) = oneshot::channel();
        let scheduler = |schedules: Schedules, stop: CancellationToken| {
            // For `fire`; nobody waits for them any more if the platform could not be started.
            let _ = parts.send((Arc::clone(&schedules.tables), schedules.calls.clone()));
            scheduler::run(schedules, || true, stop)
        };
        let gateway = {
            let (stop, teller) = (stop.clone(), Arc::clone(&teller));
            tokio::spawn(async move {
                let outcome = gateway.run(Told(telling), scheduler, stop.cancelled_owned()).await;
                if let Err(error) = &outcome {
                    let message = format!("the gateway ended, and nothing is served: {error:#}");
                    teller.tell(Event::Notice { function: None, message });
                }
                outcome
            })
        };
        let Ok((tables, scheduled)) = scheduler_parts.await else {
            let outcome = gateway.await.map_err(anyhow::Error::from).and_then(|outcome| outcome);
            let source = outcome.err().unwrap_or_else(|| anyhow::anyhow!("the gateway ended"));
            return Err(failed("the gateway")(source));
        };
        let world = World {
            limits: Limits::find(),
            tables: Arc::clone(&tables),
            teller: Arc::clone(&teller),
            gateway: told,
            gone,
            functions: BTreeMap::new(),
            leaving: Vec::new(),
            routes: HashMap::new(),
            handles: HashMap::new(),
            started: Instant::now(),
            heard: None,
            count: 0,
            is_short: false,
            told_short: false,
            place,
            config,
        };
        let inputs = Inputs { commands: commands_in, lines: lines_in, calls: calls_in, gone: gone_in };
        let world = tokio::spawn(world.run(inputs));
        let platform = Self {
            address,
            teller,
            commands,
            tables,
            scheduled,
            stop: stop.drop_guard(),
            gateway,
            world,
            home,
            _folder: folder,
        };
        platform.serve(project, routes).await?;
        Ok(platform)
    }

    /// Where functions are called.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was told lately, and what will be told.
    #[must_use]
    pub fn events(&self) -> Events {
        self.teller.listen()
    }

    /// Puts another project in the place of the one that is served. A function whose folder, command, environment, memory or
    /// generation changed becomes another revision: where the old one runs, the new one is started beside it, gets the
    /// requests when it is ready, and the old one finishes what it has. One that does not come up gets none.
    ///
    /// It returns when the platform has taken the project over; [`Event`]s tell what becomes of it.
    ///
    /// # Errors
    /// The project contradicts itself, and the one before is served on; or the platform has stopped.
    pub async fn update(&self, project: Project) -> Result<(), Error> {
        let routes = told::routes(&project)?;
        self.serve(project, routes).await
    }

    /// The functions at this moment, by name.
    ///
    /// # Errors
    /// The platform has stopped.
    pub async fn functions(&self) -> Result<Vec<Function>, Error> {
        let (answer, functions) = oneshot::channel();
        self.ask(Command::Functions(answer), functions).await
    }

    /// Calls a function by Lambda's Invoke: the payload is the event as it is. With `tail` the answer has the end of the log in
    /// `x-amz-log-result`.
    ///
    /// # Errors
    /// The gateway does not answer. A function that is not there, or fails, is an answer.
    pub async fn invoke(&self, function: &Key, payload: Bytes, tail: bool) -> Result<Answer, Error> {
        client::invoke(self.address, function, payload, tail).await
    }

    /// Makes the request of an [`Event::Invocation`] once more, with a new request id. For a schedule's call it is the same
    /// event.
    ///
    /// # Errors
    /// The event is too long ago or no invocation, its request was not kept in full, or the gateway does not answer.
    pub async fn replay(&self, event: u64) -> Result<Answer, Error> {
        let told = self.teller.past(event).ok_or(Error::UnknownEvent(event))?;
        let Event::Invocation(invocation) = &told.event else { return Err(Error::UnknownEvent(event)) };
        client::again(self.address, event, invocation).await
    }

    /// Fires a schedule now, beside its times, and gives the call's status: 502 where the function failed.
    ///
    /// # Errors
    /// There is no such function or schedule, or the platform stops.
    pub async fn fire(&self, function: &Key, schedule: &str) -> Result<StatusCode, Error> {
        let found = self.tables.load().get_key(function).cloned();
        let found = found.ok_or_else(|| Error::UnknownFunction(function.to_string()))?;
        let scheduled = found.seen.schedules.iter().find(|scheduled| scheduled.name == schedule);
        let scheduled = scheduled.ok_or_else(|| Error::UnknownSchedule {
            function: function.to_string(),
            schedule: schedule.to_owned(),
        })?;
        let due = Timestamp::now();
        let request_id = firing::id(&function.namespace, &function.name, schedule, due);
        let event = scheduled.input.clone().unwrap_or_else(|| {
            let resource = format!("flint.dev/{}/{}/{schedule}", function.namespace, function.name);
            scheduled_event(&request_id, due, &resource)
        });
        let (answered, answer) = oneshot::channel();
        let call = ScheduledCall {
            function: Arc::clone(&found),
            event: Bytes::from(event.to_string()),
            request_id,
            answered,
        };
        self.scheduled.send(call).await.map_err(|_| Error::Stopped)?;
        let status = answer.await.map_err(|_| Error::Stopped)?;
        self.teller.tell(Event::ScheduleFired {
            function: function.clone(),
            schedule: schedule.to_owned(),
            due,
            status: status.as_u16(),
        });
        Ok(status)
    }

    /// Replaces the function's processes by new ones, as after a change of its code.
    ///
    /// # Errors
    /// There is no such function, or the platform has stopped.
    pub async fn restart(&self, function: &Key) -> Result<(), Error> {
        let (done, outcome) = oneshot::channel();
        self.ask(Command::Restart(function.clone(), done), outcome).await?
    }

    /// Takes no more requests, finishes those it has, and ends every process that it started.
    ///
    /// # Errors
    /// A part had failed before.
    pub async fn stop(self) -> Result<(), Error> {
        let failed = |source| Error::Start { what: "it had ended before", source };
        drop(self.stop);
        // Requests that wait still get their processes: the world goes last.
        let outcome = self.gateway.await.map_err(anyhow::Error::from).and_then(|outcome| outcome);
        let _ = self.commands.send(Command::Stop).await;
        let ended = self.world.await;
        self.home.abort();
        outcome.map_err(failed)?;
        ended.map_err(|error| failed(error.into()))
    }

    async fn serve(&self, project: Project, routes: Arc<Routes>) -> Result<(), Error> {
        let keys: Vec<Key> = project.functions.iter().map(|spec| spec.key.clone()).collect();
        let (done, taken) = oneshot::channel();
        self.ask(Command::Update(project, routes, done), taken).await?;
        told::shown(&self.tables, |table| {
            table.len() == keys.len() && keys.iter().all(|key| table.get_key(key).is_some())
        })
        .await;
        Ok(())
    }

    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<T>) -> Result<T, Error> {
        self.commands.send(command).await.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)
    }
}

fn gateway_config(config: &Config, link: Link) -> app::Config {
    app::Config {
        listen: config.listen,
        admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        workers: config.workers,
        control: Some(link),
        gateway: "local".to_owned(),
        queue_length: QUEUE,
        settings: Settings {
            cluster_domain: "cluster.local".to_owned(),
            start_timeout: config.start_timeout,
            lambda_body_limit: LAMBDA_BODY,
            body_limit: None,
            idle_timeout: IDLE,
            credentials: None,
        },
        header_limit: HEAD,
        connections: CONNECTIONS,
        // Nobody is sent here by a load balancer that has yet to hear of it.
        drain_delay: Duration::ZERO,
        drain_timeout: config.drain_timeout,
        access_log: false,
    }
}
