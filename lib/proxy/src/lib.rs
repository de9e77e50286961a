//! The HTTP engine of the gateway: a runtime per core, hyper at both ends with our own HTTP/1.1 before it, and our own pool of connections. The watchdog has
//! its two ends on the one thread that it has ([`Front`], [`Pool`]).
//!
//! It knows nothing of functions. A program gives it a [`Handler`] per worker; the handler routes, and sends each request
//! to an [`Endpoint`], which is one instance with its kept connections:
//!
//! ```no_run
//! # use std::{rc::Rc, net::SocketAddr};
//! # use flint_proxy::*;
//! # use http::{Request, Response, StatusCode};
//! struct Proxy {
//!     endpoint: Endpoint,
//! }
//!
//! impl Handler for Proxy {
//!     type Body = Body;
//!
//!     async fn handle(self: Rc<Self>, mut request: Request<RequestBody>, connection: Rc<Connection>) -> Response<Body> {
//!         let Ok(passage) = forward::request(&mut request, &connection) else {
//!             return status(StatusCode::BAD_REQUEST);
//!         };
//!         match self.endpoint.send(request.map(Body::incoming)).await {
//!             Ok(mut response) => {
//!                 forward::answer(&mut response, passage);
//!                 response
//!             }
//!             Err(_) => status(StatusCode::BAD_GATEWAY),
//!         }
//!     }
//! }
//!
//! # fn status(status: StatusCode) -> Response<Body> {
//! #     let mut response = Response::new(Body::empty());
//! #     *response.status_mut() = status;
//! #     response
//! # }
//! # async fn example(listen: SocketAddr, instance: SocketAddr) -> Result<(), WorkerError> {
//! let workers = Workers::bind(WorkersConfig::new(listen))?;
//! let handler = move |worker: Rc<Worker>| {
//!     let pool = Pool::start(PoolConfig::default(), worker.timers().clone());
//!     Proxy { endpoint: pool.endpoint(instance) }
//! };
//! workers.run(handler, std::future::pending()).await
//! # }
//! ```
//!
//! Everything a worker makes stays on its thread: nothing here is `Send`, and nothing on a request's way takes a lock.

mod activity;
mod body;
mod connection;
mod endpoint;
mod exec;
pub mod forward;
mod front;
mod gate;
mod guard;
mod io;
mod lane;
mod listener;
mod multiplex;
mod pool;
mod replay;
mod send;
mod serve;
mod stock;
mod target;
mod timeout;
mod unreadable;
pub mod upgrade;
mod upstream;
mod wire;
mod worker;

pub use self::{
    body::{Body, BodyError, BoxError, RequestBody},
    connection::{Connection, Limits, Protocol},
    endpoint::{Endpoint, EndpointStats, Sending},
    front::Front,
    guard::{End, Guard, Guarded},
    pool::{Pool, PoolConfig},
    replay::{REPLAY_BUFFER, Replay},
    send::{Fault, NotSent, NotSentReason, SendError},
    serve::Handler,
    timeout::{Elapsed, TICK, Timeout, Timers},
    wire::{Added, Malformed},
    worker::{Worker, WorkerError, Workers, WorkersConfig},
};
