//! Streamed answers: the head from the prelude, the body as it comes, errors in the trailers.
//!
//! With the content type `application/vnd.awslambda.http-integration-response` the answer opens with a JSON object
//! (`statusCode`, `headers`, `cookies`) and eight NUL bytes. An error in the middle comes as trailers after the last byte;
//! by then the client has the head, so all that is left is to cut the body off where everybody sees it.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use flint_core::event::head_from_prelude;
use flint_core::event_stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::Lambda;
use super::api::{ERROR_TYPE, accepted, error, invalid_id};
use super::outcome::{Kind, Outcome, end_of_stream, raw_response, stream_response};
use crate::answer::{Answer, Cut};
use crate::logs::{Level, Tail};
use crate::report::Status;
use crate::termination::Failure;

const INTEGRATION: &str = "application/vnd.awslambda.http-integration-response";
const DELIMITER: [u8; 8] = [0; 8];
/// A head is a few hundred bytes; cookies and all, this is more than any client would take.
const LARGEST_PRELUDE: usize = 256 * 1024;
const ERROR_BODY: &str = "lambda-runtime-function-error-body";
/// Frames between the runtime and the client: enough to keep both busy, few enough that a slow client slows the runtime.
const IN_BETWEEN: usize = 8;

type Sender = mpsc::Sender<Result<Frame<Bytes>, Cut>>;

/// The answer up to its first byte of body.
struct Opening {
    response: Response<()>,
    first: Bytes,
    /// The body is over already.
    over: bool,
}

/// How it opens.
enum Form {
    Prelude,
    /// With the first byte of the body, of this type.
    Plain(Option<HeaderValue>),
}

/// Reads a streamed answer of the child's to its end and passes it on.
pub(super) async fn response(
    lambda: &Arc<Lambda>,
    child: u64,
    id: &str,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let Some(Marked { kind, deadline, tail }) = mark(lambda, child, id) else { return invalid_id() };
    let form = if is_integration(request.headers()) {
        Form::Prelude
    } else {
        Form::Plain(request.headers().get(CONTENT_TYPE).cloned())
    };
    let mut body = request.into_body();
    let opening = match open(&mut body, kind, form).await {
        Ok(opening) => opening,
        Err(failure) => {
            lambda.complete(child, id, Outcome::Failed(failure));
            return accepted();
        }
    };
    let status = opening.response.status();
    let (sender, frames) = mpsc::channel(IN_BETWEEN);
    if !lambda.begin_stream(child, id, opening.response.map(|()| Answer::Frames(frames))) {
        return invalid_id();
    }
    if !opening.first.is_empty() {
        let _ = sender.send(Ok(Frame::data(framed(kind, opening.first)))).await;
    }
    let ended = if opening.over { Ok(()) } else { pass(&mut body, kind, &sender, deadline).await };
    match ended {
        Ok(()) => {
            lambda.end_stream(child, id, Status::Success, status);
            if kind == Kind::Stream {
                let _ = sender.send(Ok(Frame::data(end_of_stream(None, tail.as_deref())))).await;
            }
            accepted()
        }
        Err(failure) => {
            lambda.instance.log.log(Level::Error, Some(id), &failure.line(), &[]);
            lambda.end_stream(child, id, Status::Error, status);
            let last = if kind == Kind::Stream {
                let details = json!({"errorType": failure.error_type, "errorMessage": failure.error_message})
                    .to_string();
                let failed = event_stream::Failure { code: "Unhandled", details: &details };
                Ok(Frame::data(end_of_stream(Some(failed), tail.as_deref())))
            } else {
                Err(Cut(failure.line()))
            };
            let _ = sender.send(last).await;
            if failure.error_type == TRUNCATED {
                return error(StatusCode::BAD_REQUEST, "TruncatedResponse", "the body was cut off");
            }
            accepted()
        }
    }
}

const TRUNCATED: &str = "Runtime.TruncatedResponse";

/// What a stream has to know of its invocation.
struct Marked {
    kind: Kind,
    deadline: Instant,
    tail: Option<Arc<Tail>>,
}

/// A piece of the answer, as the client gets it.
fn framed(kind: Kind, data: Bytes) -> Bytes {
    if kind == Kind::Stream { event_stream::chunk(&data) } else { data }
}

/// From here on the invocation is this stream's.
fn mark(lambda: &Lambda, child: u64, id: &str) -> Option<Marked> {
    let mut table = lambda.table.lock();
    let in_flight = table.child(child)?.in_flight.get_mut(id)?;
    in_flight.streaming = true;
    let invocation = &in_flight.invocation;
    Some(Marked {
        kind: invocation.kind,
        deadline: invocation.ticket.deadline,
        tail: invocation.tail.clone(),
    })
}

async fn open(body: &mut Incoming, kind: Kind, form: Form) -> Result<Opening, Failure> {
    let mut read = BytesMut::new();
    loop {
        let frame = body.frame().await.transpose().map_err(|broken| truncated(&broken))?;
        let over = match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                read.extend_from_slice(&data);
                false
            }
            Some(Err(frame)) => {
                if let Some((failure, _)) = frame.trailers_ref().and_then(failure_in) {
                    return Err(failure);
                }
                true
            }
            None => true,
        };
        if let Kind::Raw | Kind::Stream = kind {
            let nothing = Answer::Whole(None);
            let response = match (kind, form) {
                (Kind::Stream, Form::Plain(content_type)) => stream_response(nothing, content_type),
                (Kind::Stream, Form::Prelude) => {
                    stream_response(nothing, Some(HeaderValue::from_static(INTEGRATION)))
                }
                _ => raw_response(nothing),
            };
            return Ok(Opening { response: response.map(drop), first: read.freeze(), over });
        }
        if let Form::Plain(content_type) = form {
            return Ok(Opening { response: plain(content_type), first: read.freeze(), over });
        }
        if let Some(at) = read.windows(DELIMITER.len()).position(|window| window == DELIMITER) {
            let prelude = read.split_to(at);
            let first = read.split_off(DELIMITER.len()).freeze();
            return Ok(Opening { response: from_prelude(&prelude)?, first, over });
        }
        if over || read.len() > LARGEST_PRELUDE {
            return Err(nonsense("the streamed answer has no end of its prelude (eight NUL bytes)"));
        }
    }
}

/// Passes the body on until its end. A client that has gone is no reason to stop the runtime.
async fn pass(body: &mut Incoming, kind: Kind, sender: &Sender, deadline: Instant) -> Result<(), Failure> {
    loop {
        // A child with other work lives on after this deadline; this answer does not.
        let Ok(frame) = timeout_at(deadline, body.frame()).await else {
            return Err(Failure::new("Sandbox.Timedout", "the answer was not over at its deadline"));
        };
        match frame {
            None => return Ok(()),
            Some(Err(broken)) => return Err(truncated(&broken)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    let sent = timeout_at(deadline, sender.send(Ok(Frame::data(framed(kind, data))))).await;
                    if sent.is_err() {
                        return Err(Failure::new(
                            "Sandbox.Timedout",
                            "the answer was not taken before its deadline",
                        ));
                    }
                }
                Err(frame) => {
                    if let Some((failure, _)) = frame.trailers_ref().and_then(failure_in) {
                        return Err(failure);
                    }
                }
            },
        }
    }
}

fn from_prelude(prelude: &[u8]) -> Result<Response<()>, Failure> {
    let (status, headers) =
        head_from_prelude(prelude).map_err(|malformed| nonsense(&malformed.to_string()))?;
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
        .headers_mut()
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

fn plain(content_type: Option<HeaderValue>) -> Response<()> {
    let mut response = Response::new(());
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Whether an answer has its head in a prelude.
pub(super) fn is_integration(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|given| given.as_bytes().starts_with(INTEGRATION.as_bytes()))
}

/// The error that the trailers report: its type, and its body, which comes as JSON in base64.
pub(super) fn failure_in(trailers: &HeaderMap) -> Option<(Failure, Bytes)> {
    let error_type = trailers.get(ERROR_TYPE)?.to_str().ok()?;
    let body =
        trailers.get(ERROR_BODY).and_then(|value| STANDARD.decode(value.as_bytes()).ok()).unwrap_or_default();
    Some((Failure::from_runtime(&body, Some(error_type)), Bytes::from(body)))
}

fn truncated(broken: &hyper::Error) -> Failure {
    Failure::new(TRUNCATED, format!("the answer was cut off: {broken}"))
}

fn nonsense(message: &str) -> Failure {
    Failure::new("Runtime.InvalidResponse", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_tell_of_an_error_in_the_middle() {
        let mut trailers = HeaderMap::new();
        assert!(failure_in(&trailers).is_none());
        trailers.insert(ERROR_TYPE, "Runtime.StreamError".parse().unwrap());
        let body = STANDARD.encode(r#"{"errorType":"TypeError","errorMessage":"boom"}"#);
        trailers.insert(ERROR_BODY, body.parse().unwrap());
        assert_eq!(failure_in(&trailers).unwrap().0.line(), "TypeError: boom");
    }
}
