//! Takes an answer's body off the wire: by length, in chunks, or until the connection ends. A state machine over bytes as they
//! come, which knows of no socket.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Malformed, head::FIELDS};

/// Where in its body an answer is.
#[derive(Debug)]
pub(crate) struct Decoder(State);

/// What the next bytes of a body are.
#[derive(Debug, PartialEq)]
pub(crate) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
    /// More bytes are needed.
    More,
    End,
}

#[derive(Debug)]
enum State {
    /// Bytes that are still to come.
    Length(u64),
    /// At this place in the chunks, with what was seen of them.
    Chunked(Chunk, Seen),
    UntilClosed,
    Done,
}

/// Places in a chunked body, named by what must come next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Chunk {
    FirstDigit,
    Size(u64),
    SpaceAfterSize(u64),
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// The beginning of a line after the last chunk: a trailer, or the end.
    Line,
    Trailer,
    TrailerLf,
    EndLf,
}

#[derive(Debug, Default)]
struct Seen {
    /// Bytes of extensions, of all chunks.
    extensions: usize,
    /// Trailers as they came, each with its line's end.
    trailers: Vec<u8>,
    lines: usize,
}

/// The most bytes of chunk extensions in a body, and of trailers after it: hyper's limits.
const LIMIT: usize = 16 * 1024;

// === impl Decoder ===

impl Decoder {
    pub(crate) fn length(length: u64) -> Self {
        Self(if length == 0 { State::Done } else { State::Length(length) })
    }

    pub(crate) fn chunked() -> Self {
        Self(State::Chunked(Chunk::FirstDigit, Seen::default()))
    }

    pub(crate) fn until_closed() -> Self {
        Self(State::UntilClosed)
    }

    /// Whether only the end of the connection tells the end of the body.
    pub(crate) fn ends_with_connection(&self) -> bool {
        matches!(self.0, State::UntilClosed)
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Bytes that are still to come, where that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::Chunked(..) | State::UntilClosed => None,
        }
    }

    /// The whole body, if all of it is in the buffer and its length is known.
    pub(crate) fn whole(&mut self, buffer: &mut BytesMut) -> Option<Bytes> {
        let length = usize::try_from(self.left()?).ok()?;
        if buffer.len() < length {
            return None;
        }
        self.0 = State::Done;
        Some(if length == 0 { Bytes::new() } else { buffer.split_to(length).freeze() })
    }

    /// Takes the next piece off the buffer.
    ///
    /// # Errors
    ///
    /// When the chunks are none.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        match &mut self.0 {
            State::Done => Ok(Piece::End),
            _ if buffer.is_empty() => Ok(Piece::More),
            State::UntilClosed => Ok(Piece::Data(buffer.split().freeze())),
            State::Length(left) => {
                let data = take(buffer, left);
                if *left == 0 {
                    self.0 = State::Done;
                }
                Ok(Piece::Data(data))
            }
            State::Chunked(chunk, seen) => {
                let piece = seen.step(chunk, buffer)?;
                if matches!(piece, Piece::End | Piece::Trailers(_)) {
                    self.0 = State::Done;
                }
                Ok(piece)
            }
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    ///
    /// When the body had not.
    pub(crate) fn end(&mut self) -> Result<(), Malformed> {
        match self.0 {
            State::Done => Ok(()),
            State::UntilClosed => {
                self.0 = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(..) => Err(Malformed::CutOff),
        }
    }
}

/// As much of what is left as the buffer has.
fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let length = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
    *left -= length as u64;
    buffer.split_to(length).freeze()
}

// === impl Seen ===

impl Seen {
    /// Goes on to the next data, the end, or the end of the buffer.
    fn step(&mut self, chunk: &mut Chunk, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            if let Chunk::Data(left) = chunk {
                if buffer.is_empty() {
                    return Ok(Piece::More);
                }
                let data = take(buffer, left);
                if *left == 0 {
                    *chunk = Chunk::DataCr;
                }
                return Ok(Piece::Data(data));
            }
            let mut used = 0;
            let mut ended = false;
            for byte in buffer.iter() {
                used += 1;
                match self.after(*chunk, *byte)? {
                    Some(next) => *chunk = next,
                    None => ended = true,
                }
                if ended || matches!(chunk, Chunk::Data(_)) {
                    break;
                }
            }
            buffer.advance(used);
            if ended {
                return self.trailers();
            }
            if !matches!(chunk, Chunk::Data(_)) {
                return Ok(Piece::More);
            }
        }
    }

    /// The place after one more byte; none is the end of the body.
    fn after(&mut self, chunk: Chunk, byte: u8) -> Result<Option<Chunk>, Malformed> {
        let bad = Err(Malformed::Chunk);
        Ok(Some(match (chunk, byte) {
            (Chunk::FirstDigit, _) => Chunk::Size(digit(0, byte)?),
            (Chunk::Size(size) | Chunk::SpaceAfterSize(size), b'\r') => Chunk::SizeLf(size),
            (Chunk::Size(size) | Chunk::SpaceAfterSize(size), b';') => Chunk::Extension(size),
            (Chunk::Size(size) | Chunk::SpaceAfterSize(size), b' ' | b'\t') => Chunk::SpaceAfterSize(size),
            (Chunk::Size(size), _) => Chunk::Size(digit(size, byte)?),
            (Chunk::Extension(size), b'\r') => Chunk::SizeLf(size),
            // Who ends lines by a bare LF would see a chunk here that we do not.
            (Chunk::Extension(_), b'\n') => return bad,
            (Chunk::Extension(size), _) => {
                self.extensions += 1;
                if self.extensions >= LIMIT {
                    return Err(Malformed::TooLong);
                }
                Chunk::Extension(size)
            }
            (Chunk::SizeLf(0), b'\n') => Chunk::Line,
            (Chunk::SizeLf(size), b'\n') => Chunk::Data(size),
            (Chunk::DataCr, b'\r') => Chunk::DataLf,
            (Chunk::DataLf, b'\n') => Chunk::FirstDigit,
            (Chunk::Line, b'\r') => Chunk::EndLf,
            (Chunk::EndLf, b'\n') => return Ok(None),
            (Chunk::Line | Chunk::Trailer, _) => {
                self.keep(byte)?;
                if byte == b'\r' { Chunk::TrailerLf } else { Chunk::Trailer }
            }
            (Chunk::TrailerLf, b'\n') => {
                self.lines += 1;
                if self.lines > FIELDS {
                    return Err(Malformed::TooLong);
                }
                self.keep(byte)?;
                Chunk::Line
            }
            _ => return bad,
        }))
    }

    fn keep(&mut self, byte: u8) -> Result<(), Malformed> {
        self.trailers.push(byte);
        if self.trailers.len() >= LIMIT { Err(Malformed::TooLong) } else { Ok(()) }
    }

    fn trailers(&mut self) -> Result<Piece, Malformed> {
        if self.trailers.is_empty() {
            return Ok(Piece::End);
        }
        self.keep(b'\r')?;
        self.keep(b'\n')?;
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        // Not more fields than lines: one that a bare LF ends would be another for some, and a part of the value for others.
        let lines = fields.get_mut(..self.lines).unwrap_or_default();
        let parsed = httparse::parse_headers(&self.trailers, lines).map_err(Malformed::Head)?;
        let httparse::Status::Complete((_, fields)) = parsed else { return Err(Malformed::Field) };
        let mut trailers = HeaderMap::with_capacity(fields.len());
        for field in fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Malformed::Field)?;
            let value = HeaderValue::from_bytes(field.value).map_err(|_| Malformed::Field)?;
            trailers.append(name, value);
        }
        Ok(Piece::Trailers(trailers))
    }
}

/// A size with one more hexadecimal digit.
fn digit(size: u64, byte: u8) -> Result<u64, Malformed> {
    let digit = char::from(byte).to_digit(16).ok_or(Malformed::Chunk)?;
    let size = size.checked_mul(16).ok_or(Malformed::Chunk)?;
    Ok(size + u64::from(digit))
}
