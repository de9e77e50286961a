//! Header names that are used for every request, made once.

use flint_core::wire;
use http::HeaderName;

/// The request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static(wire::REQUEST_ID_HEADER);
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static(TRACEPARENT_HEADER);
/// The same as text.
pub const TRACEPARENT_HEADER: &str = "traceparent";
/// What belongs to a trace, and is void with a new one.
pub const TRACESTATE_HEADER: &str = "tracestate";
/// How the body is meant.
pub const INVOKE: HeaderName = HeaderName::from_static(wire::INVOKE_HEADER);
/// Which event a function wants.
pub const EVENT_FORMAT: HeaderName = HeaderName::from_static(wire::EVENT_FORMAT_HEADER);
/// Which route led to the function.
pub const ROUTE: HeaderName = HeaderName::from_static(wire::ROUTE_HEADER);
/// Whose answer it is.
pub const ERROR: HeaderName = HeaderName::from_static(wire::ERROR_HEADER);
/// Which revision or alias a request is for.
pub const QUALIFIER: HeaderName = HeaderName::from_static(wire::QUALIFIER_HEADER);
/// Which version answered, by Lambda's Invoke.
pub const EXECUTED_VERSION: HeaderName = HeaderName::from_static("x-amz-executed-version");
/// All that begins so is between the gateway and its watchdogs.
pub const PRIVATE_PREFIX: &str = "x-flint-";
/// Lambda's kind of invocation.
pub const INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");
/// A client's word that doing a request twice is the same as doing it once.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Lambda's word that the function failed, in an answer that is 200.
pub const FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
