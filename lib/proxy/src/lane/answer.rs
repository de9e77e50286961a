//! Writes an answer: its head as hyper would write it, then its body as it comes, and never more than the socket takes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::response::Parts;
use http_body::Body as HttpBody;

use super::fields::{Framing, Measure, write};
use crate::{
    body::BoxError,
    connection::DATE,
    io::{ClientIo, JOINED, Transport},
};

/// An answer on its way.
pub(super) struct Answer<B> {
    /// None once nothing more is wanted of it.
    body: Option<B>,
    framing: Framing,
    keep: bool,
}

/// Bytes on their way to the socket.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Head, framing and short data, in one run.
    run: Vec<u8>,
    /// So much of it was sent.
    sent: usize,
    /// Data that would be dear to copy.
    data: Bytes,
    /// What closes that data's chunk.
    after: &'static [u8],
    /// The socket took nothing more the last time.
    stalled: bool,
}

/// Why an answer does not come to its end; its connection ends in the middle of it, so that the client sees that.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    #[error("the body failed: {0}")]
    Body(BoxError),
    #[error("the body is {0} bytes shorter than its content-length")]
    Short(u64),
    #[error("its fields frame it in two ways")]
    Framing,
    #[error("the client went away")]
    Gone,
    #[error("the client cannot be written to: {0}")]
    Io(#[from] io::Error),
}

/// Room that is kept for other answers.
const USUAL: usize = 4096;

// === impl Answer ===

impl<B> Answer<B>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    /// Puts the head of an answer on its way. `to_head` answers a HEAD; `keep` is false where the connection ends with it.
    ///
    /// # Errors
    ///
    /// When the answer says two things about its framing. Nothing of it may be sent then.
    pub(super) fn begin(
        parts: &Parts,
        body: B,
        to_head: bool,
        keep: bool,
        date: &[u8; DATE],
        out: &mut Outgoing,
    ) -> Result<Self, Cut> {
        let measure = if body.is_end_stream() {
            Measure::Nothing
        } else {
            body.size_hint().exact().map_or(Measure::Unknown, Measure::Known)
        };
        let (framing, keep) = write(&mut out.run, parts, measure, to_head, keep, date)?;
        let body = (framing != Framing::Length(0)).then_some(body);
        Ok(Self { body, framing, keep })
    }

    /// Whether the connection can be used again, after all is sent.
    pub(super) fn keeps(&self) -> bool {
        self.keep
    }

    /// Sends it to its end.
    pub(super) fn poll<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut ClientIo<T>,
        out: &mut Outgoing,
    ) -> Poll<Result<(), Cut>> {
        if out.stalled {
            ready!(out.poll_send(cx, io))?;
        }
        loop {
            let waits = self.fill(cx, out)?;
            ready!(out.poll_send(cx, io))?;
            if self.body.is_none() {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return if io.is_gone(cx) { Poll::Ready(Err(Cut::Gone)) } else { Poll::Pending };
            }
        }
    }

    /// Takes of the body what there is, as far as there is room; whether the body is waited for.
    fn fill(&mut self, cx: &mut Context<'_>, out: &mut Outgoing) -> Result<bool, Cut> {
        while let (Some(body), true) = (&mut self.body, out.has_room()) {
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { return Ok(true) };
            let Some(frame) = frame else {
                self.end(out)?;
                break;
            };
            match frame.map_err(|error| Cut::Body(error.into()))?.into_data() {
                Ok(data) => {
                    let last = body.is_end_stream();
                    self.data(data, last, out)?;
                }
                // Who asks for trailers says `te`, and is hyper's client.
                Err(frame) if frame.is_trailers() => self.end(out)?,
                Err(_) => {}
            }
        }
        Ok(false)
    }

    fn data(&mut self, mut data: Bytes, last: bool, out: &mut Outgoing) -> Result<(), Cut> {
        if data.is_empty() {
            return if last { self.end(out) } else { Ok(()) };
        }
        match &mut self.framing {
            Framing::Length(left) => {
                // Not more than was promised.
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                out.push(data, b"");
                // Less than was promised: the client learns it from the connection's end.
                self.keep &= *left == 0 || !last;
                if last || *left == 0 {
                    self.body = None;
                }
            }
            Framing::Chunked => {
                hexadecimal(&mut out.run, data.len());
                out.push(data, if last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
                if last {
                    self.body = None;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Outgoing) -> Result<(), Cut> {
        self.body = None;
        match self.framing {
            Framing::Length(0) => {}
            Framing::Length(left) => return Err(Cut::Short(left)),
            Framing::Chunked => out.run.extend_from_slice(b"0\r\n\r\n"),
        }
        Ok(())
    }
}

// === impl Outgoing ===

impl Outgoing {
    /// Room for another answer, when the last one is sent.
    pub(super) fn begin(&mut self, run: Vec<u8>) {
        self.run = run;
    }

    /// All of the answer is sent: its room, where it is worth keeping.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        let run = std::mem::take(&mut self.run);
        (run.capacity() <= USUAL).then_some(run)
    }

    fn has_room(&self) -> bool {
        self.data.is_empty() && self.after.is_empty() && self.run.len() < JOINED
    }

    fn push(&mut self, data: Bytes, after: &'static [u8]) {
        if self.run.len() + data.len() <= JOINED {
            self.run.extend_from_slice(&data);
            self.run.extend_from_slice(after);
        } else {
            (self.data, self.after) = (data, after);
        }
    }

    /// Sends all there is.
    fn poll_send<T: Transport>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut ClientIo<T>,
    ) -> Poll<io::Result<()>> {
        loop {
            let run = self.run.get(self.sent..).unwrap_or_default();
            let sent = if !self.data.is_empty() || !self.after.is_empty() {
                io.poll_send(cx, &[IoSlice::new(run), IoSlice::new(&self.data), IoSlice::new(self.after)])
            } else if run.is_empty() {
                break;
            } else {
                io.poll_send(cx, &[IoSlice::new(run)])
            };
            self.stalled = sent.is_pending();
            match ready!(sent)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.advance(sent),
            }
        }
        self.run.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, sent: usize) {
        let of_run = sent.min(self.run.len() - self.sent);
        self.sent += of_run;
        let of_data = (sent - of_run).min(self.data.len());
        self.data.advance(of_data);
        self.after = self.after.get(sent - of_run - of_data..).unwrap_or_default();
    }
}

/// A chunk's first line.
fn hexadecimal(out: &mut Vec<u8>, number: usize) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let nibbles = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    out.extend((0..nibbles).rev().map(|nibble| DIGITS[(number >> (4 * nibble)) & 15]));
    out.extend_from_slice(b"\r\n");
}
