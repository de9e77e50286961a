//! What clients say and should not say, in any pieces, to the lane and to hyper alone.

use std::fmt;

use proptest::prelude::*;

use super::*;

/// What a client sends, in pieces, and whether it closes its side after them.
#[derive(Clone)]
struct Sent {
    pieces: Vec<Vec<u8>>,
    closes: bool,
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces: Vec<_> = self.pieces.iter().map(|piece| piece.escape_ascii().to_string()).collect();
        write!(f, "closes: {}, {pieces:#?}", self.closes)
    }
}

/// What becomes of it.
#[derive(Debug, PartialEq)]
struct Outcome {
    asked: Vec<Asked>,
    answers: String,
    /// The server has ended the connection.
    ended: bool,
}

async fn outcome(way: Way, sent: &Sent) -> Outcome {
    let mut served = Served::by(way);
    for piece in &sent.pieces {
        served.say(piece).await;
    }
    if sent.closes {
        let _gone = served.client.shutdown().await;
    }
    let (answers, ended) = served.heard().await;
    let asked = served.handler.asked.borrow().clone();
    // hyper 1.12 puts what closes a coding behind the next field that it joins, too.
    let answers = answers.replace("connection: close, chunked\r\n", "connection: close\r\n");
    Outcome { asked, answers, ended }
}

/// Both come to the same.
async fn agree(sent: &Sent) -> Result<(), TestCaseError> {
    let (lane, hyper) = (outcome(Way::Lane, sent).await, outcome(Way::Hyper, sent).await);
    if lane == hyper {
        return Ok(());
    }
    // A head that came in parts is looked at again by hyper when it has an end, and by hyper behind the lane at once. What is none is
    // refused in any case.
    let refusal = lane.answers.strip_prefix(&hyper.answers);
    prop_assert!(
        refusal.is_some_and(|refusal| refusal.starts_with("HTTP/1.1 4")) && lane.ended,
        "{lane:?}\n{hyper:?}"
    );
    prop_assert_eq!(&lane.asked, &hyper.asked);
    let mut ended = sent.clone();
    ended.pieces.push(b"\r\n\r\n".to_vec());
    prop_assert_eq!(outcome(Way::Hyper, &ended).await.answers, lane.answers);
    Ok(())
}

fn on_a_worker(test: impl AsyncFn() -> Result<(), TestCaseError>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let set = tokio::task::LocalSet::new();
    set.block_on(&runtime.expect("a runtime"), test())
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

const PATHS: &[&str] = &[
    "/",
    "/empty",
    "/big",
    "/chunks",
    "/big-chunks",
    "/slow",
    "/no-chunks",
    "/trailers",
    "/promised",
    "/promised-twice",
    "/short",
    "/long",
    "/longer",
    "/fails",
    "/fails-late",
    "/measured",
    "/close",
    "/connection",
    "/connection-open",
    "/coded",
    "/coded-chunked",
    "/dated",
    "/204",
    "/204-body",
    "/304",
    "/304-chunks",
    "/299",
    "/404",
    "/reason",
    "/cookies",
    "/a/b?c=d&e=%20",
    "//x",
    "/%zz",
    "/;a=b",
];

fn first_line() -> impl Strategy<Value = String> {
    let usual = (one_of(&["GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH"]), one_of(PATHS))
        .prop_map(|(method, path)| format!("{method} {path} HTTP/1.1\r\n"));
    prop_oneof![
        16 => usual,
        2 => one_of(&[
            "GET / HTTP/1.0\r\n", "GET http://x/a HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "QUERY /x HTTP/1.1\r\n", "\r\nGET / HTTP/1.1\r\n",
            "\r\n\r\n\r\nGET / HTTP/1.1\r\n", "\nGET / HTTP/1.1\r\n", "GET / HTTP/1.1\n", "CONNECT x:1 HTTP/1.1\r\n", "TRACE / HTTP/1.1\r\n",
            "GET /a#b HTTP/1.1\r\n", "GET /\u{e9} HTTP/1.1\r\n", "GET x HTTP/1.1\r\n", "GET ?x HTTP/1.1\r\n", "GET /{a}|\"b\" HTTP/1.1\r\n",
        ]),
        1 => one_of(&[
            "get / HTTP/1.1\r\n", "GET  / HTTP/1.1\r\n", "GET /  HTTP/1.1\r\n", "GET / HTTP/1.1 \r\n", "GET / HTTP/2.0\r\n", "GET / HTTP/1.2\r\n",
            "GET /\r\n", "GET / http/1.1\r\n", "GET\t/ HTTP/1.1\r\n", " GET / HTTP/1.1\r\n", "G\u{1}T / HTTP/1.1\r\n", "GET /\u{0} HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\r\n", "GET / HTTP/1.1\r", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "", "GET /a b HTTP/1.1\r\n", "GET /a\\b HTTP/1.1\r\n",
        ]),
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => one_of(&[
            "accept: */*\r\n", "x-a: 1\r\n", "X-A:2\r\n", "x-tab:\t3\r\n", "user-agent: me (you; them)\r\n", "cookie: a=b; c=\"d\"\r\n",
            "x-bytes: \u{e9}\r\n", "connection: keep-alive\r\n", "Connection: Keep-Alive\r\n", "keep-alive: 5\r\n", "X_Y.z: !#$\r\n",
        ]),
        4 => one_of(&["content-length: 5\r\n", "Content-Length:5\r\n", "content-length: 0\r\n", "content-length: 11\r\n"]),
        2 => one_of(&["connection: close\r\n", "Connection: x, Close\r\n", "connection: Close\r\n"]),
        2 => one_of(&["transfer-encoding: chunked\r\n", "Transfer-Encoding: Chunked\r\n", "te: trailers\r\n", "expect: 100-continue\r\n"]),
        3 => one_of(&[
            "content-length: 5 \r\n", "content-length: 5, 5\r\n", "content-length: 5, 6\r\n", "content-length: -5\r\n", "content-length: +5\r\n",
            "content-length: 5x\r\n", "content-length: 0x5\r\n", "content-length:\r\n", "content-length: 05\r\n", "content-length: 5,\r\n",
            "content-length: 99999\r\n", "content-length: 18446744073709551615\r\n", "content-length: 99999999999999999999\r\n",
            "content-length : 5\r\n", "content-length\r\n", "content-length: 5\n", "content-length: 5\r \r\n", "content-length: \t5\t\r\n",
            " content-length: 5\r\n", "content-length: 5\r\n 6\r\n", "content_length: 5\r\n", "content-length\u{0}: 5\r\n",
            "transfer-encoding: gzip, chunked\r\n", "transfer-encoding: chunked, gzip\r\n", "transfer-encoding: xchunked\r\n",
            "transfer-encoding:\u{b}chunked\r\n", "transfer-encoding : chunked\r\n", "transfer-encoding:\r\n chunked\r\n",
            "transfer-encoding: identity\r\n", "transfer\u{e9}: x\r\n", "expect: x\r\n", "upgrade: websocket\r\nconnection: upgrade\r\n",
            "upgrade: h2c\r\n", "host: y\r\n", "host:\r\n", "Host : z\r\n", "connection:\r\n", "connection: keep-alive, close\r\n",
            "x-fold: a\r\n b\r\n", " x-fold: a\r\n", "x-bare: a\rb\r\n", "x-lf: a\nx-b: c\r\n", "x-null: \u{0}\r\n", ": no name\r\n", "\t\r\n",
            "x-empty:\r\n", "x-empty: \r\n", "x-del: \u{7f}\r\n", "x-end: a \t\r\n", "x-cr: a\r\r\n", "x\r\n", "(x): 1\r\n",
        ]),
    ]
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => one_of(&["", "hello", "hello", "hello world", "hell"]),
        2 => one_of(&["5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n", "5;a\r\nhello\r\n0\r\nx-t: 1\r\n\r\n", "5\r\nhello", "g\r\n", "5\nhello\n0\n\n"]),
    ]
}

prop_compose! {
    /// Most of them are requests, so that what follows them is looked at too.
    fn request()(
        line in first_line(),
        host in prop_oneof![12 => Just("host: x\r\n"), 1 => Just("")],
        fields in prop::collection::vec(field(), 0..4),
        end in prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("")],
        body in body(),
    ) -> String {
        [&line, host, &fields.concat(), end, &body].concat()
    }
}

prop_compose! {
    /// One that is plain.
    fn plain()(
        method in one_of(&["GET", "POST", "HEAD"]),
        path in one_of(PATHS),
        length in prop::option::of(0..40usize),
    ) -> String {
        let length = length.map(|length| (format!("content-length: {length}\r\n"), "x".repeat(length)));
        let (field, body) = length.unwrap_or_default();
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nX-A: b\r\n{field}\r\n{body}")
    }
}

prop_compose! {
    fn sent()(
        requests in prop::collection::vec(prop_oneof![plain(), request()], 1..5),
        noise in prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
        lost in prop::option::weighted(0.1, any::<prop::sample::Index>()),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        short in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        closes in any::<bool>(),
    ) -> Sent {
        let mut text = requests.concat().into_bytes();
        if let Some((place, byte)) = noise.filter(|_| !text.is_empty()) {
            let place = place.index(text.len());
            text[place] = byte;
        }
        if let Some(lost) = lost.filter(|_| !text.is_empty()) {
            text.remove(lost.index(text.len()));
        }
        if let Some(short) = short.filter(|_| !text.is_empty()) {
            text.truncate(short.index(text.len()));
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        cuts.dedup();
        let pieces = cuts.windows(2).map(|ends| text[ends[0]..ends[1]].to_vec()).collect();
        Sent { pieces, closes }
    }
}

/// Cases of a run; more where somebody hunts (`PROPTEST_CASES`).
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3000)
}

#[test]
fn whatever_a_client_says_the_lane_and_hyper_alone_come_to_the_same() {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    runner
        .run(&sent(), |sent| on_a_worker(async || agree(&sent).await))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn every_kind_of_answer_is_written_as_hyper_writes_it() -> Result<(), TestCaseError> {
    on_a_worker(async || {
        for path in PATHS.iter().chain(&["/measured-empty"]) {
            for method in ["GET", "HEAD", "POST"] {
                for fields in ["", "connection: close\r\n", "connection: keep-alive\r\n"] {
                    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{fields}\r\n");
                    let next = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
                    let pieces = vec![request.into_bytes(), next.into()];
                    agree(&Sent { pieces, closes: false }).await?;
                }
            }
        }
        Ok(())
    })
}

#[test]
fn sizes_of_heads_and_bodies_make_no_difference() -> Result<(), TestCaseError> {
    let long = |size: usize| format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "x".repeat(size));
    let many = |count: usize| format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(count));
    let target = |size: usize| format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(size));
    let body = |size: usize| {
        format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n{}", "x".repeat(size))
    };
    let mut all =
        vec![target(16_300), target(16_400), target(65_533), target(65_536), many(98), many(99), many(100)];
    all.extend([4_000, 4_070, 4_096, 8_192, 16_330, 16_350, 16_384, 65_450, 65_510, 66_000].map(long));
    all.extend([62, 63, 64].map(many));
    all.extend([1, 4_000, 4_096, 10_000, 65_535, 65_536, 65_537, 200_000].map(body));
    on_a_worker(async || {
        for text in &all {
            let text = [text.as_str(), "GET /next HTTP/1.1\r\nhost: x\r\n\r\n"].concat().into_bytes();
            for piece in [100, 1000, 5000, 1 << 20] {
                let pieces = text.chunks(piece).map(<[u8]>::to_vec).collect();
                agree(&Sent { pieces, closes: false }).await?;
            }
        }
        Ok(())
    })
}
