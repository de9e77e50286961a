//! A port served on the runtime of a program that has but one, and that accepts and drains by its own rules: the watchdog.

use std::{fmt, net::SocketAddr, rc::Rc};

use tokio::{net::TcpStream, sync::Notify};

use crate::{
    connection::{Connections, Limits},
    serve::Handler,
    worker::begin,
};

/// Connections from clients, on this thread. Dropping it ends them with the runtime only.
pub struct Front<H> {
    handler: Rc<H>,
    connections: Rc<Connections>,
    changed: Rc<Notify>,
}

// === impl Front ===

impl<H: Handler> Front<H> {
    /// A front without connections, and the sweep that looks after them, on this thread's local runtime.
    ///
    /// # Panics
    ///
    /// Outside of a `LocalRuntime` or `LocalSet`.
    #[must_use]
    pub fn new(handler: Rc<H>, limits: Limits) -> Self {
        let changed = Rc::new(Notify::new());
        let connections = Connections::new(limits, Rc::clone(&changed));
        let swept = Rc::clone(&connections);
        tokio::task::spawn_local(async move { swept.sweep().await });
        Self { handler, connections, changed }
    }

    /// Serves a connection that was accepted.
    pub fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        begin(stream, peer, 0, Rc::clone(&self.handler), Rc::clone(&self.connections));
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

impl<H> fmt::Debug for Front<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front").field("connections", &self.connections.len()).finish_non_exhaustive()
    }
}
