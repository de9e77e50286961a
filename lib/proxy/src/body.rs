//! The body of a request or an answer on its way through: one enum, so that the hot path neither boxes nor copies.

use std::{
    error::Error as StdError,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;

mod request;

pub use self::request::RequestBody;

use crate::{replay::Attempt, send::Fault, upstream::Lease, wire::Rest};

/// A boxed error, as `http_body` implementations carry them.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// A body in either direction. Its data is never copied: frames pass as the read buffer's slices.
///
/// It is not `Send`: it lives and dies on the worker that made it.
#[derive(Default)]
pub struct Body {
    kind: Kind,
}

/// Why a body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It grew over the limit given to [`Body::limited`]; the answer is 413.
    #[error("the body is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Whoever sends it went away, or framed it wrongly.
    #[error("the body ended early")]
    Broken(#[source] Fault),
    /// A later attempt of the same request took the body over.
    #[error("the body went to another attempt")]
    Superseded,
    /// An error of a body given to [`Body::boxed`].
    #[error("the body failed")]
    Other(#[source] BoxError),
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Incoming(Incoming),
    /// It was here whole, and longer than it may be.
    TooLarge {
        length: u64,
        limit: u64,
    },
    Limited {
        incoming: Incoming,
        left: u64,
        limit: u64,
    },
    /// An endpoint's answer: the lease gives the connection back to the pool at the body's end.
    Answer {
        incoming: Incoming,
        lease: Option<Lease>,
    },
    /// The same of a connection that is our own.
    Rest(Box<Rest>),
    /// One attempt at sending a body that can be sent again.
    Attempt(Attempt),
    Boxed(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError>>>),
}

// === impl Body ===

impl Body {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// A body that is already here.
    #[must_use]
    pub fn full(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        if data.is_empty() { Self::empty() } else { Kind::Full(data).into() }
    }

    /// A body as it comes from the network, of any length.
    #[must_use]
    pub fn incoming(body: impl Into<RequestBody>) -> Self {
        match body.into() {
            RequestBody::Whole(data) => Self::full(data),
            RequestBody::Coming(incoming) => Kind::Incoming(incoming).into(),
        }
    }

    /// A body from the network that fails with [`BodyError::TooLarge`] once it is longer than `limit` bytes.
    ///
    /// A declared length over the limit is best refused before: [`Body::declared`] tells it.
    #[must_use]
    pub fn limited(body: impl Into<RequestBody>, limit: u64) -> Self {
        match body.into() {
            RequestBody::Whole(data) if data.len() as u64 > limit => {
                Kind::TooLarge { length: data.len() as u64, limit }.into()
            }
            RequestBody::Whole(data) => Self::full(data),
            RequestBody::Coming(incoming) => Kind::Limited { incoming, left: limit, limit }.into(),
        }
    }

    /// Any other body. It costs an allocation, so it is for rare paths.
    #[must_use]
    pub fn boxed<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        Kind::Boxed(Box::pin(http_body_util::BodyExt::map_err(body, |error| BodyError::Other(error.into()))))
            .into()
    }

    /// The length in bytes that is known before the body is read, if it is.
    #[must_use]
    pub fn declared(&self) -> Option<u64> {
        self.size_hint().exact()
    }

    pub(crate) fn answer(incoming: Incoming, lease: Lease) -> Self {
        if incoming.is_end_stream() {
            lease.release();
            return Self::empty();
        }
        Kind::Answer { incoming, lease: Some(lease) }.into()
    }

    pub(crate) fn rest(rest: Rest) -> Self {
        Kind::Rest(Box::new(rest)).into()
    }

    /// All of it, where it is here.
    pub(crate) fn whole(&self) -> Option<Bytes> {
        match &self.kind {
            Kind::Empty => Some(Bytes::new()),
            Kind::Full(data) => Some(data.clone()),
            Kind::Attempt(attempt) => attempt.whole(),
            Kind::Incoming(_)
            | Kind::TooLarge { .. }
            | Kind::Limited { .. }
            | Kind::Answer { .. }
            | Kind::Rest(_)
            | Kind::Boxed(_) => None,
        }
    }

    pub(crate) fn attempt(attempt: Attempt) -> Self {
        Kind::Attempt(attempt).into()
    }

    pub(crate) fn as_attempt(&self) -> Option<&Attempt> {
        match &self.kind {
            Kind::Attempt(attempt) => Some(attempt),
            _ => None,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(data) => {
                let data = std::mem::take(data);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Kind::Incoming(incoming) => poll_incoming(incoming, cx),
            Kind::TooLarge { limit, .. } => Poll::Ready(Some(Err(BodyError::TooLarge { limit: *limit }))),
            Kind::Limited { incoming, left, limit } => {
                let frame = ready!(poll_incoming(incoming, cx));
                if let Some(data) =
                    frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref)
                {
                    match left.checked_sub(data.len() as u64) {
                        Some(rest) => *left = rest,
                        None => return Poll::Ready(Some(Err(BodyError::TooLarge { limit: *limit }))),
                    }
                }
                Poll::Ready(frame)
            }
            Kind::Answer { incoming, lease } => {
                let frame = ready!(poll_incoming(incoming, cx));
                match &frame {
                    // After an error nothing is known about the connection: it is dropped.
                    Some(Err(_)) => drop(lease.take()),
                    Some(Ok(_)) if !incoming.is_end_stream() => {}
                    _ => {
                        if let Some(lease) = lease.take() {
                            lease.release();
                        }
                    }
                }
                Poll::Ready(frame)
            }
            Kind::Rest(rest) => rest.poll_frame(cx),
            Kind::Attempt(attempt) => attempt.poll_frame(cx),
            Kind::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) | Kind::TooLarge { .. } => false,
            Kind::Incoming(incoming) | Kind::Limited { incoming, .. } | Kind::Answer { incoming, .. } => {
                incoming.is_end_stream()
            }
            Kind::Rest(rest) => rest.is_end_stream(),
            Kind::Attempt(attempt) => attempt.is_end_stream(),
            Kind::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(data) => SizeHint::with_exact(data.len() as u64),
            Kind::Incoming(incoming) | Kind::Limited { incoming, .. } | Kind::Answer { incoming, .. } => {
                incoming.size_hint()
            }
            Kind::TooLarge { length, .. } => SizeHint::with_exact(*length),
            Kind::Rest(rest) => rest.size_hint(),
            Kind::Attempt(attempt) => attempt.size_hint(),
            Kind::Boxed(body) => body.size_hint(),
        }
    }
}

fn poll_incoming(
    incoming: &mut Incoming,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
    Pin::new(incoming).poll_frame(cx).map_err(|error| BodyError::Broken(error.into()))
}

impl From<Kind> for Body {
    fn from(kind: Kind) -> Self {
        Self { kind }
    }
}

impl From<Bytes> for Body {
    fn from(data: Bytes) -> Self {
        Self::full(data)
    }
}

impl From<String> for Body {
    fn from(data: String) -> Self {
        Self::full(data)
    }
}

impl From<&'static str> for Body {
    fn from(data: &'static str) -> Self {
        Self::full(data)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Empty => "Empty",
            Kind::Full(_) => "Full",
            Kind::Incoming(_) => "Incoming",
            Kind::TooLarge { .. } => "TooLarge",
            Kind::Limited { .. } => "Limited",
            Kind::Answer { .. } => "Answer",
            Kind::Rest(_) => "Rest",
            Kind::Attempt(_) => "Attempt",
            Kind::Boxed(_) => "Boxed",
        };
        write!(f, "Body::{kind}")
    }
}
