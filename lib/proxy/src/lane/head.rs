//! Reads a request's head where it is plain; everything else is hyper's to judge.
//!
//! Plain is what no two readers can understand differently: HTTP/1.1, a usual method, a target that is a path, lines that end
//! with CRLF and follow each other without a byte between, one `host`, at most one `content-length` of digits only, a `connection`
//! that is `keep-alive` or `close`, and nothing that changes the framing or the protocol (`transfer-encoding`, `expect`, `upgrade`,
//! `te`). hyper would read such a head in the same way; `tests.rs` beside this file holds both against each other.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use httparse::Status;

use crate::{body::RequestBody, connection::Limits};

/// What is at the beginning of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A plain request with all of its body: [`Outline::take`] takes it.
    Request,
    /// A part of a head.
    Head,
    /// A plain head, and so many bytes of its body are missing.
    Body(usize),
    /// Something else.
    Odd,
}

/// Where the parts of a plain request are in the buffer.
#[derive(Debug, Default)]
pub(super) struct Outline {
    method: Method,
    path: (usize, usize),
    fields: Vec<Span>,
    /// Bytes of the head.
    length: usize,
    /// Bytes of the body.
    body: usize,
    /// The client has not said that the connection ends with this request.
    keep: bool,
}

/// A field's name and value by their places in the head.
#[derive(Debug)]
struct Span {
    name: (usize, usize),
    value: (usize, usize),
}

/// What the fields say of the message.
#[derive(Default)]
struct Said {
    hosts: usize,
    length: Option<usize>,
    close: bool,
}

/// The most fields of a plain head.
const FIELDS: usize = 64;
/// The most bytes of a plain head.
const LONGEST: usize = 16 * 1024;
/// The most bytes of a body that is here with its head: what a socket usually holds, and what is kept of one in any case.
const LONGEST_BODY: usize = 64 * 1024;
/// Fields that a handler puts into a request.
const ROOM: usize = 2;

// === impl Outline ===

impl Outline {
    /// Bytes of the body of the request that was looked at last.
    pub(super) fn body(&self) -> usize {
        self.body
    }

    /// Whether its client wants the connection kept.
    pub(super) fn keeps(&self) -> bool {
        self.keep
    }

    /// Looks at what is in the buffer, and takes nothing.
    pub(super) fn look(&mut self, buffer: &[u8], limits: &Limits) -> Seen {
        let mut room = [const { MaybeUninit::uninit() }; FIELDS];
        let room = room.get_mut(..limits.headers.min(FIELDS)).unwrap_or_default();
        let mut request = httparse::Request::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_request_with_uninit_headers(&mut request, buffer, room);
        let longest = LONGEST.min(limits.header_bytes);
        match parsed {
            Ok(Status::Complete(length)) if length <= longest => {
                self.length = length;
                self.outline(buffer, &request).unwrap_or(Seen::Odd)
            }
            Ok(Status::Partial) if buffer.len() < longest => Seen::Head,
            _ => Seen::Odd,
        }
    }

    /// None where something is not plain.
    fn outline(&mut self, buffer: &[u8], request: &httparse::Request<'_, '_>) -> Option<Seen> {
        let (method, path) = (request.method?, request.path?);
        self.method = usual(method)?;
        self.path = (method.len() + 1, method.len() + 1 + path.len());
        // From here on each part has to begin where the last one ended.
        let mut end = self.path.1 + VERSION.len();
        let plain = path.starts_with('/')
            && place(buffer, path.as_bytes()) == self.path
            && buffer.get(self.path.1..end) == Some(VERSION);
        if !plain {
            return None;
        }
        let mut said = Said::default();
        self.fields.clear();
        for field in request.headers.iter() {
            let (name, value) = (place(buffer, field.name.as_bytes()), place(buffer, field.value));
            // httparse lets spaces pass behind a value, and lines that end with LF alone.
            if name.0 != end || field.value.is_empty() || buffer.get(value.1..value.1 + 2) != Some(b"\r\n") {
                return None;
            }
            end = value.1 + 2;
            said.hear(field)?;
            self.fields.push(Span { name, value });
        }
        if buffer.get(end..self.length) != Some(b"\r\n") || said.hosts != 1 {
            return None;
        }
        self.keep = !said.close;
        self.body = said.length.unwrap_or_default();
        let missing = (self.length + self.body).saturating_sub(buffer.len());
        Some(if missing == 0 { Seen::Request } else { Seen::Body(missing) })
    }

    /// Takes the request off the buffer that was looked at, with its fields put into `headers`, which is empty. None, and the buffer as it was,
    /// where the target or a field turns out to be none.
    pub(super) fn take(&mut self, buffer: &mut BytesMut, headers: HeaderMap) -> Option<Request<RequestBody>> {
        let text = buffer.split_to(self.length).freeze();
        let Some(mut request) = self.request(&text, headers) else {
            let rest = buffer.split();
            *buffer = BytesMut::from(text);
            buffer.unsplit(rest);
            return None;
        };
        if self.body > 0 {
            *request.body_mut() = RequestBody::Whole(buffer.split_to(self.body).freeze());
        }
        Some(request)
    }

    fn request(&mut self, text: &Bytes, mut headers: HeaderMap) -> Option<Request<RequestBody>> {
        let uri = Uri::from_maybe_shared(text.slice(self.path.0..self.path.1)).ok()?;
        headers.reserve(self.fields.len() + ROOM);
        for Span { name, value } in &self.fields {
            let name = HeaderName::from_bytes(text.get(name.0..name.1)?).ok()?;
            let value = HeaderValue::from_maybe_shared(text.slice(value.0..value.1)).ok()?;
            headers.append(name, value);
        }
        let mut request = Request::new(RequestBody::default());
        *request.method_mut() = std::mem::take(&mut self.method);
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Some(request)
    }
}

/// What follows a plain target.
const VERSION: &[u8] = b" HTTP/1.1\r\n";

// === impl Said ===

impl Said {
    /// None where the field is one that hyper has to see.
    fn hear(&mut self, field: &httparse::Header<'_>) -> Option<()> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        // By length first: almost no field is one of these.
        match field.name.len() {
            2 if is("te") => return None,
            4 if is("host") => self.hosts += 1,
            6 if is("expect") => return None,
            7 if is("upgrade") => return None,
            10 if is("connection") => {
                if field.value.eq_ignore_ascii_case(b"close") {
                    self.close = true;
                } else if !field.value.eq_ignore_ascii_case(b"keep-alive") {
                    return None;
                }
            }
            14 if is("content-length") => {
                let length = digits(field.value).filter(|length| *length <= LONGEST_BODY)?;
                if self.length.replace(length).is_some() {
                    return None;
                }
            }
            17 if is("transfer-encoding") => return None,
            _ => {}
        }
        Some(())
    }
}

/// The methods whose meaning for the framing everybody knows.
fn usual(method: &str) -> Option<Method> {
    Some(match method {
        "GET" => Method::GET,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        "HEAD" => Method::HEAD,
        "OPTIONS" => Method::OPTIONS,
        "PATCH" => Method::PATCH,
        _ => return None,
    })
}

fn place(buffer: &[u8], part: &[u8]) -> (usize, usize) {
    let start = (part.as_ptr() as usize).wrapping_sub(buffer.as_ptr() as usize);
    (start, start.wrapping_add(part.len()))
}

/// A number as everybody writes it.
fn digits(text: &[u8]) -> Option<usize> {
    if text.len() > 7 || (text.len() > 1 && text.starts_with(b"0")) {
        return None;
    }
    text.iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + usize::from(byte - b'0')))
}
