//! One instance as a worker sees it: sends a request on a kept connection, and says exactly what became of it.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, Version, header, request::Parts, uri::PathAndQuery};

use crate::{
    body::Body,
    replay::{Attempt, Replay},
    send::{Fault, NotSentReason, SendError},
    target,
    upstream::{Lease, Upstream},
    wire::{Added, Broken, Exchange},
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

/// A request on its way: see [`Endpoint::lend`].
pub struct Sending {
    exchange: Exchange,
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
            return Box::pin(self.send_on_stream(request)).await;
        }
        match request.body().whole() {
            Some(body) if !request.headers().contains_key(header::UPGRADE) => {
                self.send_whole(request, body).await
            }
            _ => Box::pin(self.send_alone(request)).await,
        }
    }

    /// Sends a request that stays with the caller, with some fields that its map does not have, if that can be done at once: its
    /// body is here whole, it asks for no other protocol, and a connection is idle. Otherwise none: [`Self::send`] does the rest.
    ///
    /// It goes by HTTP/1.1 to that path with its query, a part of a valid target that begins with a slash, and must be as clean
    /// as for [`Self::send`]. The body is the next attempt of `body`.
    #[must_use]
    pub fn lend(&self, parts: &Parts, path: &str, added: Added<'_>, body: &Replay) -> Option<Sending> {
        if self.upstream.is_closed() || parts.headers.contains_key(header::UPGRADE) {
            return None;
        }
        let body = body.loan()?;
        let exchange = self.start(parts, path, added, &body)?;
        Some(Sending { exchange })
    }

    /// Opens a connection ahead of its first request, to be found idle by it.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn warm(&self) -> Result<(), NotSentReason> {
        let wire = self.upstream.connect_wire().await?;
        self.upstream.keep_wire(wire);
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

    /// Puts a request on its way on an idle connection, if there is one that takes it.
    fn start(&self, parts: &Parts, path: &str, added: Added<'_>, body: &Bytes) -> Option<Exchange> {
        loop {
            let mut wire = self.upstream.checkout_wire()?;
            // What has just been closed takes nothing: the next one.
            if wire.start(parts, path, added, body.clone(), &mut self.upstream.scratch()).is_ok() {
                return Some(Exchange::new(wire, Rc::clone(&self.upstream), parts.method.clone(), true));
            }
        }
    }

    async fn send_whole(&self, request: Request<Body>, body: Bytes) -> Result<Response<Body>, SendError> {
        let upstream = &self.upstream;
        let (parts, original) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        loop {
            let exchange = match self.start(&parts, path, &[], &body) {
                Some(exchange) => exchange,
                None => {
                    let fresh = match Box::pin(upstream.connect_wire()).await {
                        Ok(mut wire) => wire
                            .start(&parts, path, &[], body.clone(), &mut upstream.scratch())
                            .map(|()| wire)
                            .map_err(|error| NotSentReason::Ended(Fault::Io(error))),
                        Err(reason) => Err(reason),
                    };
                    match fresh {
                        Ok(wire) => Exchange::new(wire, Rc::clone(upstream), parts.method.clone(), false),
                        Err(reason) => {
                            return Err(SendError::not_sent(Request::from_parts(parts, original), reason));
                        }
                    }
                }
            };
            let reused = exchange.reused();
            match exchange.await.map_err(|broken| broken.told(reused)) {
                Ok(response) => return Ok(response),
                Err(Ok(error)) => return Err(error),
                // An idle connection that just ended: the next one, and at last a new one.
                Err(Err(_)) if reused => {}
                Err(Err(fault)) => {
                    let reason = NotSentReason::Ended(fault);
                    return Err(SendError::not_sent(Request::from_parts(parts, original), reason));
                }
            }
        }
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
                return Err(SendError::not_sent(back, NotSentReason::Ended(error.into_error().into())));
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
                return Err(SendError::not_sent(back, NotSentReason::Ended(error.into_error().into())));
            }
            request = back;
        }
    }
}

// === impl Sending ===

impl Future for Sending {
    type Output = Result<Response<Body>, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.exchange).poll(cx));
        let told = |broken: Broken| match broken.told(true) {
            Ok(error) => error,
            Err(fault) => SendError::not_sent_of_loan(NotSentReason::Ended(fault)),
        };
        Poll::Ready(outcome.map_err(told))
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("address", &self.address()).field("stats", &self.stats()).finish()
    }
}
