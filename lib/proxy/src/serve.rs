//! One client connection: what is plain HTTP/1.1 in the lane, everything else by hyper, HTTP/1.1 or HTTP/2 by its first bytes. Each
//! request is handed to the handler.

use std::{
    convert::Infallible,
    error::Error as StdError,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;

use crate::{
    body::{BoxError, RequestBody},
    connection::{Command, Connection, Connections, Limits, Protocol},
    exec::LocalExec,
    io::{ClientIo, Transport},
    lane,
    stock::{Place, Spares},
};

/// Answers requests. There is one per worker, on its thread, so it may hold `Rc`s and need not be `Send`.
///
/// When the client goes away the future is dropped: what it must not leave undone belongs into a guard.
pub trait Handler: 'static {
    /// The answers' bodies; [`crate::Guarded`] to be told of their end.
    type Body: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin + 'static;

    /// Answers one request.
    fn handle(
        self: Rc<Self>,
        request: Request<RequestBody>,
        connection: Rc<Connection>,
    ) -> impl Future<Output = Response<Self::Body>> + 'static;

    /// The answer to an HTTP/1.1 head that cannot be read, in the place of one with nothing but the status: header fields and
    /// body are taken, and the connection ends after it. The status is 400, 414 or 431.
    #[must_use]
    fn unreadable(_status: StatusCode) -> Option<Response<Bytes>> {
        None
    }
}

/// Who answers a worker's requests, and where that is done: what it takes is many times what a connection does that waits.
pub(crate) struct Service<H, M, F> {
    handler: Rc<H>,
    /// [`Handler::handle`], whose future has no name.
    make: M,
    places: Spares<Place<F>>,
}

/// A [`Service`], with names for the types that it is made of.
pub(crate) trait Serve: 'static {
    type Handler: Handler;
    type Future: Future<Output = Response<<Self::Handler as Handler>::Body>> + 'static;

    fn handler(&self) -> &Rc<Self::Handler>;
    /// What answers the request.
    fn handle(&self, request: Request<RequestBody>, connection: &Rc<Connection>) -> Self::Future;
    /// Where that is done.
    fn places(&self) -> &Spares<Place<Self::Future>>;
}

/// Counts a request as in flight until its answer is written or given up.
struct Tracked<B> {
    body: B,
    _flight: Flight,
}

/// A request in flight on a connection.
pub(crate) struct Flight(Rc<Connection>);

pin_project! {
    /// hyper's connection, which also obeys the sweep and the drain.
    struct Obedient<C> {
        #[pin]
        inner: C,
        connection: Rc<Connection>,
        closing: bool,
    }
}

/// What hyper's two kinds of connections have in common.
trait Closing {
    fn graceful(self: Pin<&mut Self>);
}

/// Serves a connection to its end.
pub(crate) async fn serve<S: Serve, T: Transport>(
    stream: T,
    service: &S,
    connection: Rc<Connection>,
    connections: &Connections,
) {
    let mut io = ClientIo::new(stream, Arc::clone(&connection.activity), S::Handler::unreadable);
    let left = until_dropped(&connection, lane::serve(&mut io, service, &connection, connections)).await;
    if let Some(lane::Left::ToHyper { first }) = left {
        // What it needs is many times what the lane does.
        let handler = Rc::clone(service.handler());
        Box::pin(serve_by_hyper(io, handler, connection, connections, first)).await;
    }
}

/// The same without the lane; `first` says that nothing has been served on the connection, so that it may speak HTTP/2.
pub(crate) async fn serve_by_hyper<H: Handler, T: Transport>(
    mut io: ClientIo<T>,
    handler: Rc<H>,
    connection: Rc<Connection>,
    connections: &Connections,
    first: bool,
) {
    // The sweep must be able to end a connection that never says a word.
    let detected = if first { listening(&connection, io.speaks_http2()).await } else { Some(Ok(false)) };
    let Some(Ok(http2)) = detected else { return };
    let service = service_fn({
        let connection = Rc::clone(&connection);
        move |request| answer(Rc::clone(&handler), request, Rc::clone(&connection))
    });
    let outcome = if http2 {
        connection.set_protocol(Protocol::Http2);
        let inner = http2_builder(connections.limits()).serve_connection(TokioIo::new(io), service);
        Obedient::new(inner, &connection).await
    } else {
        let inner =
            http1_builder(connections.limits()).serve_connection(TokioIo::new(io), service).with_upgrades();
        Obedient::new(inner, &connection).await
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %connection.peer(), error = error_chain(&error), "client connection ended");
    }
}

async fn answer<H: Handler>(
    handler: Rc<H>,
    request: Request<Incoming>,
    connection: Rc<Connection>,
) -> Result<Response<Tracked<H::Body>>, Infallible> {
    let flight = Flight::begin(&connection);
    let response = handler.handle(request.map(RequestBody::from), connection).await;
    Ok(response.map(|body| Tracked { body, _flight: flight }))
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The sweep sees to slow heads: hyper's own timer would be set anew for each request.
    builder.header_read_timeout(None).max_header_size(limits.header_bytes);
    // The socket sees to clients that go: see `ClientIo`.
    builder.half_close(true);
    if limits.headers != Limits::default().headers {
        builder.max_headers(limits.headers);
    }
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<LocalExec> {
    let mut builder = http2::Builder::new(LocalExec);
    // Windows of an upload over a path of 50 ms at 40 Mbit/s; a client can make us hold one MiB.
    builder
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}

/// Polls a future until it is done or the connection is told to end, and what is here already does not get it done.
async fn listening<F: Future>(connection: &Connection, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let command = connection.listen(cx);
        if command == Command::Drop {
            return Poll::Ready(None);
        }
        match future.as_mut().poll(cx) {
            Poll::Pending if command == Command::Close => Poll::Ready(None),
            output => output.map(Some),
        }
    })
    .await
}

/// Polls a future, which knows itself how to end in good order, until it is done or the connection is to end at once.
async fn until_dropped<F: Future>(connection: &Connection, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match connection.listen(cx) {
        Command::GoOn | Command::Close => future.as_mut().poll(cx).map(Some),
        Command::Drop => Poll::Ready(None),
    })
    .await
}

fn error_chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

// === impl Service ===

impl<H: Handler, M, F> Service<H, M, F>
where
    M: Fn(Rc<H>, Request<RequestBody>, Rc<Connection>) -> F,
    F: Future<Output = Response<H::Body>>,
{
    /// A service of `handler`; `make` is its [`Handler::handle`].
    pub(crate) fn new(handler: Rc<H>, make: M) -> Rc<Self> {
        Rc::new(Self { handler, make, places: Spares::default() })
    }
}

impl<H: Handler, M, F> Serve for Service<H, M, F>
where
    M: Fn(Rc<H>, Request<RequestBody>, Rc<Connection>) -> F + 'static,
    F: Future<Output = Response<H::Body>> + 'static,
{
    type Handler = H;
    type Future = F;

    fn handler(&self) -> &Rc<H> {
        &self.handler
    }

    fn handle(&self, request: Request<RequestBody>, connection: &Rc<Connection>) -> F {
        (self.make)(Rc::clone(&self.handler), request, Rc::clone(connection))
    }

    fn places(&self) -> &Spares<Place<F>> {
        &self.places
    }
}

// === impl Obedient ===

impl<C> Obedient<C> {
    fn new(inner: C, connection: &Rc<Connection>) -> Self {
        Self { inner, connection: Rc::clone(connection), closing: false }
    }
}

impl<C: Future<Output = hyper::Result<()>> + Closing> Future for Obedient<C> {
    type Output = hyper::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        match this.connection.listen(cx) {
            Command::GoOn => {}
            Command::Close if *this.closing => {}
            Command::Close => {
                *this.closing = true;
                // What the lane has read is a request to hyper only once it was polled, and without one it would close at once.
                if let Poll::Ready(outcome) = this.inner.as_mut().poll(cx) {
                    return Poll::Ready(outcome);
                }
                this.inner.as_mut().graceful();
            }
            Command::Drop => return Poll::Ready(Ok(())),
        }
        this.inner.poll(cx)
    }
}

impl<T, S, B> Closing for http1::UpgradeableConnection<TokioIo<ClientIo<T>>, S>
where
    T: Transport,
    S: hyper::service::HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    B: HttpBody<Error: Into<BoxError>> + 'static,
{
    fn graceful(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<T, S, B> Closing for http2::Connection<TokioIo<ClientIo<T>>, S, LocalExec>
where
    T: Transport,
    S: hyper::service::HttpService<Incoming, ResBody = B, Future: 'static>,
    S::Error: Into<BoxError>,
    B: HttpBody<Data: 'static, Error: Into<BoxError>> + 'static,
{
    fn graceful(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

// === impl Tracked ===

impl<B: HttpBody + Unpin> HttpBody for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

// === impl Flight ===

impl Flight {
    pub(crate) fn begin(connection: &Rc<Connection>) -> Self {
        connection.activity.begin();
        Self(Rc::clone(connection))
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.activity.end();
    }
}

#[cfg(test)]
mod tests;
