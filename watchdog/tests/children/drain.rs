//! The end: not ready at once, what is in flight finished, the child ended, and then gone.

use http::Method;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::{Answer, Function, Watchdog, request};

/// A function that is done when the file `go` is there, and says so when it is told to end.
const SLOW: &str = "\
import os, signal, sys, time
def ended(*_):
    print('the child was told', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, ended)
def handler(event, context):
    if event['rawPath'] == '/wait':
        while not os.path.exists(os.environ['LAMBDA_TASK_ROOT'] + '/go'): time.sleep(0.005)
    return 'done'
";

async fn in_flight(watchdog: &Watchdog, count: f64) {
    while watchdog.metric("flint_watchdog_in_flight ").await < count {}
}

#[tokio::test]
async fn at_sigterm_it_is_not_ready_serves_what_arrives_refuses_later_and_finishes_what_it_has() {
    let mut watchdog =
        Function::python(SLOW).var("AWS_LAMBDA_MAX_CONCURRENCY", "1").concurrency(4).ready().await;
    let waiting = watchdog.open(request(Method::GET, "/wait", ""));
    let ((), answer) = tokio::join!(
        async {
            in_flight(&watchdog, 1.0).await;
            watchdog.terminate();
            watchdog.said("draining").await;
            let probe = watchdog.admin("/readyz").await;
            assert_eq!((probe.status.as_u16(), probe.text().as_str()), (503, "draining\n"));
            let grace = watchdog.get("/").await;
            assert_eq!(grace.status, 200);
            assert_eq!(grace.header("connection"), Some("close"));
            let mut refused = watchdog.get("/").await;
            while refused.status == 200 {
                refused = watchdog.get("/").await;
            }
            assert_eq!(refused.header("connection"), Some("close"));
            let (status, code, _) = refused.refusal();
            assert_eq!((status, code.as_str()), (503, "draining"));
            std::fs::write(watchdog.path("task/go"), "").unwrap();
        },
        waiting
    );
    assert_eq!(Answer::read(answer).await.text(), r#""done""#);
    assert_eq!(watchdog.exit().await, 0);
    watchdog.said("ended").await;
}

#[tokio::test]
async fn the_child_is_told_to_end_and_only_after_its_requests() {
    let mut watchdog = Function::process("exit 0")
        .var("FLINT_MODE", "http")
        .program(
            "run",
            "trap 'echo the child was told; exit 0' TERM\n\
             python3 -c 'import http.server, os; http.server.HTTPServer((\"127.0.0.1\", int(os.environ[\"PORT\"])), http.server.SimpleHTTPRequestHandler).serve_forever()' 2>/dev/null &\n\
             wait",
        )
        .var("FLINT_UPSTREAM_PORT", &free_port())
        .ready()
        .await;
    assert_eq!(watchdog.get("/").await.status, 200);
    watchdog.terminate();
    assert_eq!(watchdog.exit().await, 0);
    watchdog.said("ended").await;
    let lines = watchdog.lines();
    let at = |message: &str| lines.iter().position(|line| line["message"] == message).unwrap();
    assert!(at("draining") < at("the child was told") && at("the child was told") < at("ended"));
}

fn free_port() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string()
}

#[tokio::test]
async fn a_child_that_does_not_end_when_told_to_is_ended() {
    let mut watchdog = Function::bootstrap(
        "trap '' TERM\n\
         curl -s \"http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next\" >/dev/null\n\
         while true; do sleep 0.1; done",
    )
    .ready()
    .await;
    watchdog.terminate();
    assert_eq!(watchdog.exit().await, 0);
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once() {
    let mut watchdog = Function::python(SLOW).ready().await;
    let stream = TcpStream::connect(watchdog.address()).await.unwrap();
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let waiting = tokio::spawn(async move { client.send_request(request(Method::GET, "/wait", "")).await });
    in_flight(&watchdog, 1.0).await;
    watchdog.terminate();
    watchdog.said("draining").await;
    watchdog.terminate();
    assert_eq!(watchdog.exit().await, 0);
    watchdog.said("ended before the last request was done").await;
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn an_idle_connection_is_not_closed_first_and_an_http2_one_is_told() {
    let mut watchdog = Function::python(SLOW).ready().await;
    let stream = TcpStream::connect(watchdog.address()).await.unwrap();
    let (mut idle, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let first = idle.send_request(request(Method::GET, "/", "")).await.unwrap();
    assert_eq!(first.headers().get("connection"), None);
    Answer::read(first).await;
    let stream = TcpStream::connect(watchdog.address()).await.unwrap();
    let (mut multiplexed, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let told = tokio::spawn(connection);
    let first = multiplexed.send_request(request(Method::GET, "http://h/", "")).await.unwrap();
    Answer::read(first).await;

    watchdog.terminate();
    watchdog.said("draining").await;
    // GOAWAY, and nothing in flight: the connection's end.
    told.await.unwrap().unwrap();
    idle.ready().await.unwrap();
    let last = idle.send_request(request(Method::GET, "/", "")).await.unwrap();
    assert_eq!((last.status().as_u16(), last.headers()["connection"].as_bytes()), (200, &b"close"[..]));
    drop(last);
    assert_eq!(watchdog.exit().await, 0);
}

#[tokio::test]
async fn sigint_is_as_good_as_sigterm() {
    let mut watchdog = Function::process("true").ready().await;
    watchdog.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(watchdog.exit().await, 0);
}
