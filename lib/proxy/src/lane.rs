//! HTTP/1.1 towards clients for what nearly all requests are: a plain head and a short body that come together, and an answer.
//!
//! The lane serves a connection for as long as everything on it is of that kind. At the first request that is not, it hands the
//! connection to hyper with all bytes that it has read, and hyper serves that request and the rest of the connection. Nothing
//! is taken off the buffer before a request is known to be plain, so that hyper sees the connection as if it had been alone.
//! What is odd, ambiguous or wrong is therefore never judged here: see `head.rs` for what plain means.
//!
//! The connection's task reads, runs the handler and writes in turn, so there is no channel and no wake-up between these, and
//! nothing of the next request is looked at before the answer to this one is written. Requests that were sent ahead wait in
//! the buffer.

mod answer;
mod fields;
mod head;

use std::{
    future::{Future, poll_fn},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use http::{Method, Response};
use http_body::Body as HttpBody;
use tokio::io::AsyncWriteExt;

use self::{
    answer::{Answer, Cut, Outgoing},
    head::{Outline, Seen},
};
use crate::{
    body::BoxError,
    connection::{Connection, Connections},
    io::{ClientIo, Transport},
    serve::{Flight, Serve},
    stock::Place,
};

/// Where a connection is when the lane leaves it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It has ended.
    Over,
    /// What comes next on it is hyper's. Where that is the first there is, it may be another protocol.
    ToHyper { first: bool },
}

/// A connection in the lane.
struct Lane<'a, T> {
    io: &'a mut ClientIo<T>,
    connection: &'a Rc<Connection>,
    connections: &'a Connections,
    /// What was read and is not a request yet.
    buffer: BytesMut,
    outline: Outline,
    outgoing: Outgoing,
}

/// What comes next on a connection.
enum Next {
    Request,
    /// A plain head whose body is on its way.
    Head,
    ToHyper,
    End,
    /// The client has gone.
    Gone,
}

/// Bytes that are asked for at a time where a head or a body goes on.
const READ: usize = 4096;
/// The most reads that a request may come in. Each looks at all of its head again, which a client must not make a burden.
const READS: usize = 4;
/// How long a short body is waited for. Many clients send head and body apart, and those that wait in between say `expect`.
const LATE: Duration = Duration::from_millis(10);
/// A map with room for more fields than this is not kept.
const USUAL_FIELDS: usize = 32;

/// Serves a connection until it ends or something comes that is not plain.
pub(crate) async fn serve<S: Serve, T: Transport>(
    io: &mut ClientIo<T>,
    service: &S,
    connection: &Rc<Connection>,
    connections: &Connections,
) -> Left {
    let mut lane = Lane {
        io,
        connection,
        connections,
        buffer: BytesMut::new(),
        outline: Outline::default(),
        outgoing: Outgoing::default(),
    };
    let mut first = true;
    loop {
        let request = match lane.next().await {
            Next::Request => lane.outline.take(&mut lane.buffer, connections.maps.take()),
            Next::Head | Next::ToHyper => None,
            Next::End => return lane.end().await,
            Next::Gone => return Left::Over,
        };
        let Some(request) = request else {
            lane.io.unread(lane.buffer.freeze());
            return Left::ToHyper { first };
        };
        first = false;
        let _flight = Flight::begin(connection);
        let to_head = request.method() == Method::HEAD;
        let mut place = service.places().take();
        place.put(service.handle(request, connection));
        let Some(response) = lane.handled(&mut place).await else { return Left::Over };
        place.clear();
        service.places().keep(place);
        match lane.send(response, to_head).await {
            Ok(true) => {}
            Ok(false) => return lane.end().await,
            Err(cut) => {
                tracing::debug!(peer = %connection.peer(), error = %cut, "an answer was cut off");
                return Left::Over;
            }
        }
    }
}

// === impl Lane ===

impl<T: Transport> Lane<'_, T> {
    /// Waits for the next request.
    async fn next(&mut self) -> Next {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        } else {
            if self.outline.body() > READ {
                // What room a long body took is not kept for the next head.
                self.buffer = BytesMut::from(&self.buffer[..]);
            }
            // It was sent ahead, and its time begins now.
            self.connection.activity.received();
        }
        let mut reads = 0;
        match poll_fn(|cx| self.poll_next(cx, &mut reads, false)).await {
            Next::Head => Box::pin(self.late(reads)).await,
            next => next,
        }
    }

    /// Waits a moment for the rest of a body.
    async fn late(&mut self, mut reads: usize) -> Next {
        let rest = poll_fn(|cx| self.poll_next(cx, &mut reads, true));
        tokio::time::timeout(LATE, rest).await.unwrap_or(Next::ToHyper)
    }

    /// `patient` waits for bodies too.
    fn poll_next(&mut self, cx: &mut Context<'_>, reads: &mut usize, patient: bool) -> Poll<Next> {
        let limits = self.connections.limits();
        loop {
            let seen =
                if self.buffer.is_empty() { Seen::Head } else { self.outline.look(&self.buffer, limits) };
            let room = match seen {
                Seen::Request => return Poll::Ready(Next::Request),
                Seen::Odd => return Poll::Ready(Next::ToHyper),
                Seen::Head | Seen::Body(_) if *reads >= READS => return Poll::Ready(Next::ToHyper),
                Seen::Head => READ,
                Seen::Body(missing) => missing,
            };
            let read = if self.buffer.is_empty() {
                let io = &mut *self.io;
                self.connections.block.read(&mut self.buffer, |block| io.poll_fill(cx, block))
            } else {
                self.buffer.reserve(room);
                self.io.poll_fill(cx, &mut self.buffer)
            };
            *reads += usize::from(!self.buffer.is_empty());
            match (read, seen) {
                (Poll::Ready(Ok(1..)), _) => {}
                (Poll::Pending, Seen::Body(_)) if patient => return Poll::Pending,
                (Poll::Pending, Seen::Body(_)) => return Poll::Ready(Next::Head),
                // The handler is told of a body that ends early.
                (Poll::Ready(_), Seen::Body(_)) => return Poll::Ready(Next::ToHyper),
                (Poll::Ready(_), _) => return Poll::Ready(Next::Gone),
                (Poll::Pending, _) if self.connection.is_ending() && self.buffer.is_empty() => {
                    return Poll::Ready(Next::End);
                }
                (Poll::Pending, _) => return Poll::Pending,
            }
        }
    }

    /// What the handler answers; nothing if the client goes before.
    async fn handled<F: Future>(&mut self, handling: &mut Place<F>) -> Option<F::Output> {
        poll_fn(|cx| match handling.poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending if self.io.is_gone(cx) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Writes an answer; whether the connection can be used again.
    async fn send<B>(&mut self, response: Response<B>, to_head: bool) -> Result<bool, Cut>
    where
        B: HttpBody<Data = bytes::Bytes, Error: Into<BoxError>> + Unpin,
    {
        let (mut parts, body) = response.into_parts();
        let keep = self.outline.keeps() && !self.connection.is_ending();
        self.outgoing.begin(self.connections.runs.take());
        let begun = Answer::begin(&parts, body, to_head, keep, &self.connections.date(), &mut self.outgoing);
        if parts.headers.capacity() <= USUAL_FIELDS {
            parts.headers.clear();
            self.connections.maps.keep(parts.headers);
        }
        let mut answer = begun?;
        poll_fn(|cx| answer.poll(cx, self.io, &mut self.outgoing)).await?;
        if let Some(run) = self.outgoing.end() {
            self.connections.runs.keep(run);
        }
        Ok(answer.keeps())
    }

    /// Ends the connection in good order.
    async fn end(&mut self) -> Left {
        if let Err(error) = self.io.shutdown().await {
            tracing::debug!(peer = %self.connection.peer(), %error, "a client's connection did not end in order");
        }
        Left::Over
    }
}

#[cfg(test)]
mod tests;
