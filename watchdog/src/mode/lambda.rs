//! `lambda` mode: requests become invocations, which children fetch from the Lambda Runtime API.
//!
//! # Who gets which invocation
//!
//! Each child has a Runtime API of its own, on a port of its own. So the watchdog knows which child it speaks to: whose crash
//! fails which invocation, whom the deadline ends, whose lines belong to which request. Published clients notice nothing.
//!
//! An invocation goes to the first child that has a poll parked, or waits in line. The line is as long as the function's
//! concurrency at most, for admission comes first.
//!
//! # Concurrency above one
//!
//! Clients differ. Some take several invocations at once when `AWS_LAMBDA_MAX_CONCURRENCY` says so (aws-lambda-go, Flint's
//! client for Node, the Rust crate's concurrent runner); most poll once, work, and poll again. Both work without being told
//! apart: the variable is set to the function's concurrency, a child gets as many invocations as it has polls parked, and when
//! invocations wait although every child is busy, another child is started, up to one for each. A client that forks one worker
//! for each (awslambdaric) does better as several children, where a timeout ends one worker and not all; a Runtime that has
//! such a client sets `AWS_LAMBDA_MAX_CONCURRENCY` to `1` in its image or environment, and the variable is not raised then.
//!
//! # The end of an invocation
//!
//! An answer, an error, the child's end, or the deadline, whichever is first: whoever takes the invocation out of the table
//! answers it, and everybody later finds nothing. A child that works on one invocation is killed at its deadline. One that works
//! on several gets nothing new, is replaced, and is killed when the others are done, which their own deadlines bound.
//! A client that has gone does not end an invocation: as with Lambda, it runs on.

mod api;
mod beside;
mod children;
mod environment;
mod outcome;
mod said;
mod stream;
mod table;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use flint_core::event::{Context, event_from_request};
use flint_core::wire::{self, ErrorCode};
use flint_proxy::Body;
use http::header::EXPECT;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Body as _;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

pub(crate) use self::environment::defaults;
use self::outcome::Kind;
use self::said::Said;
use self::table::{Invocation, Table};
use crate::answer::{Answer, refusal};
use crate::instance::Instance;
use crate::logs::Tail;
use crate::mode::worker::end_all;
use crate::report::Status;
use crate::restart::Restarts;
use crate::ticket::Ticket;

/// What Lambda takes and gives at most in one piece: 6 MiB and a little for the envelope.
const LARGEST_PAYLOAD: usize = 6_291_556;
/// What is too large is read away up to this.
const READ_AWAY: usize = 64 * 1024 * 1024;
/// Children and parked polls of a function without a limit of its own.
const NO_LIMIT: usize = 100;

/// The mode.
pub struct Lambda {
    instance: Arc<Instance>,
    /// The function's name as each event has it.
    arn: Option<HeaderValue>,
    table: Mutex<Table>,
    restarts: Mutex<Restarts>,
    /// An earlier deadline than the one that is waited for has come.
    earlier_deadline: Notify,
    /// A child has ended.
    child_gone: Notify,
}

// === impl Lambda ===

impl Lambda {
    pub(super) fn new(instance: Arc<Instance>) -> Arc<Self> {
        Arc::new(Self {
            arn: HeaderValue::try_from(environment::arn(&instance.config)).ok(),
            instance,
            table: Mutex::default(),
            restarts: Mutex::default(),
            earlier_deadline: Notify::new(),
            child_gone: Notify::new(),
        })
    }

    pub(super) fn start(self: &Arc<Self>) {
        self.instance.set_not_ready("the function's process is starting");
        match self.instance.config.runtime_api_port {
            Some(port) => drop(tokio::spawn(beside::live(self.clone(), port))),
            None => self.start_child(),
        }
        tokio::spawn(self.clone().watch_deadlines());
    }

    pub(super) async fn stop(&self, grace: Duration) {
        let handles = self.table.lock().retire_all();
        if self.instance.config.runtime_api_port.is_some() {
            // Kubelet ends the container beside us, when its preStop hook has heard that we are done.
            return;
        }
        let gone = async {
            loop {
                let gone = self.child_gone.notified();
                if self.table.lock().is_childless() {
                    return;
                }
                gone.await;
            }
        };
        end_all(&handles, grace, gone).await;
    }

    pub(super) async fn call(self: &Arc<Self>, request: Request<Body>, ticket: Ticket) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let said = Said::look(&parts.headers);
        let kind = said.kind();
        let body = match self.read(&parts.headers, body, &ticket).await {
            Ok(body) => body,
            Err((code, message)) => return refuse(ticket, code, &message),
        };
        let event = match kind {
            Kind::Raw | Kind::Stream if body.is_empty() => Bytes::from_static(b"{}"),
            Kind::Raw | Kind::Stream => body,
            Kind::Http(format) => {
                let route = match self.route(&parts) {
                    Ok(route) => route,
                    Err(message) => return refuse(ticket, ErrorCode::NoRoute, &message),
                };
                let context = Context {
                    request_id: &ticket.id,
                    function: &self.instance.config.identity.function,
                    time: jiff::Timestamp::now(),
                    route,
                };
                match event_from_request(format, &parts, &body, context) {
                    Ok(event) => Bytes::from(event),
                    Err(error) => return refuse(ticket, ErrorCode::BadRequest, &error.to_string()),
                }
            }
        };
        if event.len() > LARGEST_PAYLOAD {
            return refuse(ticket, ErrorCode::RequestTooLarge, &too_large());
        }
        let id = ticket.id.clone();
        let (reply, answer) = oneshot::channel();
        self.submit(Invocation {
            id: id.clone(),
            event,
            kind,
            deadline_ms: unix_ms(ticket.deadline),
            trace: said.trace(),
            client_context: said.client_context.cloned(),
            tail: said.log_type.is_some_and(|value| value == "Tail").then(Arc::<Tail>::default),
            ticket,
            reply,
        });
        answer.await.unwrap_or_else(|_| refusal(ErrorCode::FunctionFailed, "the instance ended", &id))
    }

    /// Reads the body. One that is said to be too large is not asked for; one that comes unasked is read away, so that the
    /// refusal is read instead of a broken connection.
    async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        ticket: &Ticket,
    ) -> Result<Bytes, (ErrorCode, String)> {
        let refused = || (ErrorCode::RequestTooLarge, too_large());
        if body.size_hint().lower() > LARGEST_PAYLOAD as u64 && headers.contains_key(EXPECT) {
            return Err(refused());
        }
        match timeout_at(ticket.deadline, Limited::new(&mut body, LARGEST_PAYLOAD).collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let _ = timeout_at(ticket.deadline, Limited::new(body, READ_AWAY).collect()).await;
                Err(refused())
            }
            // The client broke off: nobody reads this.
            Ok(Err(error)) => Err((ErrorCode::BadRequest, format!("the body was cut off: {error}"))),
            Err(_) => Err((ErrorCode::Timeout, "the body did not come in time".to_owned())),
        }
    }

    /// The route of a request among the function's own, where it has some; the gateway's word counts before.
    fn route(&self, request: &http::request::Parts) -> Result<Option<&str>, String> {
        let Some(routes) = &self.instance.config.routes else { return Ok(None) };
        if request.headers.contains_key(wire::ROUTE_HEADER) {
            return Ok(None);
        }
        let (method, path) = (&request.method, request.uri.path());
        match routes.find(method, path) {
            Some((_, key)) => Ok(Some(key)),
            None => Err(format!(
                "the function has no route for {method} {path}: flint.dev/routes names those that it has"
            )),
        }
    }

    fn submit(self: &Arc<Self>, invocation: Invocation) {
        let deadline = invocation.ticket.deadline;
        let mut table = self.table.lock();
        let number = self.instance.next_number();
        table.enqueue(invocation, number);
        let earlier = table.arm(deadline);
        let short_of_children = table.dispatch();
        drop(table);
        if earlier {
            self.earlier_deadline.notify_one();
        }
        if short_of_children {
            self.grow_soon();
        }
    }
}

fn too_large() -> String {
    format!("the event would be larger than {LARGEST_PAYLOAD} bytes, which is what a function can take")
}

fn refuse(ticket: Ticket, code: ErrorCode, message: &str) -> Response<Answer> {
    let response = refusal(code, message, &ticket.id);
    let status = if code == ErrorCode::Timeout { Status::Timeout } else { Status::Error };
    ticket.finish(status, response.status());
    response
}

fn unix_ms(deadline: Instant) -> u128 {
    let left = deadline.saturating_duration_since(Instant::now());
    (SystemTime::now() + left).duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}
