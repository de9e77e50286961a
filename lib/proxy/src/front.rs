//! A port served on the runtime of a program that has but one, and that accepts and drains by its own rules: the watchdog.

use std::{fmt, net::SocketAddr, rc::Rc};

use tokio::{net::TcpStream, sync::Notify};

use crate::{
    connection::{Connections, Limits},
    serve::{Handler, Service},
    worker::begin,
};

/// Connections from clients, on this thread. Dropping it ends them with the runtime only.
pub struct Front {
    begin: Box<dyn Fn(TcpStream, SocketAddr)>,
    connections: Rc<Connections>,
    changed: Rc<Notify>,
}

// === impl Front ===

impl Front {
    /// A front without connections, and the sweep that looks after them, on this thread's local runtime.
    ///
    /// # Panics
    ///
    /// Outside of a `LocalRuntime` or `LocalSet`.
    #[must_use]
    pub fn new<H: Handler>(handler: Rc<H>, limits: Limits) -> Self {
        let changed = Rc::new(Notify::new());
        let connections = Connections::new(limits, Rc::clone(&changed));
        let swept = Rc::clone(&connections);
        tokio::task::spawn_local(async move { swept.sweep().await });
        let (service, served) = (Service::new(handler, H::handle), Rc::clone(&connections));
        let begin = move |stream, peer| begin(stream, peer, 0, Rc::clone(&service), Rc::clone(&served));
        Self { begin: Box::new(begin), connections, changed }
    }

    /// Serves a connection that was accepted.
    pub fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        (self.begin)(stream, peer);
    }

    /// Waits until there is room for one more connection: see [`Limits::connections`].
    pub async fn room(&self) {
        self.connections.room().await;
    }

    /// Tells connections of HTTP/2 that no more requests are taken on them. Those of HTTP/1 are for the handler to tell, with
    /// `connection: close` in its answers.
    pub fn go_away(&self) {
        self.connections.go_away();
    }

    /// Ends all connections: idle ones at once, the others with their answers.
    pub fn close(&self) {
        self.connections.drain();
    }

    /// Waits until no connection is left.
    pub async fn closed(&self) {
        while self.connections.len() > 0 {
            self.changed.notified().await;
        }
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}
