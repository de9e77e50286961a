//! A function's answer as an HTTP response, by the Function URL rules.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// An HTTP response, read from an answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers, without the ones that belong to the connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The answer is no response: the message says what is wrong with it and what to return instead.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not JSON at all.
    #[error(
        "the answer is not JSON ({0}); return a JSON value, or an object with statusCode, headers and body"
    )]
    Json(#[source] serde_json::Error),
    /// A field has the wrong type.
    #[error("the answer has a statusCode but is no response: {0}")]
    Shape(#[source] serde_json::Error),
    /// The status is none that a response can have.
    #[error("statusCode {0} is not between 200 and 599")]
    Status(Value),
    /// The body is not text.
    #[error("body must be a string (found {0}); encode objects as JSON text first")]
    Body(&'static str),
    /// The body is not what `isBase64Encoded` promises.
    #[error("isBase64Encoded is true but body is not base64: {0}")]
    Base64(#[source] base64::DecodeError),
    /// A header that HTTP does not allow.
    #[error("header {0:?} cannot be sent")]
    Header(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shaped {
    status_code: Option<Value>,
    #[serde(default)]
    headers: Option<serde_json::Map<String, Value>>,
    #[serde(default)]
    multi_value_headers: Option<serde_json::Map<String, Value>>,
    #[serde(default)]
    cookies: Option<Vec<String>>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    is_base64_encoded: Option<bool>,
}

/// Reads a payload: an object with `statusCode` is a response, any other JSON the body of a 200 `application/json`.
///
/// # Errors
/// When it is neither.
pub fn response_from_payload(payload: Bytes) -> Result<Reply, Malformed> {
    let text =
        std::str::from_utf8(&payload).map_err(|error| Malformed::Json(serde_json::Error::custom(error)))?;
    if !has_status_code(text).map_err(Malformed::Json)? {
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return Ok(Reply { status: StatusCode::OK, headers, body: payload });
    }
    let shaped: Shaped =
        serde_json::from_str::<Value>(text).and_then(Shaped::deserialize).map_err(Malformed::Shape)?;
    if shaped.status_code.is_none() {
        return Err(Malformed::Status(Value::Null));
    }
    let (status, mut headers) = head(&shaped)?;
    let body = match shaped.body {
        Value::Null => Bytes::new(),
        Value::String(encoded) if shaped.is_base64_encoded == Some(true) => {
            Bytes::from(STANDARD.decode(encoded.trim_end()).map_err(Malformed::Base64)?)
        }
        Value::String(text) => Bytes::from(text),
        Value::Object(_) => return Err(Malformed::Body("an object")),
        Value::Array(_) => return Err(Malformed::Body("an array")),
        Value::Number(_) => return Err(Malformed::Body("a number")),
        Value::Bool(_) => return Err(Malformed::Body("a boolean")),
    };
    if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(Reply { status, headers, body })
}

/// Whether the text, which must be JSON, is an object with a `statusCode`. Most answers have none and pass as they are: they are looked
/// over, for a tree of their values would take many times their room.
fn has_status_code(text: &str) -> serde_json::Result<bool> {
    struct Look;
    struct Key(bool);

    impl<'de> Visitor<'de> for Look {
        type Value = bool;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let mut found = false;
            while let Some(Key(is_status_code)) = map.next_key()? {
                found |= is_status_code;
                map.next_value::<IgnoredAny>()?;
            }
            Ok(found)
        }
    }

    impl<'de> Deserialize<'de> for Key {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Name;

            impl Visitor<'_> for Name {
                type Value = Key;

                fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    formatter.write_str("a name")
                }

                fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                    Ok(Key(name == "statusCode"))
                }
            }

            deserializer.deserialize_str(Name)
        }
    }

    let mut json = serde_json::Deserializer::from_str(text);
    let found = if text.trim_ascii_start().starts_with('{') {
        json.deserialize_map(Look)?
    } else {
        IgnoredAny::deserialize(&mut json)?;
        false
    };
    json.end()?;
    Ok(found)
}

/// Reads the prelude of a streamed answer: `statusCode` (200 when absent), `headers` and `cookies`.
///
/// # Errors
/// When it is no such object.
pub fn head_from_prelude(prelude: &[u8]) -> Result<(StatusCode, HeaderMap), Malformed> {
    let shaped: Shaped = serde_json::from_slice(prelude).map_err(Malformed::Shape)?;
    head(&shaped)
}

fn head(shaped: &Shaped) -> Result<(StatusCode, HeaderMap), Malformed> {
    let status = status(shaped.status_code.as_ref())?;
    let mut headers = HeaderMap::new();
    let several = shaped.multi_value_headers.iter().flatten();
    for (name, value) in shaped.headers.iter().flatten() {
        // Both maps may name a header; the one with all the values holds then.
        if shaped.multi_value_headers.as_ref().is_none_or(|several| !contains(several, name)) {
            append(&mut headers, name, value)?;
        }
    }
    for (name, values) in several {
        append(&mut headers, name, values)?;
    }
    for cookie in shaped.cookies.iter().flatten() {
        let value = HeaderValue::from_str(cookie).map_err(|_| Malformed::Header("set-cookie".to_owned()))?;
        headers.append(SET_COOKIE, value);
    }
    Ok((status, headers))
}

/// A number, or a number as text; 1xx are not answers, and a connection cannot carry them as such.
fn status(value: Option<&Value>) -> Result<StatusCode, Malformed> {
    let Some(value) = value else { return Ok(StatusCode::OK) };
    let code = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    code.filter(|code| (200..=599).contains(code))
        .and_then(|code| u16::try_from(code).ok())
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| Malformed::Status(value.clone()))
}

fn contains(map: &serde_json::Map<String, Value>, name: &str) -> bool {
    map.keys().any(|other| other.eq_ignore_ascii_case(name))
}

fn append(headers: &mut HeaderMap, name: &str, value: &Value) -> Result<(), Malformed> {
    let invalid = || Malformed::Header(name.to_owned());
    if let Value::Array(values) = value {
        return values.iter().try_for_each(|value| append(headers, name, value));
    }
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
    // The connection's own headers are made where the connection is; Flint's are Flint's.
    let reserved = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE].contains(&parsed)
        || super::is_internal(&parsed)
        || parsed.as_str() == "keep-alive";
    if reserved {
        return Ok(());
    }
    let text = match value {
        Value::Null => return Ok(()),
        Value::String(text) => text.clone(),
        Value::Object(_) => return Err(invalid()),
        other => other.to_string(),
    };
    headers.append(parsed, HeaderValue::from_str(&text).map_err(|_| invalid())?);
    Ok(())
}
