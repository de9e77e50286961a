//! Writes an answer's head as hyper would, field by field, and finds out how its body is framed.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response::Parts};
use hyper::ext::ReasonPhrase;

use super::answer::Cut;
use crate::connection::DATE;

/// How the client learns where the body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length, of which so much is left.
    Length(u64),
    Chunked,
}

/// What is known of a body's length when its head is written.
#[derive(Clone, Copy)]
pub(super) enum Measure {
    /// There is none.
    Nothing,
    Known(u64),
    Unknown,
}

/// What the fields of an answer said while they were written.
struct Head<'a> {
    out: &'a mut Vec<u8>,
    headers: &'a HeaderMap,
    measure: Measure,
    to_head: bool,
    /// There cannot be a body.
    bare: bool,
    framing: Option<Framing>,
    keep: bool,
    connection: bool,
    trailer: bool,
    dated: bool,
}

/// Appends a head; how the body is framed, and whether the connection can be used after it.
pub(super) fn write(
    out: &mut Vec<u8>,
    parts: &Parts,
    measure: Measure,
    to_head: bool,
    keep: bool,
    date: &[u8; DATE],
) -> Result<(Framing, bool), Cut> {
    let status = parts.status;
    if status.is_informational() {
        // Nobody asked for another protocol, and an answer has only one head.
        tracing::warn!(%status, "a handler answers with a status that is none");
        let nothing = HeaderMap::new();
        line(out, StatusCode::INTERNAL_SERVER_ERROR, None);
        return Head::new(out, &nothing, Measure::Nothing, to_head, false, false).write(date, true);
    }
    line(out, status, parts.extensions.get());
    let measured = !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let bare = to_head || !measured;
    Head::new(out, &parts.headers, measure, to_head, bare, keep).write(date, measured)
}

fn line(out: &mut Vec<u8>, status: StatusCode, reason: Option<&ReasonPhrase>) {
    if status == StatusCode::OK && reason.is_none() {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    let reason = match reason {
        Some(reason) => reason.as_bytes(),
        // Some clients expect one.
        None => status.canonical_reason().unwrap_or("<none>").as_bytes(),
    };
    for part in [b"HTTP/1.1 ", status.as_str().as_bytes(), b" ", reason, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

// === impl Head ===

impl<'a> Head<'a> {
    fn new(
        out: &'a mut Vec<u8>,
        headers: &'a HeaderMap,
        measure: Measure,
        to_head: bool,
        bare: bool,
        keep: bool,
    ) -> Self {
        let (framing, connection, trailer, dated) = (None, false, false, false);
        Self { out, headers, measure, to_head, bare, framing, keep, connection, trailer, dated }
    }

    /// `measured`: a status that may come with a length.
    fn write(mut self, date: &[u8; DATE], measured: bool) -> Result<(Framing, bool), Cut> {
        let headers = self.headers;
        let ends = !self.keep;
        for (name, value) in headers {
            match name.as_str() {
                "content-length" => self.content_length(value)?,
                "transfer-encoding" => self.transfer_encoding()?,
                "connection" if !self.connection => {
                    self.connection = true;
                    let close = headers.get_all(header::CONNECTION).iter().any(|value| says(value, "close"));
                    self.keep &= !close;
                    self.joined(&header::CONNECTION, if ends && !close { ", close" } else { "" });
                }
                "trailer" if !self.trailer && !self.bare => {
                    self.trailer = true;
                    self.joined(&header::TRAILER, "");
                }
                "connection" | "trailer" => {}
                text => {
                    self.dated |= text == "date";
                    self.field(text, value.as_bytes());
                }
            }
        }
        if ends && !self.connection {
            self.field("connection", b"close");
        }
        let framing = match (self.framing, self.measure) {
            (Some(framing), _) => framing,
            (None, Measure::Unknown) if self.bare => Framing::Length(0),
            (None, Measure::Unknown) => {
                self.field("transfer-encoding", b"chunked");
                Framing::Chunked
            }
            (None, Measure::Nothing | Measure::Known(0)) => {
                if measured && !self.to_head {
                    self.field("content-length", b"0");
                }
                Framing::Length(0)
            }
            (None, Measure::Known(length)) => {
                if measured {
                    self.field("content-length", itoa::Buffer::new().format(length).as_bytes());
                }
                Framing::Length(length)
            }
        };
        if !self.dated {
            self.field("date", date);
        }
        self.out.extend_from_slice(b"\r\n");
        Ok((if self.bare { Framing::Length(0) } else { framing }, self.keep))
    }

    /// What the body knows of its length counts before what the field says.
    fn content_length(&mut self, value: &HeaderValue) -> Result<(), Cut> {
        let length = match (self.measure, self.framing) {
            (_, Some(Framing::Chunked)) => return Err(Cut::Framing),
            (Measure::Nothing, None) if self.to_head => 0,
            (Measure::Nothing, _) | (Measure::Known(_), Some(_)) => return Ok(()),
            (Measure::Known(length), None) => length,
            (Measure::Unknown, framing) => {
                let length = digits(value.as_bytes()).ok_or(Cut::Framing)?;
                match framing {
                    Some(framing) if framing == Framing::Length(length) => return Ok(()),
                    Some(_) => return Err(Cut::Framing),
                    None => length,
                }
            }
        };
        self.framing = Some(Framing::Length(length));
        self.field("content-length", value.as_bytes());
        Ok(())
    }

    /// A coding of the handler's own goes before `chunked`.
    fn transfer_encoding(&mut self) -> Result<(), Cut> {
        match self.framing {
            Some(Framing::Length(_)) => Err(Cut::Framing),
            Some(Framing::Chunked) => Ok(()),
            None if self.bare => Ok(()),
            None => {
                self.framing = Some(Framing::Chunked);
                let last = self.headers.get_all(header::TRANSFER_ENCODING).iter().next_back();
                let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
                let chunked = last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"));
                self.joined(&header::TRANSFER_ENCODING, if chunked { "" } else { ", chunked" });
                Ok(())
            }
        }
    }

    /// All values of a name in one line, and one more behind them.
    fn joined(&mut self, name: &HeaderName, more: &str) {
        let mut before: &[u8] = b": ";
        self.out.extend_from_slice(name.as_str().as_bytes());
        for value in self.headers.get_all(name) {
            self.out.extend_from_slice(before);
            self.out.extend_from_slice(value.as_bytes());
            before = b", ";
        }
        self.out.extend_from_slice(more.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    fn field(&mut self, name: &str, value: &[u8]) {
        let (name, out) = (name.as_bytes(), &mut *self.out);
        out.reserve(name.len() + value.len() + 4);
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
}

fn says(value: &HeaderValue, word: &str) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(',').any(|token| token.trim().eq_ignore_ascii_case(word))
}

/// A number and nothing else, not even a sign.
fn digits(text: &[u8]) -> Option<u64> {
    let next = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, next) }
}
