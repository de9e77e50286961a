//! What can become of a request that is sent to an instance, told so that the retry table can be followed to the letter.

use std::{error::Error as StdError, io, time::Duration};

use http::Request;

use crate::{
    body::{Body, BodyError},
    wire::Malformed,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing of the request was written. It is given back, to go anywhere.
    #[error("not sent: {}", .0.reason)]
    NotSent(Box<NotSent>),
    /// The connection ended before any byte of the answer came. The instance may have seen the request.
    #[error("the connection ended before the answer")]
    NoAnswer {
        /// The connection had served a request before.
        reused: bool,
        /// The instance itself said that it did nothing with the request (HTTP/2: a refused stream, or one after its
        /// GOAWAY), so that it may go elsewhere whatever its method, if its body is intact.
        refused: bool,
        /// What happened to the connection.
        #[source]
        source: Fault,
    },
    /// The answer began and broke off within its head, or is not HTTP.
    #[error("the answer is not one")]
    BadAnswer(#[source] Fault),
    /// The request's own body failed while it was sent: see [`SendError::body`].
    #[error("the request's body failed")]
    Body(#[source] hyper::Error),
}

/// What can happen to a connection.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The other end closed it.
    #[error("it was closed")]
    Closed,
    /// It broke.
    #[error("it broke")]
    Io(#[source] io::Error),
    /// What came on it is no answer.
    #[error("what came is no answer")]
    Malformed(#[from] Malformed),
    /// What hyper says, of requests that are its own to send.
    #[error(transparent)]
    Hyper(#[from] hyper::Error),
}

/// A request that was not sent.
#[derive(Debug)]
pub struct NotSent {
    /// As it was given to [`crate::Endpoint::send`]; none where it was only lent ([`crate::Endpoint::lend`]).
    pub request: Option<Request<Body>>,
    /// Why it was not.
    pub reason: NotSentReason,
}

/// Why a request was not sent.
#[derive(Debug, thiserror::Error)]
pub enum NotSentReason {
    /// The endpoint was closed: its instance went away.
    #[error("the endpoint is closed")]
    Closed,
    /// The endpoint has as many connections as it may.
    #[error("the endpoint has no room for a connection")]
    NoRoom,
    /// The instance did not take the connection.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The instance did not take the connection in time.
    #[error("no connection after {0:?}")]
    ConnectTimeout(Duration),
    /// The connection was new and ended before the request was written.
    #[error("the new connection ended at once")]
    Ended(#[source] Fault),
}

// === impl SendError ===

impl SendError {
    /// The error of the request's body, if it was that.
    #[must_use]
    pub fn body(&self) -> Option<&BodyError> {
        match self {
            Self::Body(error) => cause(error),
            _ => None,
        }
    }

    pub(crate) fn not_sent(request: Request<Body>, reason: NotSentReason) -> Self {
        Self::NotSent(Box::new(NotSent { request: Some(request), reason }))
    }

    pub(crate) fn not_sent_of_loan(reason: NotSentReason) -> Self {
        Self::NotSent(Box::new(NotSent { request: None, reason }))
    }

    /// Reads hyper's error of a request that was at least partly written.
    pub(crate) fn written(source: hyper::Error, reused: bool, answered: bool) -> Self {
        if cause::<BodyError>(&source).is_some() {
            return Self::Body(source);
        }
        if answered || source.is_parse() {
            return Self::BadAnswer(source.into());
        }
        let refused = cause::<h2::Error>(&source).is_some_and(refused);
        Self::NoAnswer { reused, refused, source: source.into() }
    }
}

/// Streams after a GOAWAY's last one and streams refused by their own reset were not processed (RFC 9113, 8.7).
fn refused(error: &h2::Error) -> bool {
    error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM)
}

fn cause<E: StdError + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        source = error.source();
    }
    None
}
