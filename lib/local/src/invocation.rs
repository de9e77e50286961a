//! A request from its head to the end of its answer, as the gateway saw it.

use std::{net::IpAddr, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::{Key, event::millis};

/// A request that is over.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Invocation {
    /// Its id, which its log lines have too.
    pub request_id: String,
    /// Who called.
    #[serde(flatten)]
    pub caller: Caller,
    /// The function; none where the address is nobody's.
    pub function: Option<Key>,
    /// The instance that answered.
    pub instance: Option<String>,
    /// The method.
    pub method: String,
    /// Path and query as the caller wrote them.
    pub target: String,
    /// The answer's status; 499 when the caller went before there was one.
    pub status: u16,
    /// The contract's code, where the answer is Flint's and not the function's.
    pub code: Option<String>,
    /// From arrival to the answer's last byte.
    #[serde(rename = "durationMs", serialize_with = "millis")]
    pub duration: Duration,
    /// Of it, waiting for an instance.
    #[serde(rename = "queuedMs", serialize_with = "millis")]
    pub queued: Duration,
    /// There was no instance when it came.
    pub cold: bool,
    /// How often it was sent to an instance.
    pub attempts: u32,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// The request, where requests are recorded.
    pub request: Option<Recorded>,
    /// The answer, where requests are recorded and there was one.
    pub answer: Option<Recorded>,
}

/// Who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "caller", content = "address", rename_all = "camelCase")]
pub enum Caller {
    /// A client.
    Client(IpAddr),
    /// A schedule.
    Schedule,
}

/// The head and the beginning of the body of one direction.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The headers, in order.
    pub headers: HeaderMap,
    /// The body, up to 64 KiB. A request's body that is longer is not kept at all.
    pub body: Bytes,
    /// Whether that is all of it.
    pub complete: bool,
}

/// What a function answered to the platform's own call.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers: `x-request-id`, and Lambda's `x-amz-function-error` and `x-amz-log-result` on an invoke.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

// === impl Recorded ===

impl Serialize for Recorded {
    /// Text as `text`, anything else as `base64`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())))
            .collect();
        let mut map = serializer.serialize_struct("Recorded", 3)?;
        map.serialize_field("headers", &headers)?;
        match std::str::from_utf8(&self.body) {
            Ok(text) => map.serialize_field("text", text)?,
            Err(_) => map.serialize_field("base64", &BASE64_STANDARD.encode(&self.body))?,
        }
        map.serialize_field("complete", &self.complete)?;
        map.end()
    }
}
