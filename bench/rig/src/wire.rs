//! HTTP/1.1 as little of it as a load generator needs: the generator must not be what is measured.

use std::{io, net::SocketAddr};

use memchr::memmem;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A kept connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The start of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of head and body.
    pub(crate) length: usize,
}

/// Answers up to this are kept whole.
const KEPT: usize = 1024 * 1024;
/// Bytes of a long body that are read at a time.
const AT_A_TIME: usize = 64 * 1024;

// === impl Wire ===

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// The connection by itself.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// The last answer, head and body; of one over 1 MiB, its end.
    pub(crate) fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Sends the request and reads its answer to the end.
    pub(crate) async fn call(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if let Some(answer) = parse(&self.buffer)? {
                let mut left = answer.length.saturating_sub(self.buffer.len());
                while left > 0 {
                    if answer.length > KEPT {
                        self.buffer.clear();
                    }
                    self.buffer.reserve(left.min(AT_A_TIME));
                    match self.stream.read_buf(&mut self.buffer).await? {
                        0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                        read => left = left.saturating_sub(read),
                    }
                }
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// A request without a body, as `curl` would send it.
pub(crate) fn get(host: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: flint-bench\r\nAccept: */*\r\n\r\n")
        .into_bytes()
}

fn parse(buffer: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = memmem::find(buffer, b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&buffer[..end]).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.get(9..12)?.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut body = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body = value.trim().parse::<usize>().ok();
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(chunked(&buffer[end + 4..]).map(|length| Answer { status, length: end + 4 + length }));
        }
    }
    Ok(Some(Answer { status, length: end + 4 + body.unwrap_or(0) }))
}

/// The length of a chunked body that is whole, trailers left out of account.
fn chunked(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = memmem::find(&body[at..], b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&body[at..at + line]).ok()?.trim(), 16).ok()?;
        at += line + 2 + size + 2;
        if at > body.len() {
            return None;
        }
        if size == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
        assert_eq!(parse(text).unwrap(), Some(Answer { status: 200, length: text.len() + 2 }));
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nContent-Le").unwrap(), None);
    }

    #[test]
    fn chunks_are_counted_to_their_end() {
        let text = b"HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(parse(text).unwrap(), Some(Answer { status: 503, length: text.len() }));
        assert_eq!(parse(&text[..text.len() - 4]).unwrap(), None);
    }
}
