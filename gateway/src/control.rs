//! The stream to the operator: demand goes out, instances and failed starts come in.
//!
//! The operator may be away at any time and the gateway does without: it serves from what it knows, and tries again
//! with backoff. Whatever the operator said of failed starts is forgotten with the stream, because nobody would take it back.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, sync::atomic::Ordering, time::Duration};

use flint_control::v1::{
    Announced, Firing, FunctionRef, GatewayMessage, OperatorMessage, Report, StartState, gateway_message,
    operator_message,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::{
    function::{Blocked, Key},
    hub::Hub,
    index::{Event, Hint, PodName},
    live::Live,
    report::Reporter,
    table::Tables,
};

mod link;

pub use link::{Line, Link};

/// Where the operator is, and who we are.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is.
    pub link: Link,
    /// This gateway's name, unique per process.
    pub gateway: String,
}

/// The stream's task.
pub struct Control {
    config: Config,
    hub: Arc<Hub>,
    reporter: Reporter,
    bell: mpsc::Receiver<Arc<Live>>,
    firings: mpsc::Receiver<(Firing, oneshot::Sender<()>)>,
    events: mpsc::Sender<Event>,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("the control URL or key cannot be used")]
    Config(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot connect to the operator")]
    Connect(#[source] tonic::transport::Error),
    #[error("the operator refused the stream")]
    Open(#[source] Box<tonic::Status>),
    #[error("the stream broke")]
    Stream(#[source] Box<tonic::Status>),
    #[error("the operator ended the stream")]
    Ended,
}

/// The regular report; Knative's gateways report as often.
const REGULAR: Duration = Duration::from_secs(1);
/// The report while requests wait: what a cold start may lose to it is below what anybody notices.
const WHILE_QUEUED: Duration = Duration::from_millis(100);
/// Pauses between attempts. The first is short: the operator's leader has just changed, and requests may wait.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

type Firings = HashMap<(String, String, String, String, bool), oneshot::Sender<()>>;

// === impl Control ===

impl Control {
    /// A task that is not yet running. `bell` is the hub's, `firings` are those of schedules with where to tell that
    /// one is stored, and what comes in goes to `events`.
    #[must_use]
    pub fn new(
        config: Config,
        hub: Arc<Hub>,
        tables: Arc<Tables>,
        bell: mpsc::Receiver<Arc<Live>>,
        firings: mpsc::Receiver<(Firing, oneshot::Sender<()>)>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self { config, reporter: Reporter::new(tables, Arc::clone(&hub)), hub, bell, firings, events }
    }

    /// Keeps the stream open until `stop`, and then tells the operator that all demand is gone.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = BACKOFF.0;
        loop {
            let started = Instant::now();
            let connected = &self.hub.totals.control_connected;
            connected.store(0, Ordering::Relaxed);
            match self.stream(&stop).await {
                Ok(()) => return,
                Err(error) => {
                    let chain = anyhow::Error::from(error);
                    tracing::warn!(
                        error = format!("{chain:#}"),
                        "no stream to the operator; serving on what is known"
                    );
                }
            }
            self.hub.totals.control_connected.store(0, Ordering::Relaxed);
            if started.elapsed() > BACKOFF.1 {
                pause = BACKOFF.0;
            }
            // Half of the pause is by chance, so that many gateways do not come back as one.
            let pause_now = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause_now) => {}
                // Somebody waits: the operator may be back already, and it is cheap to look.
                _ = self.bell.recv(), if pause > Duration::from_secs(1) => {}
            }
            pause = (pause * 2).min(BACKOFF.1);
        }
    }

    async fn stream(&mut self, stop: &CancellationToken) -> Result<(), ControlError> {
        let (sender, mut incoming) = self.config.link.open(&self.config.gateway).await?;
        self.reporter.reset(self.hub.clock.now());
        self.hub.totals.control_connected.store(1, Ordering::Relaxed);
        let _ = self.events.send(Event::Connected).await;
        tracing::info!(operator = self.config.link.name(), "stream to the operator is open");
        let mut stored = Firings::new();
        let mut regular = interval(REGULAR);
        regular.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut queued = interval(WHILE_QUEUED);
        queued.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let message = tokio::select! {
                message = incoming.next() => {
                    let message = message.ok_or(ControlError::Ended)?.map_err(|status| ControlError::Stream(status.into()))?;
                    self.hear(message, &mut stored).await;
                    continue;
                }
                Some(live) = self.bell.recv() => {
                    // With instances it is no cold start: the next round will do.
                    if !live.instances().is_empty() {
                        continue;
                    }
                    report(self.reporter.one(&live, self.hub.clock.now()))
                }
                _ = queued.tick() => report(self.reporter.queued(self.hub.clock.now())),
                // Even when it is empty: to the operator a silent gateway is one that may have any demand.
                _ = regular.tick() => Some(gateway_message::Message::Report(self.reporter.regular(self.hub.clock.now()))),
                Some((firing, told)) = self.firings.recv() => {
                    stored.retain(|_, told| !told.is_closed());
                    stored.insert(identity(&firing), told);
                    Some(gateway_message::Message::Firing(firing))
                }
                () = stop.cancelled() => {
                    if let Some(message) = report(self.reporter.farewell()) {
                        let _ = sender.send(GatewayMessage { message: Some(message) }).await;
                    }
                    drop(sender);
                    // The operator answers the end of our side with the end of its own: then all has arrived.
                    let _ = timeout(Duration::from_secs(1), async { while incoming.next().await.is_some() {} }).await;
                    return Ok(());
                }
            };
            if let Some(message) = message {
                sender
                    .try_send(GatewayMessage { message: Some(message) })
                    .map_err(|_| ControlError::Ended)?;
            }
        }
    }

    async fn hear(&self, message: OperatorMessage, stored: &mut Firings) {
        let event = match message.message {
            Some(operator_message::Message::Announced(announced)) => {
                read_announced(announced).map(Event::Announced)
            }
            Some(operator_message::Message::StartState(state)) => read_start(state),
            Some(operator_message::Message::Pools(news)) => {
                let tickets = self.hub.pools.hear(news);
                self.hub.totals.pool_tickets.store(tickets as u64, Ordering::Relaxed);
                None
            }
            Some(operator_message::Message::Peers(peers)) => Some(Event::Peers(peers.gateways)),
            Some(operator_message::Message::FiringStored(told)) => {
                let key = read_key(told.function.unwrap_or_default());
                if let Some(waiting) =
                    stored.remove(&(key.namespace, key.name, told.schedule, told.due, told.done))
                {
                    let _ = waiting.send(());
                }
                None
            }
            // A newer operator may say what this gateway does not know.
            None => None,
        };
        if let Some(event) = event {
            let _ = self.events.send(event).await;
        }
    }
}

fn report(report: Report) -> Option<gateway_message::Message> {
    (!report.demands.is_empty()).then_some(gateway_message::Message::Report(report))
}

fn identity(firing: &Firing) -> (String, String, String, String, bool) {
    let function = firing.function.clone().unwrap_or_default();
    (function.namespace, function.name, firing.schedule.clone(), firing.due.clone(), firing.done)
}

fn read_key(function: FunctionRef) -> Key {
    Key::new(function.namespace, function.name)
}

fn read_announced(announced: Announced) -> Option<Hint> {
    let function = announced.function?;
    let address: SocketAddr = announced.address.parse().ok()?;
    let pod = PodName { namespace: function.namespace, name: announced.pod };
    Some(Hint { function: function.name, revision: announced.revision, pod, uid: announced.uid, address })
}

fn read_start(state: StartState) -> Option<Event> {
    let StartState { function, revision, failing, reason, message } = state;
    let blocked = failing.then_some(Blocked { reason, message });
    Some(Event::Start { key: read_key(function?), revision, blocked })
}
