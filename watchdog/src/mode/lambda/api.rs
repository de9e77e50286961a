//! The Lambda Runtime API (2018-06-01), as one child sees it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll::{Pending, Ready};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::outcome::Outcome;
use super::table::Event;
use super::{LARGEST_PAYLOAD, Lambda, READ_AWAY, stream};
use crate::logs::Level;
use crate::termination::Failure;

/// Clients send the cause of an error in a header of up to 1 MiB.
const LARGEST_HEAD: usize = 2 * 1024 * 1024;

pub(super) const ERROR_TYPE: &str = "lambda-runtime-function-error-type";
const RESPONSE_MODE: &str = "lambda-runtime-function-response-mode";

type Reply = Response<Full<Bytes>>;

/// Takes the child's connections, for as long as the child lives.
pub(super) async fn serve(
    lambda: &Arc<Lambda>,
    child: u64,
    listener: &TcpListener,
    connections: &TaskTracker,
) {
    // The tracker is closed when the child has ended.
    while !connections.is_closed() {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(connection(lambda.clone(), child, stream))),
                Err(error) => lambda.instance.log.say(Level::Warn, &format!("Runtime API: {error}")),
            },
            () = child_gone(lambda, child) => return,
        }
    }
}

async fn child_gone(lambda: &Lambda, child: u64) {
    loop {
        let gone = lambda.child_gone.notified();
        if lambda.table.lock().child(child).is_none() {
            return;
        }
        gone.await;
    }
}

async fn connection(lambda: Arc<Lambda>, child: u64, stream: TcpStream) {
    // One write for each answer, sent at once: Nagle and delayed acknowledgements would cost 40 ms a turn.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(&lambda, child, request));
    let mut builder = http1::Builder::new();
    // `Lambda-Runtime-…`, as clients that are scripts look for it.
    builder.title_case_headers(true).max_buf_size(LARGEST_HEAD);
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(lambda: &Arc<Lambda>, child: u64, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let path = request.uri().path().to_owned();
    let Some(call) = path.strip_prefix("/2018-06-01/runtime/") else {
        return Ok(error(StatusCode::NOT_FOUND, "NotFound", "no such API here"));
    };
    let (get, post) = (request.method() == Method::GET, request.method() == Method::POST);
    Ok(match call {
        "invocation/next" if get => next(lambda, child).await,
        "init/error" if post => init_error(lambda, child, request).await,
        _ => match call.strip_prefix("invocation/").and_then(|rest| rest.split_once('/')) {
            Some((id, "response")) if post => response(lambda, child, id, request).await,
            Some((id, "error")) if post => invocation_error(lambda, child, id, request).await,
            _ => error(StatusCode::NOT_FOUND, "NotFound", "no such call"),
        },
    })
}

/// A parked poll. When its connection goes away it leaves the table, and what it got and nobody saw goes back in line.
struct Poll {
    lambda: Arc<Lambda>,
    child: u64,
    token: u64,
    event: oneshot::Receiver<Event>,
    done: bool,
}

impl Drop for Poll {
    fn drop(&mut self) {
        if !self.done {
            let unseen = self.event.try_recv().ok();
            let waiting = self.lambda.table.lock().unpark(self.child, self.token, unseen.as_ref());
            if waiting {
                self.lambda.grow_soon();
            }
        }
    }
}

async fn next(lambda: &Arc<Lambda>, child: u64) -> Reply {
    let (sender, event) = oneshot::channel();
    let Some(parked) = lambda.table.lock().park(child, sender, Instant::now()) else {
        return error(StatusCode::FORBIDDEN, "InvalidStateTransition", "this process is ended");
    };
    let mut poll = Poll { lambda: lambda.clone(), child, token: parked.token, event, done: false };
    if let Some(init) = parked.first_init {
        lambda.became_ready(init);
    }
    for lost in parked.lost {
        let message = "the runtime asked for the next invocation without answering this one";
        lambda.answer(lost.invocation, Outcome::Failed(Failure::new("Runtime.NoResponse", message)));
    }
    if parked.waiting {
        lambda.grow_soon();
    }
    let received = (&mut poll.event).await;
    poll.done = true;
    match received {
        Ok(event) => event_response(lambda, event),
        // Another poll took its place, or the child is being ended.
        Err(_) => {
            error(StatusCode::FORBIDDEN, "InvalidStateTransition", "another poll took the place of this one")
        }
    }
}

fn event_response(lambda: &Lambda, event: Event) -> Reply {
    let mut response = Response::new(Full::new(event.event));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("lambda-runtime-deadline-ms", HeaderValue::from(saturated(event.deadline_ms)));
    let fields = [
        ("lambda-runtime-aws-request-id", HeaderValue::from_str(&event.id).ok()),
        ("lambda-runtime-invoked-function-arn", lambda.arn.clone()),
        ("lambda-runtime-trace-id", event.trace),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if let Some(context) = event.client_context.as_ref().and_then(client_context) {
        headers.insert("lambda-runtime-client-context", context);
    }
    response
}

/// Invoke has it in base64, the Runtime API as JSON.
fn client_context(given: &HeaderValue) -> Option<HeaderValue> {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(given.as_bytes());
    decoded.map_or_else(|_| Some(given.clone()), |json| HeaderValue::from_bytes(&json).ok())
}

fn saturated(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

async fn response(lambda: &Arc<Lambda>, child: u64, id: &str, request: Request<Incoming>) -> Reply {
    if let Some(refused) = refusal(lambda, child, id) {
        return refused;
    }
    match request.headers().get(RESPONSE_MODE).map(HeaderValue::as_bytes) {
        // aws-lambda-go streams without saying so; what it sends does.
        None if stream::is_integration(request.headers()) => {
            return stream::response(lambda, child, id, request).await;
        }
        None => {}
        Some(mode) if mode.eq_ignore_ascii_case(b"streaming") => {
            return stream::response(lambda, child, id, request).await;
        }
        Some(_) => {
            let message = "the header Lambda-Runtime-Function-Response-Mode has a value that is not known";
            let failure = Failure::new("Runtime.InvalidResponseModeHeader", message);
            lambda.complete(child, id, Outcome::Failed(failure));
            return error(StatusCode::BAD_REQUEST, "InvalidFunctionResponseMode", message);
        }
    }
    let mut body = request.into_body();
    match Limited::new(&mut body, LARGEST_PAYLOAD).collect().await {
        Ok(payload) => match payload.trailers().and_then(stream::failure_in) {
            Some((failure, body)) => {
                outcome(lambda, child, id, Outcome::Reported { failure, body, handled: false })
            }
            None => {
                let reply = outcome(lambda, child, id, Outcome::Payload(payload.to_bytes()));
                after_others().await;
                reply
            }
        },
        Err(broken) if broken.is::<LengthLimitError>() => {
            let message = format!("Exceeded maximum allowed payload size ({LARGEST_PAYLOAD} bytes).");
            let failure = Failure::new("Function.ResponseSizeTooLarge", message.as_str());
            lambda.complete(child, id, Outcome::Failed(failure));
            let _ = Limited::new(body, READ_AWAY).collect().await;
            error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
        Err(broken) => {
            let failure =
                Failure::new("Runtime.TruncatedResponse", format!("the answer was cut off: {broken}"));
            lambda.complete(child, id, Outcome::Failed(failure));
            error(StatusCode::BAD_REQUEST, "TruncatedResponse", "the body was cut off")
        }
    }
}

/// Lets who was woken run first: the answer to the request is on its way before the runtime hears that it was taken.
async fn after_others() {
    let mut waited = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Ready(());
        }
        // Not `yield_now`, which looks at all sockets before.
        cx.waker().wake_by_ref();
        Pending
    })
    .await;
}

async fn invocation_error(lambda: &Arc<Lambda>, child: u64, id: &str, request: Request<Incoming>) -> Reply {
    if let Some(refused) = refusal(lambda, child, id) {
        return refused;
    }
    let header_type = error_type(request.headers());
    let body = match Limited::new(request.into_body(), LARGEST_PAYLOAD).collect().await {
        Ok(body) => body.to_bytes(),
        Err(broken) => Bytes::from(json!({"errorMessage": broken.to_string()}).to_string()),
    };
    let failure = Failure::from_runtime(&body, header_type.as_deref());
    // Old runtimes say here whether the function handled the error itself; all others name its type.
    let handled = header_type.as_deref() == Some("Handled");
    outcome(lambda, child, id, Outcome::Reported { failure, body, handled })
}

async fn init_error(lambda: &Arc<Lambda>, child: u64, request: Request<Incoming>) -> Reply {
    let header_type = error_type(request.headers());
    let body = match Limited::new(request.into_body(), LARGEST_PAYLOAD).collect().await {
        Ok(body) => body.to_bytes(),
        Err(broken) => Bytes::from(broken.to_string()),
    };
    let failure = Failure::from_runtime(&body, header_type.as_deref());
    if lambda.init_error(child, failure) {
        accepted()
    } else {
        error(StatusCode::FORBIDDEN, "InvalidStateTransition", "initialization is over")
    }
}

/// An answer may be given once, to an invocation that this child has.
fn refusal(lambda: &Lambda, child: u64, id: &str) -> Option<Reply> {
    match lambda.table.lock().child(child).and_then(|entry| entry.in_flight.get(id)) {
        None => Some(invalid_id()),
        Some(in_flight) if in_flight.streaming => {
            Some(error(StatusCode::FORBIDDEN, "InvalidStateTransition", "the answer has begun already"))
        }
        Some(_) => None,
    }
}

fn outcome(lambda: &Arc<Lambda>, child: u64, id: &str, outcome: Outcome) -> Reply {
    if lambda.complete(child, id, outcome) { accepted() } else { invalid_id() }
}

pub(super) fn error_type(headers: &HeaderMap) -> Option<String> {
    headers.get(ERROR_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

pub(super) fn accepted() -> Reply {
    reply(StatusCode::ACCEPTED, r#"{"status":"OK"}"#)
}

pub(super) fn invalid_id() -> Reply {
    error(StatusCode::BAD_REQUEST, "InvalidRequestID", "Invalid request ID")
}

pub(super) fn error(status: StatusCode, error_type: &str, message: &str) -> Reply {
    reply(status, json!({"errorMessage": message, "errorType": error_type}).to_string())
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
