//! A body that tells somebody, exactly once, how it ended.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::Body;

/// How a guarded body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it was handed over.
    Complete,
    /// It failed on the way: its sender went away, or it grew over its limit.
    Failed,
    /// Its reader stopped before the end: the client went away.
    Dropped,
}

/// Waits for the end of a body. The gateway gives an instance's slot back and records the duration there.
pub trait Guard: Unpin + 'static {
    /// Called once, with the number of data bytes that passed.
    fn ended(self, end: End, bytes: u64);
}

/// A body with a guard. The guard is told of the end when the last frame passes, or when the body is dropped before.
pub struct Guarded<G: Guard, B: HttpBody = Body> {
    body: B,
    guard: Option<G>,
    bytes: u64,
}

// === impl Guarded ===

impl<G: Guard, B: HttpBody<Data = Bytes> + Unpin> Guarded<G, B> {
    /// Puts a guard on a body.
    pub fn new(body: B, guard: G) -> Self {
        Self { body, guard: Some(guard), bytes: 0 }
    }
}

impl<G: Guard, B: HttpBody> Guarded<G, B> {
    fn end(&mut self, end: End) {
        if let Some(guard) = self.guard.take() {
            guard.ended(end, self.bytes);
        }
    }
}

impl<G: Guard, B: HttpBody<Data = Bytes> + Unpin> HttpBody for Guarded<G, B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                self.bytes += frame.data_ref().map_or(0, |data| data.remaining() as u64);
                // The reader need not ask again after the last frame of a body whose length it knows.
                if self.body.is_end_stream() {
                    self.end(End::Complete);
                }
            }
            Some(Err(_)) => self.end(End::Failed),
            None => self.end(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<G: Guard, B: HttpBody> Drop for Guarded<G, B> {
    fn drop(&mut self) {
        // A body that was empty from the start is complete without being read.
        let end = if self.body.is_end_stream() { End::Complete } else { End::Dropped };
        self.end(end);
    }
}
