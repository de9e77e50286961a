//! HTTP/1.1 towards an instance for what nearly all requests are: whole in memory when they are sent, and asking for nothing but
//! an answer.
//!
//! The connection belongs to the request that uses it. There is no task and no channel between the two, so an answer wakes
//! the client's own task, which reads it, and a request is on its way when [`Exchange`] is made. Bodies that come while they are sent,
//! upgrades and HTTP/2 are hyper's (`upstream.rs`).
//!
//! Nobody watches an idle connection. That it was closed in the meantime shows when it is taken: the worker's look at its
//! sockets has noted it on the socket by then, and asking that costs no system call.

mod body;
mod head;
mod request;

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Response, request::Parts};
use http_body::{Frame, SizeHint};
use tokio::{io::AsyncReadExt, net::TcpStream};

use self::body::{Decoder, Piece};
use crate::{
    body::{Body, BodyError},
    send::{Fault, SendError},
    stock::Block,
    upstream::{Open, Upstream},
};

pub use self::request::Added;

/// A connection to an instance.
pub(crate) struct Wire {
    stream: TcpStream,
    /// What was read and is not understood yet.
    buffer: BytesMut,
    /// What the socket would not take at once of the last request.
    unsent: Option<Box<Unsent>>,
    /// The sweep that it is not used after.
    pub(crate) expires: u64,
    pub(crate) idle_since: u64,
    _open: Open,
}

/// A request on its way: done when the head of its answer is there. Dropped before, it ends its connection.
pub(crate) struct Exchange {
    wire: Option<Box<Wire>>,
    upstream: Rc<Upstream>,
    method: Method,
    reused: bool,
    /// Bytes of the answer have come.
    begun: bool,
}

/// What is left of an answer's body on its connection.
pub(crate) struct Rest {
    wire: Option<Box<Wire>>,
    upstream: Rc<Upstream>,
    decoder: Decoder,
    keep: bool,
}

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The head is not HTTP.
    #[error("the head cannot be read: {0}")]
    Head(httparse::Error),
    /// The status is none.
    #[error("the status is none")]
    Status,
    /// A field is not one.
    #[error("a header field cannot be read")]
    Field,
    /// A head, trailers or chunk extensions over their limit.
    #[error("the head, the trailers or the chunk extensions are too long")]
    TooLong,
    /// `content-length` is no number, or several.
    #[error("content-length is no number, or several")]
    Length,
    /// HTTP/1.0 knows no transfer codings.
    #[error("there is a transfer-encoding in HTTP/1.0")]
    Coding,
    /// A chunk is not framed as one.
    #[error("a chunk is not framed as one")]
    Chunk,
    /// Another protocol, which nobody asked for.
    #[error("the instance switches protocols unasked")]
    Upgrade,
    /// The connection ended before the body.
    #[error("the connection ended before the body")]
    CutOff,
}

struct Unsent {
    head: Bytes,
    body: Bytes,
    /// Nothing at all has been sent.
    whole: bool,
}

/// Bytes that are asked for at a time where a head goes on.
const READ: usize = 4096;
/// The same while a long body streams: fewer system calls, and what a socket holds by default.
const READ_LONG: usize = 64 * 1024;
/// Bodies up to this are sent in one run of bytes with their head: cheaper than having the kernel join them.
const JOINED: usize = 2048;
/// A buffer for heads larger than this is not kept.
const USUAL_HEAD: usize = 16 * 1024;

// === impl Wire ===

impl Wire {
    pub(crate) fn new(stream: TcpStream, open: Open, expires: u64) -> Box<Self> {
        Box::new(Self { stream, buffer: BytesMut::new(), unsent: None, expires, idle_since: 0, _open: open })
    }

    /// Whether an idle connection can take a request: the other end has not closed it, nor said anything unasked.
    pub(crate) fn is_open(&self) -> bool {
        let quiet = self.stream.try_read(&mut [0]);
        matches!(quiet, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Puts a request on its way. `out` is room for its head.
    ///
    /// # Errors
    ///
    /// When the connection takes nothing of it.
    pub(crate) fn start(
        &mut self,
        parts: &Parts,
        path: &str,
        added: Added<'_>,
        mut body: Bytes,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        out.clear();
        if out.capacity() > USUAL_HEAD {
            *out = Vec::new();
        }
        request::write(out, parts, path, added, body.len());
        if body.len() <= JOINED {
            out.extend_from_slice(&body);
            body = Bytes::new();
        }
        let sent = if body.is_empty() {
            self.stream.try_write(out)
        } else {
            self.stream.try_write_vectored(&[IoSlice::new(out), IoSlice::new(&body)])
        };
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.unsent = None;
        if sent < out.len() + body.len() {
            let mut unsent = Unsent { head: Bytes::copy_from_slice(out), body, whole: sent == 0 };
            unsent.advance(sent);
            self.unsent = Some(Box::new(unsent));
        }
        Ok(())
    }

    /// Goes on sending what is unsent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(unsent) = &mut self.unsent {
            let bufs = [IoSlice::new(&unsent.head), IoSlice::new(&unsent.body)];
            let stream = Pin::new(&mut self.stream);
            match ready!(tokio::io::AsyncWrite::poll_write_vectored(stream, cx, &bufs))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => unsent.advance(sent),
            }
            if unsent.head.is_empty() && unsent.body.is_empty() {
                self.unsent = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what has come of an answer's head, the first of it into the block; 0 is the end of the connection.
    fn poll_begin(&mut self, cx: &mut Context<'_>, block: &Block) -> Poll<io::Result<usize>> {
        if !self.buffer.is_empty() {
            return self.poll_read(cx, READ);
        }
        let stream = &mut self.stream;
        block.read(&mut self.buffer, |free| std::pin::pin!(stream.read_buf(free)).poll(cx))
    }

    /// Reads what has come; 0 is the end of the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>, size: usize) -> Poll<io::Result<usize>> {
        // A read into what little is left would be a system call for little.
        if self.buffer.capacity() - self.buffer.len() < size / 4 {
            self.buffer.reserve(size);
        }
        std::pin::pin!(self.stream.read_buf(&mut self.buffer)).poll(cx)
    }
}

// === impl Unsent ===

impl Unsent {
    fn advance(&mut self, sent: usize) {
        self.whole &= sent == 0;
        let of_head = sent.min(self.head.len());
        self.head.advance(of_head);
        self.body.advance(sent - of_head);
    }
}

// === impl Exchange ===

impl Exchange {
    /// A request that was started on that connection.
    pub(crate) fn new(wire: Box<Wire>, upstream: Rc<Upstream>, method: Method, reused: bool) -> Self {
        Self { wire: Some(wire), upstream, method, reused, begun: false }
    }

    /// Whether the connection had served a request before.
    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<head::Head, Broken>> {
        let Some(wire) = &mut self.wire else { return Poll::Ready(Err(Broken::Answer(Fault::Closed))) };
        let mut sending = match wire.poll_send(cx) {
            Poll::Ready(Err(error)) if wire.unsent.as_ref().is_some_and(|unsent| unsent.whole) => {
                return Poll::Ready(Err(Broken::Unsent(Fault::Io(error))));
            }
            Poll::Ready(Err(error)) => Some(error),
            _ => None,
        };
        loop {
            let read = match wire.poll_begin(cx, self.upstream.block()) {
                Poll::Ready(read) => read,
                Poll::Pending => match sending.take() {
                    // It takes nothing more and has said nothing.
                    Some(error) => Err(error),
                    None => return Poll::Pending,
                },
            };
            let fault = match read {
                Ok(0) => Fault::Closed,
                Err(error) => Fault::Io(error),
                Ok(_) => {
                    self.begun = true;
                    match head::read(&mut wire.buffer, &self.method) {
                        Ok(Some(head)) => return Poll::Ready(Ok(head)),
                        Ok(None) => continue,
                        Err(malformed) => return Poll::Ready(Err(Broken::Answer(malformed.into()))),
                    }
                }
            };
            let broken = if self.begun { Broken::Answer(fault) } else { Broken::Silence(fault) };
            return Poll::Ready(Err(broken));
        }
    }

    /// The answer with its body: what is here of it, or the rest as it comes.
    fn answer(&mut self, head: head::Head) -> Response<Body> {
        let head::Head { response, mut body, keep } = head;
        let Some(mut wire) = self.wire.take() else { return response.map(|()| Body::empty()) };
        if let Some(data) = body.whole(&mut wire.buffer) {
            release(wire, &self.upstream, keep);
            return response.map(|()| Body::full(data));
        }
        let rest = Rest { wire: Some(wire), upstream: Rc::clone(&self.upstream), decoder: body, keep };
        response.map(|()| Body::rest(rest))
    }
}

/// Why an exchange has no answer.
pub(crate) enum Broken {
    /// Nothing of the request was sent.
    Unsent(Fault),
    /// No byte of an answer came.
    Silence(Fault),
    /// What came is no answer.
    Answer(Fault),
}

impl Future for Exchange {
    type Output = Result<Response<Body>, Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let head = match ready!(self.poll_answer(cx)) {
            Ok(head) => head,
            Err(broken) => return Poll::Ready(Err(broken)),
        };
        self.upstream.count(self.reused);
        Poll::Ready(Ok(self.answer(head)))
    }
}

impl Broken {
    /// The same as the caller is told it; none where nothing was sent.
    pub(crate) fn told(self, reused: bool) -> Result<SendError, Fault> {
        match self {
            Self::Unsent(fault) => Err(fault),
            Self::Silence(source) => Ok(SendError::NoAnswer { reused, refused: false, source }),
            Self::Answer(source) => Ok(SendError::BadAnswer(source)),
        }
    }
}

// === impl Rest ===

impl Rest {
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(self.poll_piece(cx));
        match frame {
            Ok(piece) => {
                if self.decoder.is_done()
                    && let Some(wire) = self.wire.take()
                {
                    release(wire, &self.upstream, self.keep);
                }
                Poll::Ready(piece.map(Ok))
            }
            Err(fault) => {
                self.wire = None;
                Poll::Ready(Some(Err(BodyError::Broken(fault))))
            }
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Fault>> {
        let Some(wire) = &mut self.wire else { return Poll::Ready(Ok(None)) };
        // An instance may answer before it has read everything; that it stops reading shows in its answer's end.
        if wire.unsent.is_some() && matches!(wire.poll_send(cx), Poll::Ready(Err(_))) {
            wire.unsent = None;
            self.keep = false;
        }
        loop {
            match self.decoder.next(&mut wire.buffer)? {
                Piece::Data(data) => return Poll::Ready(Ok(Some(Frame::data(data)))),
                Piece::Trailers(trailers) => return Poll::Ready(Ok(Some(Frame::trailers(trailers)))),
                Piece::End => return Poll::Ready(Ok(None)),
                Piece::More => {}
            }
            if ready!(wire.poll_read(cx, READ_LONG)).map_err(Fault::Io)? == 0 {
                self.decoder.end()?;
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.decoder.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// The answer has been read to its end.
fn release(mut wire: Box<Wire>, upstream: &Upstream, keep: bool) {
    // Bytes after the answer's end are somebody's mistake, and an answer before the request's end leaves the rest unwanted.
    if keep && wire.buffer.is_empty() && wire.unsent.is_none() {
        // One that is idle holds no part of a block.
        wire.buffer = BytesMut::new();
        upstream.keep_wire(wire);
    }
}

#[cfg(test)]
mod tests;
