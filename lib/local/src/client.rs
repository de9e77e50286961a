//! The platform's own calls, through its own gateway: so that they are answered, counted and told as anybody's.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::{Answer, Caller, Error, Invocation, Key};

/// More than an invocation of a function may last, waiting included.
const LONGEST: Duration = Duration::from_secs(1000);
/// More is not shown anywhere.
const LARGEST: usize = 32 * 1024 * 1024;
/// Headers that belong to one message or one connection, or that make a call a repetition of another.
const NOT_AGAIN: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("idempotency-key"),
];

/// Lambda's Invoke.
pub(crate) async fn invoke(
    gateway: SocketAddr,
    function: &Key,
    payload: Bytes,
    tail: bool,
) -> Result<Answer, Error> {
    let target = format!("/2015-03-31/functions/{}.{}/invocations", function.name, function.namespace);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if tail {
        headers.insert("x-amz-log-type", HeaderValue::from_static("Tail"));
    }
    send(gateway, Method::POST, &target, headers, payload).await
}

/// The same request once more.
pub(crate) async fn again(gateway: SocketAddr, id: u64, invocation: &Invocation) -> Result<Answer, Error> {
    let request = invocation.request.as_ref().filter(|request| request.complete);
    let request = request.ok_or(Error::NotRecorded(id))?;
    if let (Caller::Schedule, Some(function)) = (invocation.caller, &invocation.function) {
        return invoke(gateway, function, request.body.clone(), false).await;
    }
    let method =
        Method::from_bytes(invocation.method.as_bytes()).map_err(|error| failed(io::Error::other(error)))?;
    let mut headers = request.headers.clone();
    for name in NOT_AGAIN {
        headers.remove(name);
    }
    send(gateway, method, &invocation.target, headers, request.body.clone()).await
}

async fn send(
    gateway: SocketAddr,
    method: Method,
    target: &str,
    mut headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, Error> {
    let call = async {
        let stream = TcpStream::connect(gateway).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let connection = tokio::spawn(connection);
        if !headers.contains_key(header::HOST) {
            let host = HeaderValue::try_from(gateway.to_string()).map_err(io::Error::other)?;
            headers.insert(header::HOST, host);
        }
        let mut request =
            Request::builder().method(method).uri(target).body(Full::new(body)).map_err(io::Error::other)?;
        *request.headers_mut() = headers;
        let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(io::Error::other)?.to_bytes();
        connection.abort();
        Ok::<_, io::Error>(Answer { status: head.status, headers: head.headers, body })
    };
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    timeout(LONGEST, call).await.map_err(late).and_then(|answer| answer).map_err(failed)
}

fn failed(error: io::Error) -> Error {
    Error::Call(error)
}
