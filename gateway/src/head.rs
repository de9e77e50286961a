//! A request's head for another attempt, kept as one run of bytes.
//!
//! The first attempt takes the head itself, because a copy of a header map costs an allocation or two and an atomic count for each
//! field. Almost no request needs a second attempt, so what is kept for it is what is cheapest to keep: the fields' bytes in one
//! allocation. Reading them back is slow, and rare.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};

/// What another attempt needs of a head. Extensions are not kept: they belong to the client's connection.
pub(crate) struct Spare {
    method: Method,
    uri: Uri,
    version: Version,
    fields: usize,
    /// Each field's name and value, each after its length and, for the value, whether it is sensitive.
    text: Vec<u8>,
}

/// Heads of browsers and SDKs fit, so that most are one allocation.
const USUAL: usize = 1024;

// === impl Spare ===

impl Spare {
    /// Keeps a head.
    pub(crate) fn of(parts: &Parts) -> Self {
        let mut text = Vec::with_capacity(USUAL);
        for (name, value) in &parts.headers {
            put(&mut text, name.as_str().as_bytes());
            text.push(u8::from(value.is_sensitive()));
            put(&mut text, value.as_bytes());
        }
        Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            fields: parts.headers.len(),
            text,
        }
    }

    /// The head again.
    pub(crate) fn head(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        parts.uri = self.uri.clone();
        parts.version = self.version;
        parts.headers = HeaderMap::with_capacity(self.fields + 2);
        let mut rest = self.text.as_slice();
        while let Some((name, value)) = field(&mut rest) {
            parts.headers.append(name, value);
        }
        parts
    }
}

fn put(text: &mut Vec<u8>, part: &[u8]) {
    // A head is bounded by the limit of its bytes, far below.
    text.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    text.extend_from_slice(part);
}

fn field(rest: &mut &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(part(rest)?).ok()?;
    let (sensitive, value) = rest.split_first()?;
    *rest = value;
    let mut value = HeaderValue::from_bytes(part(rest)?).ok()?;
    value.set_sensitive(*sensitive != 0);
    Some((name, value))
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, text) = rest.split_first_chunk()?;
    let (part, after) = text.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_back_is_what_was_kept() {
        let mut request = Request::builder()
            .method(Method::PUT)
            .uri("/a/b?c=d")
            .version(Version::HTTP_2)
            .header("host", "hello.shop")
            .header("accept", "text/html")
            .header("x-own", "")
            .header("accept", "*/*")
            .header("x-bytes", HeaderValue::from_bytes(b"\xfa caf\xe9").unwrap())
            .body(())
            .unwrap();
        let mut secret = HeaderValue::from_static("Bearer x");
        secret.set_sensitive(true);
        request.headers_mut().insert("authorization", secret);
        let (parts, ()) = request.into_parts();
        let again = Spare::of(&parts).head();
        assert_eq!(again.headers, parts.headers);
        assert_eq!((&again.method, &again.uri, again.version), (&parts.method, &parts.uri, parts.version));
        assert!(again.headers["authorization"].is_sensitive() && !again.headers["host"].is_sensitive());
    }

    #[test]
    fn a_head_without_fields_has_none() {
        let (parts, ()) = Request::new(()).into_parts();
        assert!(Spare::of(&parts).head().headers.is_empty());
    }
}
