//! A listening socket whose connections are bounded, in all and for each address: users' code can reach it.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::transport::server::Connected;

/// A listening socket.
pub(crate) struct Listener {
    listener: TcpListener,
    room: Arc<Semaphore>,
    sources: Arc<Sources>,
}

/// An accepted connection; it gives its place back with this value.
pub(crate) struct Connection {
    stream: TcpStream,
    source: SocketAddr,
    _place: Place,
    _permit: OwnedSemaphorePermit,
}

/// Connections by address; as long as there are any, so that the bound on all of them bounds this.
struct Sources {
    most: usize,
    connections: Mutex<HashMap<IpAddr, usize>>,
}

struct Place {
    source: IpAddr,
    sources: Arc<Sources>,
}

/// Out of descriptors, most likely: some come back soon.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

// === impl Listener ===

impl Listener {
    /// Binds the address, so that a wrong one ends the program before anything else starts. At most `most` connections at a
    /// time, and `most_per_source` of one address.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) async fn bind(
        address: SocketAddr,
        most: usize,
        most_per_source: usize,
    ) -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let sources = Arc::new(Sources { most: most_per_source, connections: Mutex::default() });
        Ok(Self { listener, room: Arc::new(Semaphore::new(most)), sources })
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// When the socket has none.
    #[cfg(test)]
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection. What there is no room for waits in the kernel's queue; what an address has too much of is closed.
    pub(crate) async fn accept(&self) -> Option<Connection> {
        // Nobody closes the semaphore, so this never gives none.
        let permit = Arc::clone(&self.room).acquire_owned().await.ok()?;
        loop {
            let (stream, source) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let source = SocketAddr::new(source.ip().to_canonical(), source.port());
            if let Some(place) = self.sources.enter(source.ip()) {
                // Fails when the caller has gone already, which reading will tell.
                let _ = stream.set_nodelay(true);
                return Some(Connection { stream, source, _place: place, _permit: permit });
            }
        }
    }

    /// Connections as they come, without end.
    pub(crate) fn into_stream(self) -> impl futures::Stream<Item = io::Result<Connection>> {
        futures::stream::unfold(self, |listener| async move {
            let accepted = listener.accept().await?;
            Some((Ok(accepted), listener))
        })
    }
}

// === impl Sources ===

impl Sources {
    /// A place for a connection of this address, unless it has as many as it may.
    fn enter(self: &Arc<Self>, source: IpAddr) -> Option<Place> {
        let mut connections = self.connections.lock();
        let count = connections.entry(source).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { source, sources: Arc::clone(self) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = self.sources.connections.lock();
        if let Some(count) = connections.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                connections.remove(&self.source);
            }
        }
    }
}

// === impl Connection ===

impl Connection {
    /// Who called; an IPv4 address in IPv6's clothes is taken for what it is.
    pub(crate) fn source(&self) -> SocketAddr {
        self.source
    }
}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_gets_its_place_back_when_a_connection_ends() {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), 8, 1).await.unwrap();
        let address = listener.address().unwrap();
        let _first = TcpStream::connect(address).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        assert!(listener.sources.enter(accepted.source().ip()).is_none());
        drop(accepted);
        assert!(listener.sources.connections.lock().is_empty());
        let second = TcpStream::connect(address).await.unwrap();
        let accepted = listener.accept().await.unwrap();
        assert_eq!(accepted.source(), second.local_addr().unwrap());
    }
}
