//! One instance as a worker sees it: sends a request on a kept connection, and says exactly what became of it.

use std::{fmt, net::SocketAddr, rc::Rc};

use http::{Request, Response, Version};

use crate::{
    body::Body,
    replay::Attempt,
    send::{NotSentReason, SendError},
    target,
    upstream::{Lease, Upstream},
};

/// One instance, as one worker sees it. Clones are the same endpoint.
#[derive(Clone)]
pub struct Endpoint {
    upstream: Rc<Upstream>,
}

/// What an endpoint has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Connections opened.
    pub connects: u64,
    /// Requests sent on a connection that was there already.
    pub reused: u64,
    /// Connections now open or coming up, busy or idle.
    pub open: usize,
    /// HTTP/1.1 connections now idle.
    pub idle: usize,
}

// === impl Endpoint ===

impl Endpoint {
    pub(crate) fn new(upstream: Rc<Upstream>) -> Self {
        Self { upstream }
    }

    /// Where the instance is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.upstream.address()
    }

    /// Sends a request and waits for the head of its answer; the answer's body streams.
    ///
    /// The request goes by HTTP/2 if its version says so, otherwise by HTTP/1.1. It must have been through
    /// [`crate::forward::request`] or be as clean: a path and a `host`. A body of an attempt that wants it is held back
    /// until the instance says `100 Continue` (HTTP/1.1 only).
    ///
    /// Dropping the future ends the request: its connection is closed, or its stream is reset.
    ///
    /// # Errors
    ///
    /// See [`SendError`]: what may be tried again follows from the variant.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, SendError> {
        if self.upstream.is_closed() {
            return Err(SendError::not_sent(request, NotSentReason::Closed));
        }
        // What few requests need is boxed: a future is as large as its largest branch, and is moved when it is made.
        if request.version() == Version::HTTP_2 {
            Box::pin(self.send_on_stream(request)).await
        } else {
            self.send_alone(request).await
        }
    }

    /// Opens a connection ahead of its first request, to be found idle by it.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn warm(&self) -> Result<(), NotSentReason> {
        let mut kept = self.upstream.connect().await?;
        kept.sender.ready().await.map_err(NotSentReason::Ended)?;
        self.upstream.keep(kept);
        Ok(())
    }

    /// The instance went away: idle connections close at once, requests in flight finish, and no new ones start.
    pub fn close(&self) {
        self.upstream.close();
    }

    /// Whether [`Self::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.upstream.is_closed()
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        self.upstream.stats()
    }

    async fn send_alone(&self, mut request: Request<Body>) -> Result<Response<Body>, SendError> {
        let upstream = &self.upstream;
        target::origin_form(&mut request);
        loop {
            let mut kept = match upstream.checkout() {
                Some(kept) => kept,
                None => match Box::pin(upstream.connect()).await {
                    Ok(kept) => kept,
                    Err(reason) => return Err(SendError::not_sent(request, reason)),
                },
            };
            let reused = std::mem::replace(&mut kept.used, true);
            let attempt = request.body().as_attempt();
            let recall = attempt.map(Attempt::recall);
            let gate = attempt.and_then(|attempt| attempt.gate().cloned());
            if let Some(gate) = &gate {
                target::expect_continue(&mut request, gate);
            }
            let before = kept.received();
            let sending = kept.sender.try_send_request(request);
            let outcome = match gate {
                None => sending.await,
                Some(gate) => Box::pin(upstream.send_behind(&gate, sending)).await,
            };
            let mut error = match outcome {
                Ok(response) => {
                    upstream.count(reused);
                    let lease = Lease::of_connection(upstream, kept, recall);
                    return Ok(response.map(|incoming| Body::answer(incoming, lease)));
                }
                Err(error) => error,
            };
            let Some(back) = error.take_message() else {
                let answered = kept.received() != before;
                return Err(SendError::written(error.into_error(), reused, answered));
            };
            if let Some(recall) = recall {
                recall.forgo();
            }
            if !reused {
                return Err(SendError::not_sent(back, NotSentReason::Ended(error.into_error())));
            }
            // An idle connection that just ended: the next one, and at last a new one.
            request = back;
        }
    }

    async fn send_on_stream(&self, mut request: Request<Body>) -> Result<Response<Body>, SendError> {
        let upstream = &self.upstream;
        target::absolute_form(&mut request, upstream.address());
        loop {
            let stream = match upstream.stream().await {
                Ok(stream) => stream,
                Err(reason) => return Err(SendError::not_sent(request, reason)),
            };
            let attempt = request.body().as_attempt();
            let recall = attempt.map(Attempt::recall);
            if let Some(gate) = attempt.and_then(Attempt::gate) {
                // hyper's HTTP/2 client passes no informational answers on: flow control holds a long body back instead.
                gate.open();
            }
            let reused = stream.reused();
            let outcome = stream.sender().try_send_request(request).await;
            let mut error = match outcome {
                Ok(response) => {
                    upstream.count(reused);
                    let lease = Lease::of_stream(stream, recall);
                    return Ok(response.map(|incoming| Body::answer(incoming, lease)));
                }
                Err(error) => error,
            };
            let Some(back) = error.take_message() else {
                return Err(SendError::written(error.into_error(), reused, false));
            };
            if let Some(recall) = recall {
                recall.forgo();
            }
            if !reused {
                return Err(SendError::not_sent(back, NotSentReason::Ended(error.into_error())));
            }
            request = back;
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.address()).field("stats", &self.stats()).finish()
    }
}
