//! Reads the head of an instance's answer: its fields, how its body ends, and whether the connection can be used again.
//!
//! The verdicts are hyper's, test for test (see `tests.rs` beside this file), but for two that are stricter: a 101 that nobody
//! asked for is no answer, and `content-length` beside `transfer-encoding` does not go on.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use httparse::Status;
use hyper::ext::ReasonPhrase;
use smallvec::SmallVec;

use super::{Malformed, body::Decoder};

/// The head of an answer.
pub(crate) struct Head {
    pub(crate) response: Response<()>,
    /// Where its body ends.
    pub(crate) body: Decoder,
    /// Neither side has said that the connection ends with this answer.
    pub(crate) keep: bool,
}

/// The most fields of a head or of trailers: as many as hyper reads.
pub(super) const FIELDS: usize = 100;
/// The most bytes of a head: as many as hyper holds.
pub(super) const LONGEST: usize = 8192 + 4096 * 100;
/// Answers with more fields cost an allocation more.
const USUAL: usize = 24;

/// A field's name and value by their places in the head.
struct Span {
    name: (usize, usize),
    value: (usize, usize),
}

struct Line {
    length: usize,
    status: StatusCode,
    version: Version,
    reason: Option<ReasonPhrase>,
}

/// Takes a head off the buffer once all of it is there. Informational answers are passed over.
///
/// # Errors
///
/// When it is none, or could be read in two ways.
pub(crate) fn read(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, Malformed> {
    loop {
        let mut spans = SmallVec::<[Span; USUAL]>::new();
        let Some(line) = parse(buffer, &mut spans)? else {
            return if buffer.len() >= LONGEST { Err(Malformed::TooLong) } else { Ok(None) };
        };
        let text = buffer.split_to(line.length).freeze();
        match line.status.as_u16() {
            101 => return Err(Malformed::Upgrade),
            100..=199 if buffer.is_empty() => return Ok(None),
            100..=199 => {}
            _ => return head(line, &text, &spans, method).map(Some),
        }
    }
}

fn parse(buffer: &[u8], spans: &mut SmallVec<[Span; USUAL]>) -> Result<Option<Line>, Malformed> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut answer = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut answer,
        buffer,
        &mut fields,
    );
    let Status::Complete(length) = parsed.map_err(Malformed::Head)? else { return Ok(None) };
    let place = |part: &[u8]| {
        let start = part.as_ptr() as usize - buffer.as_ptr() as usize;
        (start, start + part.len())
    };
    for field in answer.headers.iter() {
        spans.push(Span { name: place(field.name.as_bytes()), value: place(field.value) });
    }
    let status = StatusCode::from_u16(answer.code.unwrap_or_default()).map_err(|_| Malformed::Status)?;
    let reason = answer.reason.filter(|reason| Some(*reason) != status.canonical_reason());
    Ok(Some(Line {
        length,
        status,
        version: if answer.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 },
        reason: reason.and_then(|reason| ReasonPhrase::try_from(reason.as_bytes()).ok()),
    }))
}

fn head(line: Line, text: &Bytes, spans: &[Span], method: &Method) -> Result<Head, Malformed> {
    let mut headers = HeaderMap::with_capacity(spans.len() + ROOM);
    let mut keep = line.version == Version::HTTP_11;
    let (mut close, mut coded) = (false, false);
    // The length of the first field that has one, and how many there are.
    let (mut measure, mut measures) = (None, 0);
    for Span { name, value } in spans {
        let name = HeaderName::from_bytes(&text[name.0..name.1]).map_err(|_| Malformed::Field)?;
        let value = HeaderValue::from_maybe_shared(text.slice(value.0..value.1));
        let value = value.map_err(|_| Malformed::Field)?;
        if name == CONTENT_LENGTH {
            measure = measure.or_else(|| digits(value.as_bytes()));
            measures += 1;
        } else if name == CONNECTION {
            // Once one field says that it ends, no other can undo it.
            close |= says(&value, "close");
            keep = !close && (keep || says(&value, "keep-alive"));
        } else if name == TRANSFER_ENCODING {
            coded = true;
        }
        headers.append(name, value);
    }
    let bodiless = matches!(line.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let body = if bodiless || method == Method::HEAD {
        Decoder::length(0)
    } else if coded {
        if line.version == Version::HTTP_10 {
            return Err(Malformed::Coding);
        }
        headers.remove(CONTENT_LENGTH);
        if is_chunked(&headers) { Decoder::chunked() } else { Decoder::until_closed() }
    } else if measures > 0 {
        let length = measure.filter(|_| measures == 1).or_else(|| length(&headers));
        // hyper has other uses for the two largest.
        Decoder::length(length.filter(|length| *length <= u64::MAX - 2).ok_or(Malformed::Length)?)
    } else {
        Decoder::until_closed()
    };
    let mut response = Response::new(());
    *response.status_mut() = line.status;
    *response.version_mut() = line.version;
    *response.headers_mut() = headers;
    if let Some(reason) = line.reason {
        response.extensions_mut().insert(reason);
    }
    Ok(Head { response, keep: keep && !body.ends_with_connection(), body })
}

/// Fields that are put into an answer before it goes to the client: room for them spares a second allocation.
const ROOM: usize = 2;

fn says(value: &HeaderValue, word: &str) -> bool {
    let text = value.to_str().unwrap_or_default();
    text.split(',').any(|token| token.trim().eq_ignore_ascii_case(word))
}

/// Whether the last coding is `chunked`; any other last one ends with the connection.
fn is_chunked(headers: &HeaderMap) -> bool {
    let last = headers.get_all(TRANSFER_ENCODING).iter().next_back();
    let last = last.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    last.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
}

/// The one length that all fields agree on, if they do.
fn length(headers: &HeaderMap) -> Option<u64> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for number in value.to_str().ok()?.split(',') {
            let number = digits(number.trim().as_bytes())?;
            if *length.get_or_insert(number) != number {
                return None;
            }
        }
    }
    length
}

/// A number and nothing else, not even a sign.
fn digits(text: &[u8]) -> Option<u64> {
    let next = |number: u64, byte: &u8| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, next) }
}
