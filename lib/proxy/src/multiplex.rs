//! The few HTTP/2 connections to an instance, for gRPC: many requests share one.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use hyper::client::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::Notify};

use crate::{body::Body, exec::LocalExec, upstream::Open};

/// An endpoint's HTTP/2 connections.
#[derive(Default)]
pub(crate) struct Multiplex {
    connections: RefCell<Vec<Rc<Shared>>>,
    opening: Cell<usize>,
    changed: Notify,
}

/// A place on a connection, for one request and its answer.
pub(crate) struct Stream {
    connection: Rc<Shared>,
    reused: bool,
}

/// The right to open one more connection.
pub(crate) struct Opening<'a> {
    multiplex: &'a Multiplex,
}

struct Shared {
    sender: http2::SendRequest<Body>,
    streams: Cell<usize>,
    expires: u64,
    /// Whether it was used since the last sweep, and the sweep that saw it used last.
    touched: Cell<bool>,
    idle_since: Cell<u64>,
}

// === impl Multiplex ===

impl Multiplex {
    /// The connection with the fewest streams, or the right to open another while those there are full.
    pub(crate) async fn stream(&self, most: usize, streams: usize) -> Result<Stream, Opening<'_>> {
        loop {
            let best = {
                let mut connections = self.connections.borrow_mut();
                connections.retain(|connection| !connection.sender.is_closed());
                let open = connections.len() + self.opening.get();
                let best = connections.iter().min_by_key(|connection| connection.streams.get()).cloned();
                if best.as_ref().is_none_or(|best| best.streams.get() >= streams) && open < most {
                    self.opening.set(self.opening.get() + 1);
                    return Err(Opening { multiplex: self });
                }
                best
            };
            if let Some(connection) = best {
                return Ok(Stream::on(connection, true));
            }
            self.changed.notified().await;
        }
    }

    /// Lets connections go that are old, unused or closed. Streams in flight on them finish.
    pub(crate) fn sweep(&self, age: u64, idle: u64) {
        self.connections.borrow_mut().retain(|connection| {
            if connection.touched.replace(false) || connection.streams.get() > 0 {
                connection.idle_since.set(age);
            }
            let unused = age.saturating_sub(connection.idle_since.get());
            !connection.sender.is_closed() && connection.expires > age && unused < idle
        });
    }

    pub(crate) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }
}

// === impl Opening ===

impl Opening<'_> {
    /// Speaks HTTP/2 on the socket and takes the first stream.
    pub(crate) async fn opened(self, socket: TcpStream, open: Open, expires: u64) -> hyper::Result<Stream> {
        let (sender, connection) = http2::Builder::new(LocalExec)
            .timer(TokioTimer::new())
            // A node that vanished is noticed by its streams within half a minute.
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10))
            .initial_stream_window_size(1024 * 1024)
            .initial_connection_window_size(4 * 1024 * 1024)
            .handshake(TokioIo::new(socket))
            .await?;
        tokio::task::spawn_local(async move {
            let _open = open;
            if let Err(error) = connection.await {
                tracing::debug!(%error, "HTTP/2 connection to the instance ended");
            }
        });
        let shared = Rc::new(Shared {
            sender,
            streams: Cell::new(0),
            expires,
            touched: Cell::new(true),
            idle_since: Cell::new(0),
        });
        self.multiplex.connections.borrow_mut().push(Rc::clone(&shared));
        Ok(Stream::on(shared, false))
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.multiplex.opening.set(self.multiplex.opening.get() - 1);
        self.multiplex.changed.notify_waiters();
    }
}

// === impl Stream ===

impl Stream {
    fn on(connection: Rc<Shared>, reused: bool) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        connection.touched.set(true);
        Self { connection, reused }
    }

    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    pub(crate) fn sender(&self) -> http2::SendRequest<Body> {
        self.connection.sender.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.streams.set(self.connection.streams.get() - 1);
    }
}
