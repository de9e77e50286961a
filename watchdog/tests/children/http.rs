//! `http` mode: a container's server beside the watchdog, and a child's.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Body, Function, Upstream, Watchdog, request, serve_upstream};

fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

fn beside(port: u16) -> Function {
    Function::new("http", &[]).var("FLINT_COMMAND", "").var("FLINT_UPSTREAM_PORT", &port.to_string())
}

/// A server of Python's own library as the child.
fn child(handler: &str) -> Function {
    let code = format!(
        "import http.server, os, signal, sys, time\n\
         class Handler(http.server.BaseHTTPRequestHandler):\n\
         \x20   protocol_version = 'HTTP/1.1'\n\
         \x20   def log_message(self, *args): pass\n\
         \x20   def say(self, text):\n\
         \x20       self.send_response(200)\n\
         \x20       self.send_header('content-length', str(len(text)))\n\
         \x20       self.end_headers()\n\
         \x20       self.wfile.write(text.encode())\n\
         {handler}\n\
         http.server.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()\n"
    );
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    Function::new("http", &["python3", "server.py"])
        .file("server.py", &code)
        .var("FLINT_UPSTREAM_PORT", &port.to_string())
}

async fn echo() -> Upstream {
    serve_upstream(|request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let mut response = Response::builder().status(201);
        for (name, value) in &parts.headers {
            response = response.header(format!("got-{name}"), value);
        }
        response = response.header("x-flint-error", "not_startable").header("x-path", parts.uri.path());
        response.body(body.map_err(std::io::Error::other).boxed()).unwrap()
    })
    .await
}

#[tokio::test]
async fn a_request_passes_with_its_path_headers_and_body_and_so_does_the_answer() {
    let upstream = echo().await;
    let watchdog = beside(upstream.port).ready().await;
    let mut request = request(Method::POST, "/a/b?c=d", "hello");
    request.headers_mut().insert("x-mine", "kept".parse().unwrap());
    request.headers_mut().insert("x-request-id", "id-1".parse().unwrap());
    request.headers_mut().insert("x-flint-timeout-ms", "5000".parse().unwrap());
    let answer = watchdog.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (201, "hello"));
    assert_eq!(answer.header("x-path"), Some("/a/b"));
    assert_eq!(answer.header("got-x-mine"), Some("kept"));
    assert_eq!(answer.header("got-host"), Some("thumbnail.shop"));
    assert_eq!(answer.header("got-x-flint-timeout-ms"), None);
    assert_eq!(answer.header("x-flint-error"), None);
    assert_eq!(watchdog.report("id-1").await["status"], "success");
}

#[tokio::test]
async fn it_is_ready_when_the_port_answers_and_not_before() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let watchdog = beside(port).start().await;
    let probe = watchdog.admin("/readyz").await;
    assert_eq!(probe.status, 503);
    assert_eq!(probe.text(), "the function's port does not answer\n");
    let _server = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    watchdog.said("ready").await;
    assert_eq!(watchdog.admin("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_server_that_goes_is_a_502_and_not_ready_until_it_is_back() {
    let upstream = serve_upstream(|_| async {
        Response::builder().header("connection", "close").body(full("")).unwrap()
    })
    .await;
    let port = upstream.port;
    let watchdog = beside(port).ready().await;
    assert_eq!(watchdog.get("/").await.status, 200);
    drop(upstream);
    tokio::task::yield_now().await;
    let (status, code, message) = watchdog.get("/").await.refusal();
    assert_eq!((status, code.as_str()), (502, "function_failed"));
    assert!(message.contains("refused"), "{message}");
    assert_eq!(watchdog.admin("/readyz").await.status, 503);
    let _back = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    while watchdog.admin("/readyz").await.status != 200 {}
}

#[tokio::test]
async fn a_server_that_breaks_off_is_a_502() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let watchdog = beside(listener.local_addr().unwrap().port()).start().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1]).await;
        }
    });
    watchdog.said("ready").await;
    let (status, _, message) = watchdog.get("/").await.refusal();
    assert_eq!(status, 502);
    assert!(message.contains("broke off"), "{message}");
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let upstream = echo().await;
    let watchdog = beside(upstream.port).ready().await;
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let pieces = futures::stream::unfold(receiver, |mut receiver| async {
        let piece = receiver.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Frame::data(piece)), receiver))
    });
    let stream = TcpStream::connect(watchdog.address()).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("/").header("host", "h").body(StreamBody::new(pieces.boxed())).unwrap();
    let (response, ()) = tokio::join!(client.send_request(request), async {
        sender.send(Bytes::from_static(b"one")).await.unwrap();
    });
    let mut body = response.unwrap().into_body();
    for piece in ["one", "two", "three"] {
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        let next = if piece == "one" { "two" } else { "three" };
        if piece != "three" {
            sender.send(Bytes::from(next)).await.unwrap();
        }
    }
    drop(sender);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_hundred_mebibytes_pass_in_little_memory() {
    let upstream = echo().await;
    let watchdog = beside(upstream.port).ready().await;
    let before = resident(&watchdog);
    let answer = watchdog.post("/", vec![b'x'; 100 * 1024 * 1024]).await;
    assert_eq!(answer.body.len(), 100 * 1024 * 1024);
    assert!(resident(&watchdog) < before + 16 * 1024, "{before} KiB became {} KiB", resident(&watchdog));
}

fn resident(watchdog: &Watchdog) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", watchdog.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn connections_to_the_server_are_kept() {
    let (connections, mut seen) = mpsc::channel(100);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            connections.send(()).await.unwrap();
            let service = hyper::service::service_fn(|_| async {
                Ok::<_, std::convert::Infallible>(Response::new(full("well")))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let watchdog = beside(port).ready().await;
    for _ in 0..20 {
        assert_eq!(watchdog.get("/").await.text(), "well");
    }
    let mut count = 0;
    while seen.try_recv().is_ok() {
        count += 1;
    }
    // One was the question whether the port answers.
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_gets_no_other_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let watchdog = beside(listener.local_addr().unwrap().port()).start().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if stream.read(&mut head).await.unwrap_or(0) > 0 {
                // It does not say that it closes.
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell").await.unwrap();
            }
        }
    });
    watchdog.said("ready").await;
    for _ in 0..20 {
        // Nobody may send it twice.
        assert_eq!(watchdog.post("/", "once").await.text(), "well");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_is_a_success_too() {
    let upstream = serve_upstream(|_| async {
        Response::builder().status(204).body(Empty::new().map_err(|never| match never {}).boxed()).unwrap()
    })
    .await;
    let watchdog = beside(upstream.port).ready().await;
    let mut request = request(Method::DELETE, "/", "");
    request.headers_mut().insert("x-request-id", "none".parse().unwrap());
    assert_eq!(watchdog.send(request).await.status, 204);
    assert_eq!(watchdog.report("none").await["status"], "success");
}

#[tokio::test]
async fn a_short_body_that_comes_in_pieces_arrives_whole() {
    let upstream = echo().await;
    let watchdog = beside(upstream.port).ready().await;
    let mut stream = TcpStream::connect(watchdog.address()).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 9\r\n\r\n";
    stream.write_all(format!("{head}one").as_bytes()).await.unwrap();
    while watchdog.metric("flint_watchdog_in_flight ").await < 1.0 {}
    for piece in ["two", "six"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let pieces: String = ["one", "two", "six"].into_iter().filter(|piece| answer.contains(piece)).collect();
    assert_eq!(pieces, "onetwosix", "{answer}");
}

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel() {
    let upstream = serve_upstream(|mut request: Request<Incoming>| async move {
        assert_eq!(request.headers()["upgrade"], "websocket");
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut word = [0; 4];
            while stream.read_exact(&mut word).await.is_ok() {
                word.reverse();
                stream.write_all(&word).await.unwrap();
            }
        });
        Response::builder()
            .status(101)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", "yes")
            .body(full(""))
            .unwrap()
    })
    .await;
    let watchdog = beside(upstream.port).ready().await;
    let mut stream = TcpStream::connect(watchdog.address()).await.unwrap();
    let head = "GET /chat HTTP/1.1\r\nhost: h\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\nx-request-id: ws\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(
        answer.contains("upgrade: websocket") && answer.contains("sec-websocket-accept: yes"),
        "{answer}"
    );
    for (word, reversed) in [(b"abcd", b"dcba"), (b"1234", b"4321")] {
        stream.write_all(word).await.unwrap();
        let mut got = [0; 4];
        stream.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, reversed);
    }
    assert_eq!(watchdog.metric("flint_watchdog_in_flight ").await, 1.0);
    drop(stream);
    assert_eq!(watchdog.report("ws").await["status"], "success");
}

#[tokio::test]
async fn grpc_goes_over_http2_with_its_trailers() {
    let upstream = serve_upstream(|request: Request<Incoming>| async move {
        assert_eq!(request.version(), http::Version::HTTP_2);
        assert_eq!(request.headers()["te"], "trailers");
        assert_eq!(request.uri().authority().unwrap(), "greeter.shop");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let frames = [Ok(Frame::data(body)), Ok(Frame::trailers(trailers))];
        Response::builder()
            .header("content-type", "application/grpc")
            .body(BodyExt::boxed(StreamBody::new(futures::stream::iter(frames))))
            .unwrap()
    })
    .await;
    let watchdog = beside(upstream.port).ready().await;
    let stream = TcpStream::connect(watchdog.address()).await.unwrap();
    let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let calls = (0..5).map(|_| {
        let mut client = client.clone();
        async move {
            let request = Request::post("http://greeter.shop/Greeter/Hello")
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .body(Full::new(Bytes::from_static(b"\0\0\0\0\0")))
                .unwrap();
            let collected = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
            assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
            assert_eq!(collected.to_bytes(), Bytes::from_static(b"\0\0\0\0\0"));
        }
    });
    futures::future::join_all(calls).await;
}

#[tokio::test]
async fn server_sent_events_come_one_by_one() {
    let (events, source) = mpsc::channel::<Bytes>(1);
    let source = std::sync::Arc::new(tokio::sync::Mutex::new(Some(source)));
    let upstream = serve_upstream(move |_| {
        let source = source.clone();
        async move {
            let source = source.lock().await.take().unwrap();
            let frames = futures::stream::unfold(source, |mut source| async {
                Some((Ok(Frame::data(source.recv().await?)), source))
            });
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(BodyExt::boxed(StreamBody::new(frames)))
                .unwrap()
        }
    })
    .await;
    let watchdog = beside(upstream.port).ready().await;
    let mut body = watchdog.open(request(Method::GET, "/events", "")).await.into_body();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        events.send(Bytes::from(event)).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), event);
    }
}

#[tokio::test]
async fn the_deadline_drops_the_connection_to_the_server() {
    let (dropped, mut was_dropped) = mpsc::channel::<()>(1);
    let upstream = serve_upstream(move |_| {
        let dropped = dropped.clone();
        async move {
            let _held = dropped;
            std::future::pending::<()>().await;
            unreachable!()
        }
    })
    .await;
    let watchdog = beside(upstream.port).timeout_ms(200).ready().await;
    let (status, code, message) = watchdog.get("/").await.refusal();
    assert_eq!(
        (status, code.as_str(), message.as_str()),
        (504, "timeout", "Task timed out after 0.20 seconds")
    );
    drop(upstream);
    // The server's own future went with its connection.
    assert!(tokio::time::timeout(Duration::from_secs(10), was_dropped.recv()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_deadline_cuts_a_body_off() {
    let upstream = serve_upstream(|_| async {
        let begun = futures::stream::iter([Ok(Frame::data(Bytes::from_static(b"begun")))]);
        Response::new(BodyExt::boxed(StreamBody::new(begun.chain(futures::stream::pending()))))
    })
    .await;
    let watchdog = beside(upstream.port).timeout_ms(200).ready().await;
    let mut request = request(Method::GET, "/", "");
    request.headers_mut().insert("x-request-id", "cut".parse().unwrap());
    let response = watchdog.open(request).await;
    assert_eq!(response.status(), 200);
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(watchdog.report("cut").await["status"], "timeout");
}

#[tokio::test]
async fn a_client_that_goes_ends_the_request_at_the_server() {
    let (dropped, mut was_dropped) = mpsc::channel::<()>(1);
    let upstream = serve_upstream(move |_| {
        let dropped = dropped.clone();
        async move {
            let _held = dropped;
            std::future::pending::<()>().await;
            unreachable!()
        }
    })
    .await;
    let watchdog = beside(upstream.port).ready().await;
    let gone =
        tokio::time::timeout(Duration::from_millis(100), watchdog.open(request(Method::GET, "/", ""))).await;
    assert!(gone.is_err());
    watchdog.line(|line| line["status"] == "gone").await;
    drop(upstream);
    assert!(tokio::time::timeout(Duration::from_secs(10), was_dropped.recv()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_childs_server_is_started_waited_for_and_logged() {
    let watchdog = child(
        "    def do_GET(self):\n\
         \x20       print('at work', flush=True)\n\
         \x20       self.say(os.environ['PORT'])",
    )
    .concurrency(1)
    .ready()
    .await;
    let mut request = request(Method::GET, "/", "");
    request.headers_mut().insert("x-request-id", "child-1".parse().unwrap());
    assert_eq!(watchdog.send(request).await.status, 200);
    assert_eq!(watchdog.said("at work").await["requestId"], "child-1");
    assert!(watchdog.report("child-1").await["initDurationMs"].is_f64());
}

const BAD_SERVER: &str = r"
    def do_GET(self):
        if self.path == '/exit': os._exit(0)
        if self.path == '/hang': time.sleep(60)
        self.say(str(os.getpid()))";

#[tokio::test]
async fn a_childs_server_that_crashes_is_a_502_that_says_so_and_the_next_request_works() {
    let watchdog = child(BAD_SERVER).ready().await;
    for _ in 0..2 {
        let (status, _, message) = watchdog.get("/exit").await.refusal();
        assert_eq!(
            (status, message.as_str()),
            (502, "Runtime.ExitError: Runtime exited without providing a reason")
        );
        assert_eq!(watchdog.get("/").await.status, 200);
    }
    assert_eq!(watchdog.metric("flint_watchdog_restarts_total").await, 2.0);
}

#[tokio::test]
async fn a_childs_server_that_hangs_at_its_only_request_is_replaced() {
    let watchdog = child(BAD_SERVER).concurrency(1).timeout_ms(5_000).ready().await;
    let before = watchdog.get("/").await.text();
    let mut hanging = request(Method::GET, "/hang", "");
    hanging.headers_mut().insert("x-flint-timeout-ms", "200".parse().unwrap());
    assert_eq!(watchdog.send(hanging).await.refusal().0, 504);
    assert_ne!(watchdog.get("/").await.text(), before);
}

#[tokio::test]
async fn a_childs_server_with_other_requests_goes_on() {
    let watchdog = child(BAD_SERVER).concurrency(2).timeout_ms(5_000).ready().await;
    let before = watchdog.get("/").await.text();
    let mut hanging = request(Method::GET, "/hang", "");
    hanging.headers_mut().insert("x-flint-timeout-ms", "200".parse().unwrap());
    assert_eq!(watchdog.send(hanging).await.refusal().0, 504);
    assert_eq!(watchdog.get("/").await.text(), before);
}

#[tokio::test]
async fn a_childs_server_that_cannot_start_ends_the_instance_and_its_status_says_why() {
    let mut watchdog = Function::new("http", &["sh", "-c", "echo 'no config' >&2; exit 7"]).start().await;
    assert_ne!(watchdog.exit().await, 0);
    let message = watchdog.termination_message();
    assert_eq!(message["errorType"], "Runtime.ExitError");
    assert_eq!(message["errorMessage"], "Runtime exited with error: exit status 7: no config");
}

#[tokio::test]
async fn requests_over_the_limit_are_refused_at_once() {
    let upstream = serve_upstream(|request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        Response::new(Empty::new().map_err(|never| match never {}).boxed())
    })
    .await;
    let watchdog = beside(upstream.port).concurrency(1).ready().await;
    let mut first = TcpStream::connect(watchdog.address()).await.unwrap();
    first.write_all(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 4\r\n\r\nbo").await.unwrap();
    while watchdog.metric("flint_watchdog_in_flight ").await < 1.0 {}
    let refused = watchdog.get("/").await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.refusal().1, "too_many_requests");
    first.write_all(b"dy").await.unwrap();
    let mut head = [0; 12];
    first.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    while watchdog.metric("flint_watchdog_in_flight ").await > 0.0 {}
    assert_eq!(watchdog.get("/").await.status, 200);
}

#[tokio::test]
async fn a_large_body_is_refused_before_any_byte_of_it() {
    let upstream = serve_upstream(|request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        Response::new(full(""))
    })
    .await;
    let watchdog = beside(upstream.port).concurrency(1).ready().await;
    let head = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1000000\r\nexpect: 100-continue\r\n\r\n";
    let mut first = TcpStream::connect(watchdog.address()).await.unwrap();
    first.write_all(head).await.unwrap();
    let mut asked = [0; 25];
    first.read_exact(&mut asked).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    let mut second = TcpStream::connect(watchdog.address()).await.unwrap();
    second.write_all(head).await.unwrap();
    let mut refused = String::new();
    second.read_to_string(&mut refused).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    assert!(refused.contains("x-flint-error: too_many_requests"), "{refused}");
}
