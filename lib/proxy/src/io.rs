//! The sockets under hyper: they note when bytes last moved, at the price of a relaxed store.
//!
//! hyper wants its transports `Send` for upgrades, so what they note is atomic though only one thread ever looks.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use smallvec::SmallVec;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::unreadable::{self, Unreadable};

/// A worker's coarse clock in milliseconds since it started, never 0; moved on by the sweep of connections.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<AtomicU64>);

/// What a client's connection is doing, as its socket and its service see it.
#[derive(Debug)]
pub(crate) struct Activity {
    clock: Clock,
    /// Requests whose answer has not been written to its end.
    in_flight: AtomicU32,
    /// When the first bytes of a head came, or the connection; 0 while none is awaited.
    head_since: AtomicU64,
    /// When the last request ended.
    idle_since: AtomicU64,
    /// Since when the client has not taken what we write; 0 while it does.
    stalled_since: AtomicU64,
    /// Since when we only wait for it to stop sending; 0 before.
    lingering_since: AtomicU64,
}

/// Messages up to this are joined: a head and a small body, and less than a page on the stack.
const JOINED: usize = 2048;

/// A client's socket.
pub(crate) struct ClientIo {
    stream: TcpStream,
    /// Bytes that were read to see which protocol it is.
    prefix: Bytes,
    activity: Arc<Activity>,
    unreadable: Unreadable,
    /// Bytes to write in the place of those that hyper wrote.
    instead: Bytes,
    /// Nothing more will be written.
    finished: bool,
    /// It speaks HTTP/1.1, and whether it has gone is looked at here.
    watched: bool,
}

/// An instance's socket, which counts what came from it: so that an answer that broke after its first byte is told from
/// one that never began.
pub(crate) struct UpstreamIo {
    stream: TcpStream,
    received: Arc<AtomicU64>,
}

/// Head and body of a small message go in one plain `send`: joining them is cheaper than having the kernel do it
/// (`writev` has its own way through the file layer).
fn write_joined(
    stream: Pin<&mut TcpStream>,
    cx: &mut Context<'_>,
    bufs: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = bufs {
        return stream.poll_write(cx, only);
    }
    if bufs.iter().map(|buf| buf.len()).sum::<usize>() > JOINED {
        return stream.poll_write_vectored(cx, bufs);
    }
    // On the stack, and unlike an array not written twice.
    let mut joined = SmallVec::<[u8; JOINED]>::new();
    for buf in bufs {
        joined.extend_from_slice(buf);
    }
    stream.poll_write(cx, &joined)
}

// === impl Clock ===

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1)))
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn set(&self, milliseconds: u64) {
        self.0.store(milliseconds.max(1), Relaxed);
    }
}

// === impl Activity ===

impl Activity {
    /// A connection that was just accepted: its first head is awaited.
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        let now = clock.now();
        Arc::new(Self {
            clock,
            in_flight: AtomicU32::new(0),
            head_since: AtomicU64::new(now),
            idle_since: AtomicU64::new(now),
            stalled_since: AtomicU64::new(0),
            lingering_since: AtomicU64::new(0),
        })
    }

    pub(crate) fn begin(&self) {
        self.in_flight.store(self.in_flight.load(Relaxed) + 1, Relaxed);
        self.head_since.store(0, Relaxed);
    }

    pub(crate) fn end(&self) {
        self.in_flight.store(self.in_flight.load(Relaxed).saturating_sub(1), Relaxed);
        self.idle_since.store(self.clock.now(), Relaxed);
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn head_since(&self) -> Option<u64> {
        some(self.head_since.load(Relaxed))
    }

    pub(crate) fn idle_since(&self) -> u64 {
        self.idle_since.load(Relaxed)
    }

    pub(crate) fn stalled_since(&self) -> Option<u64> {
        some(self.stalled_since.load(Relaxed))
    }

    pub(crate) fn lingering_since(&self) -> Option<u64> {
        some(self.lingering_since.load(Relaxed))
    }

    fn linger(&self) {
        if self.lingering_since.load(Relaxed) == 0 {
            self.lingering_since.store(self.clock.now(), Relaxed);
        }
    }

    fn received(&self) {
        if self.in_flight.load(Relaxed) == 0 && self.head_since.load(Relaxed) == 0 {
            self.head_since.store(self.clock.now(), Relaxed);
        }
    }

    fn wrote<T>(&self, outcome: &Poll<T>) {
        let stalled = self.stalled_since.load(Relaxed);
        match outcome {
            Poll::Pending if stalled == 0 => self.stalled_since.store(self.clock.now(), Relaxed),
            Poll::Ready(_) if stalled != 0 => self.stalled_since.store(0, Relaxed),
            _ => {}
        }
    }
}

fn some(milliseconds: u64) -> Option<u64> {
    (milliseconds != 0).then_some(milliseconds)
}

// === impl ClientIo ===

impl ClientIo {
    /// What every HTTP/2 connection with prior knowledge begins with, up to where no HTTP/1.1 request can follow.
    const PREFACE: &'static [u8] = b"PRI * HTTP/2.0\r\n";

    pub(crate) fn new(stream: TcpStream, activity: Arc<Activity>, unreadable: Unreadable) -> Self {
        let (prefix, instead) = (Bytes::new(), Bytes::new());
        Self { stream, prefix, activity, unreadable, instead, finished: false, watched: false }
    }

    /// Whether the client went away while its request is under way. hyper would read ahead to learn that, and make room for
    /// another head each time.
    fn is_gone(&self, cx: &mut Context<'_>) -> bool {
        if !self.watched || self.finished || self.activity.in_flight() == 0 || !self.prefix.is_empty() {
            return false;
        }
        let mut byte = [0];
        match self.stream.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(bytes)) => bytes == 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }

    /// Whether hyper refuses a head with this message; then another is written at the next flush.
    fn replaces(&mut self, message: &[u8]) -> bool {
        if self.activity.in_flight() > 0 {
            return false;
        }
        let Some(instead) = unreadable::instead(message, self.unreadable) else { return false };
        self.instead = instead;
        true
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.instead.is_empty() {
            let outcome = Pin::new(&mut self.stream).poll_write(cx, &self.instead);
            self.activity.wrote(&outcome);
            match ready!(outcome)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.instead.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads as much as is needed to know, and keeps it for whoever reads next.
    pub(crate) async fn speaks_http2(&mut self) -> io::Result<bool> {
        let mut buffer = [0; Self::PREFACE.len()];
        let mut filled = 0;
        let http2 = loop {
            let read = self.stream.read(&mut buffer[filled..]).await?;
            filled += read;
            if buffer[..filled] != Self::PREFACE[..filled] {
                break false;
            }
            if filled == buffer.len() || read == 0 {
                break filled == buffer.len();
            }
        };
        self.prefix = Bytes::copy_from_slice(&buffer[..filled]);
        self.watched = !http2;
        Ok(http2)
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.prefix.is_empty() {
            let length = self.prefix.len().min(buf.remaining());
            buf.put_slice(&self.prefix[..length]);
            self.prefix.advance(length);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if buf.filled().len() > before {
            self.activity.received();
        }
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.replaces(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.activity.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = bufs
            && self.replaces(only)
        {
            return Poll::Ready(Ok(only.len()));
        }
        let outcome = write_joined(Pin::new(&mut self.stream), cx, bufs);
        self.activity.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        if self.is_gone(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends the connection so that the client reads the answer that we gave before it had sent everything (a 413): a
    /// socket closed with unread bytes is reset, and many clients then see a failed write in the place of the answer.
    /// So what still comes is thrown away until the client stops, or the sweep ends it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.finished {
            ready!(self.poll_instead(cx))?;
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.finished = true;
        }
        let mut scratch = [0; JOINED];
        loop {
            let mut thrown = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut thrown) {
                Poll::Ready(Ok(())) if !thrown.filled().is_empty() => self.activity.linger(),
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                // A client that was not in the middle of something is not waited for.
                Poll::Pending if self.activity.lingering_since().is_none() => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

// === impl UpstreamIo ===

impl UpstreamIo {
    pub(crate) fn new(stream: TcpStream, received: Arc<AtomicU64>) -> Self {
        Self { stream, received }
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        let read = (buf.filled().len() - before) as u64;
        self.received.store(self.received.load(Relaxed).wrapping_add(read), Relaxed);
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        write_joined(Pin::new(&mut self.stream), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
