//! Keeps what passes, for whoever wants to look at a request again: both heads, and the beginning of both bodies.
//!
//! Gateways of a cluster record nothing, which costs a request three looks at an option. The request's body is kept by the
//! replay buffer anyway; only the answer's is copied, and not more than [`KEPT`] of it.

use std::{
    cell::RefCell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flint_proxy::{Body, Replay};
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    access::Line,
    pace::{PaceError, Paced},
};

/// Is told of every request when it is over. It is called on the request's way and must not wait.
pub trait Recorder: Send + Sync + 'static {
    /// A request is over.
    fn record(&self, line: &Line<'_>, recording: Recording);
}

/// What was kept of a request.
#[derive(Debug)]
pub struct Recording {
    /// The request's headers, as the client sent them.
    pub request: HeaderMap,
    /// The request's body; none where it is larger than the replay buffer, or did not come to its end.
    pub body: Option<Bytes>,
    /// The answer's headers; none where there was no answer.
    pub answer: Option<HeaderMap>,
    /// The first [`KEPT`] bytes of the answer's body.
    pub answer_body: Bytes,
}

/// A recording under way.
pub(crate) struct Tape {
    request: HeaderMap,
    answer: Option<HeaderMap>,
    heard: Rc<RefCell<Vec<u8>>>,
}

/// The most bytes of an answer that are kept: as much as the replay buffer keeps of a request.
pub const KEPT: usize = flint_proxy::REPLAY_BUFFER;

/// An answer's body that is listened to.
struct Heard {
    body: Paced,
    heard: Rc<RefCell<Vec<u8>>>,
}

// === impl Tape ===

impl Tape {
    /// Begins with a request's headers.
    pub(crate) fn of(request: &HeaderMap) -> Box<Self> {
        Box::new(Self { request: request.clone(), answer: None, heard: Rc::default() })
    }

    /// Listens to an answer.
    pub(crate) fn answered(&mut self, response: Response<Paced>) -> Response<Paced> {
        self.answer = Some(response.headers().clone());
        let heard = Rc::clone(&self.heard);
        response.map(|body| {
            if body.is_end_stream() { body } else { Paced::free(Body::boxed(Heard { body, heard })) }
        })
    }

    /// What was kept.
    pub(crate) fn end(&mut self, body: &Replay) -> Recording {
        Recording {
            request: std::mem::take(&mut self.request),
            body: body.whole(),
            answer: self.answer.take(),
            answer_body: std::mem::take(&mut *self.heard.borrow_mut()).into(),
        }
    }
}

// === impl Heard ===

impl HttpBody for Heard {
    type Data = Bytes;
    type Error = PaceError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PaceError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let mut heard = self.heard.borrow_mut();
            let room = KEPT - heard.len();
            heard.extend_from_slice(&data[..data.len().min(room)]);
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
