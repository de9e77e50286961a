//! Control: the gateways' streams, what they report, and what every one of them must hear.
//!
//! The state lives in [`Control`], shared by the server here, the home (which believes announcements and has them
//! broadcast) and the scaler (which reads the demand). All of it is memory that the gateways and the API server can
//! rebuild: a new leader starts with none and knows everything a second later.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use flint_control::v1::{Firing, OperatorMessage, control_server::ControlServer, operator_message::Message};
use flint_core::wire::Announcement;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::{
    changes::Changes,
    key::Key,
    listen::Listener,
    pool::{Claims, Told},
    stores::Stores,
};

mod demand;
mod failures;
mod gateways;
mod instances;
mod invocations;
mod metrics;
mod preparing;
mod service;
mod starts;

pub(crate) use demand::{Demand, Reading};
pub(crate) use failures::Failures;
#[cfg(test)]
pub(crate) use gateways::Outgoing;
pub(crate) use gateways::{Connection, Gateways};
pub(crate) use instances::Instances;
pub(crate) use invocations::write_invocations;
pub(crate) use metrics::Metrics;
pub(crate) use preparing::Preparing;
pub(crate) use service::Service;
pub(crate) use starts::watch_starts;

/// How the control server serves.
#[derive(Clone)]
pub(crate) struct ControlConfig {
    /// What gateways must show as their bearer token.
    pub(crate) key: String,
}

/// What the gateways said and must hear.
pub(crate) struct Control {
    /// What they report.
    pub(crate) demand: Demand,
    /// Those that are connected.
    pub(crate) gateways: Arc<Gateways>,
    /// The instances that called home.
    pub(crate) instances: Instances,
    /// Pods from warm pools, and whose they are.
    pub(crate) claims: Claims,
    /// What gateways know of warm pools.
    pub(crate) pools: Told,
    /// The functions that cannot start.
    pub(crate) failures: Failures,
    /// Functions that wait, came to life, or have a new instance.
    pub(crate) wake: Changes,
    /// Revisions that are being made ready for requests: their Deployments are the reconciler's to scale.
    pub(crate) preparing: Preparing,
    stores: Stores,
    /// What it counts.
    pub(crate) metrics: Metrics,
}

/// Where firings of schedules are stored before and after they are made.
pub(crate) trait Firings: Send + Sync + 'static {
    /// Stores a firing; storing it twice is the same as once.
    fn store(&self, firing: Firing) -> BoxFuture<'_, anyhow::Result<()>>;
}

/// The most gateways at a time, where nobody asks for another number: each of them may report every function.
pub(crate) const MOST_GATEWAYS: usize = 256;
/// Connections of one address at a time: a gateway has one, and an old one whose end was not noticed.
const CONNECTIONS_PER_SOURCE: usize = 8;
/// A report of ten thousand functions has about 1 MiB.
const MESSAGE_LIMIT: usize = 4 << 20;
/// A gateway that died without a word is noticed within ten seconds; until then its silence stops scale-downs.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Open connections may end in their own time this long after the end was announced.
const GOODBYE: Duration = Duration::from_secs(2);

// === impl Control ===

impl Control {
    /// No gateways yet.
    ///
    /// # Errors
    /// When a metric of ours is registered already.
    pub(crate) fn new(
        stores: Stores,
        most_gateways: usize,
        registry: &prometheus::Registry,
    ) -> Result<Self, prometheus::Error> {
        let wake = Changes::default();
        Ok(Self {
            demand: Demand::new(stores.clone(), wake.clone()),
            gateways: Arc::new(Gateways::new(most_gateways)),
            instances: Instances::new(stores.clone()),
            claims: Claims::new(stores.clone()),
            pools: Told::default(),
            failures: Failures::default(),
            wake,
            preparing: Preparing::default(),
            stores,
            metrics: Metrics::new(registry)?,
        })
    }

    /// An instance called home and was believed: every gateway hears of it.
    pub(crate) fn announce(&self, announcement: Announcement) {
        let function = Key::new(&announcement.namespace, &announcement.function);
        let init = Duration::from_millis(announcement.init_ms);
        let (message, took) = self.instances.announced(announcement);
        self.gateways.broadcast(&OperatorMessage { message: Some(Message::Announced(message)) });
        self.metrics.announced(init, took);
        // Requests wait to be moved there: whoever moves them need not wait for kubelet to say the same.
        if self.preparing.any(&function) {
            self.stores.touch(&function);
        }
        self.wake.touch(&function);
    }

    /// What a gateway that connects must hear first.
    fn news(&self) -> Vec<OperatorMessage> {
        let failures = self.failures.all().into_iter().map(Message::StartState);
        let recent = self.instances.recent().into_iter().map(Message::Announced);
        let news = failures.chain(recent).map(|message| OperatorMessage { message: Some(message) });
        news.chain(self.pools.all()).collect()
    }
}

/// Binds the port.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Listener> {
    Listener::bind(address, 2 * MOST_GATEWAYS, CONNECTIONS_PER_SOURCE).await
}

/// Serves gateways until `shutdown`; refuses them while `leader` is false.
///
/// # Errors
/// When the server fails as a whole.
pub(crate) async fn serve(
    listener: Listener,
    config: ControlConfig,
    control: Arc<Control>,
    firings: Arc<dyn Firings>,
    leader: watch::Receiver<bool>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let service = Service::new(config, control, firings, leader, shutdown.clone());
    let service = ControlServer::new(service).max_decoding_message_size(MESSAGE_LIMIT);
    let serve = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        // A gateway opens one stream; a second one is a reconnection that overlaps.
        .max_concurrent_streams(4)
        .add_service(service)
        .serve_with_incoming_shutdown(listener.into_stream(), shutdown.clone().cancelled_owned());
    tokio::select! {
        served = serve => served.context("the control server ended"),
        () = async { shutdown.cancelled().await; tokio::time::sleep(GOODBYE).await } => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
