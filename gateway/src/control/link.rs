//! How a stream to the operator is opened: by gRPC, or by channels where the operator's part is in the same process.

use std::{pin::Pin, time::Duration};

use flint_control::v1::{
    GatewayMessage, Hello, OperatorMessage, control_client::ControlClient, gateway_message,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Endpoint,
};

use super::ControlError;

/// Where the operator is.
#[derive(Clone, Debug)]
pub enum Link {
    /// Behind a port.
    Network {
        /// `http://HOST:PORT` of its control port.
        url: String,
        /// The key that it asks for.
        key: String,
    },
    /// In this process: whoever receives the lines has the operator's part.
    Here(mpsc::Sender<Line>),
}

/// The operator's end of a stream within one process. Dropped, the stream is broken, and opened anew.
#[derive(Debug)]
pub struct Line {
    /// What the gateway says, `Hello` first.
    pub said: mpsc::Receiver<GatewayMessage>,
    /// What it is told.
    pub answers: mpsc::Sender<OperatorMessage>,
}

/// What the operator says.
pub(super) type Incoming = Pin<Box<dyn Stream<Item = Result<OperatorMessage, Status>> + Send>>;

/// A half-dead operator is noticed within twice this time.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Messages on their way out. More than these, and the operator does not read: the stream is broken.
const OUTGOING: usize = 64;

// === impl Link ===

impl Link {
    /// Where that is, for the log.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Network { url, .. } => url,
            Self::Here(_) => "this process",
        }
    }

    /// Opens a stream and says who we are.
    pub(super) async fn open(
        &self,
        gateway: &str,
    ) -> Result<(mpsc::Sender<GatewayMessage>, Incoming), ControlError> {
        let (sender, said) = mpsc::channel(OUTGOING);
        let hello = Hello { gateway: gateway.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let hello = GatewayMessage { message: Some(gateway_message::Message::Hello(hello)) };
        sender.try_send(hello).map_err(|_| ControlError::Ended)?;
        let incoming: Incoming = match self {
            Self::Network { url, key } => network(url, key, said).await?,
            Self::Here(lines) => {
                let (answers, incoming) = mpsc::channel(OUTGOING);
                lines.send(Line { said, answers }).await.map_err(|_| ControlError::Ended)?;
                Box::pin(ReceiverStream::new(incoming).map(Ok))
            }
        };
        Ok((sender, incoming))
    }
}

async fn network(
    url: &str,
    key: &str,
    said: mpsc::Receiver<GatewayMessage>,
) -> Result<Incoming, ControlError> {
    let bearer: MetadataValue<Ascii> =
        format!("Bearer {key}").parse().map_err(|error| ControlError::Config(Box::new(error)))?;
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| ControlError::Config(Box::new(error)))?
        .connect_timeout(Duration::from_secs(2))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let channel = endpoint.connect().await.map_err(ControlError::Connect)?;
    let mut request = Request::new(ReceiverStream::new(said));
    request.metadata_mut().insert("authorization", bearer);
    let mut client = ControlClient::new(channel);
    let response = timeout(KEEP_ALIVE, client.open(request)).await.map_err(|_| ControlError::Ended)?;
    Ok(Box::pin(response.map_err(|status| ControlError::Open(status.into()))?.into_inner()))
}
