//! Answers: the body that every mode's responses share, and the watchdog's own refusals and failures.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flint_core::wire::{ERROR_HEADER, ErrorCode};
use flint_proxy::Timers;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::report::Status;
use crate::ticket::Ticket;

/// The body of an answer that is made here.
pub enum Answer {
    /// All of it at once.
    Whole(Option<Bytes>),
    /// Frame by frame, from whoever makes them.
    Frames(mpsc::Receiver<Result<Frame<Bytes>, Cut>>),
}

/// The body of any answer.
pub enum Outgoing {
    /// Made here.
    Ours(Answer),
    /// As it comes from the function's server.
    Passed(Box<Passed>),
}

/// A body that is passed on. The request is over when it ends, and its deadline ends it.
pub struct Passed {
    body: flint_proxy::Body,
    ticket: Option<Ticket>,
    timers: Timers,
    /// Set when the body is waited for.
    deadline: Option<Pin<Box<dyn Future<Output = ()>>>>,
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
    pub fn new(body: flint_proxy::Body, ticket: Ticket, timers: Timers, status: StatusCode) -> Self {
        Self { body, ticket: Some(ticket), timers, deadline: None, status }
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
                Poll::Ready(Some(Err(Cut(in_full(&error)))))
            }
            Poll::Ready(None) => {
                self.end(Status::Success);
                Poll::Ready(None)
            }
            Poll::Pending if self.is_late(context) => {
                let message = self.ticket.as_ref().map_or_else(String::new, Ticket::timeout_message);
                self.end(Status::Timeout);
                // What still comes has nobody to go to.
                self.body = flint_proxy::Body::empty();
                Poll::Ready(Some(Err(Cut(message))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let Some(ticket) = &self.ticket else { return false };
        let (timers, deadline) = (&self.timers, ticket.deadline);
        let sleep = self.deadline.get_or_insert_with(|| {
            let timers = timers.clone();
            Box::pin(async move { timers.sleep_until(deadline).await })
        });
        sleep.as_mut().poll(context).is_ready()
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
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Frames(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Frames(_) => SizeHint::default(),
        }
    }
}

// === impl Outgoing ===

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Ours(answer) => Pin::new(answer).poll_frame(context),
            Self::Passed(passed) => passed.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Ours(answer) => answer.is_end_stream(),
            Self::Passed(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Ours(answer) => answer.size_hint(),
            Self::Passed(passed) => passed.body.size_hint(),
        }
    }
}

/// An error with its causes, for where nobody follows them.
#[must_use]
pub fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // hyper's errors and ours may say what their cause says.
        let said = error.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
