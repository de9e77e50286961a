//! Heads that cannot be read: hyper refuses them by itself with a bare status, and the handler's words take its place on the socket.
//!
//! hyper asks nobody and offers no hook, so its refusal is known by its form: a 4xx with no fields but those that hyper writes
//! itself, and no body, while no request is in flight. A handler that answers so of its own will finds its answer replaced too.
//! HTTP/2 is refused by frames (RST_STREAM, GOAWAY, or a bare 431), which stay as they are.

use bytes::Bytes;
use http::{Response, StatusCode};

/// The handler's answer to a head that cannot be read; none where hyper's is good enough.
pub(crate) type Unreadable = fn(StatusCode) -> Option<Response<Bytes>>;

/// More than any refusal of hyper's has.
const LONGEST: usize = 256;

/// What to write in the place of `message`, if that is a refusal of hyper's.
pub(crate) fn instead(message: &[u8], unreadable: Unreadable) -> Option<Bytes> {
    if message.len() > LONGEST || !message.starts_with(b"HTTP/1.1 4") {
        return None;
    }
    let head = std::str::from_utf8(message).ok()?.strip_suffix("\r\n\r\n")?;
    let (first, fields) = head.split_once("\r\n")?;
    let mut empty = false;
    for field in fields.split("\r\n") {
        match field.split_once(": ")? {
            ("content-length", "0") => empty = true,
            ("connection", "close") | ("date", _) => {}
            _ => return None,
        }
    }
    let status = first.get(9..12)?.parse().ok().filter(|_| empty)?;
    let answer = unreadable(status)?;
    let body = answer.body();
    let mut text = format!(
        "{first}\r\n{}",
        fields.replace("content-length: 0", &format!("content-length: {}", body.len()))
    );
    for (name, value) in answer.headers() {
        text.push_str(&format!("\r\n{name}: {}", value.to_str().ok()?));
    }
    text.push_str("\r\n\r\n");
    Some([text.as_bytes(), body].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(status: StatusCode) -> Option<Response<Bytes>> {
        let answer = Response::builder().header("x-code", status.as_u16());
        answer.body(Bytes::from_static(b"no")).ok()
    }

    #[test]
    fn hypers_own_refusal_gets_the_handlers_words() {
        let hypers = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: now\r\n\r\n";
        let ours = instead(hypers, words).expect("a refusal");
        let text = String::from_utf8(ours.to_vec()).unwrap();
        assert_eq!(
            text,
            "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 2\r\ndate: now\r\nx-code: 431\r\n\r\nno"
        );
        assert_eq!(instead(hypers, |_| None), None);
    }

    #[test]
    fn every_other_message_stays() {
        for message in [
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nx-request-id: 1\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\nno",
            "HTTP/1.1 400 Bad Request\r\ndate: now\r\n\r\n",
            "HTTP/1.1 4",
            "",
        ] {
            assert_eq!(instead(message.as_bytes(), words), None, "{message}");
        }
    }
}
