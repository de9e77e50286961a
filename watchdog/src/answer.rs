//! Answers: the body that every mode's responses share, and the watchdog's own refusals and failures.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flint_core::wire::{ERROR_HEADER, ErrorCode};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use crate::report::Status;
use crate::ticket::Ticket;

/// A response's body.
pub enum Answer {
    /// All of it at once.
    Whole(Option<Bytes>),
    /// Frame by frame, from whoever makes them.
    Frames(mpsc::Receiver<Result<Frame<Bytes>, Cut>>),
    /// As it comes from the function's server.
    Passed(Passed),
}

/// A body that is passed on. The request is over when it ends, and its deadline ends it.
pub struct Passed {
    body: Incoming,
    ticket: Option<Ticket>,
    deadline: Pin<Box<Sleep>>,
    status: StatusCode,
}

/// The body ends before its end: the client must not take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut off: {0}")]
pub struct Cut(pub String);

/// The watchdog's own answer: a refusal or a failure.
#[must_use]
pub fn refusal(code: ErrorCode, message: &str, request_id: &str) -> Response<Answer> {
    let body = code.body(message, request_id);
    let mut response = Response::new(Answer::Whole(Some(Bytes::from(body))));
    *response.status_mut() = code.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ERROR_HEADER, HeaderValue::from_static(code.as_str()));
    if code == ErrorCode::TooManyRequests {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

// === impl Passed ===

impl Passed {
    /// A body from the function's server.
    #[must_use]
    pub fn new(body: Incoming, ticket: Ticket, status: StatusCode) -> Self {
        let deadline = Box::pin(tokio::time::sleep_until(ticket.deadline));
        Self { body, ticket: Some(ticket), deadline, status }
    }

    fn end(&mut self, status: Status) {
        if let Some(ticket) = self.ticket.take() {
            ticket.finish(status, self.status);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                // The last frame: nobody may ask for the end.
                if self.body.is_end_stream() {
                    self.end(Status::Success);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.end(Status::Error);
                Poll::Ready(Some(Err(Cut(error.to_string()))))
            }
            Poll::Ready(None) => {
                self.end(Status::Success);
                Poll::Ready(None)
            }
            Poll::Pending if self.deadline.as_mut().poll(context).is_ready() => {
                let message = self.ticket.as_ref().map_or_else(String::new, Ticket::timeout_message);
                self.end(Status::Timeout);
                Poll::Ready(Some(Err(Cut(message))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

// === impl Answer ===

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Frames(frames) => frames.poll_recv(context),
            Self::Passed(passed) => passed.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Frames(_) => false,
            Self::Passed(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Frames(_) => SizeHint::default(),
            Self::Passed(passed) => passed.body.size_hint(),
        }
    }
}
