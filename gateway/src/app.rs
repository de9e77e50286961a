//! Puts the parts together, runs them, and takes them down in order.

use std::{future::Future, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use flint_control::v1::Firing;
use flint_proxy::{Connection, Handler, Limits, PoolConfig, RequestBody, Workers, WorkersConfig};
use flint_telemetry::Admin;
use futures::FutureExt;
use http::{Request, Response, StatusCode};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::LogWriter,
    clock::Clock,
    control::{self, Control, Link},
    exchange::Answer,
    front::{Front, Settings, Shared},
    hub::Hub,
    index::Index,
    keeper,
    metrics::Collector,
    pool,
    record::Recorder,
    refuse,
    source::Source,
    table::Tables,
};

/// What a gateway goes by.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where traffic is served.
    pub listen: SocketAddr,
    /// Where health and metrics are served.
    pub admin_listen: SocketAddr,
    /// Threads that serve traffic; 0 is one per core.
    pub workers: usize,
    /// The operator; none if there is none.
    pub control: Option<Link>,
    /// This gateway's name, unique per process.
    pub gateway: String,
    /// Requests that may wait for one function.
    pub queue_length: usize,
    /// What requests go by.
    pub settings: Settings,
    /// The most bytes of a request's head.
    pub header_limit: usize,
    /// Client connections of one worker.
    pub connections: usize,
    /// How long connections are still taken after the end was asked for.
    pub drain_delay: Duration,
    /// How long requests in flight may take to end after that.
    pub drain_timeout: Duration,
    /// Whether each request is logged.
    pub access_log: bool,
}

/// A gateway that holds its ports and does not serve yet.
pub struct Gateway {
    config: Config,
    workers: Workers,
    admin_listener: TcpListener,
    admin: Admin,
    recorder: Option<Arc<dyn Recorder>>,
}

/// What a scheduler needs of a gateway.
pub struct Schedules {
    /// The functions with their schedules.
    pub tables: Arc<Tables>,
    /// The clock and the counts.
    pub hub: Arc<Hub>,
    /// Firings on their way to the operator, and where it says that one is stored.
    pub firings: mpsc::Sender<(Firing, oneshot::Sender<()>)>,
    /// Calls on their way to a worker.
    pub calls: mpsc::Sender<crate::call::ScheduledCall>,
    /// Who we are.
    pub gateway: String,
}

/// Firings that may wait to be told to the operator.
const FIRINGS: usize = 256;
/// Scheduled calls that may wait for a worker.
const CALLS: usize = 256;

// === impl Gateway ===

impl Gateway {
    /// Takes the ports.
    ///
    /// # Errors
    /// When somebody else has one, or it is not ours to take.
    pub async fn bind(config: Config, admin: Admin) -> anyhow::Result<Self> {
        let limits = Limits {
            connections: config.connections,
            header_bytes: config.header_limit,
            ..Limits::default()
        };
        let workers = WorkersConfig {
            workers: config.workers,
            limits,
            drain: config.drain_timeout,
            ..WorkersConfig::new(config.listen)
        };
        let admin_listener = Admin::bind(config.admin_listen).await?;
        Ok(Self { workers: Workers::bind(workers)?, admin_listener, admin, recorder: None, config })
    }

    /// Has everything that passes kept by `recorder`.
    #[must_use]
    pub fn recorded(mut self, recorder: Arc<dyn Recorder>) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Where traffic is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.workers.local_addr()
    }

    /// Where health and metrics are served.
    ///
    /// # Errors
    /// When the kernel does not know.
    pub fn admin_address(&self) -> std::io::Result<SocketAddr> {
        self.admin_listener.local_addr()
    }

    /// Serves what `source` tells of until `shutdown`, and takes itself down: not ready first, then no new connections,
    /// then the end of what is in flight, then the last word to the operator. `scheduler` runs beside it.
    ///
    /// # Errors
    /// When a part fails that the others cannot do without.
    pub async fn run<S: Source, R: Future<Output = ()> + Send + 'static>(
        self,
        source: S,
        scheduler: impl FnOnce(Schedules, CancellationToken) -> R,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let Self { config, workers, admin_listener, admin, recorder } = self;
        let (hub, bell) = Hub::new(Clock::start(), config.queue_length);
        let tables = Arc::new(Tables::default());
        let collector = Collector::new(Arc::clone(&tables), Arc::clone(&hub))?;
        admin.registry.register(Box::new(collector)).context("cannot register the gateway's metrics")?;
        let (functions, draining) = (admin.readiness.part("functions"), admin.readiness.part("not draining"));
        draining.ready();

        let (events, told) = mpsc::channel(keeper::EVENTS);
        let index = Index::new(Arc::clone(&hub), Arc::clone(&tables), config.gateway.clone());
        let clock = hub.clock;
        let known = CancellationToken::new();
        let knows = known.clone();
        let complete = move || {
            functions.ready();
            knows.cancel();
        };
        let keeping = tokio::spawn(keeper::keep(index, clock, told, complete));
        // What outlives the traffic, and what must not: firing schedules ends first.
        let (stop, stop_scheduler) = (CancellationToken::new(), CancellationToken::new());
        let admin_server = tokio::spawn(admin.serve(admin_listener, stop.clone()));

        let (firings, firings_out) = mpsc::channel(FIRINGS);
        let (calls, calls_in) = mpsc::channel(CALLS);
        let claiming = config.control.is_some().then(|| {
            let offers = hub.pools.offers();
            tokio::spawn(pool::claim(Arc::clone(&hub), offers, events.clone()))
        });
        let controlling = config.control.clone().map(|link| {
            let config = control::Config { link, gateway: config.gateway.clone() };
            let control = Control::new(
                config,
                Arc::clone(&hub),
                Arc::clone(&tables),
                bell,
                firings_out,
                events.clone(),
            );
            tokio::spawn(control.run(stop.clone()))
        });
        let schedules = Schedules {
            tables: Arc::clone(&tables),
            hub: Arc::clone(&hub),
            firings,
            calls,
            gateway: config.gateway.clone(),
        };
        let scheduling = tokio::spawn(scheduler(schedules, stop_scheduler.clone()));
        let telling: JoinHandle<anyhow::Result<()>> = tokio::spawn(source.run(events));

        let log = config.access_log.then(|| LogWriter::start(std::io::stdout())).transpose()?;
        let going_hub = Arc::clone(&hub);
        let following = config
            .settings
            .credentials
            .clone()
            .map(|credentials| tokio::spawn(async move { credentials.follow().await }));
        let shared = Arc::new(Shared {
            tables,
            hub,
            settings: config.settings,
            log: log.as_ref().map(LogWriter::sender),
            recorder,
        });
        let calls_in = parking_lot::Mutex::new(Some(calls_in));
        let factory = move |worker| {
            let front = Front::new(Arc::clone(&shared), worker, PoolConfig::default());
            // The first worker makes the calls of schedules: they are few.
            if let Some(calls) = calls_in.lock().take() {
                tokio::task::spawn_local(crate::call::make_calls(Rc::clone(&front), calls));
            }
            Entrance(front)
        };
        let shutdown = shutdown.shared();
        let going = async {
            shutdown.clone().await;
            tracing::info!("going: not ready any more");
            draining.not_ready();
            going_hub.go();
            stop_scheduler.cancel();
            sleep(config.drain_delay).await;
        };
        tracing::info!(address = %workers.local_addr(), workers = workers.count(), gateway = config.gateway, "serving");
        let serving = async {
            // Who comes before the first table is there waits in the listeners' backlog: "there is no such function" would be a guess.
            tokio::select! {
                () = known.cancelled() => {}
                () = shutdown.clone() => {}
            }
            workers.run(factory, going).await
        };
        let outcome = tokio::select! {
            outcome = serving => outcome.map_err(anyhow::Error::from),
            failed = failure(telling) => Err(failed),
        };
        // The last firing's end is told on the stream, so the stream ends after it.
        stop_scheduler.cancel();
        let _ = scheduling.await;
        stop.cancel();
        if let Some(controlling) = controlling {
            let _ = controlling.await;
        }
        let _ = admin_server.await;
        keeping.abort();
        for task in [claiming, following].into_iter().flatten() {
            task.abort();
        }
        if let Some(log) = log {
            // Blocks until standard output took what is left, or is gone.
            tokio::task::spawn_blocking(move || log.finish()).await?;
        }
        outcome
    }
}

/// Only an error ends the gateway: a source that has told all is done.
async fn failure(telling: JoinHandle<anyhow::Result<()>>) -> anyhow::Error {
    match telling.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error.context("functions cannot be watched"),
        Err(error) => anyhow::Error::from(error).context("the watch of functions ended"),
    }
}

/// The front as the engine wants it.
struct Entrance(Rc<Front>);

impl Handler for Entrance {
    type Body = Answer;

    fn handle(
        self: Rc<Self>,
        request: Request<RequestBody>,
        connection: Rc<Connection>,
    ) -> impl Future<Output = Response<Answer>> + 'static {
        Rc::clone(&self.0).handle(request, connection)
    }

    fn unreadable(status: StatusCode) -> Option<Response<Bytes>> {
        Some(refuse::unreadable(status))
    }
}
