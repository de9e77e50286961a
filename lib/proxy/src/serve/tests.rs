//! Clients that overstay. The clock is paused: time passes as soon as nobody has anything to do.

use std::{net::Ipv4Addr, rc::Rc, time::Duration};

use flint_testing::upstream::Peer;
use http::{Request, Response};
use tokio::{net::TcpListener, time::Instant};

use super::{Handler, Service, serve};
use crate::{
    body::{Body, RequestBody},
    connection::{Connection, Connections, Limits},
};

struct Hello;

impl Handler for Hello {
    type Body = Body;

    async fn handle(self: Rc<Self>, request: Request<RequestBody>, _: Rc<Connection>) -> Response<Body> {
        match request.uri().path() {
            "/slow" => tokio::time::sleep(Duration::from_secs(300)).await,
            "/endless" => {
                let frame = http_body::Frame::data(bytes::Bytes::from(vec![b'x'; 64 * 1024]));
                let frames = futures::stream::repeat_with(move || {
                    Ok::<_, std::io::Error>(http_body::Frame::data(
                        frame.data_ref().cloned().unwrap_or_default(),
                    ))
                });
                return Response::new(Body::boxed(http_body_util::StreamBody::new(frames)));
            }
            _ => {}
        }
        Response::new(Body::full("hello"))
    }
}

/// A served connection, its client's end, and the list it is in.
async fn connected() -> (Peer, Rc<Connections>) {
    let connections = Connections::new(Limits::default(), Rc::default());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let local = listener.local_addr().unwrap();
    let client = Peer::connect(local).await;
    let (stream, peer) = listener.accept().await.unwrap();
    let connection = connections.add(peer, local, 0);
    let list = Rc::clone(&connections);
    tokio::task::spawn_local(async move {
        let service = Service::new(Rc::new(Hello), Hello::handle);
        serve(stream, &*service, Rc::clone(&connection), &list).await;
        list.remove(&connection);
    });
    let list = Rc::clone(&connections);
    tokio::task::spawn_local(async move { list.sweep().await });
    (client, connections)
}

/// Needs much while it works.
struct Roomy;

impl Handler for Roomy {
    type Body = Body;

    async fn handle(self: Rc<Self>, _: Request<RequestBody>, _: Rc<Connection>) -> Response<Body> {
        let much = [0_u8; 100_000];
        tokio::task::yield_now().await;
        Response::new(Body::full(much.len().to_string()))
    }
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_waits_has_no_room_for_what_a_request_takes() {
    let connections = Connections::new(Limits::default(), Rc::default());
    let address = ([127, 0, 0, 1], 1).into();
    let (_client, near) = tokio::io::duplex(1);
    let service = Service::new(Rc::new(Roomy), Roomy::handle);
    let serving = serve(near, &*service, connections.add(address, address, 0), &connections);
    assert!(size_of_val(&serving) < 4_000, "{}", size_of_val(&serving));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_never_finishes_its_head_is_let_go() {
    for beginning in ["", "GE", "GET / HTTP/1.1\r\nhost: a"] {
        let (mut client, _) = connected().await;
        let start = Instant::now();
        client.say(beginning).await;
        client.closed().await;
        let limit = Limits::default().header_time;
        assert!(
            start.elapsed() >= limit && start.elapsed() < limit * 2,
            "{beginning:?}: {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_second_head_has_its_own_time() {
    let (mut client, _) = connected().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.request().await.unwrap().body, b"hello");
    tokio::time::sleep(Duration::from_secs(30)).await;
    let start = Instant::now();
    client.say("GET / HTTP/1.1\r\n").await;
    client.closed().await;
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_connection_may_stay_idle_for_a_while() {
    let (mut client, connections) = connected().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.request().await.unwrap();
    tokio::time::sleep(Duration::from_secs(70)).await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.request().await.unwrap();
    let start = Instant::now();
    client.closed().await;
    assert!(start.elapsed() >= Duration::from_secs(74), "{:?}", start.elapsed());
    assert_eq!(connections.len(), 0);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_request_that_takes_long_is_not_idle() {
    let (mut client, _) = connected().await;
    client.say("GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.request().await.unwrap().body, b"hello");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_client_that_takes_nothing_of_its_answer_is_let_go() {
    let (mut client, connections) = connected().await;
    let start = Instant::now();
    client.say("GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await;
    while connections.len() > 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(start.elapsed() >= Limits::default().write_stall, "{:?}", start.elapsed());
    drop(client);
}

#[tokio::test(flavor = "local")]
async fn a_connection_that_is_told_to_close_does_so_after_its_request() {
    let (mut client, connections) = connected().await;
    client.say("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.request().await.unwrap();
    connections.drain();
    client.closed().await;
}
