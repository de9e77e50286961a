//! `http` mode: requests pass to a port that serves HTTP, the child's or the container's beside this one.
//!
//! Everything streams both ways, and no more is held than has come anyway. HTTP/1.1 goes over kept connections, which requests that
//! are here whole drive themselves, without a task between; a request that is gRPC goes over HTTP/2 with prior knowledge; an upgrade
//! becomes a tunnel. At the deadline the connection to the server is dropped, which ends the work as far as HTTP can; a child that works
//! on one request at a time is killed and replaced.

mod headers;
mod pool;
mod server;
mod tunnel;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flint_core::wire::ErrorCode;
use flint_proxy::{Body, NotSentReason, SendError, Timers};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Body as _;
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use self::pool::Pool;
use crate::answer::{Answer, Outgoing, Passed, in_full, refusal};
use crate::child::Handle;
use crate::gate::NO_LIMIT;
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
    timers: Timers,
    pool: Pool,
    child: Mutex<Running>,
    restarts: Mutex<Restarts>,
    /// The last child's end, in words.
    last_end: watch::Sender<Option<String>>,
    /// How many have ended.
    ends: Cell<u64>,
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
    pub(super) fn new(instance: Arc<Instance>) -> Rc<Self> {
        let timers = Timers::start();
        let limit = instance.config.concurrency.unwrap_or(NO_LIMIT);
        Rc::new(Self {
            pool: Pool::new(instance.config.upstream_port, limit, &timers),
            timers,
            instance,
            child: Mutex::default(),
            restarts: Mutex::default(),
            last_end: watch::Sender::new(None),
            ends: Cell::new(0),
            broken: Notify::new(),
        })
    }

    pub(super) async fn start(self: &Rc<Self>) {
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

    pub(super) async fn call(&self, mut request: Request<Body>, mut ticket: Ticket) -> Response<Outgoing> {
        if !self.instance.is_ready()
            && self.timers.timeout(ticket.deadline, self.instance.ready()).await.is_err()
        {
            let response =
                refusal(ErrorCode::StartTimeout, "the function's server was not ready in time", &ticket.id);
            ticket.finish(Status::Timeout, response.status());
            return response.map(Outgoing::Ours);
        }
        let (init, worker) = self.worker();
        ticket.begin(init, worker);
        let upgrade = headers::to_server(&mut request);
        let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let ends = self.ends.get();
        let sent = self.timers.timeout(ticket.deadline, self.pool.send(request)).await;
        let (response, status) = match sent {
            Ok(Ok(response)) => return self.pass(response, ticket, upgrade.zip(client)),
            Ok(Err(error)) => {
                let message = self.explain(&error, ends).await;
                (refusal(ErrorCode::FunctionFailed, &message, &ticket.id), Status::Error)
            }
            Err(_) => {
                self.end_work();
                (refusal(ErrorCode::Timeout, &ticket.timeout_message(), &ticket.id), Status::Timeout)
            }
        };
        ticket.finish(status, response.status());
        response.map(Outgoing::Ours)
    }

    /// Passes the server's answer on.
    fn pass(
        &self,
        mut response: Response<Body>,
        ticket: Ticket,
        upgrade: Option<(HeaderValue, OnUpgrade)>,
    ) -> Response<Outgoing> {
        self.child.lock().worked = true;
        let status = response.status();
        // What the gateway speaks is known where it is spoken.
        *response.version_mut() = Version::HTTP_11;
        if let Some((asked, client)) = upgrade.filter(|_| status == StatusCode::SWITCHING_PROTOCOLS) {
            tunnel::join(client, hyper::upgrade::on(&mut response), ticket);
            headers::to_client(response.headers_mut(), Some(&asked));
            return response.map(|_| Outgoing::Ours(Answer::Whole(None)));
        }
        headers::to_client(response.headers_mut(), None);
        if response.body().is_end_stream() {
            ticket.finish(Status::Success, status);
            return response.map(|_| Outgoing::Ours(Answer::Whole(None)));
        }
        response
            .map(|body| Outgoing::Passed(Box::new(Passed::new(body, ticket, self.timers.clone(), status))))
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
    async fn explain(&self, error: &SendError, ends: u64) -> String {
        let nobody = matches!(error, SendError::NotSent(not_sent) if matches!(not_sent.reason, NotSentReason::Connect(_)));
        if nobody {
            self.broken.notify_one();
        }
        if !self.instance.config.command.is_empty() {
            let mut ended = self.last_end.subscribe();
            let known = self.ends.get() != ends || timeout(CAUSE, ended.changed()).await.is_ok();
            let cause = ended.borrow().clone().filter(|_| known);
            if let Some(cause) = cause {
                return format!("Runtime.ExitError: {cause}");
            }
        }
        match error {
            SendError::NotSent(not_sent) if nobody => {
                format!("the function's server refused the connection: {}", in_full(&not_sent.reason))
            }
            SendError::NotSent(not_sent) => {
                format!("the request did not reach the function's server: {}", in_full(&not_sent.reason))
            }
            SendError::Body(_) => "the request's body broke off".to_owned(),
            _ => format!("the function's server broke off: {}", in_full(error)),
        }
    }
}
