//! After a 101: bytes both ways until one side ends, or neither says anything for a while.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional},
    time::Instant,
};

use crate::timeout::Timers;

/// What went through a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes from the client.
    pub up: u64,
    /// Bytes from the instance.
    pub down: u64,
}

/// Why a tunnel ended before its ends closed it.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The client or the instance did not go over to the new protocol.
    #[error("the upgrade did not happen")]
    Upgrade(#[source] hyper::Error),
    /// Nothing passed for the idle limit.
    #[error("nothing passed for {0:?}")]
    Idle(Duration),
    /// One side went away.
    #[error("the tunnel broke")]
    Broken(#[source] io::Error),
}

/// A side of the tunnel, which notes that something came.
struct Noted<T> {
    io: T,
    moved: Rc<Cell<bool>>,
}

/// Passes bytes between a client and an instance that have agreed on another protocol.
///
/// `client` is `hyper::upgrade::on(&mut request)`, taken before the request is sent, and `instance` the same of its 101 answer.
/// The 101 must be returned to the client for the tunnel to begin, so this runs in a task of its own: see
/// [`crate::Worker::spawn`], which also ends it with the drain. A tunnel without traffic ends after one to two times `idle`.
///
/// # Errors
///
/// When it did not end by one side's orderly close.
pub async fn tunnel(
    client: OnUpgrade,
    instance: OnUpgrade,
    idle: Duration,
    timers: &Timers,
) -> Result<Traffic, TunnelError> {
    let (client, instance) = futures::try_join!(client, instance).map_err(TunnelError::Upgrade)?;
    let moved = Rc::new(Cell::new(false));
    let mut client = Noted { io: TokioIo::new(client), moved: Rc::clone(&moved) };
    let mut instance = Noted { io: TokioIo::new(instance), moved: Rc::clone(&moved) };
    let mut copying = std::pin::pin!(copy_bidirectional(&mut client, &mut instance));
    loop {
        match timers.timeout(Instant::now() + idle, copying.as_mut()).await {
            Ok(Ok((up, down))) => return Ok(Traffic { up, down }),
            Ok(Err(error)) => return Err(TunnelError::Broken(error)),
            Err(_) if moved.replace(false) => {}
            Err(_) => return Err(TunnelError::Idle(idle)),
        }
    }
}

// === impl Noted ===

impl<T: AsyncRead + Unpin> AsyncRead for Noted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.moved.set(true);
        Poll::Ready(outcome)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Noted<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
