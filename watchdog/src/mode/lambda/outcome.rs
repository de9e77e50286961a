//! How an invocation ended, as the answer to its request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use flint_core::event::{Format, response_from_payload};
use flint_core::event_stream;
use flint_core::wire::{ERROR_HEADER, ErrorCode};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use crate::answer::{Answer, refusal};
use crate::logs::Tail;
use crate::report::Status;
use crate::termination::Failure;

/// `Unhandled` or `Handled`: the function failed, on a raw invocation.
pub(super) const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
const REMAPPED_CONTENT_TYPE: HeaderName = HeaderName::from_static("x-amzn-remapped-content-type");
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");

/// What the request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An HTTP request: the event and the answer are API Gateway's.
    Http(Format),
    /// Lambda's Invoke: the payloads pass as they are.
    Raw,
    /// Its InvokeWithResponseStream: the same, and the answer comes as a stream of events.
    Stream,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The function answered.
    Payload(Bytes),
    /// The runtime reported an error, with this body.
    Reported { failure: Failure, body: Bytes, handled: bool },
    /// The watchdog found that it failed.
    Failed(Failure),
    /// The deadline ended it. The text is Lambda's.
    TimedOut(String),
    /// Its deadline passed before any child could take it.
    NeverStarted,
}

// === impl Outcome ===

impl Outcome {
    /// The response, and how the invocation is reported.
    pub(super) fn render(self, kind: Kind, id: &str) -> (Response<Answer>, Status) {
        match kind {
            Kind::Http(_) => self.render_http(id),
            Kind::Raw | Kind::Stream => self.render_raw(id),
        }
    }

    fn render_http(self, id: &str) -> (Response<Answer>, Status) {
        match self {
            Self::Payload(payload) => match response_from_payload(payload) {
                Ok(reply) => {
                    let mut response = Response::new(Answer::Whole(Some(reply.body)));
                    *response.status_mut() = reply.status;
                    *response.headers_mut() = reply.headers;
                    (response, Status::Success)
                }
                Err(malformed) => failed(&malformed.to_string(), id),
            },
            Self::Reported { failure, .. } | Self::Failed(failure) => failed(&failure.line(), id),
            Self::TimedOut(message) => (refusal(ErrorCode::Timeout, &message, id), Status::Timeout),
            Self::NeverStarted => (never_started(id), Status::Timeout),
        }
    }

    /// Lambda's Invoke answers 200 whatever the function did; a header tells failures from answers, and another tells the gateway
    /// which of the contract's it was.
    fn render_raw(self, id: &str) -> (Response<Answer>, Status) {
        let (body, error, status) = match self {
            Self::Payload(payload) => (payload, None, Status::Success),
            Self::Reported { body, handled, .. } => {
                let word = if handled { "Handled" } else { "Unhandled" };
                (body, Some((word, ErrorCode::FunctionFailed)), Status::Error)
            }
            Self::Failed(failure) => {
                let body = json!({
                    "errorType": failure.error_type,
                    "errorMessage": format!("RequestId: {id} Error: {}", failure.error_message),
                });
                (Bytes::from(body.to_string()), Some(("Unhandled", ErrorCode::FunctionFailed)), Status::Error)
            }
            Self::TimedOut(message) => {
                let message = format!("RequestId: {id} Error: {message}");
                let body = json!({"errorType": "Sandbox.Timedout", "errorMessage": message});
                (Bytes::from(body.to_string()), Some(("Unhandled", ErrorCode::Timeout)), Status::Timeout)
            }
            Self::NeverStarted => return (never_started(id), Status::Timeout),
        };
        let mut response = raw_response(Answer::Whole(Some(body)));
        if let Some((word, code)) = error {
            let headers = response.headers_mut();
            headers.insert(FUNCTION_ERROR, HeaderValue::from_static(word));
            headers.insert(ERROR_HEADER, HeaderValue::from_static(code.as_str()));
        }
        (response, status)
    }
}

/// The head of every answer to a raw invocation.
pub(super) fn raw_response(body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(EXECUTED_VERSION, HeaderValue::from_static("$LATEST"));
    response
}

/// The head of every streamed answer to InvokeWithResponseStream. The answer's own type stands where SDKs look for it.
pub(super) fn stream_response(body: Answer, content_type: Option<HeaderValue>) -> Response<Answer> {
    let mut response = raw_response(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(event_stream::CONTENT_TYPE));
    if let Some(content_type) = content_type {
        headers.insert(REMAPPED_CONTENT_TYPE, content_type);
    }
    response
}

/// An answer in one piece as a stream of one piece and its end. What is none (a refusal) stays as it is.
pub(super) fn streamed(response: Response<Answer>, tail: Option<&Tail>) -> Response<Answer> {
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Answer::Whole(Some(payload)) = body else { return Response::from_parts(parts, body) };
    let failed = parts.headers.remove(FUNCTION_ERROR);
    let body = match failed.as_ref().and_then(|code| code.to_str().ok()) {
        Some(code) => {
            let details = String::from_utf8_lossy(&payload);
            end_of_stream(Some(event_stream::Failure { code, details: &details }), tail)
        }
        None => {
            let mut frames = BytesMut::from(event_stream::chunk(&payload));
            frames.extend_from_slice(&end_of_stream(None, tail));
            frames.freeze()
        }
    };
    let mut response =
        stream_response(Answer::Whole(Some(body)), Some(HeaderValue::from_static("application/json")));
    if let Some(code) = parts.headers.remove(ERROR_HEADER) {
        response.headers_mut().insert(ERROR_HEADER, code);
    }
    response
}

/// The last event of a stream.
pub(super) fn end_of_stream(failure: Option<event_stream::Failure<'_>>, tail: Option<&Tail>) -> Bytes {
    let log = tail.map(|tail| STANDARD.encode(tail.bytes()));
    event_stream::complete(failure, log.as_deref())
}

/// Adds the end of the log, as Invoke returns it.
pub(super) fn add_tail(response: &mut Response<Answer>, tail: &Tail) {
    if let Ok(value) = HeaderValue::from_str(&STANDARD.encode(tail.bytes())) {
        response.headers_mut().insert(LOG_RESULT, value);
    }
}

fn failed(message: &str, id: &str) -> (Response<Answer>, Status) {
    (refusal(ErrorCode::FunctionFailed, message, id), Status::Error)
}

fn never_started(id: &str) -> Response<Answer> {
    refusal(ErrorCode::StartTimeout, "the function's process was not ready in time", id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTP: Kind = Kind::Http(Format::V2);

    fn body(response: Response<Answer>) -> serde_json::Value {
        let Answer::Whole(Some(bytes)) = response.into_body() else { panic!("no body") };
        serde_json::from_slice(&bytes).unwrap()
    }

    fn reported(handled: bool) -> Outcome {
        let body =
            Bytes::from_static(br#"{"errorType":"KeyError","errorMessage":"'x'","stackTrace":["line 1"]}"#);
        Outcome::Reported { failure: Failure::from_runtime(&body, None), body, handled }
    }

    #[test]
    fn an_error_is_a_502_with_type_and_message_and_no_stack() {
        let (response, status) = reported(false).render(HTTP, "id");
        assert_eq!((response.status(), status), (StatusCode::BAD_GATEWAY, Status::Error));
        assert_eq!(response.headers()["x-flint-error"], "function_failed");
        let body = body(response);
        assert_eq!(body["error"]["message"], "KeyError: 'x'");
        assert!(!body.to_string().contains("line 1"));
    }

    #[test]
    fn an_error_of_a_raw_invocation_is_a_200_with_the_runtimes_body() {
        for (handled, word) in [(false, "Unhandled"), (true, "Handled")] {
            let (response, _) = reported(handled).render(Kind::Raw, "id");
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["x-amz-function-error"], word);
            assert_eq!(response.headers()["x-flint-error"], "function_failed");
            assert_eq!(body(response)["stackTrace"][0], "line 1");
        }
    }

    #[test]
    fn a_timeout_is_a_504_and_for_a_raw_invocation_a_function_error() {
        let timed_out = || Outcome::TimedOut("Task timed out after 3.00 seconds".to_owned());
        let (response, status) = timed_out().render(HTTP, "id");
        assert_eq!((response.status().as_u16(), status), (504, Status::Timeout));
        let (response, status) = timed_out().render(Kind::Raw, "id");
        assert_eq!((response.status().as_u16(), status), (200, Status::Timeout));
        assert_eq!(response.headers()["x-flint-error"], "timeout");
        assert_eq!(body(response)["errorMessage"], "RequestId: id Error: Task timed out after 3.00 seconds");
    }

    #[test]
    fn a_streamed_answer_ends_with_how_it_went() {
        let text = |response: Response<Answer>| {
            let Answer::Whole(Some(bytes)) = response.into_body() else { panic!("no body") };
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (response, _) = Outcome::Payload(Bytes::from_static(b"[1]")).render(Kind::Stream, "id");
        let response = streamed(response, None);
        assert_eq!(response.headers()["content-type"], "application/vnd.amazon.eventstream");
        let body = text(response);
        assert!(
            body.contains("PayloadChunk") && body.contains("[1]") && body.contains("InvokeComplete"),
            "{body}"
        );
        let (response, _) = reported(false).render(Kind::Stream, "id");
        let response = streamed(response, None);
        assert_eq!(
            (response.status(), response.headers().get("x-amz-function-error")),
            (StatusCode::OK, None)
        );
        assert_eq!(response.headers()["x-flint-error"], "function_failed", "for the gateway's metrics");
        let body = text(response);
        assert!(!body.contains("PayloadChunk") && body.contains(r#""ErrorCode":"Unhandled""#), "{body}");
        let (refused, _) = Outcome::NeverStarted.render(Kind::Stream, "id");
        assert_eq!(streamed(refused, None).status(), 504, "a refusal is no stream");
    }

    #[test]
    fn nonsense_is_a_502_for_http_and_passes_for_a_raw_invocation() {
        let nonsense = || Outcome::Payload(Bytes::from_static(b"<html>"));
        assert_eq!(nonsense().render(HTTP, "id").0.status(), 502);
        assert_eq!(nonsense().render(Kind::Raw, "id").0.status(), 200);
    }
}
