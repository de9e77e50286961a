use http::{HeaderMap, Request, Response, StatusCode, Version};

use super::{Passage, Refusal, answer, host, request};
use crate::{
    activity::Clock,
    connection::{Connection, Connections, Limits},
};

fn client() -> std::rc::Rc<Connection> {
    let connections = Connections::new(Limits::default(), std::rc::Rc::default());
    let _clock = Clock::new();
    connections.add("[::ffff:10.1.2.3]:4000".parse().unwrap(), "10.0.0.1:8080".parse().unwrap(), 0)
}

fn with(fields: &[(&str, &str)]) -> Request<()> {
    let mut builder = Request::get("/path").header("host", "hello.shop");
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap()
}

fn forwarded(fields: &[(&str, &str)]) -> (Passage, HeaderMap) {
    let mut message = with(fields);
    let passage = request(&mut message, &client()).unwrap();
    (passage, message.into_parts().0.headers)
}

#[tokio::test]
async fn fields_of_one_hop_stay_behind() {
    let (passage, headers) = forwarded(&[
        ("connection", "close, X-Mine"),
        ("connection", "another"),
        ("x-mine", "1"),
        ("another", "2"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic x"),
        ("te", "gzip"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("expect", "100-continue"),
        ("authorization", "Bearer x"),
    ]);
    assert_eq!(passage, Passage::Plain);
    let mut names: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["authorization", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"]);
}

#[tokio::test]
async fn a_client_cannot_have_the_messages_own_fields_dropped() {
    let (_, headers) = forwarded(&[
        ("connection", "host, content-length, x-forwarded-for, authorization"),
        ("content-length", "0"),
        ("authorization", "Bearer x"),
    ]);
    for name in ["host", "content-length", "x-forwarded-for", "authorization"] {
        assert!(headers.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn proxies_before_us_are_kept_in_the_list() {
    let (_, headers) = forwarded(&[
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "192.0.2.2, 192.0.2.3"),
        ("x-forwarded-proto", "https"),
    ]);
    assert_eq!(headers["x-forwarded-for"], "192.0.2.1, 192.0.2.2, 192.0.2.3, 10.1.2.3");
    assert_eq!(headers["x-forwarded-proto"], "https, http");
    assert_eq!(headers["x-forwarded-host"], "hello.shop");
}

#[tokio::test]
async fn an_upgrade_keeps_its_two_fields() {
    let (passage, headers) = forwarded(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
    assert_eq!(passage, Passage::Upgrade);
    assert_eq!(headers["connection"], "upgrade");
    assert_eq!(headers["upgrade"], "websocket");
}

#[tokio::test]
async fn trailers_are_asked_for_by_grpc_which_goes_by_http2() {
    let mut message = with(&[("content-type", "application/grpc+proto"), ("te", "trailers")]);
    *message.version_mut() = Version::HTTP_2;
    request(&mut message, &client()).unwrap();
    assert_eq!(message.headers()["te"], "trailers");
    assert_eq!(message.version(), Version::HTTP_2);
}

#[tokio::test]
async fn a_target_with_an_authority_says_the_host() {
    let mut message = Request::get("http://other.shop/path").header("host", "hello.shop").body(()).unwrap();
    assert_eq!(host(message.uri(), message.headers()), Some("other.shop"));
    request(&mut message, &client()).unwrap();
    assert_eq!(message.headers()["host"], "other.shop");
}

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_refused() {
    assert_eq!(request(&mut with(&[("host", "other")]), &client()), Err(Refusal::Host));
    assert_eq!(request(&mut Request::get("/").body(()).unwrap(), &client()), Err(Refusal::Host));
    let lengths = &mut with(&[("content-length", "1"), ("content-length", "2")]);
    assert_eq!(request(lengths, &client()), Err(Refusal::Length));
    let mut connect = Request::connect("example.com:443").body(()).unwrap();
    assert_eq!(request(&mut connect, &client()), Err(Refusal::Connect));
}

#[test]
fn an_answer_loses_the_fields_of_its_hop() {
    let mut response = Response::builder()
        .header("connection", "keep-alive, x-hop")
        .header("x-hop", "1")
        .header("keep-alive", "timeout=5")
        .header("transfer-encoding", "chunked")
        .header("trailer", "grpc-status")
        .header("content-length", "3")
        .body(())
        .unwrap();
    answer(&mut response, Passage::Plain);
    let mut names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "trailer"]);
}

#[test]
fn an_answer_that_switches_protocols_without_being_asked_does_not() {
    let switching = || {
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .body(())
            .unwrap()
    };
    let mut asked = switching();
    answer(&mut asked, Passage::Upgrade);
    assert_eq!(asked.headers()["upgrade"], "echo");
    let mut unasked = switching();
    answer(&mut unasked, Passage::Plain);
    assert!(!unasked.headers().contains_key("upgrade"));
}
