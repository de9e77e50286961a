//! The gateways that are connected, and what is sent to all of them.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use flint_control::v1::{OperatorMessage, Peers, operator_message::Message};
use futures::Stream;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages that may wait for one gateway: a burst of a few hundred instances that all call home, and no more.
const OUTGOING: usize = 1024;

/// The connected gateways by id.
#[derive(Debug)]
pub(crate) struct Gateways {
    most: usize,
    inner: Mutex<Inner>,
}

/// One connection of a gateway; it is forgotten with this value.
#[derive(Debug)]
pub(crate) struct Connection {
    gateway: Arc<str>,
    number: u64,
    ended: CancellationToken,
    gateways: Arc<Gateways>,
}

/// What goes out on a connection: first what a newcomer must know, then everything that is broadcast.
#[derive(Debug)]
pub(crate) struct Outgoing {
    first: std::vec::IntoIter<OperatorMessage>,
    queue: mpsc::Receiver<OperatorMessage>,
}

/// There are as many gateways as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{most} gateways are connected, which is the most that are allowed")]
pub(crate) struct TooMany {
    /// How many there may be.
    pub(crate) most: usize,
}

#[derive(Debug, Default)]
struct Inner {
    connections: u64,
    gateways: BTreeMap<Arc<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    queue: mpsc::Sender<OperatorMessage>,
    ended: CancellationToken,
}

// === impl Gateways ===

impl Gateways {
    /// No gateways, and at most `most` later.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, inner: Mutex::default() }
    }

    /// Takes in a gateway and tells all of their peers. A gateway that comes again takes the place of its old connection,
    /// whose end may not have been noticed yet.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn connect(self: &Arc<Self>, gateway: &str) -> Result<(Connection, Outgoing), TooMany> {
        let (queue, receiver) = mpsc::channel(OUTGOING);
        let ended = CancellationToken::new();
        let gateway: Arc<str> = gateway.into();
        let number = {
            let mut inner = self.inner.lock();
            if !inner.gateways.contains_key(&gateway) && inner.gateways.len() >= self.most {
                return Err(TooMany { most: self.most });
            }
            inner.connections += 1;
            let number = inner.connections;
            let entry = Entry { number, queue, ended: ended.clone() };
            if let Some(old) = inner.gateways.insert(Arc::clone(&gateway), entry) {
                old.ended.cancel();
            }
            inner.tell_peers();
            number
        };
        let connection = Connection { gateway, number, ended, gateways: Arc::clone(self) };
        Ok((connection, Outgoing { first: vec![].into_iter(), queue: receiver }))
    }

    /// Sends to every gateway. One that does not keep up is disconnected: it comes again, and is told what it missed.
    pub(crate) fn broadcast(&self, message: &OperatorMessage) {
        let mut inner = self.inner.lock();
        if inner.send(message) {
            inner.tell_peers();
        }
    }

    /// Sends to one gateway, if it is connected.
    pub(crate) fn send(&self, gateway: &str, message: OperatorMessage) {
        let mut inner = self.inner.lock();
        let Some(entry) = inner.gateways.get(gateway) else { return };
        if entry.queue.try_send(message).is_err() {
            entry.ended.cancel();
            inner.gateways.remove(gateway);
            inner.tell_peers();
        }
    }

    /// How many are connected.
    pub(crate) fn len(&self) -> usize {
        self.inner.lock().gateways.len()
    }
}

// === impl Inner ===

impl Inner {
    /// Sends to all; true when that lost a gateway.
    fn send(&mut self, message: &OperatorMessage) -> bool {
        let before = self.gateways.len();
        self.gateways.retain(|gateway, entry| {
            let kept = entry.queue.try_send(message.clone()).is_ok();
            if !kept {
                tracing::warn!(%gateway, "a gateway does not keep up and is disconnected");
                entry.ended.cancel();
            }
            kept
        });
        self.gateways.len() < before
    }

    /// Tells every gateway who is there, until all who are told are still there.
    fn tell_peers(&mut self) {
        loop {
            let gateways = self.gateways.keys().map(ToString::to_string).collect();
            if !self.send(&OperatorMessage { message: Some(Message::Peers(Peers { gateways })) }) {
                return;
            }
        }
    }
}

// === impl Connection ===

impl Connection {
    /// The gateway's id.
    pub(crate) fn gateway(&self) -> &Arc<str> {
        &self.gateway
    }

    /// Cancelled when the connection must end: its gateway did not keep up, or has connected again.
    pub(crate) fn ended(&self) -> &CancellationToken {
        &self.ended
    }

    /// Whether a newer connection of the same gateway has taken this one's place.
    pub(crate) fn is_replaced(&self) -> bool {
        self.gateways
            .inner
            .lock()
            .gateways
            .get(&self.gateway)
            .is_some_and(|entry| entry.number != self.number)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.ended.cancel();
        let mut inner = self.gateways.inner.lock();
        if inner.gateways.get(&self.gateway).is_some_and(|entry| entry.number == self.number) {
            inner.gateways.remove(&self.gateway);
            inner.tell_peers();
        }
    }
}

// === impl Outgoing ===

impl Outgoing {
    /// Sends these before anything that was broadcast since the gateway connected.
    pub(crate) fn beginning_with(self, first: Vec<OperatorMessage>) -> Self {
        Self { first: first.into_iter(), ..self }
    }
}

impl Stream for Outgoing {
    type Item = OperatorMessage;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.first.next() {
            Some(message) => Poll::Ready(Some(message)),
            None => self.queue.poll_recv(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;

    fn peers(message: OperatorMessage) -> Vec<String> {
        match message.message {
            Some(Message::Peers(peers)) => peers.gateways,
            other => panic!("{other:?} are no peers"),
        }
    }

    fn announced() -> OperatorMessage {
        OperatorMessage { message: Some(Message::Announced(flint_control::v1::Announced::default())) }
    }

    #[tokio::test]
    async fn every_gateway_hears_who_comes_and_goes() {
        let gateways = Arc::new(Gateways::new(8));
        let (_b, mut at_b) = gateways.connect("b").unwrap();
        assert_eq!(peers(at_b.next().await.unwrap()), ["b"]);
        let (a, mut at_a) = gateways.connect("a").unwrap();
        assert_eq!(peers(at_a.next().await.unwrap()), ["a", "b"]);
        assert_eq!(peers(at_b.next().await.unwrap()), ["a", "b"]);
        drop(a);
        assert_eq!(peers(at_b.next().await.unwrap()), ["b"]);
        assert!(at_a.next().await.is_none());
    }

    #[tokio::test]
    async fn a_gateway_that_comes_again_takes_its_own_place() {
        let gateways = Arc::new(Gateways::new(1));
        let (old, _at_old) = gateways.connect("a").unwrap();
        let (new, _at_new) = gateways.connect("a").unwrap();
        assert!(old.ended().is_cancelled() && old.is_replaced());
        drop(old);
        assert!(!new.ended().is_cancelled() && !new.is_replaced());
        assert_eq!(gateways.len(), 1);
    }

    #[tokio::test]
    async fn there_are_no_more_gateways_than_allowed() {
        let gateways = Arc::new(Gateways::new(1));
        let _a = gateways.connect("a").unwrap();
        assert_eq!(gateways.connect("b").unwrap_err(), TooMany { most: 1 });
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_read_is_disconnected_and_the_others_go_on() {
        let gateways = Arc::new(Gateways::new(8));
        let (slow, _never_read) = gateways.connect("slow").unwrap();
        let (fast, mut at_fast) = gateways.connect("fast").unwrap();
        for _ in 0..2 * OUTGOING {
            gateways.broadcast(&announced());
            while at_fast.next().now_or_never().is_some() {}
            // A task may not receive without end before it lets others run.
            tokio::task::yield_now().await;
        }
        assert!(slow.ended().is_cancelled());
        assert!(!fast.ended().is_cancelled());
        assert_eq!(gateways.len(), 1);
    }

    #[tokio::test]
    async fn a_newcomer_is_told_the_state_before_the_news() {
        let gateways = Arc::new(Gateways::new(8));
        let (_a, at_a) = gateways.connect("a").unwrap();
        let mut at_a = at_a.beginning_with(vec![announced()]);
        assert_eq!(at_a.next().await, Some(announced()));
        assert_eq!(peers(at_a.next().await.unwrap()), ["a"]);
    }
}
