//! The sockets under both of our servers and under hyper's client: they note what moves on them.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    activity::Activity,
    unreadable::{self, Unreadable},
};

/// What carries a client's connection: a socket, or in tests a pipe.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether the other end has gone; whoever polls is told when that may have changed.
    fn has_gone(&self, cx: &mut Context<'_>) -> bool;
}

/// Messages up to this are joined: a head and a small body, and less than a page on the stack.
pub(crate) const JOINED: usize = 2048;

/// Bytes that are asked for while nobody knows what comes.
const PIECE: usize = 4096;

/// A client's socket.
pub(crate) struct ClientIo<T = TcpStream> {
    stream: T,
    /// Bytes that were read by somebody who had no use for them.
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
fn write_joined<T: AsyncWrite>(
    stream: Pin<&mut T>,
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

// === impl Transport ===

impl Transport for TcpStream {
    fn has_gone(&self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        match self.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Ok(bytes)) => bytes == 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        }
    }
}

// === impl ClientIo ===

impl<T: Transport> ClientIo<T> {
    /// What every HTTP/2 connection with prior knowledge begins with, up to where no HTTP/1.1 request can follow.
    const PREFACE: &'static [u8] = b"PRI * HTTP/2.0\r\n";

    pub(crate) fn new(stream: T, activity: Arc<Activity>, unreadable: Unreadable) -> Self {
        let (prefix, instead) = (Bytes::new(), Bytes::new());
        Self { stream, prefix, activity, unreadable, instead, finished: false, watched: true }
    }

    /// Whether the client went away while its request is under way. hyper would read ahead to learn that, and make room for
    /// another head each time.
    pub(crate) fn is_gone(&self, cx: &mut Context<'_>) -> bool {
        if !self.watched || self.finished || self.activity.in_flight() == 0 || !self.prefix.is_empty() {
            return false;
        }
        self.stream.has_gone(cx)
    }

    /// Reads what has come after what is in the buffer already; 0 is the end.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        let read = ready!(std::pin::pin!(self.stream.read_buf(buffer)).poll(cx));
        if matches!(read, Ok(1..)) {
            self.activity.received();
        }
        Poll::Ready(read)
    }

    /// Gives back what [`Self::poll_fill`] read, for whoever reads next.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        self.prefix = bytes;
    }

    /// Writes an answer's bytes.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = write_joined(Pin::new(&mut self.stream), cx, bufs);
        self.activity.wrote(&outcome);
        outcome
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
        let mut seen = BytesMut::from(std::mem::take(&mut self.prefix));
        let http2 = loop {
            let length = seen.len().min(Self::PREFACE.len());
            if seen[..length] != Self::PREFACE[..length] {
                break false;
            }
            if length == Self::PREFACE.len() {
                break true;
            }
            seen.reserve(PIECE);
            if self.stream.read_buf(&mut seen).await? == 0 {
                break false;
            }
        };
        self.prefix = seen.freeze();
        self.watched = !http2;
        Ok(http2)
    }
}

impl<T: Transport> AsyncRead for ClientIo<T> {
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

impl<T: Transport> AsyncWrite for ClientIo<T> {
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
