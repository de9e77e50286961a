//! Writes a request's head as it goes over the wire, in one pass and without changing it.

use http::{
    HeaderValue,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};

/// Fields that go with a request and are not in its map: their names, in lower case, and values. To put them there would cost
/// more than all the rest of the head.
pub type Added<'a> = &'a [(&'static str, &'a HeaderValue)];

/// Appends the head of a request for that path and query, whose body has that length. What its fields say of the body's framing is left out: the
/// length is.
pub(crate) fn write(out: &mut Vec<u8>, parts: &Parts, path: &str, added: Added<'_>, body: usize) {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let mut measured = body > 0;
    for (name, value) in &parts.headers {
        if name == CONTENT_LENGTH {
            measured = true;
        } else if name != TRANSFER_ENCODING {
            field(out, name.as_str(), value);
        }
    }
    for (name, value) in added {
        field(out, name, value);
    }
    if measured {
        out.extend_from_slice(b"content-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(body).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn field(out: &mut Vec<u8>, name: &str, value: &HeaderValue) {
    let (name, value) = (name.as_bytes(), value.as_bytes());
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
