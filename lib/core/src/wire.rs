//! Names and messages on the wire between operator, gateway and watchdog; described in `docs/internals.md`.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Port of the watchdog's traffic.
pub const WATCHDOG_PORT: u16 = 8012;
/// Port of the watchdog's health and metrics.
pub const WATCHDOG_ADMIN_PORT: u16 = 8013;
/// Port of the operator's home: announcements and packages.
pub const HOME_PORT: u16 = 8082;
/// Port of the operator's control stream.
pub const CONTROL_PORT: u16 = 8083;

/// Header: the stable code of a refusal or failure that is Flint's, not the function's.
pub const ERROR_HEADER: &str = "x-flint-error";
/// Header: what is left of the deadline, in milliseconds.
pub const TIMEOUT_HEADER: &str = "x-flint-timeout-ms";
/// Header: `raw` when the body is the payload as it is, `stream` when the answer is to be Lambda's stream of events besides.
pub const INVOKE_HEADER: &str = "x-flint-invoke";
/// Header: `v1` for API Gateway v1.0 events.
pub const EVENT_FORMAT_HEADER: &str = "x-flint-event-format";
/// Header: the name of the route that led to the function, such as `GET /users/{id}`.
pub const ROUTE_HEADER: &str = "x-flint-route";
/// Header: 2 and up on a retry.
pub const ATTEMPT_HEADER: &str = "x-flint-attempt";
/// Header, from clients: the alias or the number of the revision that a request is for.
pub const QUALIFIER_HEADER: &str = "x-flint-qualifier";
/// Header: HMAC-SHA-256 of an announcement's body, in hex.
pub const SIGNATURE_HEADER: &str = "x-flint-signature";
/// Header: the request's id, from the client or made by the gateway.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// The stable error codes of the contract, and the two that stay between gateway and watchdog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// 404: no Function of that name.
    FunctionNotFound,
    /// 404: no route matches.
    NoRoute,
    /// 413: the request is larger than the limit.
    RequestTooLarge,
    /// 429: no room for the request.
    TooManyRequests,
    /// 502: it raised, crashed or answered nonsense.
    FunctionFailed,
    /// 503: no instance can start.
    NotStartable,
    /// 504: the function did not answer in time.
    Timeout,
    /// 504: no instance was ready in time.
    StartTimeout,
    /// 503, watchdog to gateway only: the instance is going.
    Draining,
    /// 501: the address is known, its issue is not done.
    NotImplemented,
    /// 400: the request cannot be understood.
    BadRequest,
    /// 403: its signature is missing or not good.
    Forbidden,
}

/// What an instance tells the operator when it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// The function's namespace.
    pub namespace: String,
    /// The function's name.
    pub function: String,
    /// The revision's name.
    pub revision: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid.
    pub uid: String,
    /// IP:PORT of the watchdog.
    pub address: String,
    /// Time from the watchdog's start to the child's readiness, in milliseconds.
    pub init_ms: u64,
}

// === impl ErrorCode ===

impl ErrorCode {
    /// The code as text, as `X-Flint-Error` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FunctionNotFound => "function_not_found",
            Self::NoRoute => "no_route",
            Self::RequestTooLarge => "request_too_large",
            Self::TooManyRequests => "too_many_requests",
            Self::FunctionFailed => "function_failed",
            Self::NotStartable => "not_startable",
            Self::Timeout => "timeout",
            Self::StartTimeout => "start_timeout",
            Self::Draining => "draining",
            Self::NotImplemented => "not_implemented",
            Self::BadRequest => "bad_request",
            Self::Forbidden => "forbidden",
        }
    }

    /// The HTTP status that goes with it.
    #[must_use]
    pub const fn status(self) -> http::StatusCode {
        match self {
            Self::FunctionNotFound | Self::NoRoute => http::StatusCode::NOT_FOUND,
            Self::RequestTooLarge => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyRequests => http::StatusCode::TOO_MANY_REQUESTS,
            Self::FunctionFailed => http::StatusCode::BAD_GATEWAY,
            Self::NotStartable | Self::Draining => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Timeout | Self::StartTimeout => http::StatusCode::GATEWAY_TIMEOUT,
            Self::NotImplemented => http::StatusCode::NOT_IMPLEMENTED,
            Self::BadRequest => http::StatusCode::BAD_REQUEST,
            Self::Forbidden => http::StatusCode::FORBIDDEN,
        }
    }

    /// The refusal's body: the contract's JSON.
    #[must_use]
    pub fn body(self, message: &str, request_id: &str) -> String {
        serde_json::json!({"error": {"code": self.as_str(), "message": message}, "requestId": request_id})
            .to_string()
    }
}

// === impl Announcement ===

/// The key of a function's instances, in hex: derived, so that nobody has to read Secrets to check a signature.
#[must_use]
pub fn instance_key(master: &[u8], namespace: &str, function: &str) -> String {
    instance_key_of(&namespace_key(master, namespace), function)
}

/// The key from which a namespace's instance keys are derived, in hex: what is in the namespace's Secrets.
#[must_use]
pub fn namespace_key(master: &[u8], namespace: &str) -> String {
    derive(master, &["flint-namespace-key", namespace])
}

/// The key of a function's instances by its namespace's, in hex.
#[must_use]
pub fn instance_key_of(namespace_key: &str, function: &str) -> String {
    derive(namespace_key.as_bytes(), &["flint-instance-key", function])
}

/// A key for one purpose, in hex: HMAC-SHA-256 of the words, a line each.
#[must_use]
pub(crate) fn derive(master: &[u8], words: &[&str]) -> String {
    hex::encode(derive_bytes(master, words))
}

/// The same as bytes.
#[must_use]
pub(crate) fn derive_bytes(master: &[u8], words: &[&str]) -> [u8; 32] {
    let mut mac = mac(master);
    mac.update(words.join("\n").as_bytes());
    mac.finalize().into_bytes().into()
}

/// The signature of a body under a function's key, in hex.
#[must_use]
pub fn sign(key: &str, body: &[u8]) -> String {
    let mut mac = mac(key.as_bytes());
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

/// Whether `signature` (hex) is the body's under the function's key; compared in constant time.
#[must_use]
pub fn verify(key: &str, body: &[u8], signature: &str) -> bool {
    let Ok(signature) = hex::decode(signature) else { return false };
    let mut mac = mac(key.as_bytes());
    mac.update(body);
    mac.verify_slice(&signature).is_ok()
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so this cannot fail.
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_function_and_its_body_only() {
        let key = instance_key(b"master", "shop", "thumbnail");
        let signature = sign(&key, b"body");
        assert!(verify(&key, b"body", &signature));
        assert!(!verify(&key, b"other body", &signature));
        assert!(!verify(&instance_key(b"master", "shop", "other"), b"body", &signature));
        assert!(!verify(&key, b"body", "not hex"));
    }
}
