//! The gateway's own answers: the contract's JSON for everybody, and for Lambda's clients in their form as well.

use bytes::Bytes;
use flint_core::wire::{ERROR_HEADER, ErrorCode};
use flint_proxy::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use crate::{
    ids::{Ids, Said},
    live::Refusal,
    names,
};

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Any HTTP client.
    Http,
    /// A client of Lambda's Invoke: AWS SDKs read the type from a header and the message from the body's top.
    Lambda,
    /// The same, whose signature is not good: the type is AWS's name for that.
    Unsigned(&'static str),
}

const FLINT_ERROR: HeaderName = HeaderName::from_static(ERROR_HEADER);
const AMZN_ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// How soon a refused client may try again, in seconds: an instance of a small function has started by then.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// The answer for a refusal.
#[must_use]
pub fn answer(refusal: &Refusal, request_id: &HeaderValue, dialect: Dialect) -> Response<Body> {
    text(refusal, request_id, dialect).map(Body::from)
}

/// The answer to a head that cannot be read. Nothing of it is known, so its id is made.
#[must_use]
pub fn unreadable(status: StatusCode) -> Response<Bytes> {
    let too_large = [StatusCode::URI_TOO_LONG, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE].contains(&status);
    let (code, message) = if too_large {
        (
            ErrorCode::RequestTooLarge,
            "the request's head is too large: send a shorter target, or fewer and shorter fields",
        )
    } else {
        (ErrorCode::BadRequest, "the request's head is not HTTP/1.1")
    };
    let refusal = Refusal { code, message: message.to_owned() };
    let (request_id, _) = Ids::new().request_id(&Said::default());
    let mut response = text(&refusal, &request_id, Dialect::Http).map(Bytes::from);
    *response.status_mut() = status;
    response.headers_mut().insert(names::REQUEST_ID, request_id);
    response
}

fn text(refusal: &Refusal, request_id: &HeaderValue, dialect: Dialect) -> Response<String> {
    let Refusal { code, message } = refusal;
    let request_id = request_id.to_str().unwrap_or_default();
    let body = match dialect {
        Dialect::Http => code.body(message, request_id),
        Dialect::Lambda | Dialect::Unsigned(_) => lambda_body(*code, message, request_id),
    };
    let mut response = Response::new(body);
    *response.status_mut() = code.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(FLINT_ERROR, HeaderValue::from_static(code.as_str()));
    if *code == ErrorCode::TooManyRequests {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER);
    }
    let lambda_type = match dialect {
        Dialect::Http => None,
        Dialect::Lambda => Some(lambda_type(*code)),
        Dialect::Unsigned(name) => Some(name),
    };
    if let Some(name) = lambda_type {
        headers.insert(AMZN_ERROR_TYPE, HeaderValue::from_static(name));
    }
    response
}

/// Lambda's answer to a dry run of an invocation that would be permitted.
#[must_use]
pub fn dry_run() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn lambda_body(code: ErrorCode, message: &str, request_id: &str) -> String {
    let fault = if code.status().is_client_error() { "User" } else { "Server" };
    serde_json::json!({
        "Type": fault,
        "Message": message,
        "message": message,
        "error": {"code": code.as_str(), "message": message},
        "requestId": request_id,
    })
    .to_string()
}

/// The names that AWS SDKs know; some of them retry by the name.
const fn lambda_type(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::FunctionNotFound | ErrorCode::NoRoute => "ResourceNotFoundException",
        ErrorCode::RequestTooLarge => "RequestTooLargeException",
        ErrorCode::TooManyRequests => "TooManyRequestsException",
        ErrorCode::NotStartable => "ResourceNotReadyException",
        ErrorCode::BadRequest => "InvalidParameterValueException",
        ErrorCode::Forbidden => "AccessDeniedException",
        _ => "ServiceException",
    }
}
