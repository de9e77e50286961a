//! An instance whose every byte is scripted: for what real servers do only by accident.
//!
//! ```no_run
//! # use flint_testing::upstream::Upstream;
//! # async fn example() {
//! let upstream = Upstream::start(|connection, mut peer| async move {
//!     while let Some(request) = peer.request().await {
//!         peer.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nn{connection}")).await;
//!     }
//! })
//! .await;
//! # }
//! ```

use std::{
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A listening instance; it ends when dropped.
pub struct Upstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// One end of a connection.
pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Request line and fields, as on the wire, without the empty line.
    pub head: String,
    /// The body, if its length was declared and it was read with the head.
    pub body: Vec<u8>,
}

// === impl Upstream ===

impl Upstream {
    /// Listens on loopback and runs the script for each connection; connections are numbered from 0.
    ///
    /// # Panics
    ///
    /// When loopback cannot be listened on.
    pub async fn start<S, F>(script: S) -> Self
    where
        S: Fn(usize, Peer) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await else { panic!("no loopback") };
        let Ok(address) = listener.local_addr() else { panic!("no address") };
        let connections = Arc::new(AtomicUsize::new(0));
        let accepted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut peers = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                peers.spawn(script(number, Peer { stream, buffer: Vec::new() }));
            }
        });
        Self { address, connections, task }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections it has accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// An address of loopback where nobody listens.
    ///
    /// # Panics
    ///
    /// When loopback cannot be listened on.
    pub async fn nobody() -> SocketAddr {
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await else { panic!("no loopback") };
        let Ok(address) = listener.local_addr() else { panic!("no address") };
        address
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Peer ===

impl Peer {
    /// The client's end of a connection of its own, to speak to a server byte by byte.
    ///
    /// # Panics
    ///
    /// When nobody listens there.
    pub async fn connect(address: SocketAddr) -> Self {
        match TcpStream::connect(address).await {
            Ok(stream) => Self { stream, buffer: Vec::new() },
            Err(error) => panic!("cannot connect to {address}: {error}"),
        }
    }

    /// Reads a request's head only; `None` when the other side has closed.
    pub async fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 4);
                return Some(head);
            }
            self.fill().await?;
        }
    }

    /// Reads a request and as much of a body as its `content-length` says.
    pub async fn request(&mut self) -> Option<Seen> {
        let head = self.head().await?;
        let length = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        let body = self.bytes(length).await?;
        Some(Seen { head, body })
    }

    /// Reads exactly so many bytes; `None` when the other side closes before.
    pub async fn bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill().await?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Reads until the text came; returns everything up to and with it.
    pub async fn until(&mut self, text: &str) -> Option<String> {
        loop {
            if let Some(start) = self.buffer.windows(text.len()).position(|bytes| bytes == text.as_bytes()) {
                let read = self.buffer.drain(..start + text.len()).collect::<Vec<_>>();
                return Some(String::from_utf8_lossy(&read).into_owned());
            }
            self.fill().await?;
        }
    }

    /// Writes; a client that is gone does not matter.
    pub async fn say(&mut self, text: &str) {
        let _gone = self.stream.write_all(text.as_bytes()).await;
    }

    /// Answers 200 with a body.
    pub async fn ok(&mut self, body: &str) {
        self.say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    }

    /// Says that nothing more comes from this end.
    pub async fn finish(&mut self) {
        let _gone = self.stream.shutdown().await;
    }

    /// Ends the connection without a word: the other side sees a reset.
    pub fn reset(self) {
        let _set = self.stream.set_zero_linger();
    }

    /// Waits until the other side closes.
    pub async fn closed(mut self) {
        while self.fill().await.is_some() {}
    }

    /// Stays silent for ever.
    pub async fn silence(self) {
        // Longer than any deadline, and the client's end may close meanwhile.
        tokio::time::sleep(Duration::from_secs(1_000_000)).await;
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.ok()?;
        (read > 0).then_some(())
    }
}
