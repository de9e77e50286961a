//! Our reading of answers beside hyper's: the same bytes, cut in the same places, must come to the same.

use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncWriteExt, DuplexStream};

use super::{
    body::{Decoder, Piece},
    head,
};

/// What an instance sends, in pieces, and whether it closes the connection after them.
#[derive(Clone, Debug)]
struct Sent {
    head_request: bool,
    pieces: Vec<Vec<u8>>,
    closes: bool,
}

/// What becomes of an answer.
#[derive(Debug, PartialEq)]
enum Verdict {
    /// It is waited for.
    Waiting,
    Refused,
    Answer {
        status: StatusCode,
        fields: Vec<(String, Vec<u8>)>,
        body: Ending,
        reusable: bool,
    },
}

#[derive(Debug, PartialEq)]
enum Ending {
    Waiting,
    Failed,
    Complete { data: Vec<u8>, trailers: Option<Vec<(String, Vec<u8>)>> },
}

impl Sent {
    fn method(&self) -> Method {
        if self.head_request { Method::HEAD } else { Method::GET }
    }

    fn whole(text: &str, closes: bool) -> Self {
        Self { head_request: false, pieces: vec![text.as_bytes().to_vec()], closes }
    }
}

/// Fields in the order of their names: within a name the order counts, between names it does not.
fn fields(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let mut fields: Vec<_> = headers
        .iter()
        // Beside a coding we drop it, and hyper ignores it.
        .filter(|(name, _)| *name != "content-length" || !headers.contains_key("transfer-encoding"))
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    fields.sort_by(|one, two| one.0.cmp(&two.0));
    fields
}

// --- ours ---

fn ours(sent: &Sent) -> Verdict {
    let mut buffer = BytesMut::new();
    let mut pieces = sent.pieces.iter();
    let method = sent.method();
    let head::Head { response, mut body, keep } = loop {
        let Some(piece) = pieces.next() else {
            return if sent.closes { Verdict::Refused } else { Verdict::Waiting };
        };
        buffer.extend_from_slice(piece);
        match head::read(&mut buffer, &method) {
            Ok(Some(head)) => break head,
            Ok(None) => {}
            Err(_) => return Verdict::Refused,
        }
    };
    let ending = read_body(&mut body, &mut buffer, &mut pieces, sent.closes);
    pieces.for_each(|piece| buffer.extend_from_slice(piece));
    let complete = matches!(ending, Ending::Complete { .. });
    Verdict::Answer {
        status: response.status(),
        fields: fields(response.headers()),
        reusable: complete && keep && buffer.is_empty() && !sent.closes,
        body: ending,
    }
}

fn read_body<'a>(
    body: &mut Decoder,
    buffer: &mut BytesMut,
    pieces: &mut impl Iterator<Item = &'a Vec<u8>>,
    closes: bool,
) -> Ending {
    let mut data = Vec::new();
    loop {
        match body.next(buffer) {
            Ok(Piece::Data(more)) => data.extend_from_slice(&more),
            Ok(Piece::Trailers(trailers)) => {
                return Ending::Complete { data, trailers: Some(fields(&trailers)) };
            }
            Ok(Piece::End) => return Ending::Complete { data, trailers: None },
            Ok(Piece::More) => match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None if !closes => return Ending::Waiting,
                None if body.end().is_err() => return Ending::Failed,
                None => {}
            },
            Err(_) => return Ending::Failed,
        }
    }
}

// --- hyper's ---

/// Time enough for everything that can happen: the clock is paused, and goes on when nothing does.
const SETTLED: Duration = Duration::from_secs(1);

async fn hypers(sent: &Sent) -> Verdict {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.expect("a connection");
    tokio::task::spawn_local(connection);
    let saying = tokio::task::spawn_local(say(far, sent.clone()));
    let request = Request::builder().method(sent.method()).uri("/").header("host", "x");
    let request = request.body(Empty::<bytes::Bytes>::new()).expect("a request");
    let response = match tokio::time::timeout(SETTLED, sender.send_request(request)).await {
        Err(_) => return Verdict::Waiting,
        Ok(Err(_)) => return Verdict::Refused,
        Ok(Ok(response)) => response,
    };
    let (parts, body) = response.into_parts();
    let body = match tokio::time::timeout(SETTLED, body.collect()).await {
        Err(_) => Ending::Waiting,
        Ok(Err(_)) => Ending::Failed,
        Ok(Ok(collected)) => {
            let trailers = collected.trailers().map(fields);
            Ending::Complete { data: collected.to_bytes().to_vec(), trailers }
        }
    };
    tokio::time::sleep(SETTLED).await;
    let reusable = matches!(body, Ending::Complete { .. }) && sender.is_ready() && !sender.is_closed();
    drop(saying.await);
    Verdict::Answer { status: parts.status, fields: fields(&parts.headers), body, reusable }
}

/// Says it piece by piece, each after the last was read, and stays silent or goes.
async fn say(mut far: DuplexStream, sent: Sent) -> Option<DuplexStream> {
    for piece in &sent.pieces {
        // The request is written first, and what was said is read before more is.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        far.write_all(piece).await.ok()?;
    }
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    (!sent.closes).then_some(far)
}

/// Both come to the same, but for what we do otherwise on purpose.
async fn agree(sent: &Sent) -> Result<(), TestCaseError> {
    let (mine, theirs) = (ours(sent), hypers(sent).await);
    match (&mine, &theirs) {
        // Nobody asked for another protocol.
        (_, Verdict::Answer { status, .. }) if *status == StatusCode::SWITCHING_PROTOCOLS => {
            prop_assert_eq!(mine, Verdict::Refused);
        }
        // A head that came in parts is looked at again by hyper when it has an end, by us at once.
        (Verdict::Refused, Verdict::Waiting) => {
            let mut ended = sent.clone();
            ended.pieces.push(b"\r\n\r\n".to_vec());
            prop_assert_eq!(hypers(&ended).await, Verdict::Refused);
        }
        _ => prop_assert_eq!(mine, theirs),
    }
    Ok(())
}

fn on_a_worker(test: impl AsyncFn() -> Result<(), TestCaseError>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let set = tokio::task::LocalSet::new();
    set.block_on(&runtime.expect("a runtime"), test())
}

// --- what instances say ---

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn first_line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => one_of(&["HTTP/1.1 200 OK\r\n"]),
        3 => one_of(&[
            "HTTP/1.0 200 OK\r\n", "HTTP/1.1 204 No Content\r\n", "HTTP/1.1 304 Not Modified\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 404 \r\n",
            "HTTP/1.1 200\r\n", "HTTP/1.1 500 Oh no\r\n", "HTTP/1.1 299 \r\n", "\r\n\r\nHTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\n",
        ]),
        1 => one_of(&[
            "HTTP/1.1 101 Switching Protocols\r\n", "HTTP/2.0 200 OK\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1  200 OK\r\n", "http/1.1 200 OK\r\n", "HTTP/1.1 099 x\r\n", "HTTP/1.1 +20 x\r\n", " HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 O\u{1}K\r\n", "", "HTTP/1.1 100 Continue\r\n\r\n",
        ]),
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => one_of(&[
            "content-type: text/plain\r\n", "x-a: 1\r\n", "X-A:2\r\n", "x-empty:\r\n", "x-bytes: \u{e9}\r\n", "connection: keep-alive\r\n",
        ]),
        4 => one_of(&[
            "content-length: 5\r\n", "Content-Length:5 \r\n", "content-length: 0\r\n", "content-length: 11\r\n",
            "content-length: 5, 5\r\n",
        ]),
        4 => one_of(&["transfer-encoding: chunked\r\n", "Transfer-Encoding: Chunked\r\n", "transfer-encoding: gzip, chunked\r\n"]),
        2 => one_of(&["connection: close\r\n", "Connection: x, Close\r\n"]),
        2 => one_of(&[
            "content-length: 5, 6\r\n", "content-length: -5\r\n", "content-length: +5\r\n", "content-length: 5x\r\n",
            "content-length: 0x5\r\n", "content-length:\r\n", "content-length: 05\r\n", "content-length: 5,\r\n", "content-length: 5;5\r\n",
            "content-length: 18446744073709551615\r\n", "content-length: 18446744073709551613\r\n",
            "content-length: 99999999999999999999\r\n", "content-length : 5\r\n", "content-length\r\n", "content-length: 5\n",
            "content-length: 5\r \r\n", "content-length: \t5\t\r\n",
            "transfer-encoding: chunked, gzip\r\n", "transfer-encoding: xchunked\r\n", "transfer-encoding: chunked;q=1\r\n",
            "transfer-encoding:\u{b}chunked\r\n", "transfer-encoding: chunked\u{0}\r\n", "transfer-encoding : chunked\r\n",
            "transfer-encoding: identity\r\n", "transfer-encoding:\r\n chunked\r\n", "transfer\u{e9}: x\r\n",
            "x-fold: a\r\n b\r\n", " x-fold: a\r\n", "x-bare: a\rb\r\n", "x-null: \u{0}\r\n", ": no name\r\n", "\t\r\n",
        ]),
    ]
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => one_of(&["", "hello", "hello world", "hell"]),
        5 => prop::collection::vec(chunk(), 0..5).prop_map(|chunks| chunks.concat()),
    ]
}

fn chunk() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => one_of(&["5\r\nhello\r\n", "1\r\nx\r\n", "B\r\nhello world\r\n", "0b\r\nhello world\r\n", "5;a=b\r\nhello\r\n", "5 \r\nhello\r\n"]),
        6 => one_of(&["0\r\n\r\n", "0\r\nx-t: 1\r\n\r\n", "00\r\n\r\n", "0;x\r\nx-t: 1\r\nx-u: 2\r\n\r\n"]),
        3 => one_of(&[
            "5\nhello\n", "5\r\nhello", "5\r\nhellooo\r\n", "g\r\nx\r\n", "\r\n", "-5\r\nhello\r\n", "0x5\r\nhello\r\n", " 5\r\nhello\r\n",
            "5;a\nb\r\nhello\r\n", "5 5\r\nhello\r\n", "5\t;x\r\nhello\r\n", "ffffffffffffffff\r\nx", "10000000000000000\r\nx",
            "fffffffffffffff0\r\nx", "0\r\nx-t 1\r\n\r\n", "0\r\nx t: 1\r\n\r\n", "0\r\n: 1\r\n\r\n", "0\r\nx-t: 1\n\r\n", "0\r\nx-t: 1\r\n\n",
            "0\r\n \r\n\r\n", "0\n\n", "0\r\n\rx", "5\r\rhello\r\n", "0\r\nx-t: a\u{0}\r\n\r\n", "0\r\nx: a\r\n b\r\n\r\n",
        ]),
    ]
}

prop_compose! {
    fn sent()(
        line in first_line(),
        fields in prop::collection::vec(field(), 0..5),
        end in prop_oneof![12 => Just("\r\n"), 1 => Just("\n"), 1 => Just("")],
        body in body(),
        after in prop_oneof![6 => Just(""), 1 => Just("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), 1 => Just("x")],
        noise in prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>())),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        short in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        head_request in prop::bool::weighted(0.1),
        closes in any::<bool>(),
    ) -> Sent {
        let mut text = [&line, &fields.concat(), end, &body, after].concat().into_bytes();
        if let (Some((place, byte)), false) = (noise, text.is_empty()) {
            let place = place.index(text.len());
            text[place] = byte;
        }
        if let (Some(short), false) = (short, text.is_empty()) {
            text.truncate(short.index(text.len()));
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let pieces = cuts.windows(2).map(|ends| text[ends[0]..ends[1]].to_vec()).collect();
        Sent { head_request, pieces, closes }
    }
}

/// Cases of a run; more where somebody hunts (`PROPTEST_CASES`).
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4000)
}

#[test]
fn whatever_an_instance_says_we_and_hyper_read_the_same() {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&sent(), |sent| on_a_worker(async || agree(&sent).await))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn limits_are_hypers() -> Result<(), TestCaseError> {
    let fields =
        |count: usize| format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{}\r\n", "a: b\r\n".repeat(count));
    let trailers = |count: usize| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{}\r\n", "a: b\r\n".repeat(count))
    };
    let sized = |before: &str, size: usize, after: &str| {
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{before}{}{after}", "x".repeat(size))
    };
    let mut all = vec![fields(99), fields(100), trailers(100), trailers(101)];
    for size in 16_380..16_388 {
        all.push(sized("5;", size, "\r\nhello\r\n0\r\n\r\n"));
        all.push(sized("0\r\na:", size - 10, "\r\n\r\n"));
        all.push(sized("0\r\na:", size - 4, "\r\n\r\n"));
    }
    on_a_worker(async || {
        for text in &all {
            agree(&Sent::whole(text, true)).await?;
            agree(&Sent::whole(text, false)).await?;
        }
        Ok(())
    })
}

#[test]
fn a_head_without_an_end_is_refused() {
    let mut buffer = BytesMut::from(&b"HTTP/1.1 200 OK\r\na: "[..]);
    buffer.extend_from_slice(&vec![b'x'; head::LONGEST]);
    assert!(head::read(&mut buffer, &Method::GET).is_err());
}

#[test]
fn a_length_beside_a_coding_does_not_go_on() {
    let text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n";
    let head = head::read(&mut BytesMut::from(&text[..]), &Method::GET).ok().flatten();
    assert!(!head.expect("a head").response.headers().contains_key("content-length"));
}
