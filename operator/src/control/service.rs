//! One gateway's stream: who may open it, what is done with each message, and how it ends.

use std::{pin::Pin, sync::Arc, time::Duration};

use flint_control::v1::{
    Firing, FiringStored, GatewayMessage, Hello, OperatorMessage, control_server, gateway_message,
    operator_message::Message,
};
use flint_core::wire;
use futures::{Stream, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Connection, Control, ControlConfig, Firings};

/// Answers `Control/Open`.
pub(crate) struct Service {
    config: ControlConfig,
    control: Arc<Control>,
    firings: Arc<dyn Firings>,
    leader: watch::Receiver<bool>,
    shutdown: CancellationToken,
}

type Messages = Pin<Box<dyn Stream<Item = Result<OperatorMessage, Status>> + Send>>;

/// A gateway says Hello with its first bytes; one that does not is none.
const HELLO_LIMIT: Duration = Duration::from_secs(5);
/// The length of a pod's name, which is what gateways call themselves.
const LONGEST_ID: usize = 253;
/// Firings of one gateway that may wait to be stored. What does not fit is sent again by its holder.
const FIRINGS: usize = 256;

// === impl Service ===

impl Service {
    /// A service over this state.
    pub(crate) fn new(
        config: ControlConfig,
        control: Arc<Control>,
        firings: Arc<dyn Firings>,
        leader: watch::Receiver<bool>,
        shutdown: CancellationToken,
    ) -> Self {
        Self { config, control, firings, leader, shutdown }
    }

    fn authorize(&self, request: &Request<Streaming<GatewayMessage>>) -> Result<(), Status> {
        let shown = request
            .metadata()
            .get("authorization")
            .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let key = self.config.key.as_str();
        // Signatures are compared in constant time; so are keys, by what they sign.
        if shown.is_some_and(|shown| wire::verify(key, key.as_bytes(), &wire::sign(key, shown))) {
            Ok(())
        } else {
            self.control.metrics.refused("key");
            Err(Status::unauthenticated("the control key is missing or wrong"))
        }
    }
}

#[tonic::async_trait]
impl control_server::Control for Service {
    type OpenStream = Messages;

    async fn open(
        &self,
        request: Request<Streaming<GatewayMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        self.authorize(&request)?;
        if !*self.leader.borrow() {
            return Err(Status::failed_precondition("this operator is not the leader"));
        }
        let mut messages = request.into_inner();
        let hello = hello(&mut messages).await?;
        let (connection, outgoing) = self.control.gateways.connect(&hello.gateway).map_err(|error| {
            self.control.metrics.refused("too_many");
            Status::resource_exhausted(error.to_string())
        })?;
        self.control.demand.connected(connection.gateway());
        self.control.metrics.gateways(self.control.gateways.len());
        tracing::info!(gateway = %connection.gateway(), version = hello.version, "a gateway connected");

        let ended = connection.ended().clone();
        let outgoing = outgoing.beginning_with(self.control.news()).map(Ok);
        let (firings, stored) = mpsc::channel(FIRINGS);
        let gateway = Arc::clone(connection.gateway());
        tokio::spawn(store_firings(Arc::clone(&self.control), Arc::clone(&self.firings), gateway, stored));
        tokio::spawn(listen(Arc::clone(&self.control), connection, messages, firings, self.shutdown.clone()));
        Ok(Response::new(Box::pin(outgoing.take_until(ended.cancelled_owned()))))
    }
}

async fn hello(messages: &mut Streaming<GatewayMessage>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_LIMIT, messages.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no Hello came"))??;
    match first.and_then(|first| first.message) {
        Some(gateway_message::Message::Hello(hello))
            if (1..=LONGEST_ID).contains(&hello.gateway.len()) && hello.version.len() <= LONGEST_ID =>
        {
            Ok(hello)
        }
        _ => Err(Status::invalid_argument("the first message must be a Hello with the gateway's id")),
    }
}

/// Takes in a gateway's messages until either side ends the stream.
async fn listen(
    control: Arc<Control>,
    connection: Connection,
    mut messages: Streaming<GatewayMessage>,
    firings: mpsc::Sender<Firing>,
    shutdown: CancellationToken,
) {
    let gateway = connection.gateway();
    let why = loop {
        let message = tokio::select! {
            () = connection.ended().cancelled() => break "ended by the operator".to_owned(),
            () = shutdown.cancelled() => break "the operator ends".to_owned(),
            message = messages.message() => message,
        };
        match message {
            Ok(Some(GatewayMessage { message: Some(message) })) => match message {
                gateway_message::Message::Report(report) => control.demand.report(gateway, report),
                gateway_message::Message::Firing(firing) => {
                    if firings.try_send(firing).is_err() {
                        tracing::warn!(%gateway, "too many firings wait to be stored; the gateway sends this one again");
                    }
                }
                gateway_message::Message::Hello(_) => break "it said Hello twice".to_owned(),
            },
            // A message of a newer protocol.
            Ok(Some(GatewayMessage { message: None })) => {}
            Ok(None) => break "ended by the gateway".to_owned(),
            Err(status) => break status.to_string(),
        }
    };
    tracing::info!(%gateway, why, "a gateway disconnected");
    if !connection.is_replaced() {
        control.demand.disconnected(gateway);
    }
    drop(connection);
    control.metrics.gateways(control.gateways.len());
}

/// Stores a gateway's firings in order, and confirms what is stored. What could not be stored is not confirmed, and comes again.
async fn store_firings(
    control: Arc<Control>,
    firings: Arc<dyn Firings>,
    gateway: Arc<str>,
    mut queue: mpsc::Receiver<Firing>,
) {
    while let Some(firing) = queue.recv().await {
        let stored = FiringStored {
            function: firing.function.clone(),
            schedule: firing.schedule.clone(),
            due: firing.due.clone(),
            done: firing.done,
        };
        match firings.store(firing).await {
            Ok(()) => {
                control
                    .gateways
                    .send(&gateway, OperatorMessage { message: Some(Message::FiringStored(stored)) });
            }
            Err(error) => {
                tracing::warn!(%gateway, schedule = stored.schedule, error = format!("{error:#}"), "a firing was not stored");
            }
        }
    }
}
