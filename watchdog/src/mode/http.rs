//! `http` mode: requests pass to a port that serves HTTP, the child's or the container's beside this one.
//!
//! Everything streams both ways and nothing is buffered. HTTP/1.1 goes over kept connections of our own pool; a request that
//! is gRPC goes over HTTP/2 with prior knowledge; an upgrade becomes a tunnel. At the deadline the connection to the server is
//! dropped, which ends the work as far as HTTP can; a child that works on one request at a time is killed and replaced.

mod headers;
mod pool;
mod server;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use flint_core::wire::ErrorCode;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{timeout, timeout_at};

use self::pool::{Pool, SendError};
use crate::answer::{Answer, Passed, refusal};
use crate::child::Handle;
use crate::instance::Instance;
use crate::logs::{Attribution, Pipes};
use crate::mode::worker::end_all;
use crate::report::Status;
use crate::restart::Restarts;
use crate::ticket::{Ticket, Worker};

/// When a connection broke because the child ended, the reaper knows within this.
const CAUSE: Duration = Duration::from_millis(50);

/// The mode.
pub struct Proxy {
    instance: Arc<Instance>,
    pool: Pool,
    child: Mutex<Running>,
    restarts: Mutex<Restarts>,
    /// The last child's end, in words.
    last_end: watch::Sender<Option<String>>,
    /// The port does not answer any more.
    broken: Notify,
}

#[derive(Default)]
struct Running {
    handle: Option<Handle>,
    attribution: Arc<Attribution>,
    pipes: Option<Pipes>,
    /// It has answered, or was killed: not a child that is of no use.
    worked: bool,
    killed: bool,
    stopping: bool,
    /// Time to readiness, until the first request's report has it.
    init: Option<Duration>,
}

// === impl Proxy ===

impl Proxy {
    pub(super) fn new(instance: Arc<Instance>) -> Arc<Self> {
        Arc::new(Self {
            pool: Pool::new(instance.config.upstream_port),
            instance,
            child: Mutex::default(),
            restarts: Mutex::default(),
            last_end: watch::Sender::new(None),
            broken: Notify::new(),
        })
    }

    pub(super) async fn start(self: &Arc<Self>) {
        if self.instance.config.command.is_empty() {
            self.clone().watch_port().await;
        } else {
            self.clone().keep_child().await;
        }
    }

    pub(super) async fn stop(&self, grace: Duration) {
        let handle = {
            let mut child = self.child.lock();
            child.stopping = true;
            child.handle
        };
        let gone = async {
            let mut ended = self.last_end.subscribe();
            while self.child.lock().handle.is_some() {
                let _ = ended.changed().await;
            }
        };
        end_all(handle.as_slice(), grace, gone).await;
    }

    pub(super) async fn call(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
        mut ticket: Ticket,
    ) -> Response<Answer> {
        if timeout_at(ticket.deadline, self.instance.ready()).await.is_err() {
            let response =
                refusal(ErrorCode::StartTimeout, "the function's server was not ready in time", &ticket.id);
            ticket.finish(Status::Timeout, response.status());
            return response;
        }
        let (init, worker) = self.worker();
        ticket.begin(init, worker);
        let upgrade = headers::upgrade(request.headers());
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        headers::to_server(&mut request, upgrade.as_ref());
        let mut ended = self.last_end.subscribe();
        ended.mark_unchanged();
        let sent = if headers::is_grpc(request.headers()) {
            timeout_at(ticket.deadline, self.pool.send_multiplexed(request)).await
        } else {
            timeout_at(ticket.deadline, self.pool.send(request)).await
        };
        match sent {
            Ok(Ok(mut response)) => {
                self.child.lock().worked = true;
                let status = response.status();
                if let Some(client) = client.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS) {
                    tunnel::join(client, hyper::upgrade::on(&mut response), ticket);
                    headers::to_client(response.headers_mut(), upgrade.as_ref());
                    return response.map(|_| Answer::Whole(None));
                }
                headers::to_client(response.headers_mut(), None);
                response.map(|body| Answer::Passed(Passed::new(body, ticket, status)))
            }
            Ok(Err(error)) => {
                let message = self.explain(&error, ended).await;
                let response = refusal(ErrorCode::FunctionFailed, &message, &ticket.id);
                ticket.finish(Status::Error, response.status());
                response
            }
            Err(_) => {
                let response = refusal(ErrorCode::Timeout, &ticket.timeout_message(), &ticket.id);
                self.end_work();
                ticket.finish(Status::Timeout, response.status());
                response
            }
        }
    }

    fn worker(&self) -> (Option<Duration>, Worker) {
        let mut child = self.child.lock();
        let worker =
            Worker { attribution: child.attribution.clone(), pipes: child.pipes.clone(), tail: None };
        (child.init.take(), worker)
    }

    /// The connection is dropped already. A child that works on nothing else is ended too, for who knows what it still does.
    fn end_work(&self) {
        if self.instance.config.concurrency != Some(1) {
            return;
        }
        let handle = {
            let mut child = self.child.lock();
            child.killed = true;
            child.handle
        };
        if let Some(handle) = handle {
            self.instance.set_not_ready("the function's process is starting again");
            self.pool.forget();
            handle.kill();
        }
    }

    /// Why the server did not answer: because its process ended, if it did.
    async fn explain(&self, error: &SendError, mut ended: watch::Receiver<Option<String>>) -> String {
        if matches!(error, SendError::Connect(_)) {
            self.broken.notify_one();
        }
        if !self.instance.config.command.is_empty() && timeout(CAUSE, ended.changed()).await.is_ok() {
            let cause = ended.borrow().clone();
            if let Some(cause) = cause {
                return format!("Runtime.ExitError: {cause}");
            }
        }
        error.to_string()
    }
}
