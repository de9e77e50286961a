//! How an invocation ended, as the answer to its request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flint_core::event::{Format, response_from_payload};
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
const LOG_RESULT: HeaderName = HeaderName::from_static("x-amz-log-result");

/// What the request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An HTTP request: the event and the answer are API Gateway's.
    Http(Format),
    /// Lambda's Invoke: the payloads pass as they are.
    Raw,
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
            Kind::Raw => self.render_raw(id),
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
    fn nonsense_is_a_502_for_http_and_passes_for_a_raw_invocation() {
        let nonsense = || Outcome::Payload(Bytes::from_static(b"<html>"));
        assert_eq!(nonsense().render(HTTP, "id").0.status(), 502);
        assert_eq!(nonsense().render(Kind::Raw, "id").0.status(), 200);
    }
}
