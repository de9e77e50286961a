//! What the lane takes and what it leaves to hyper; drains, clients that read slowly, and requests sent ahead.

use std::cell::Cell;

use super::{
    super::head::{Outline, Seen},
    *,
};

fn seen(text: &str) -> Seen {
    Outline::default().look(text.as_bytes(), &Limits::default())
}

fn request(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: x\r\n{fields}\r\n")
}

#[test]
fn plain_requests_stay_in_the_lane() {
    for fields in [
        "",
        "accept: */*\r\nX-Any:x\r\n",
        "connection: keep-alive\r\n",
        "Connection: Close\r\n",
        "content-length: 0\r\n",
    ] {
        assert_eq!(seen(&request("GET /a?b", fields)), Seen::Request, "{fields}");
    }
    let posted = request("POST /", "content-length: 5\r\n");
    assert_eq!(seen(&format!("{posted}hello")), Seen::Request);
    assert_eq!(seen(&format!("{posted}hello, and the next")), Seen::Request);
    assert_eq!(seen(&format!("{posted}he")), Seen::Body(3));
    assert_eq!(seen(posted.trim_end()), Seen::Head);
    assert_eq!(seen("G"), Seen::Head);
}

#[test]
fn everything_else_is_hypers() {
    for line in [
        "CONNECT x:1",
        "TRACE /",
        "QUERY /",
        "get /",
        "OPTIONS *",
        "GET http://x/",
        "GET x",
        "GET  /",
        "GET / ",
    ] {
        assert_eq!(seen(&request(line, "")), Seen::Odd, "{line}");
    }
    for fields in [
        "transfer-encoding: chunked\r\n",
        "TE: trailers\r\n",
        "Expect: 100-continue\r\n",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\n",
        "connection: keep-alive, x-a\r\n",
        "host: y\r\n",
        "content-length: 05\r\n",
        "content-length: +5\r\n",
        "content-length: 5,5\r\n",
        "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: 65537\r\n",
        "x: a\n",
        "x: a \r\n",
        "x:\r\n",
        "x: a\r\n b\r\n",
        "x : a\r\n",
    ] {
        assert_eq!(seen(&request("GET /", fields)), Seen::Odd, "{fields}");
    }
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: x\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\nhost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\n\n",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        assert_eq!(seen(text), Seen::Odd, "{text:?}");
    }
    assert_eq!(seen(&request("GET /", &"a: b\r\n".repeat(64))), Seen::Odd);
    assert_eq!(seen(&request("GET /", &format!("a: {}\r\n", "b".repeat(16 * 1024)))), Seen::Odd);
}

#[test]
fn limits_that_are_narrower_than_the_lane_count() {
    let limits = Limits { headers: 2, header_bytes: 60, ..Limits::default() };
    let look = |fields: &str| Outline::default().look(request("GET /", fields).as_bytes(), &limits);
    assert_eq!(look("a: b\r\n"), Seen::Request);
    assert_eq!(look("a: b\r\nc: d\r\n"), Seen::Odd);
    assert_eq!(look(&format!("a: {}\r\n", "b".repeat(40))), Seen::Odd);
}

#[test]
fn a_target_that_is_none_leaves_the_buffer_as_it_was() {
    let text = "POST /a\\\u{7f} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhiGET";
    let mut buffer = bytes::BytesMut::from(text);
    let mut outline = Outline::default();
    if outline.look(&buffer, &Limits::default()) == Seen::Request {
        assert!(outline.take(&mut buffer, HeaderMap::new()).is_none());
    }
    assert_eq!(buffer, text);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn requests_that_were_sent_ahead_are_answered_in_their_order() {
    let mut served = Served::by(Way::Lane);
    let all: String =
        ["/big", "/chunks", "/404", "/slow"].map(|path| request(&format!("GET {path}"), "")).concat();
    served.say(&all).await;
    let (answers, ended) = served.heard().await;
    assert_eq!(served.lines().len(), 4);
    let places: Vec<_> = ["big", "two", "404 Not Found", "four"].map(|text| answers.find(text)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
    assert!(!ended);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn what_follows_an_odd_request_is_served_too() {
    let mut served = Served::by(Way::Lane);
    let odd = request("POST /1", "transfer-encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n";
    served.say(request("GET /0", "") + &odd + &request("GET /2", "")).await;
    served.say(request("GET /3", "")).await;
    let (answers, _) = served.heard().await;
    assert_eq!(served.lines(), ["GET /0 HTTP/1.1", "POST /1 HTTP/1.1", "GET /2 HTTP/1.1", "GET /3 HTTP/1.1"]);
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 4);
    assert_eq!(served.handler.asked.borrow()[1].body, Some(Ok(b"hello".to_vec())));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_long_body_after_a_plain_request_comes_whole() {
    let mut served = Served::by(Way::Lane);
    let body = "0123456789".repeat(1024 * 1024);
    served.say(request("GET /0", "")).await;
    served.say(request("POST /1", &format!("content-length: {}\r\n", body.len()))).await;
    served.say(&body).await;
    served.say(request("GET /2", "")).await;
    let (answers, _) = served.heard().await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3);
    assert_eq!(served.handler.asked.borrow()[1].body, Some(Ok(body.into_bytes())));
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn who_asks_for_trailers_gets_them() {
    let mut served = Served::by(Way::Lane);
    served.say(request("GET /trailers", "")).await;
    served.say(request("GET /trailers", "te: trailers\r\n")).await;
    let (answers, _) = served.heard().await;
    assert!(answers.contains("3\r\none\r\n0\r\n\r\nHTTP/1.1"), "{answers}");
    assert!(answers.ends_with("3\r\none\r\n0\r\nx-t: 1\r\n\r\n"), "{answers}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn the_lane_answers_a_status_that_is_none_with_500_and_ends() {
    struct Informs;
    impl Handler for Informs {
        type Body = Body;
        async fn handle(self: Rc<Self>, _: Request<RequestBody>, _: Rc<Connection>) -> Response<Body> {
            let mut response = Response::new(Body::full("early"));
            *response.status_mut() = StatusCode::EARLY_HINTS;
            response
        }
    }
    let (mut client, near) = tokio::io::duplex(4096);
    let connections = Connections::new(Limits::default(), Rc::default());
    let connection = connections.add(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into(), 0);
    tokio::task::spawn_local(async move {
        serve(near, &*Service::new(Rc::new(Informs), Informs::handle), connection, &connections).await
    });
    client.write_all(request("GET /", "").as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_drain_ends_idle_connections_and_answers_what_was_sent_already() {
    let mut idle = Served::by(Way::Lane);
    idle.say(request("GET /", "")).await;
    idle.connections.drain();
    let (answers, ended) = idle.heard().await;
    assert!(answers.ends_with("hello") && ended);

    let mut sent = Served::by(Way::Lane);
    sent.say("").await;
    sent.connections.drain();
    sent.say(request("GET /", "") + &request("GET /second", "")).await;
    let (answers, ended) = sent.heard().await;
    assert_eq!(sent.lines(), ["GET / HTTP/1.1"]);
    assert!(
        answers.contains("\r\nconnection: close\r\n") && answers.ends_with("hello") && ended,
        "{answers}"
    );
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn an_odd_request_that_came_before_the_drain_is_answered() {
    let mut served = Served::by(Way::Lane);
    served.client.write_all(b"GET /0 HTTP/1.1\r\nhost: x\r\n\r\nGET /1 HTTP/1.1\r\n").await.unwrap();
    settle().await;
    served.connections.drain();
    served.say("host: x\r\nte: trailers\r\n\r\n").await;
    let (answers, ended) = served.heard().await;
    assert_eq!(served.lines().len(), 2);
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2);
    assert!(ended);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn a_body_is_not_read_faster_than_its_client_takes_it() {
    struct Endless {
        frames: Rc<Cell<usize>>,
    }
    impl Handler for Endless {
        type Body = Body;
        async fn handle(self: Rc<Self>, _: Request<RequestBody>, _: Rc<Connection>) -> Response<Body> {
            let frames = Rc::clone(&self.frames);
            let body = stream::repeat_with(move || {
                frames.set(frames.get() + 1);
                data(&"x".repeat(1000))
            });
            Response::new(Body::boxed(StreamBody::new(body)))
        }
    }
    let (mut client, near) = tokio::io::duplex(10_000);
    let connections = Connections::new(Limits::default(), Rc::default());
    let connection = connections.add(([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into(), 0);
    let frames = Rc::new(Cell::new(0));
    let handler = Rc::new(Endless { frames: Rc::clone(&frames) });
    let activity = connection.activity.clone();
    let task = tokio::task::spawn_local(async move {
        serve(near, &*Service::new(handler, Endless::handle), connection, &connections).await
    });
    client.write_all(request("GET /", "").as_bytes()).await.unwrap();
    tokio::time::sleep(QUIET).await;
    // The pipe, and what is joined before it is sent.
    assert!(frames.get() <= 14, "{}", frames.get());
    assert!(activity.stalled_since().is_some());
    let mut some = [0; 5000];
    client.read_exact(&mut some).await.unwrap();
    tokio::time::sleep(QUIET).await;
    assert!(frames.get() <= 20, "{}", frames.get());
    task.abort();
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn slow_and_narrow_pipes_pass_long_answers_unchanged() {
    for path in ["/big", "/big-chunks", "/slow", "/chunks"] {
        let mut answers = Vec::new();
        for room in [7, 100, 1 << 20] {
            let mut served = Served::through(Way::Lane, room);
            let (_, heard) = tokio::join!(async {}, async {
                let text = request(&format!("GET {path}"), "connection: close\r\n");
                for piece in text.as_bytes().chunks(7) {
                    served.client.write_all(piece).await.unwrap();
                }
                served.heard().await
            });
            assert!(heard.1, "{path}");
            answers.push(heard.0);
        }
        assert!(answers.iter().all(|answer| *answer == answers[2]), "{path}: {answers:?}");
    }
}
