//! The lane beside hyper alone: the same bytes, cut in the same places, must come to the same requests, answers and ends.

mod beside;
mod ways;

use std::{cell::RefCell, rc::Rc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::ext::ReasonPhrase;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::JoinHandle,
};

use crate::{
    body::{Body, BoxError, RequestBody},
    connection::{Connection, Connections, Limits},
    io::{ClientIo, Transport},
    serve::{Handler, Service, serve, serve_by_hyper},
};

/// A request as the handler saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    line: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Option<Result<Vec<u8>, ()>>,
}

/// Notes what it is asked, and answers as the path says.
#[derive(Default)]
struct Scripted {
    asked: RefCell<Vec<Asked>>,
}

/// Who serves a connection.
#[derive(Clone, Copy, Debug)]
enum Way {
    Lane,
    Hyper,
}

/// A served connection and its client's end.
struct Served {
    client: DuplexStream,
    handler: Rc<Scripted>,
    connections: Rc<Connections>,
    task: JoinHandle<()>,
}

impl Transport for DuplexStream {
    fn has_gone(&self, _: &mut std::task::Context<'_>) -> bool {
        false
    }
}

impl Served {
    fn by(way: Way) -> Self {
        Self::through(way, 1 << 20)
    }

    /// Through a pipe that holds so many bytes.
    fn through(way: Way, room: usize) -> Self {
        let (client, near) = tokio::io::duplex(room);
        let connections = Connections::new(Limits::default(), Rc::default());
        let address = ([127, 0, 0, 1], 1).into();
        let connection = connections.add(address, address, 0);
        let handler = Rc::new(Scripted::default());
        let task = tokio::task::spawn_local({
            let (handler, connections) = (Rc::clone(&handler), Rc::clone(&connections));
            async move {
                match way {
                    Way::Lane => {
                        let service = Service::new(handler, Scripted::handle);
                        serve(near, &*service, connection, &connections).await;
                    }
                    Way::Hyper => {
                        let io = ClientIo::new(near, connection.activity.clone(), Scripted::unreadable);
                        serve_by_hyper(io, handler, connection, &connections, true).await;
                    }
                }
            }
        });
        Self { client, handler, connections, task }
    }

    async fn say(&mut self, text: impl AsRef<[u8]>) {
        let _gone = self.client.write_all(text.as_ref()).await;
        settle().await;
    }

    /// What was answered until nothing more comes, and whether the connection has ended.
    async fn heard(&mut self) -> (String, bool) {
        let mut all = Vec::new();
        let reading = self.client.read_to_end(&mut all);
        let ended = matches!(tokio::time::timeout(QUIET, reading).await, Ok(Ok(_)));
        (undated(&all), ended)
    }

    fn lines(&self) -> Vec<String> {
        self.handler.asked.borrow().iter().map(|asked| asked.line.clone()).collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Time enough for everything that can happen: the clock is paused, and goes on when nothing does.
const QUIET: Duration = Duration::from_secs(1);

/// Lets the server read what was said before more is.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// Dates that the server wrote are alike.
fn undated(answers: &[u8]) -> String {
    let text = String::from_utf8_lossy(answers);
    let mut parts = text.split("\r\ndate: ");
    let mut undated = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        undated.push_str("\r\ndate: ");
        undated.push_str(part.split_once("GMT").map_or(part, |(_, after)| after));
    }
    undated
}

// === impl Scripted ===

impl Handler for Scripted {
    type Body = Body;

    async fn handle(self: Rc<Self>, request: Request<RequestBody>, _: Rc<Connection>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let fields = parts.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let line = format!("{} {} {:?}", parts.method, parts.uri, parts.version);
        let number = self.asked.borrow().len();
        self.asked.borrow_mut().push(Asked { line, fields: fields.collect(), body: None });
        let body = if parts.uri.path() == "/unread" { Ok(Vec::new()) } else { read(body).await };
        if let Some(asked) = self.asked.borrow_mut().get_mut(number) {
            asked.body = Some(body);
        }
        answer(parts.uri.path())
    }
}

async fn read(body: RequestBody) -> Result<Vec<u8>, ()> {
    Ok(body.collect().await.map_err(|_| ())?.to_bytes().to_vec())
}

fn answer(path: &str) -> Response<Body> {
    let answer = |body: Body| Response::new(body);
    let with = |name: &'static str, value: &'static str, body: Body| {
        let mut response = Response::new(body);
        response.headers_mut().append(name, HeaderValue::from_static(value));
        response
    };
    let status = |code: u16, body: Body| {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(code).unwrap();
        response
    };
    match path {
        "/empty" => answer(Body::empty()),
        "/big" => answer(Body::full("big ".repeat(1500))),
        "/chunks" => answer(frames(vec![data("one"), data(""), data("two"), data(&"x".repeat(300))])),
        "/big-chunks" => answer(frames(vec![data("one"), data(&"two".repeat(1000)), data("three")])),
        "/slow" => answer(slow(vec![data("one"), data("two"), data(&"x".repeat(3000)), data("four")])),
        "/no-chunks" => answer(frames(vec![])),
        "/trailers" => with("trailer", "x-t", frames(vec![data("one"), trailers()])),
        "/promised" => with("content-length", "11", frames(vec![data("hello "), data("world")])),
        "/promised-twice" => {
            let mut response = with("content-length", "5", frames(vec![data("hello")]));
            response.headers_mut().append("content-length", HeaderValue::from_static("5"));
            response
        }
        "/short" => with("content-length", "11", frames(vec![data("hello")])),
        "/long" => with("content-length", "3", frames(vec![data("hel"), data("lo")])),
        "/longer" => with("content-length", "4", frames(vec![data("hello")])),
        "/fails" => answer(frames(vec![data("one"), Err("it broke".into())])),
        "/fails-late" => answer(slow(vec![data("one"), Err("it broke".into())])),
        "/measured" => with("content-length", "5", Body::full("hello")),
        "/measured-empty" => with("content-length", "5", Body::empty()),
        "/close" => with("connection", "close", Body::full("bye")),
        "/connection" => {
            let mut response = with("connection", "x-a", Body::full("hello"));
            response.headers_mut().append("connection", HeaderValue::from_static("x-b, CLOSE"));
            response
        }
        "/connection-open" => with("connection", "x-a", Body::full("hello")),
        "/coded" => with("transfer-encoding", "gzip", frames(vec![data("one")])),
        "/coded-chunked" => with("transfer-encoding", "gzip, chunked", Body::full("one")),
        "/dated" => with("date", "Thu, 01 Jan 1970 00:00:00 GMT", Body::full("old")),
        "/204" => status(204, Body::empty()),
        "/204-body" => status(204, Body::full("none")),
        "/304" => {
            let mut response = status(304, Body::empty());
            response.headers_mut().insert("content-length", HeaderValue::from_static("5"));
            response
        }
        "/304-chunks" => status(304, frames(vec![data("none")])),
        "/299" => status(299, Body::full("what")),
        "/404" => status(404, Body::full("no")),
        "/reason" => {
            let mut response = answer(Body::full("hello"));
            response.extensions_mut().insert(ReasonPhrase::from_static(b"Very Well"));
            response
        }
        "/cookies" => {
            let mut response = with("set-cookie", "a=1", Body::full("hello"));
            response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_static("b=2"));
            response.headers_mut().append("x-a", HeaderValue::from_bytes(b"\xe9").unwrap());
            response
        }
        _ => answer(Body::full("hello")),
    }
}

type Piece = Result<Frame<Bytes>, BoxError>;

fn data(text: &str) -> Piece {
    Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
}

fn trailers() -> Piece {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-t", HeaderValue::from_static("1"));
    Ok(Frame::trailers(trailers))
}

fn frames(pieces: Vec<Piece>) -> Body {
    Body::boxed(StreamBody::new(stream::iter(pieces)))
}

/// Each piece is waited for.
fn slow(pieces: Vec<Piece>) -> Body {
    let pieces = stream::iter(pieces).then(|piece| async {
        tokio::task::yield_now().await;
        piece
    });
    Body::boxed(StreamBody::new(Box::pin(pieces)))
}
